//! What the ingredients of the nets gain, seed by seed.

use std::collections::BTreeSet;

use common::experiment::{Drawings, Finished};
use ledger::claims::Measured;
use ledger::stats::{Estimate, StatsError, paired_difference};

use crate::figures::cifar_ablations::figure;
use crate::studies::cifar_nets::{Run, of, runs};

/// A gain: the test error of a net without an ingredient minus that with it, in points.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effect {
    /// The claim's id.
    pub(crate) id: &'static str,
    /// Its name in figures.
    pub(crate) label: &'static str,
    /// The variant without the ingredient.
    pub(crate) without: &'static str,
    /// The variant with it.
    pub(crate) with: &'static str,
    /// Two claims about the nets whose difference is the nearest that was published; they differ in more
    /// than the ingredient.
    pub(crate) published: Option<(&'static str, &'static str)>,
}

/// The gains.
pub(crate) const EFFECTS: [Effect; 6] = [
    Effect {
        id: "cifar-lrn-18pct",
        label: "18pct: LRN within maps",
        without: "layers-18pct-no-norm",
        with: "layers-18pct",
        published: Some(("cifar-02", "cifar-04")),
    },
    Effect {
        id: "cifar-lrn-18pct-over-factors",
        label: "18pct: LRN over factors",
        without: "layers-18pct-factors",
        with: "layers-18pct",
        published: None,
    },
    Effect {
        id: "cifar-overlapping-18pct",
        label: "18pct: overlapping pools",
        without: "layers-18pct-disjoint",
        with: "layers-18pct",
        published: None,
    },
    Effect {
        id: "cifar-lrn-11pct",
        label: "11pct: LRN across maps",
        without: "layers-conv-local-11pct-no-norm",
        with: "layers-conv-local-11pct",
        published: Some(("alexnet-26", "alexnet-27")),
    },
    Effect {
        id: "cifar-lrn-11pct-over-factors",
        label: "11pct: LRN over factors",
        without: "layers-conv-local-11pct-factors",
        with: "layers-conv-local-11pct",
        published: None,
    },
    Effect {
        id: "cifar-overlapping-11pct",
        label: "11pct: overlapping pools",
        without: "layers-conv-local-11pct-disjoint",
        with: "layers-conv-local-11pct",
        published: None,
    },
];

/// Test error in per cent of the runs of `variant` by seed, with as many views as the net is tested with.
pub(crate) fn errors(runs: &[Run], variant: &str) -> Vec<(u64, f64)> {
    let error = |run: &&Run| {
        let views = run.config.train.views.test().len();
        Some((run.seed, 100.0 * run.error("test", views)?))
    };
    of(runs, variant).iter().filter_map(error).collect()
}

/// The gain over the seeds that both variants have finished; none before there is one.
pub(crate) fn gain(runs: &[Run], effect: &Effect) -> Result<Option<Estimate>, StatsError> {
    let (without, with) = (errors(runs, effect.without), errors(runs, effect.with));
    let seeds = |of: &[(u64, f64)]| of.iter().map(|run| run.0).collect::<BTreeSet<_>>();
    let both = &seeds(&without) & &seeds(&with);
    let paired = |of: &[(u64, f64)]| -> Vec<f64> {
        of.iter().filter(|run| both.contains(&run.0)).map(|run| run.1).collect()
    };
    if both.is_empty() {
        return Ok(None);
    }
    paired_difference(&paired(&without), &paired(&with)).map(Some)
}

/// The gains on CIFAR-10.
///
/// # Errors
/// Files that cannot be read.
pub fn measure(finished: &Finished) -> anyhow::Result<Vec<Measured>> {
    let mut rows = Vec::new();
    for (data, runs) in runs(finished)?.iter().filter(|(data, _)| data.starts_with("cifar10")) {
        for effect in EFFECTS {
            let Some(estimate) = gain(runs, &effect)? else { continue };
            rows.push(Measured {
                id: effect.id.to_owned(),
                preset: finished.preset.clone(),
                data: data.clone(),
                estimate: estimate.with_n(of(runs, effect.with)[0].config.train.test_pictures),
                evidence: format!("{data}/{}", effect.without),
                protocol_ok: !finished.preset.contains('+'),
            });
        }
    }
    Ok(rows)
}

/// Test errors, gains and training curves, for each data set.
///
/// # Errors
/// Files that cannot be read.
pub fn figures(finished: &Finished) -> anyhow::Result<Drawings> {
    let mut drawings = Vec::new();
    for (data, runs) in &runs(finished)? {
        drawings.push((format!("cifar-ablations-{data}"), figure(data, runs)?));
    }
    Ok(drawings)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use ledger::claims::parse_claims;
    use serde::Deserialize as _;
    use serde_json::json;

    use super::*;
    use crate::ALEXNET;
    use crate::cifar::predictions::Prediction;
    use crate::studies::cifar_nets::RunConfig;

    /// A run of four test pictures, of which `wrong` are taken for another class.
    fn run(variant: &str, seed: u64, wrong: usize) -> Run {
        let config = json!({
            "copy": null, "net": "layers-18pct", "normalisation": "published",
            "pooling": "overlapping", "views": "whole", "decay": true, "lr": 0.001,
            "bias_lr_scale": 2.0, "momentum": 0.9, "batch": 128, "stages": [], "scale": 0.1,
            "pictures": 50_000, "test_pictures": 10_000, "row_every": 10_000, "val_rows": 20,
            "save_every": 200_000, "data_sha256": "",
        });
        let prediction = |i| Prediction {
            set: "test".into(),
            views: 1,
            label: 3,
            predicted: if i < wrong { 4 } else { 3 },
            loss: 1.0,
        };
        Run {
            variant: variant.into(),
            seed,
            config: RunConfig::deserialize(config).unwrap(),
            rows: Vec::new(),
            val: Vec::new(),
            predictions: (0..4).map(prediction).collect(),
        }
    }

    #[test]
    fn a_gain_is_the_mean_over_the_seeds_that_both_have() {
        let effect = EFFECTS[0];
        let mut runs = vec![run(effect.with, 0, 1), run(effect.with, 1, 1)];
        assert_eq!(gain(&runs, &effect).unwrap(), None);
        // Pairs 2 - 1 and 1 - 1 of four pictures: 25 and 0 points. Seed 2 has no pair.
        runs.extend([(0, 2), (1, 1), (2, 4)].map(|(seed, n)| run(effect.without, seed, n)));
        let found = gain(&runs, &effect).unwrap().unwrap();
        assert_eq!(found.n_seeds, 2);
        assert!((found.value - 12.5).abs() < 1e-9, "{found:?}");
        // Student's t with one degree of freedom: 12.706 standard errors of 12.5.
        let low = found.low.unwrap();
        assert!((low - (12.5 - 12.706 * 12.5)).abs() < 0.01, "{low}");
    }

    #[test]
    fn every_claim_of_the_study_is_measured_by_variants_that_the_presets_have() {
        let claims = parse_claims(Path::new("claims.csv"), ALEXNET.claims).unwrap();
        let of_study = claims.iter().filter(|claim| claim.study == "cifar-ablations");
        let ids: BTreeSet<&str> = of_study.map(|claim| claim.id.as_str()).collect();
        assert_eq!(ids, EFFECTS.iter().map(|effect| effect.id).collect());
        for source in ALEXNET.presets {
            let preset: crate::studies::Preset = source.load(&[]).unwrap();
            for effect in EFFECTS {
                let known = preset.cifar_ablations.scales.contains_key(effect.with);
                assert!(known, "{}: {} needs {}", source.name, effect.id, effect.with);
                assert!(effect.without.starts_with(effect.with), "{}", effect.id);
            }
        }
    }
}
