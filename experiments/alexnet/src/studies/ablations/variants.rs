//! The studies: what each takes out, and which claims that answers.

use common::data::photos::ColourNoise;
use ledger::metrics;
use ledger::stats::kaplan_meier::Observation;
use ledger::stats::{
    Estimate, Scale, StatsError, mean_over_seeds, median_ratio, paired_difference,
};

use super::{Ablation, Effect, ONE_VIEW_TOP1, Runs, StudyPreset, TOP1, TOP5, Variant};
use crate::network::{Layout, Middle, NetworkConfig, Norm, Pool};
use crate::photographs::data::Augment;
use crate::photographs::train::Recipe;

/// The variant with every ingredient.
const BASE: &str = "base";

/// The preset's recipe with a change to its network.
fn network(preset: &StudyPreset, change: impl FnOnce(NetworkConfig) -> NetworkConfig) -> Recipe {
    Recipe { network: change(preset.recipe.network.clone()), ..preset.recipe.clone() }
}

/// The preset's recipe with other views.
fn augment(preset: &StudyPreset, change: impl FnOnce(Augment) -> Augment) -> Recipe {
    Recipe { augment: change(preset.recipe.augment), ..preset.recipe.clone() }
}

/// The network with every ingredient.
#[derive(Debug)]
pub struct ImageNet;

impl Ablation for ImageNet {
    const NAME: &'static str = "imagenet";
    const ABOUT: &'static str =
        "Tables 1 and 2: the network on photographs, with one view and with ten";
    const EFFECTS: &'static [Effect] = &[];

    fn variants(preset: &StudyPreset) -> Vec<Variant> {
        let recipe = preset.recipe.clone();
        vec![Variant { name: BASE, label: "every ingredient", recipe }]
    }

    fn more(runs: &Runs) -> anyhow::Result<Vec<(&'static str, Estimate)>> {
        let Some(base) = runs.by_variant.get(BASE) else { return Ok(Vec::new()) };
        let of =
            |name: &str| -> Vec<f64> { base.values().filter_map(|run| run.metric(name)).collect() };
        let percent = |name: &str| of(name).iter().map(|error| 100.0 * error).collect::<Vec<_>>();
        let (one, ten) = (percent(ONE_VIEW_TOP1), percent(TOP1));
        let mut found = vec![("alexnet-39", paired_difference(&one, &ten)?)];
        if runs.data == "imagenet" {
            for (id, name) in [("alexnet-09", TOP1), ("alexnet-10", TOP5)] {
                found.push((id, mean_over_seeds(&percent(name), Scale::Natural)?));
            }
            found.push(("alexnet-38", mean_over_seeds(&of("epoch"), Scale::Natural)?));
        } else {
            found.push(("photographs-top1", mean_over_seeds(&ten, Scale::Natural)?));
        }
        Ok(found)
    }
}

/// Response normalisation (section 3.3).
///
/// Source of the control: small activations are multiplied by k^−β, whatever their neighbours do. That
/// factor alone trains the layers above it better or worse.
#[derive(Debug)]
pub struct Lrn;

impl Ablation for Lrn {
    const NAME: &'static str = "lrn";
    const ABOUT: &'static str =
        "Section 3.3: what response normalisation gains, beside a constant factor of the same size";
    const EFFECTS: &'static [Effect] = &[
        Effect {
            id: "alexnet-24",
            label: "over nothing, top-1",
            error: TOP1,
            without: &["none"],
            with: BASE,
        },
        Effect {
            id: "alexnet-25",
            label: "over nothing, top-5",
            error: TOP5,
            without: &["none"],
            with: BASE,
        },
        Effect {
            id: "lrn-over-constant",
            label: "over the constant factor, top-1",
            error: TOP1,
            without: &["constant"],
            with: BASE,
        },
        Effect {
            id: "lrn-constant-over-none",
            label: "the constant factor over nothing, top-1",
            error: TOP1,
            without: &["none"],
            with: "constant",
        },
    ];

    fn variants(preset: &StudyPreset) -> Vec<Variant> {
        let with = |norm| network(preset, |net| NetworkConfig { norm, ..net });
        vec![
            Variant { name: "none", label: "no normalisation", recipe: with(Norm::None) },
            Variant { name: "constant", label: "constant factor", recipe: with(Norm::Constant) },
        ]
    }
}

/// Overlapping pools (section 3.4). Both kinds put out maps of the same size, so that the layers behind
/// them are equally large.
#[derive(Debug)]
pub struct OverlappingPooling;

impl Ablation for OverlappingPooling {
    const NAME: &'static str = "overlapping-pooling";
    const ABOUT: &'static str = "Section 3.4: what pools that overlap gain over ones that do not";
    const EFFECTS: &'static [Effect] = &[
        Effect {
            id: "alexnet-28",
            label: "top-1",
            error: TOP1,
            without: &["disjoint"],
            with: BASE,
        },
        Effect {
            id: "alexnet-29",
            label: "top-5",
            error: TOP5,
            without: &["disjoint"],
            with: BASE,
        },
    ];

    fn variants(preset: &StudyPreset) -> Vec<Variant> {
        let recipe = network(preset, |net| NetworkConfig { pool: Pool::Disjoint, ..net });
        vec![Variant { name: "disjoint", label: "2×2 pools", recipe }]
    }
}

/// Two towers against one with half the kernels (section 3.2), and against the released undivided net.
#[derive(Debug)]
pub struct TwoTowers;

impl Ablation for TwoTowers {
    const NAME: &'static str = "two-towers";
    const ABOUT: &'static str = "Section 3.2: what two towers gain over one with half the kernels in each convolution but the last";
    const EFFECTS: &'static [Effect] = &[
        Effect {
            id: "alexnet-30",
            label: "over half the kernels, top-1",
            error: TOP1,
            without: &["half-tower"],
            with: BASE,
        },
        Effect {
            id: "alexnet-31",
            label: "over half the kernels, top-5",
            error: TOP5,
            without: &["half-tower"],
            with: BASE,
        },
        Effect {
            id: "two-towers-over-one",
            label: "over the released tower, top-1",
            error: TOP1,
            without: &["one-tower"],
            with: BASE,
        },
    ];

    fn variants(preset: &StudyPreset) -> Vec<Variant> {
        let with = |layout| network(preset, |net| NetworkConfig { layout, ..net });
        vec![
            Variant {
                name: "half-tower",
                label: "one tower, half the kernels",
                recipe: with(Layout::HalfTower),
            },
            Variant {
                name: "one-tower",
                label: "one tower, as released",
                recipe: with(Layout::OneTower),
            },
        ]
    }
}

/// Crops, mirror images and colour noise (section 4.1).
#[derive(Debug)]
pub struct Augmentation;

impl Ablation for Augmentation {
    const NAME: &'static str = "augmentation";
    const ABOUT: &'static str =
        "Section 4.1: what random crops, mirror images and colour noise gain";
    const EFFECTS: &'static [Effect] = &[
        Effect {
            id: "alexnet-32",
            label: "colour noise",
            error: TOP1,
            without: &["no-colour"],
            with: BASE,
        },
        Effect {
            id: "augmentation-mirror",
            label: "mirror images",
            error: TOP1,
            without: &["no-mirror"],
            with: BASE,
        },
        Effect {
            id: "augmentation-crops",
            label: "random crops",
            error: TOP1,
            without: &["no-crops"],
            with: BASE,
        },
        Effect {
            id: "augmentation-all",
            label: "all three",
            error: TOP1,
            without: &["none"],
            with: BASE,
        },
    ];

    fn variants(preset: &StudyPreset) -> Vec<Variant> {
        let none: Option<ColourNoise> = None;
        vec![
            Variant {
                name: "no-colour",
                label: "no colour noise",
                recipe: augment(preset, |a| Augment { colour: none, ..a }),
            },
            Variant {
                name: "no-mirror",
                label: "no mirror images",
                recipe: augment(preset, |a| Augment { mirror: false, ..a }),
            },
            Variant {
                name: "no-crops",
                label: "centre only",
                recipe: augment(preset, |a| Augment { crops: false, ..a }),
            },
            Variant {
                name: "none",
                label: "none of the three",
                recipe: augment(preset, |a| Augment {
                    crops: false,
                    mirror: false,
                    colour: none,
                    ..a
                }),
            },
        ]
    }
}

/// Dropout (section 4.2), in runs as long as the others and in longer ones: what it gains it gains late.
#[derive(Debug)]
pub struct Dropout;

impl Ablation for Dropout {
    const NAME: &'static str = "dropout";
    const ABOUT: &'static str = "Section 4.2: what dropout gains, and how much longer it takes";
    const EFFECTS: &'static [Effect] = &[
        Effect {
            id: "dropout-short",
            label: "short runs, top-1",
            error: TOP1,
            without: &["none"],
            with: BASE,
        },
        Effect {
            id: "dropout-long",
            label: "long runs, top-1",
            error: TOP1,
            without: &["none-long"],
            with: "long",
        },
    ];

    fn variants(preset: &StudyPreset) -> Vec<Variant> {
        let without = network(preset, |net| NetworkConfig { dropout: 0.0, ..net });
        let long =
            |recipe: &Recipe| Recipe { epochs: preset.long * recipe.epochs, ..recipe.clone() };
        vec![
            Variant { name: "long", label: "dropout, long", recipe: long(&preset.recipe) },
            Variant { name: "none-long", label: "no dropout, long", recipe: long(&without) },
            Variant { name: "none", label: "no dropout", recipe: without },
        ]
    }

    /// Updates until the loss on held-out pictures was at its lowest, with dropout over without. A run
    /// whose last evaluation is its lowest had not converged when it ended.
    fn more(runs: &Runs) -> anyhow::Result<Vec<(&'static str, Estimate)>> {
        let seeds = runs.seeds(&["long", "none-long"]);
        let times = |variant: &str| -> anyhow::Result<Vec<Observation>> {
            let runs = seeds.iter().map(|seed| &runs.by_variant[variant][seed]);
            runs.map(|run| {
                let rows = metrics::read(run.folder.join(common::training_run::METRICS))?;
                Ok(converged(&rows.column("val/loss")?))
            })
            .collect()
        };
        match median_ratio(&times("long")?, &times("none-long")?) {
            Ok(estimate) => Ok(vec![("alexnet-33", estimate)]),
            Err(StatsError::TooFew { .. } | StatsError::NeitherReached) => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }
}

/// The step of the lowest of `(step, loss)`; censored where that is the last.
fn converged(losses: &[(u64, f64)]) -> Observation {
    let lowest = losses.iter().min_by(|a, b| a.1.total_cmp(&b.1));
    let (&(step, _), last) = (lowest.expect("a run evaluates at its end"), losses.last());
    let time = step as f64;
    if last.is_some_and(|last| last.0 == step) {
        Observation::censored(time)
    } else {
        Observation::reached(time)
    }
}

/// The middle layers (section 7).
#[derive(Debug)]
pub struct Depth;

impl Ablation for Depth {
    const NAME: &'static str = "depth";
    const ABOUT: &'static str = "Section 7: what each of the middle convolutions is worth";
    const EFFECTS: &'static [Effect] = &[
        Effect {
            id: "alexnet-35",
            label: "one of them, mean of the three",
            error: TOP1,
            without: &["no-conv3", "no-conv4", "no-conv5"],
            with: BASE,
        },
        Effect {
            id: "depth-conv3",
            label: "conv3",
            error: TOP1,
            without: &["no-conv3"],
            with: BASE,
        },
        Effect {
            id: "depth-conv4",
            label: "conv4",
            error: TOP1,
            without: &["no-conv4"],
            with: BASE,
        },
        Effect {
            id: "depth-conv5",
            label: "conv5",
            error: TOP1,
            without: &["no-conv5"],
            with: BASE,
        },
    ];

    fn variants(preset: &StudyPreset) -> Vec<Variant> {
        let without = |out| network(preset, |net| NetworkConfig { without: vec![out], ..net });
        vec![
            Variant { name: "no-conv3", label: "without conv3", recipe: without(Middle::Conv3) },
            Variant { name: "no-conv4", label: "without conv4", recipe: without(Middle::Conv4) },
            Variant { name: "no-conv5", label: "without conv5", recipe: without(Middle::Conv5) },
        ]
    }
}
