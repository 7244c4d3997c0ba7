//! The recipes of others who trained this network: the authors' released program, Caffe's port, and the weights
//! that torchvision gives away.
//!
//! The first two are trained on the preset's photographs and set against the runs of `imagenet`, the paper's
//! recipe, seed by seed. What is theirs is below, with its source; how large the network is, how long it trains and
//! on which pictures is the preset's. At `paper` both are what was published.
//!
//! torchvision's weights are not trained but read, from the user's folder, and tested on the user's ImageNet.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use common::data::lookup::Lookup;
use common::data::photos::{ColourNoise, MeanAt, NoiseForm};
use common::data::sha256_file;
use common::experiment::{Drawings, Finished, Study};
use common::session::{Plan, Session};
use common::training_run::{Spec, TrainingRun};
use ledger::claims::Measured;
use ledger::stats::{Estimate, Scale, mean_over_seeds};
use serde::{Deserialize, Serialize};

use super::ablations::{
    self, Ablation, Asked, DATASETS, Effect, ONE_VIEW_TOP1, ONE_VIEW_TOP5, Runs, StudyPreset, TOP1,
    Variant,
};
use crate::ALEXNET;
use crate::evaluate::Model;
use crate::loss::Loss;
use crate::network::{DropoutForm, Init, Layout, NetworkConfig, Norm, Order};
use crate::photographs::data::{Augment, IMAGENET, load};
use crate::photographs::eval::Judged;
use crate::photographs::schedule::Schedule;
use crate::photographs::train::{FIRST_LOSS, Recipe};

/// The study as the command line knows it.
pub const STUDY: Study = Study {
    name: Ports::NAME,
    about: Ports::ABOUT,
    datasets: &DATASETS,
    run,
    train,
    measure,
    figures,
};

const RELEASED: &str = "cuda-convnet2";
const LOGISTIC: &str = "cuda-convnet2-logistic";
const CAFFE: &str = "caffe";
const TORCHVISION: &str = "torchvision";

/// From a run's metric to the unit of a claim.
type Unit = fn(f64) -> f64;

/// The recipes that are trained.
#[derive(Debug)]
pub struct Ports;

impl Ablation for Ports {
    const NAME: &'static str = "ports";
    const ABOUT: &'static str = "The authors' released program, Caffe's port and torchvision's weights beside the paper's recipe";
    const EFFECTS: &'static [Effect] = &[
        Effect {
            id: "ports-cuda-convnet2",
            label: "cuda-convnet2's recipe",
            error: TOP1,
            without: &["base"],
            with: RELEASED,
        },
        Effect {
            id: "ports-caffe",
            label: "Caffe's recipe",
            error: TOP1,
            without: &["base"],
            with: CAFFE,
        },
        Effect {
            id: "ports-logistic",
            label: "logistic loss in cuda-convnet2's",
            error: TOP1,
            without: &[RELEASED],
            with: LOGISTIC,
        },
    ];

    fn variants(preset: &StudyPreset) -> Vec<Variant> {
        let released = released(&preset.recipe);
        let logistic = Recipe { loss: Loss::Logistic, ..released.clone() };
        vec![
            Variant { name: RELEASED, label: "cuda-convnet2", recipe: released },
            Variant { name: LOGISTIC, label: "cuda-convnet2, logistic loss", recipe: logistic },
            Variant { name: CAFFE, label: "Caffe", recipe: caffe(&preset.recipe) },
        ]
    }

    /// The published numbers of these recipes, on ImageNet.
    fn more(runs: &Runs) -> anyhow::Result<Vec<(&'static str, Estimate)>> {
        let rows: [(&str, &str, &str, Unit); 5] = [
            ("alexnet-ref-01", CAFFE, ONE_VIEW_TOP1, |error| 100.0 * (1.0 - error)),
            ("alexnet-ref-02", CAFFE, ONE_VIEW_TOP5, |error| 100.0 * (1.0 - error)),
            ("alexnet-ref-05", RELEASED, ONE_VIEW_TOP1, |error| 100.0 * error),
            ("alexnet-ref-06", RELEASED, TOP1, |error| 100.0 * error),
            ("alexnet-ref-07", RELEASED, FIRST_LOSS, |loss| loss),
        ];
        let mut found = Vec::new();
        for (id, variant, metric, unit) in rows.into_iter().filter(|_| runs.data == IMAGENET) {
            let ended = runs.by_variant.get(variant).into_iter().flat_map(BTreeMap::values);
            let values: Vec<f64> = ended.filter_map(|run| run.metric(metric)).map(unit).collect();
            if !values.is_empty() {
                found.push((id, mean_over_seeds(&values, Scale::Natural)?));
            }
        }
        Ok(found)
    }
}

/// The example of the authors' released program, one tower.
///
/// Source: cuda-convnet2, `layers/layers-imagenet-1gpu.cfg`, `layer-params-imagenet-1gpu.cfg`,
/// `TrainingExample.md`, `LearningRates.md`, `convdata.py`. Differs: pictures are shuffled in each epoch, where it
/// goes through its data batches in order; the example's loss is the softmax's, whatever the −7 of `fc8` is for.
fn released(preset: &Recipe) -> Recipe {
    let colour = ColourNoise { sigma: 0.1, form: NoiseForm::StandardDeviations };
    Recipe {
        network: NetworkConfig {
            layout: Layout::OneTower,
            order: Order::Released,
            norm: Norm::MeanAlpha,
            init: Init::Gaussian([0.01, 0.01, 0.03, 0.03, 0.03, 0.01, 0.01, 0.01]), // initW
            bias: 1.0,                                                              // initB
            last_bias: -7.0,
            ..preset.network.clone()
        },
        augment: Augment {
            crops: true,
            mirror: true,
            colour: Some(colour), // --color-noise 0.1
            mean: MeanAt::Centre, // data_mean_crop
        },
        lr: 0.01,
        schedule: stepped(4, 250.0), // epsW=dexp[base=0.01;tgtFactor=250;numSteps=4]
        bias_lr_scale: 2.0,
        bias_schedule: Some(stepped(2, 10.0)), // epsB=dexp[base=0.02;tgtFactor=10;numSteps=2]
        momentum: 0.9,
        weight_decay: 0.0005, // wc
        bias_decay: 0.0,
        ..preset.clone()
    }
}

/// `n` rates in equal shares of the training, the last the first divided by `factor`.
fn stepped(n: u32, factor: f64) -> Schedule {
    let at = (1..n).map(|i| f64::from(i) / f64::from(n)).collect();
    Schedule::Steps { at, divisor: factor.powf(1.0 / f64::from(n - 1)) }
}

/// Caffe's port.
///
/// Source: BVLC/caffe, `models/bvlc_alexnet/{train_val,solver}.prototxt`, `readme.md`. Differs: pictures are prepared as
/// the paper says, where its scripts stretch them to 256×256; the published weights are those after 360,000 of
/// 450,000 updates; 450,000 updates of 256 are 89.9 passes over ImageNet, here the preset's 90.
fn caffe(preset: &Recipe) -> Recipe {
    // Its dropout puts out twice what the paper's does; `fc6` and `fc7` begin half as large.
    let halved = |std: [f64; 8]| {
        std::array::from_fn(|i| if i == 5 || i == 6 { std[i] / 2.0 } else { std[i] })
    };
    let network = &preset.network;
    let init = match network.init {
        Init::Gaussian(std) => Init::Gaussian(halved(std)),
        Init::Scaled => Init::Scaled,
    };
    // 227 for 224: the views are as large as it takes to need no zeros at the edge.
    let crop = network.crop + network.layers()[0].behind;
    Recipe {
        network: NetworkConfig {
            layout: Layout::TwoTowers,
            norm: Norm::Caffe,
            dropout_form: DropoutForm::Inverted,
            init,
            bias: 0.1,
            crop,
            ..network.clone()
        },
        augment: Augment { crops: true, mirror: true, colour: None, mean: MeanAt::Position },
        batch: 2 * preset.batch, // 256
        lr: 0.01,
        // Every 100,000 of 450,000 updates.
        schedule: Schedule::Steps {
            at: [2.0, 4.0, 6.0, 8.0].map(|n| n / 9.0).into(),
            divisor: 10.0,
        },
        bias_lr_scale: 2.0,
        bias_schedule: None,
        momentum: 0.9,
        weight_decay: 0.0005,
        bias_decay: 0.0,
        ..preset.clone()
    }
}

/// The configuration of the run that tests torchvision's weights.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Given {
    /// The file's name.
    file: String,
    /// Its sha256.
    sha256: String,
    /// Rows and columns of a prepared picture.
    side: usize,
    /// sha256 over the prepared pictures and labels.
    data_sha256: String,
}

/// torchvision's file in the user's folder: it is called `alexnet-owt-<8 hex>.pth` as it is fetched.
fn found(lookup: &Lookup) -> anyhow::Result<Option<PathBuf>> {
    let Some(folder) = &lookup.data_dir else { return Ok(None) };
    let place = || folder.display().to_string();
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(place)? {
        let path = entry.with_context(place)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let weights = [".pth", ".safetensors"].iter().any(|ending| name.ends_with(ending));
        if name.starts_with("alexnet") && weights {
            files.push(path);
        }
    }
    files.sort();
    Ok(files.into_iter().next())
}

fn run(session: &Session) -> anyhow::Result<()> {
    ablations::run::<Ports>(session)?;
    let asked = Asked::of(session)?;
    if asked.data != IMAGENET {
        return Ok(());
    }
    let Some(path) = found(&session.lookup)? else {
        tracing::warn!(
            "no alexnet*.pth or alexnet*.safetensors in the folder of ImageNet: torchvision's weights are not \
             tested; put its file there (alexnet-owt-7be5be79.pth) and run this again"
        );
        return Ok(());
    };
    if session.dry_run {
        return Ok(common::cli::print(&format!("then            {} is tested\n", path.display()))?);
    }
    let config = Given {
        file: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        sha256: sha256_file(&path)?,
        side: asked.set.side(),
        data_sha256: asked.set.sha256().to_owned(),
    };
    let (data, variant) = (asked.data.clone(), TORCHVISION.to_owned());
    let config = serde_json::to_value(config)?;
    session.grid(ALEXNET.study(Ports::NAME)?, vec![Plan { data, variant, seed: 0, config }])?;
    Ok(())
}

fn train(spec: &Spec, run: &mut TrainingRun) -> anyhow::Result<BTreeMap<String, f64>> {
    if spec.key.variant != TORCHVISION {
        return ablations::train(spec, run);
    }
    let Given { file, sha256, side, data_sha256 } = spec.config()?;
    let folder =
        spec.lookup.data_dir.as_ref().context("--data: none, wanted a folder with weights")?;
    let path = folder.join(file);
    let (data, set) = load(std::slice::from_ref(&spec.key.data), side, &spec.lookup)?;
    ensure!(
        set.sha256() == data_sha256 && sha256_file(&path)? == sha256,
        "{data}, {}: changed between planning and testing",
        path.display()
    );
    run.start(&Judged::COLUMNS)?;
    let model = Model::open(&path, run.device())?;
    let row = model.judge(&model.pictures(&spec.lookup)?, spec.threads, &run.autocast())?.row();
    run.log(0, &row)?;
    Ok(row.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// The finished runs that were trained, and those that were tested.
fn parts(finished: &Finished) -> (Finished, Finished) {
    let part = |tested: bool| Finished {
        runs: finished
            .runs
            .iter()
            .filter(|(_, record)| (record.key.variant == TORCHVISION) == tested)
            .cloned()
            .collect(),
        ..finished.clone()
    };
    (part(false), part(true))
}

fn measure(finished: &Finished) -> anyhow::Result<Vec<Measured>> {
    let (trained, tested) = parts(finished);
    let mut rows = ablations::measure::<Ports>(&trained)?;
    for (_, record) in &tested.runs {
        for (id, error) in [("alexnet-ref-03", ONE_VIEW_TOP1), ("alexnet-ref-04", ONE_VIEW_TOP5)] {
            let error = record.metrics.get(error).context("a finished run has its errors")?;
            rows.push(Measured {
                id: id.to_owned(),
                preset: finished.preset.clone(),
                data: record.key.data.clone(),
                estimate: Estimate::certain(100.0 * (1.0 - error)),
                evidence: format!("{}/{TORCHVISION}", record.key.data),
                protocol_ok: record.key.data == IMAGENET && !finished.preset.contains('+'),
            });
        }
    }
    Ok(rows)
}

fn figures(finished: &Finished) -> anyhow::Result<Drawings> {
    ablations::figures::<Ports>(&parts(finished).0)
}

#[cfg(test)]
mod tests {
    use common::preset::Source;

    use super::*;
    use crate::photographs::schedule::Plateau;

    fn paper() -> Recipe {
        let source = ALEXNET.presets.iter().find(|source| source.name == "paper").unwrap();
        let source = Source { name: source.name, text: source.text };
        source.load::<super::super::Preset>(&[]).unwrap().photographs.recipe
    }

    fn near(found: f64, wanted: f64) {
        assert!((found / wanted - 1.0).abs() < 1e-9, "found {found}, wanted {wanted}");
    }

    #[test]
    fn the_released_programs_rates_are_those_counted_by_hand() {
        let recipe = released(&paper());
        let none = Plateau::default();
        let biases = recipe.bias_schedule.as_ref().unwrap();
        // 250^(1/3) is 6.2996.
        for (step, weights, of_biases) in [
            (0, 0.01, 0.02),
            (24, 0.01, 0.02),
            (25, 0.001_587_401_052, 0.02),
            (50, 0.000_251_984_21, 0.002),
            (75, 0.000_04, 0.002),
            (99, 0.000_04, 0.002),
        ] {
            near(recipe.schedule.rate(recipe.lr, step, 100, &none), weights);
            near(biases.rate(recipe.bias_lr_scale * recipe.lr, step, 100, &none), of_biases);
        }
        assert_eq!(recipe.network.parameters(), 61_100_840);
        assert_eq!((recipe.batch, recipe.network.crop), (128, 224));
    }

    #[test]
    fn caffes_recipe_is_its_files() {
        let recipe = caffe(&paper());
        let none = Plateau::default();
        for (step, rate) in
            [(99_999, 1e-2), (100_000, 1e-3), (200_000, 1e-4), (300_000, 1e-5), (449_999, 1e-6)]
        {
            near(recipe.schedule.rate(recipe.lr, step, 450_000, &none), rate);
        }
        let std = [0.01, 0.01, 0.01, 0.01, 0.01, 0.005, 0.005, 0.01];
        assert_eq!(recipe.network.init, Init::Gaussian(std));
        assert_eq!(
            (recipe.batch, recipe.network.crop, recipe.network.layers()[0].behind),
            (256, 227, 0)
        );
        assert_eq!(recipe.network.parameters(), 60_965_224);
    }
}
