//! What the finished runs say about the claims, and the figures.

use std::collections::BTreeMap;
use std::path::Path;

use common::experiment::{Drawings, Finished};
use common::training_run::METRICS;
use ledger::claims::Measured;
use ledger::metrics;
use ledger::run::RunRecord;
use ledger::stats::{Scale, mean_over_seeds, paired_difference};
use serde::Deserialize as _;

use super::{COPIES, RunConfig};
use crate::cifar::predictions::{self, Prediction, error_and_loss};
use crate::figures::cifar_nets::{Bar, curves, test_errors};
use crate::figures::published_value;

/// What of a run a claim is about.
#[derive(Debug, Clone, Copy)]
enum Quantity {
    /// Test error in per cent, with so many views.
    Error(usize),
    /// Test accuracy in per cent.
    Accuracy,
    /// Test loss in nats.
    Loss,
    /// Training loss in nats over the last pass of the first stage.
    FirstStage,
}

/// Each claim with the variant that measures it.
const CLAIMS: [(&str, &str, Quantity); 12] = [
    ("alexnet-26", "layers-conv-local-13pct", Quantity::Error(10)),
    ("alexnet-27", "layers-conv-local-11pct", Quantity::Error(10)),
    ("cifar-01", "layers-80sec", Quantity::Error(1)),
    ("cifar-02", "layers-19pct", Quantity::Error(1)),
    ("cifar-03", "layers-19pct-crops", Quantity::Error(10)),
    ("cifar-04", "layers-18pct", Quantity::Error(1)),
    ("cifar-05", "layers-conv-local-13pct", Quantity::Error(10)),
    ("cifar-06", "layers-conv-local-13pct", Quantity::Error(10)),
    ("cifar-07", "layers-conv-local-13pct", Quantity::FirstStage),
    ("cifar-08", "layers-conv-local-11pct", Quantity::Error(10)),
    ("cifar-09", "layers-19pct-13-batches", Quantity::Loss),
    ("cifar-10", "caffe-quick", Quantity::Accuracy),
];

/// Pictures of CIFAR-10's official splits.
const OFFICIAL: (usize, usize) = (50_000, 10_000);

/// One finished run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) variant: String,
    pub(crate) seed: u64,
    pub(crate) config: RunConfig,
    /// Epoch, training loss in nats and training error of each row.
    pub(crate) rows: Vec<(f64, f64, f64)>,
    /// Epoch and error on the pictures held out.
    pub(crate) val: Vec<(f64, f64)>,
    pub(crate) predictions: Vec<Prediction>,
}

impl Run {
    fn read(folder: &Path, record: &RunRecord) -> anyhow::Result<Self> {
        let metrics = metrics::read(folder.join(METRICS))?;
        let column = |name| metrics.column(name);
        let (epochs, losses) = (column("epoch")?, column("train/loss")?);
        let epoch_at: BTreeMap<u64, f64> = epochs.iter().copied().collect();
        let val = column("val/error")?;
        let val = val.iter().filter_map(|(step, error)| Some((*epoch_at.get(step)?, *error)));
        let rows = epochs.iter().zip(&losses).zip(column("train/error")?);
        Ok(Self {
            variant: record.key.variant.clone(),
            seed: record.key.seed,
            config: RunConfig::deserialize(&record.config)?,
            val: val.collect(),
            rows: rows.map(|((epoch, loss), error)| (epoch.1, loss.1, error.1)).collect(),
            predictions: predictions::read(folder)?,
        })
    }

    /// Test error, a fraction, with so many views.
    pub(crate) fn error(&self, set: &str, views: usize) -> Option<f64> {
        Some(error_and_loss(&self.predictions, set, views)?.0)
    }

    /// The epoch at which each stage ends.
    pub(crate) fn stage_ends(&self) -> Vec<f64> {
        let mut end = 0.0;
        let stages = self.config.train.stages.iter();
        stages
            .map(|stage| {
                end += stage.epochs * self.config.train.scale;
                end
            })
            .collect()
    }

    fn quantity(&self, quantity: Quantity) -> Option<f64> {
        match quantity {
            Quantity::Error(views) => Some(100.0 * self.error("test", views)?),
            Quantity::Accuracy => Some(100.0 * (1.0 - self.error("test", 1)?)),
            Quantity::Loss => Some(error_and_loss(&self.predictions, "test", 1)?.1),
            Quantity::FirstStage => {
                // A stage ends with a row, whose epoch is the stage's up to the rounding of steps.
                let end = self.stage_ends()[0] + 1e-6;
                let starts = std::iter::once(0.0).chain(self.rows.iter().map(|row| row.0));
                let last = self
                    .rows
                    .iter()
                    .zip(starts)
                    .filter(|(row, _)| row.0 <= end && row.0 > end - 1.0);
                let (sum, epochs) = last.fold((0.0, 0.0), |(sum, epochs), (row, start)| {
                    (sum + row.1 * (row.0 - start), epochs + row.0 - start)
                });
                (epochs > 0.0).then(|| sum / epochs)
            }
        }
    }

    /// Whether the run is the published one: the official pictures, all of them, the schedule not shortened.
    fn as_published(&self, data: &str) -> bool {
        let cfg = &self.config.train;
        data == "cifar10"
            && (cfg.pictures, cfg.test_pictures) == OFFICIAL
            && (cfg.scale - 1.0).abs() < 1e-9
    }
}

/// The runs by data set, sorted by variant and seed.
pub(crate) fn runs(finished: &Finished) -> anyhow::Result<BTreeMap<String, Vec<Run>>> {
    let mut by_data: BTreeMap<String, Vec<Run>> = BTreeMap::new();
    for (folder, record) in &finished.runs {
        by_data.entry(record.key.data.clone()).or_default().push(Run::read(folder, record)?);
    }
    Ok(by_data)
}

/// The runs of one variant.
pub(crate) fn of<'a>(runs: &'a [Run], variant: &str) -> Vec<&'a Run> {
    runs.iter().filter(|run| run.variant == variant).collect()
}

/// A variant's name as figures have it.
pub(crate) fn short_name(variant: &str) -> &str {
    variant.trim_start_matches("layers-").trim_start_matches("conv-local-")
}

/// The claims about each net, and what the JPEG coding costs.
///
/// # Errors
/// Files that cannot be read.
pub fn measure(finished: &Finished) -> anyhow::Result<Vec<Measured>> {
    let by_data = runs(finished)?;
    let row = |id: &str, data: &str, estimate, evidence: String, protocol_ok| Measured {
        id: id.to_owned(),
        preset: finished.preset.clone(),
        data: data.to_owned(),
        estimate,
        evidence,
        protocol_ok,
    };
    let unchanged = !finished.preset.contains('+');
    let mut rows = Vec::new();
    for (data, runs) in by_data.iter().filter(|(data, _)| data.starts_with("cifar10")) {
        for (id, variant, quantity) in CLAIMS {
            let runs = of(runs, variant);
            let values: Vec<f64> = runs.iter().filter_map(|run| run.quantity(quantity)).collect();
            if values.is_empty() {
                continue;
            }
            let estimate = mean_over_seeds(&values, Scale::Natural)?;
            let n = match quantity {
                Quantity::FirstStage => runs[0].config.train.pictures,
                _ => runs[0].config.train.test_pictures,
            };
            let as_published = unchanged && runs.iter().all(|run| run.as_published(data));
            let evidence = format!("{data}/{variant}");
            rows.push(row(id, data, estimate.with_n(n), evidence, as_published));
        }
    }
    // Pairs of one seed: trained on JPEG copies less trained on lossless pictures.
    let [lossless, jpeg] = COPIES.map(|(copy, data)| {
        let runs = by_data.get(data).map(Vec::as_slice).unwrap_or_default();
        (copy, data, of(runs, &format!("jpeg-cost-{copy}")))
    });
    for (id, tested_on) in [("cifar-jpeg-cost", jpeg.0), ("cifar-jpeg-cost-training", lossless.0)] {
        let pairs: Vec<(f64, f64)> = jpeg
            .2
            .iter()
            .filter_map(|run| {
                let other = lossless.2.iter().find(|other| other.seed == run.seed)?;
                Some((run.error(tested_on, 1)? * 100.0, other.error(lossless.0, 1)? * 100.0))
            })
            .collect();
        if let Some(first) = jpeg.2.first().filter(|_| !pairs.is_empty()) {
            let (left, right): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
            let estimate = paired_difference(&left, &right)?;
            let n = first.config.train.test_pictures;
            let evidence = format!("{}/jpeg-cost-{}", jpeg.1, jpeg.0);
            rows.push(row(id, lossless.1, estimate.with_n(n), evidence, unchanged));
        }
    }
    Ok(rows)
}

/// Test errors beside the published ones, and the curves of training, for each data set.
///
/// # Errors
/// Files that cannot be read.
pub fn figures(finished: &Finished) -> anyhow::Result<Drawings> {
    let mut figures = Vec::new();
    for (data, runs) in &runs(finished)? {
        let mut bars = Vec::new();
        for (id, variant, quantity) in CLAIMS {
            // One bar a variant: the claim about its test error that comes first.
            let views = match quantity {
                Quantity::Error(views) => views,
                Quantity::Accuracy => 1,
                Quantity::Loss | Quantity::FirstStage => continue,
            };
            let errors: Vec<f64> =
                of(runs, variant).iter().filter_map(|run| run.error("test", views)).collect();
            if errors.is_empty() || bars.iter().any(|bar: &Bar| bar.variant == variant) {
                continue;
            }
            let published = match quantity {
                Quantity::Accuracy => 100.0 - published_value(id)?,
                _ => published_value(id)?,
            };
            let scale = of(runs, variant)[0].config.train.scale;
            let estimate = mean_over_seeds(&errors, Scale::Natural)?;
            let variant = variant.to_owned();
            bars.push(Bar { variant, views, scale, estimate, published: published / 100.0 });
        }
        if bars.is_empty() {
            continue;
        }
        bars.sort_by(|a, b| b.published.total_cmp(&a.published));
        let about_cifar = data.starts_with("cifar10");
        figures.push((format!("test-error-{data}"), test_errors(data, &bars, about_cifar)));
        let panels: Vec<(&str, Vec<&Run>, usize)> = bars
            .iter()
            .map(|bar| (bar.variant.as_str(), of(runs, &bar.variant), bar.views))
            .collect();
        figures.push((format!("curves-{data}"), curves(data, &panels)));
    }
    Ok(figures)
}

#[cfg(test)]
mod tests {
    use ledger::claims::parse_claims;

    use super::*;
    use crate::ALEXNET;
    use serde_json::json;

    fn near(found: Option<f64>, wanted: f64) {
        assert!(found.is_some_and(|x| (x - wanted).abs() < 1e-9), "{found:?}, wanted {wanted}");
    }

    /// Two stages of 2 epochs each at scale 1; three of four test pictures are right.
    fn run(scale: f64) -> Run {
        let stage = |divisor: f64| json!({"share": 0.8, "epochs": 2.0, "divisor": divisor});
        let config = json!({
            "copy": null, "net": "layers-conv-local-13pct", "normalisation": "published",
            "pooling": "overlapping", "views": {"crops": {"border": 4}}, "decay": true, "lr": 0.001,
            "bias_lr_scale": 2.0, "momentum": 0.9, "batch": 128, "stages": [stage(1.0), stage(10.0)],
            "scale": scale, "pictures": 50_000, "test_pictures": 10_000, "row_every": 10_000,
            "val_rows": 20, "save_every": 200_000, "data_sha256": "",
        });
        let prediction = |views, predicted, loss| Prediction {
            set: "test".into(),
            views,
            label: 3,
            predicted,
            loss,
        };
        Run {
            variant: "layers-conv-local-13pct".into(),
            seed: 0,
            config: RunConfig::deserialize(config).unwrap(),
            // Rows of 0.75 epochs, and what is left at the end of a stage.
            rows: [(0.75, 3.0), (1.5, 2.0), (2.0, 1.0), (2.75, 0.5)]
                .map(|(e, l)| (e, l, 0.5))
                .into(),
            val: Vec::new(),
            predictions: [(1, 3, 0.5), (1, 3, 0.5), (1, 3, 0.5), (1, 4, 2.5), (10, 3, 0.25)]
                .map(|(views, predicted, loss)| prediction(views, predicted, loss))
                .into(),
        }
    }

    #[test]
    fn quantities_are_those_computed_by_hand() {
        let run = run(1.0);
        near(run.quantity(Quantity::Error(1)), 25.0);
        near(run.quantity(Quantity::Error(10)), 0.0);
        near(run.quantity(Quantity::Accuracy), 75.0);
        near(run.quantity(Quantity::Loss), 1.0);
        // The rows that end in the last pass, by their lengths: 0.75 epochs at 2, half an epoch at 1.
        near(run.quantity(Quantity::FirstStage), (0.75 * 2.0 + 0.5) / 1.25);
        assert_eq!(run.error("none", 1), None);
    }

    #[test]
    fn a_run_is_as_published_on_the_official_pictures_and_the_whole_schedule_only() {
        assert!(run(1.0).as_published("cifar10"));
        assert!(!run(1.0).as_published("cifar10-jpeg"));
        assert!(!run(0.2).as_published("cifar10"));
        let mut part = run(1.0);
        part.config.train.pictures = 40_000;
        assert!(!part.as_published("cifar10"));
    }

    #[test]
    fn every_claim_of_the_study_is_measured_and_every_variant_measured_is_in_the_presets() {
        let claims = parse_claims(Path::new("claims.csv"), ALEXNET.claims).unwrap();
        let mut of_study: Vec<&str> = claims
            .iter()
            .filter(|claim| claim.study == "cifar-nets" && !claim.extra())
            .map(|claim| claim.id.as_str())
            .collect();
        let mut measured: Vec<&str> = CLAIMS.iter().map(|claim| claim.0).collect();
        of_study.sort_unstable();
        measured.sort_unstable();
        assert_eq!(measured, of_study);
        for source in ALEXNET.presets {
            let preset: crate::studies::Preset = source.load(&[]).unwrap();
            for (id, variant, _) in CLAIMS {
                let known = preset.cifar_nets.variants.contains_key(variant);
                assert!(known, "{}: {id} needs {variant}", source.name);
            }
        }
    }
}
