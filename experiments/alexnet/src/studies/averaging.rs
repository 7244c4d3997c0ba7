//! Several networks averaged (section 6, Table 2: "5 CNNs"): the probabilities that networks of different
//! seeds give a picture, averaged, err less than each of them alone.
//!
//! Nothing is trained here: the networks are those that the runs of `imagenet` left; the study makes those
//! runs if they are missing. One run reads them all, in the order of their seeds, over ten views of each
//! test picture.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, ensure};
use common::cli;
use common::data::photos::TestView;
use common::experiment::{Drawings, Finished, Study};
use common::session::{Plan, Session};
use common::training_run::{METRICS, Spec, TrainingRun};
use ledger::claims::Measured;
use ledger::metrics::{self, Metrics};
use ledger::plot::Figure;
use ledger::run::RunRecord;
use ledger::stats::{Estimate, paired_difference};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::ablations::{self, Ablation as _, Asked, DATASETS, ImageNet};
use super::exhibits::{RunConfig as OfOne, Trained};
use crate::ALEXNET;
use crate::figures::averaging as figure_of;
use crate::photographs::eval;
use crate::photographs::train::Recipe;
use common::rows::{read_rows, write_rows};

/// The study as the command line knows it.
pub const STUDY: Study = Study {
    name: NAME,
    about: "Table 2: the networks of all seeds averaged, beside each alone",
    datasets: &DATASETS,
    run,
    train,
    measure,
    figures,
};

const NAME: &str = "averaging";
/// Its only variant.
const ALL: &str = "all-seeds";
/// What the run leaves: a row a test picture.
const FILE: &str = "outcomes.csv.gz";
/// Networks averaged in the paper.
const PUBLISHED: usize = 5;

/// The columns of `metrics.csv` after step and time. Row k is about the network with the k-th seed alone, and
/// about the first k networks averaged.
pub(crate) const COLUMNS: [&str; 5] = [
    "networks",
    "single/top1_error",
    "single/top5_error",
    "averaged/top1_error",
    "averaged/top5_error",
];

/// The configuration of the run: whose networks are averaged.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct RunConfig {
    /// The variant of `imagenet`.
    trained: String,
    /// Digests of those runs' configurations, by seed.
    digests: BTreeMap<u64, String>,
    /// Rows and columns of a prepared picture.
    side: usize,
    /// sha256 over the prepared pictures and labels.
    data_sha256: String,
    /// How they were trained.
    recipe: Recipe,
}

/// What became of one test picture.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Outcome {
    /// Its place among the test pictures.
    picture: usize,
    /// Networks whose first guess was wrong.
    wrong1: u32,
    /// Networks that did not have its class among five.
    wrong5: u32,
    /// 1 where the first guess of all averaged was wrong.
    averaged_wrong1: u8,
    /// 1 where its class was not among the five of all averaged.
    averaged_wrong5: u8,
}

fn run(session: &Session) -> anyhow::Result<()> {
    let trained = ALEXNET.study(ImageNet::NAME)?;
    let asked = Asked::of(session)?;
    let plans = asked.plans::<ImageNet>()?;
    if session.dry_run {
        ablations::describe(session, &asked.set, &[(trained, plans)])?;
        return Ok(cli::print(&format!("then            {NAME}: {}\n", STUDY.about))?);
    }
    let records = session.grid(trained, plans)?;
    session.grid(ALEXNET.study(NAME)?, vec![plan(&records)?])?;
    Ok(())
}

/// The run that reads the networks of `records`.
fn plan(records: &[RunRecord]) -> anyhow::Result<Plan> {
    let digests = records.iter().map(|r| (r.key.seed, r.digest.clone())).collect();
    let first = records.first().context("seeds: none, wanted the networks of at least one")?;
    let OfOne { trained, side, data_sha256, recipe, .. } = OfOne::of(first)?;
    let config = RunConfig { trained, digests, side, data_sha256, recipe };
    let (data, config) = (first.key.data.clone(), serde_json::to_value(config)?);
    Ok(Plan { data, variant: ALL.to_owned(), seed: 0, config })
}

/// Reads every network, in a process of its own.
fn train(spec: &Spec, run: &mut TrainingRun) -> anyhow::Result<BTreeMap<String, f64>> {
    let RunConfig { trained, digests, side, data_sha256, recipe } = spec.config()?;
    let network = |(seed, digest): (u64, String), run: &TrainingRun| {
        let (trained, data_sha256, recipe) = (trained.clone(), data_sha256.clone(), recipe.clone());
        let config = OfOne { trained, digest, side, data_sha256, recipe };
        probabilities(&Trained::load(spec, ImageNet::NAME, seed, config, run)?, run)
    };
    averaged(digests, network, run)
}

/// Class probabilities `[n, classes]` of the test pictures, the mean of ten views, and their labels `[n]`.
pub(super) fn probabilities(
    trained: &Trained,
    run: &TrainingRun,
) -> anyhow::Result<(Tensor, Tensor)> {
    let view = TestView::Ten;
    let batches = trained.photographs.test_batches(&trained.recipe, view)?;
    let batches = batches.context("the data set has no test pictures (val/)")?;
    let (views, loss) = (view.count() as i64, trained.recipe.loss);
    eval::probabilities(&trained.net, loss, batches, views, run.device(), &run.autocast())
}

/// Averages what the network of each seed says ([`probabilities`]); a row of `metrics.csv` for each.
pub(super) fn averaged<T>(
    seeds: impl IntoIterator<Item = T>,
    network: impl Fn(T, &TrainingRun) -> anyhow::Result<(Tensor, Tensor)>,
    run: &mut TrainingRun,
) -> anyhow::Result<BTreeMap<String, f64>> {
    run.start(&COLUMNS)?;
    let (mut sum, mut wrong): (Option<Tensor>, Vec<[Tensor; 2]>) = (None, Vec::new());
    let (mut together, mut row) = ([Tensor::new(), Tensor::new()], Vec::new());
    for seed in seeds {
        let (p, labels) = network(seed, run)?;
        let alone = misses(&p, &labels);
        let all = sum.map_or_else(|| p.shallow_clone(), |sum| sum + &p); // [n, classes]
        together = misses(&all, &labels);
        wrong.push(alone);
        sum = Some(all);
        let mean = |missed: &Tensor| missed.mean(Kind::Double).double_value(&[]);
        let alone = wrong.last().expect("just pushed");
        let k = wrong.len();
        let numbers =
            [k as f64, mean(&alone[0]), mean(&alone[1]), mean(&together[0]), mean(&together[1])];
        row = COLUMNS.into_iter().zip(numbers).collect();
        run.log(k as u64, &row)?;
    }
    ensure!(!wrong.is_empty(), "no network to average");
    let of = |i: usize| -> anyhow::Result<Vec<i64>> {
        let missed: Vec<&Tensor> = wrong.iter().map(|missed| &missed[i]).collect();
        Ok(Tensor::stack(&missed, 0).sum_dim_intlist(0, false, Kind::Int64).try_into()?)
    };
    let (wrong1, wrong5) = (of(0)?, of(1)?);
    let [averaged1, averaged5] = together.map(Vec::<i64>::try_from);
    let (averaged1, averaged5) = (averaged1?, averaged5?);
    let outcome = |picture: usize| Outcome {
        picture,
        wrong1: wrong1[picture] as u32,
        wrong5: wrong5[picture] as u32,
        averaged_wrong1: averaged1[picture] as u8,
        averaged_wrong5: averaged5[picture] as u8,
    };
    let outcomes: Vec<Outcome> = (0..wrong1.len()).map(outcome).collect();
    write_rows(&run.path().join(FILE), &outcomes)?;
    Ok(row.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// 1 where the class of a picture is not the likeliest, and where it is not among the five likeliest: `[n]`
/// each, out of probabilities (or their sums) `p: [n, classes]` and `labels: [n]`.
fn misses(p: &Tensor, labels: &Tensor) -> [Tensor; 2] {
    let right = p.gather(1, &labels.unsqueeze(1), false); // [n, 1]
    let before = p.gt_tensor(&right).sum_dim_intlist(1, false, Kind::Int64); // [n]
    [0, 4].map(|most| before.gt(most).to_kind(Kind::Int64))
}

/// The gain over one network, its interval over test pictures; on ImageNet the errors of five as well.
fn measure(finished: &Finished) -> anyhow::Result<Vec<Measured>> {
    let mut rows = Vec::new();
    for (folder, record) in &finished.runs {
        let config = RunConfig::deserialize(&record.config)?;
        let (n, data) = (config.digests.len(), &record.key.data);
        let (gain, averaged) = gain(folder, n)?;
        let mut found = vec![("averaging-gain", gain)];
        if data == "imagenet" {
            let [top1, top5] = averaged.map(Estimate::certain);
            found.extend([("alexnet-11", top1), ("alexnet-12", top5)]);
        }
        let as_published = ablations::is_full_size(&config.recipe) && n == PUBLISHED;
        rows.extend(found.into_iter().map(|(id, estimate)| Measured {
            id: id.to_owned(),
            preset: finished.preset.clone(),
            data: data.clone(),
            estimate,
            evidence: data.clone(),
            protocol_ok: as_published && data == "imagenet" && !finished.preset.contains('+'),
        }));
    }
    Ok(rows)
}

/// Points of top-1 error that averaging `n` networks wins over one of them, and the averaged networks' errors,
/// top-1 and top-5, in per cent.
pub(super) fn gain(folder: &Path, n: usize) -> anyhow::Result<(Estimate, [f64; 2])> {
    let outcomes: Vec<Outcome> = read_rows(&folder.join(FILE))?;
    let percent = |of: fn(&Outcome) -> f64| -> Vec<f64> {
        outcomes.iter().map(|outcome| 100.0 * of(outcome)).collect()
    };
    let single = percent(|o| f64::from(o.wrong1)).iter().map(|x| x / n as f64).collect::<Vec<_>>();
    let averaged = percent(|o| f64::from(o.averaged_wrong1));
    let averaged5 = percent(|o| f64::from(o.averaged_wrong5));
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let errors = [mean(&averaged), mean(&averaged5)];
    let gain = Estimate { n_seeds: n, ..paired_difference(&single, &averaged)? };
    Ok((gain, errors))
}

fn figures(finished: &Finished) -> anyhow::Result<Drawings> {
    let draw = |(folder, record): &(std::path::PathBuf, RunRecord)| {
        let rows: Metrics = metrics::read(folder.join(METRICS))?;
        let figure: Figure = figure_of::figure(&record.key.data, &rows)?;
        anyhow::Ok((format!("{NAME}-{}", record.key.data), figure))
    };
    finished.runs.iter().map(draw).collect()
}

#[cfg(test)]
mod tests {
    use common::distributed::World;
    use common::training_run::{Show, Start};

    use super::super::exhibits::tests::spec;
    use super::*;

    #[test]
    fn networks_that_err_on_different_pictures_err_less_together() {
        let folder = tempfile::tempdir().unwrap();
        let opened = TrainingRun::open(
            &spec(folder.path(), NAME),
            ("commit", false),
            &World::alone(),
            Show::nothing(),
        );
        let Start::Ready(mut run) = opened.unwrap() else { panic!("nothing was there before") };
        // Three pictures of class 0 among two; each network is sure of two of them and unsure of one.
        let p = [[0.9, 0.9, 0.4], [0.4, 0.9, 0.9], [0.9, 0.4, 0.9_f64]];
        let network = |right: [f64; 3], _: &TrainingRun| {
            let right = Tensor::from_slice(&right);
            let both = Tensor::stack(&[right.shallow_clone(), 1.0 - right], 1); // [3, 2]
            Ok((both, Tensor::zeros([3], (Kind::Int64, tch::Device::Cpu))))
        };
        let ended = averaged(p, network, &mut run).unwrap();
        assert!((ended["single/top1_error"] - 1.0 / 3.0).abs() < 1e-12, "{ended:?}");
        assert!(ended["averaged/top1_error"].abs() < 1e-12, "{ended:?}");
        assert!((ended["networks"] - 3.0).abs() < 1e-12, "{ended:?}");
        let (gain, errors) = gain(run.path(), 3).unwrap();
        assert!((gain.value - 100.0 / 3.0).abs() < 1e-9 && errors[0].abs() < 1e-12, "{gain:?}");
        let rows = metrics::read(run.path().join(METRICS)).unwrap();
        figure_of::figure("photographs", &rows).unwrap().to_svg().unwrap();
        assert_eq!(rows.column("averaged/top1_error").unwrap().len(), 3);
    }

    #[test]
    fn a_miss_is_a_class_behind_others_that_are_likelier() {
        // The right class is first, second and sixth.
        let p = Tensor::from_slice2(&[
            [0.5_f64, 0.1, 0.1, 0.1, 0.1, 0.06, 0.04],
            [0.4, 0.3, 0.1, 0.08, 0.06, 0.04, 0.02],
            [0.3, 0.2, 0.15, 0.13, 0.1, 0.08, 0.04],
        ]);
        let found = misses(&p, &Tensor::from_slice(&[0_i64, 1, 5]));
        let found = found.map(|missed| Vec::<i64>::try_from(missed).unwrap());
        assert_eq!(found, [[0, 1, 1], [0, 0, 1]]);
    }

    #[test]
    fn the_gain_is_the_mean_error_of_single_networks_less_that_of_all_averaged() {
        let folder = tempfile::tempdir().unwrap();
        let outcome = |picture, wrong1, averaged_wrong1| Outcome {
            picture,
            wrong1,
            wrong5: 0,
            averaged_wrong1,
            averaged_wrong5: 0,
        };
        let outcomes = [outcome(0, 2, 1), outcome(1, 1, 0), outcome(2, 1, 0), outcome(3, 0, 0)];
        write_rows(&folder.path().join(FILE), &outcomes).unwrap();
        let (gain, errors) = gain(folder.path(), 2).unwrap();
        // Alone two networks err on 4 of 8, together on 1 of 4.
        assert!((gain.value - 25.0).abs() < 1e-9, "{gain:?}");
        assert_eq!((gain.n_seeds, gain.n), (2, 4), "{gain:?}");
        assert!((errors[0] - 25.0).abs() < 1e-9 && errors[1].abs() < 1e-9, "{errors:?}");
        // Differences 0, 50, 50, 0: mean 25, deviation 28.87, Student's t of 3 degrees 3.182.
        assert!((gain.high.unwrap() - (25.0 + 3.1824 * 28.8675 / 2.0)).abs() < 0.01, "{gain:?}");
    }
}
