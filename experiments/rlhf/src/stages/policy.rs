//! A policy trained against a reward, judged by another, and shown beside what it began as.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use common::data::text::books::Part as BookPart;
use common::nn::transformer::Transformer;
use common::rng;
use common::rows::write_rows;
use common::training_run::{Spec, TrainingRun};
use common::weights::decoder::Stored;
use tch::nn::VarStore;
use tch::{Kind as Dtype, Tensor};

use super::base::spread;
use super::reward::answered;
use super::texts::Texts;
use super::{Kind, RunConfig, SAMPLES, Sampling, Task, windows};
use crate::data::Part;
use crate::language::mean_loss_of;
use crate::policy::{Policy, ValueNet, log_probs};
use crate::ppo::kl::kl_per_response;
use crate::reward::RewardModel;
use crate::rollout::respond;
use crate::tokens::{Side, batch, rows};
use crate::train_policy::{self, Ending, Sample, Setting};
use crate::train_reward::{scores, scores_of};
use crate::weights::{kept, write_reward};
use crate::words::Words;

/// Windows of books that the alignment tax is measured on.
const TAX_WINDOWS: usize = 256;

pub(super) fn train(
    spec: &Spec,
    config: &RunConfig,
    run: &mut TrainingRun,
) -> anyhow::Result<BTreeMap<String, f64>> {
    let Kind::Policy { task, reward, gold, books, train: cfg, publish } = &config.kind else {
        unreachable!("only policies are trained here");
    };
    let (start, words) = config.start().decoder(spec)?;
    let longest = start.config.context - cfg.response + 1;
    ensure!(
        task.query as i64 <= longest,
        "sft.task.query, or instruct.task.query: queries of {} tokens and responses of {} do not fit the context of {}; wanted at most {longest}",
        task.query,
        cfg.response,
        start.config.context
    );
    ensure!(
        cfg.minibatches > 0 && cfg.batch.is_multiple_of(cfg.minibatches),
        "ppo.minibatches: {} parts of {} responses; wanted a divisor of ppo.batch",
        cfg.minibatches,
        cfg.batch
    );
    let texts = Texts::same(task, &spec.lookup, &config.data_sha256)?;
    let device = run.device();
    let reward = reward.reward(spec, device)?;
    let gold = gold.as_ref().map(|gold| gold.reward(spec, device)).transpose()?;
    let end = cfg.ending.as_ref().map(|Ending { token, .. }| words.token(token)).transpose()?;
    let value = match cfg.value {
        ValueNet::Shared => None,
        ValueNet::Separate => Some(reward.decoder()),
    };
    let policy = Policy::new(&start, value.as_ref(), cfg.ema.is_some(), device);
    let held = VarStore::new(device);
    let reference = start.model(&held.root(), start.config.n_layers);
    let queries = texts.queries(Part::Train, task.queries, task, &words)?;
    let corpus = match books {
        Some((books, sha256)) => {
            let shelf = books.shelf(None, &spec.lookup)?;
            let corpus = books.corpus(&shelf, &spec.lookup)?;
            ensure!(corpus.sha256 == *sha256, "{}: changed since the run was planned", shelf.name);
            ensure!(
                corpus.tokenizer.digest() == words.vocabulary.digest(),
                "base.books.vocabulary: the books are in another vocabulary than the base; wanted the one that it was \
                 trained with"
            );
            Some(Arc::new(corpus))
        }
        None => None,
    };
    let length = start.config.context as usize;
    let own = corpus.as_ref().map(|corpus| windows(corpus, BookPart::Train, length)).transpose()?;
    let seed = spec.key.seed;
    let per_step = cfg.ptx.map_or(0.0, |ptx| ptx.per_episode) * cfg.batch as f64;
    let sampler = own.as_ref().map(|own| own.sampler(seed, (per_step as usize).max(1)));
    let of_books = |step: u64| {
        let (own, sampler) = own.as_ref().zip(sampler.as_ref()).expect("asked for with books only");
        own.batch(seed, sampler, step)
    };
    ensure!(cfg.ptx.is_none() || own.is_some(), "ppo.ptx: there are no books to mix in");
    let score = |ids: &Tensor| scores(&reward, ids, 64);
    let judge = gold.as_ref().map(|gold| move |ids: &Tensor| scores(gold, ids, 64));
    let setting = Setting {
        queries: &queries,
        reference: &reference,
        reward: &score,
        gold: judge.as_ref().map(|judge| judge as &dyn Fn(&Tensor) -> Tensor),
        ptx: cfg.ptx.is_some().then_some(&of_books as &dyn Fn(u64) -> Tensor),
        end,
    };
    let mut ended = train_policy::train(seed, cfg, &policy, &setting, run)?;

    // What has come of it, on queries that it never saw.
    let trained = policy.decoder();
    let policy = Policy::new(&trained, None, false, device);
    let sampling = Sampling::of(cfg);
    let after = Tested { policy: &policy, reference: &reference };
    ended.extend(after.test(spec, task, &texts, &words, &sampling, &reward, gold.as_ref(), run)?);
    if let Some(corpus) = &corpus {
        let test = spread(corpus, BookPart::Test, length, TAX_WINDOWS)?;
        let autocast = run.autocast();
        let (before, now) = (
            mean_loss_of(&reference, &test, &autocast)?,
            mean_loss_of(&policy.net, &test, &autocast)?,
        );
        ended.insert("books/loss_before".to_owned(), before);
        ended.insert("books/loss".to_owned(), now);
        ended.insert("books/tax".to_owned(), now - before);
    }
    trained.write(&kept(spec), &*words.vocabulary, Stored::Full)?;
    if *publish {
        trained.write(&run.path().join("policy"), &*words.vocabulary, Stored::Bytes)?;
        start.write(&run.path().join("before"), &*words.vocabulary, Stored::Bytes)?;
        write_reward(&run.path().join("reward"), &reward, &words, Stored::Bytes)?;
    }
    Ok(ended)
}

/// A trained policy beside what it began as.
struct Tested<'a> {
    policy: &'a Policy,
    reference: &'a Transformer,
}

impl Tested<'_> {
    /// Answers of both to the test queries: their table, mean scores, divergence and win rates.
    #[expect(clippy::too_many_arguments, reason = "one step of a run, on its own for its length")]
    fn test(
        &self,
        spec: &Spec,
        task: &Task,
        texts: &Texts,
        words: &Words,
        sampling: &Sampling,
        reward: &RewardModel,
        gold: Option<&RewardModel>,
        run: &TrainingRun,
    ) -> anyhow::Result<BTreeMap<String, f64>> {
        let queries = texts.queries(Part::Test, task.test_queries, task, words)?;
        let queries = queries.to_device(run.device());
        let answers = |queries: &Tensor| -> anyhow::Result<[Vec<Vec<i64>>; 2]> {
            let of = |net: &Transformer| -> anyhow::Result<Vec<Vec<i64>>> {
                rng::seed_torch(spec.key.seed, "test answers", 0);
                Ok(rows(&answered(net, queries, words, sampling)?))
            };
            Ok([of(self.reference)?, of(&self.policy.net)?])
        };
        let [before, after] = answers(&queries)?;
        let (of_before, of_after) = (scores_of(reward, &before), scores_of(reward, &after));
        let shown = if task.show.is_empty() {
            samples(words, &rows(&queries), [&before, &after], [&of_before, &of_after])?
        } else {
            let asked: Vec<Vec<i64>> = task.show.iter().map(|text| words.sentence(text)).collect();
            let most = asked.iter().map(Vec::len).max().unwrap_or_default();
            ensure!(
                most <= task.query,
                "instruct.task.show: a prompt of {most} tokens; wanted at most {}, as task.query says",
                task.query
            );
            let queries = batch(&asked, Side::Left).to_device(run.device());
            let [before, after] = answers(&queries)?;
            let scores = [scores_of(reward, &before), scores_of(reward, &after)];
            samples(words, &asked, [&before, &after], [&scores[0], &scores[1]])?
        };
        write_rows(&run.path().join(SAMPLES), &shown)?;
        let mut numbers = BTreeMap::new();
        let mut pair = |name: &str, before: &[f64], after: &[f64]| {
            let n = after.len() as f64;
            let mean = |xs: &[f64]| xs.iter().sum::<f64>() / n;
            let wins: f64 = before
                .iter()
                .zip(after)
                .map(|(b, a)| {
                    if a > b {
                        1.0
                    } else if a < b {
                        0.0
                    } else {
                        0.5
                    }
                })
                .sum();
            numbers.insert(format!("test/{name}_before"), mean(before));
            numbers.insert(format!("test/{name}"), mean(after));
            numbers.insert(format!("test/{name}_win_rate"), wins / n);
        };
        pair("score", &of_before, &of_after);
        if let Some(gold) = gold {
            pair("gold", &scores_of(gold, &before), &scores_of(gold, &after));
        }
        // The divergence needs whole responses.
        rng::seed_torch(spec.key.seed, "test divergence", 0);
        let made = respond(&self.policy.net, &queries, sampling.response, sampling.temperature);
        let of =
            |net: &Transformer| log_probs(net, &queries, &made.responses, sampling.temperature);
        let kl = kl_per_response(&of(&self.policy.net), &of(self.reference));
        numbers.insert("test/kl".to_owned(), kl.mean(Dtype::Float).double_value(&[]));
        Ok(numbers)
    }
}

/// Answers of both models, whole texts in ids, beside each other in words.
fn samples(
    words: &Words,
    asked: &[Vec<i64>],
    [before, after]: [&[Vec<i64>]; 2],
    [of_before, of_after]: [&[f64]; 2],
) -> anyhow::Result<Vec<Sample>> {
    let sample = |(i, query): (usize, &Vec<i64>)| {
        let text = |ids: &[i64]| words.text(&ids[query.len()..]).context("an id of the model");
        Ok(Sample {
            query: words.text(query)?,
            before: text(&before[i])?,
            after: text(&after[i])?,
            score_before: of_before[i],
            score_after: of_after[i],
        })
    };
    asked.iter().enumerate().map(sample).collect()
}
