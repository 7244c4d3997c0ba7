//! The loop of a fine-tuning: one try for each learning rate, the weights of the best epoch of all kept beside.

use std::collections::{BTreeMap, HashMap};

use common::checkpoint;
use common::data::sampler::{LastBatch, Sampler};
use common::distributed::{Gradients, World};
use common::nn::probe::{Probe, check_gradients, non_finite_loss};
use common::optim::schedule::warmup_linear;
use common::optim::{Adam, OptimError, Optimizer, clip, named_params};
use common::shim::Autocast;
use serde::{Deserialize, Serialize};
use tch::Tensor;
use tch::nn::VarStore;

use super::classifier::Batch;
use super::{Classifier, Config};
use crate::forms::Encoded;
use crate::pretrain::optimizer;

/// What the loop tells after each epoch: the means over it.
#[derive(Debug, Clone, Copy)]
pub struct Epoch {
    /// Passes made of this try.
    pub epoch: u64,
    /// The classifier's loss.
    pub loss: f64,
    /// The language model's loss, in nats a token; 0 where it was not asked for.
    pub lm_loss: f64,
    /// The gradients' norm before clipping.
    pub grad_norm: f64,
    /// Score on the validation part, times 100.
    pub val: f64,
}

/// What the loop tells after each update.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// Updates made, over all tries.
    pub step: u64,
    /// Updates of all tries.
    pub steps: u64,
    /// The update's loss.
    pub loss: f64,
    /// At the end of an epoch.
    pub epoch: Option<Epoch>,
    /// Whether the place should be kept: at the end of an epoch, and before an interrupt ends the loop.
    pub keep: bool,
}

/// Where the loop stands besides weights and optimiser.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct At {
    /// Tries that are over.
    tries: usize,
    /// Updates made of this one.
    step: u64,
    /// Sums over the epoch's updates: both losses and the norm.
    sums: [f64; 3],
    /// The best score on the validation part, and its rate.
    best: Option<(f64, f64)>,
}

/// The optimiser, and the weights of the best epoch: what a checkpoint holds besides the weights as they are.
#[derive(Debug)]
pub struct Tuned {
    opt: Adam,
    best: BTreeMap<String, Tensor>,
}

/// What names of the best weights begin with.
const BEST: &str = "best/";

impl Tuned {
    /// An optimiser at rest.
    pub fn new(vs: &VarStore, weight_decay: f64) -> Self {
        Self { opt: optimizer(vs, weight_decay), best: BTreeMap::new() }
    }
}

impl Optimizer for Tuned {
    fn zero_grad(&mut self) {
        self.opt.zero_grad();
    }

    fn step(&mut self, lr: f64) {
        self.opt.step(lr);
    }

    fn steps(&self) -> i64 {
        self.opt.steps()
    }

    fn state(&self) -> Vec<(String, Tensor)> {
        let best = self.best.iter().map(|(name, x)| (format!("{BEST}{name}"), x.shallow_clone()));
        self.opt.state().into_iter().chain(best).collect()
    }

    fn load_state(&mut self, saved: &HashMap<String, Tensor>) -> Result<(), OptimError> {
        let (mut own, mut best) = (HashMap::new(), BTreeMap::new());
        for (name, x) in saved {
            match name.strip_prefix(BEST) {
                Some(name) => drop(best.insert(name.to_owned(), x.shallow_clone())),
                None => drop(own.insert(name.clone(), x.shallow_clone())),
            }
        }
        self.opt.load_state(&own)?;
        self.best = best;
        Ok(())
    }
}

/// A fine-tuning.
pub struct Tuning<'a> {
    /// What learns. Its weights now are those that every try begins with.
    pub classifier: &'a Classifier,
    /// How.
    pub cfg: &'a Config,
    /// Draws order and dropout.
    pub seed: u64,
    /// To learn from.
    pub train: &'a [Encoded],
    /// To choose by.
    pub val: &'a [Encoded],
    /// Starts autocast for a forward pass.
    pub autocast: &'a dyn Fn() -> Autocast,
    /// The processes that learn together.
    pub world: &'a World,
}

impl Tuning<'_> {
    /// Fine-tunes with every rate of the configuration, from where `at` and `tuned` stand, and leaves the weights of
    /// the epoch that is best on the validation part: of equals the first rate's, and of one rate's the last. Returns
    /// its score and rate. `begin` has the weights that every try begins with; `seen` hears of each update.
    ///
    /// # Errors
    /// A loss or gradient that is not finite, Ctrl-C.
    ///
    /// # Panics
    /// If the configuration has no rate or no epoch, which its readers refuse.
    pub fn run(
        &self,
        begin: &BTreeMap<String, Tensor>,
        tuned: &mut Tuned,
        at: &mut At,
        seen: &mut dyn FnMut(&Tuned, &At, Seen) -> anyhow::Result<()>,
    ) -> anyhow::Result<(f64, f64)> {
        let vs = &self.classifier.model.vs;
        while let Some(&lr) = self.cfg.lr.get(at.tries) {
            if at.step == 0 {
                restore(vs, begin);
                tuned.opt = optimizer(vs, self.cfg.weight_decay);
            }
            self.attempt(lr, tuned, at, seen)?;
            (at.tries, at.step) = (at.tries + 1, 0);
        }
        restore(vs, &tuned.best);
        Ok(at.best.expect("there is a rate and an epoch"))
    }

    /// The rest of the try with this rate.
    fn attempt(
        &self,
        lr: f64,
        tuned: &mut Tuned,
        at: &mut At,
        seen: &mut dyn FnMut(&Tuned, &At, Seen) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let Self { classifier, cfg, seed, train, world, .. } = *self;
        let params = named_params(&classifier.model.vs);
        let grads = Gradients::new(world, &params)?;
        let sampler = Sampler::new(seed, train.len(), cfg.batch.min(train.len()), LastBatch::Drop);
        let sampler = sampler.shared(world.own())?;
        let per_epoch = sampler.steps_per_epoch();
        // As in the released code: whole batches times epochs, so that the rate falls to zero.
        let steps = per_epoch * cfg.epochs;
        let warmup = (cfg.warmup * steps as f64).round() as u64;
        let with_lm = cfg.lm_weight > 0.0;
        while at.step < steps {
            // 1. One update.
            let chosen = sampler.batch_of(at.step).indices;
            let chosen: Vec<&Encoded> = chosen.into_iter().map(|i| &train[i as usize]).collect();
            let examples = Batch::new(&chosen, classifier.model.device());
            world.seed_torch(seed, "dropout", at.step);
            let (loss, lm) = {
                let _autocast = (self.autocast)();
                let outputs = classifier.forward(&examples, true, with_lm, &Probe::off());
                (classifier.loss(&outputs.scores, &examples.labels), outputs.lm)
            };
            // L3 of section 3.2.
            let total = match &lm {
                Some(lm) => &loss + lm * cfg.lm_weight,
                None => loss.shallow_clone(),
            };
            let of_lm = lm.map_or(0.0, |lm| lm.double_value(&[]));
            let own = [total.double_value(&[]), loss.double_value(&[]), of_lm];
            let [value, of_classifier, of_lm] = world.means(own)?;
            if !value.is_finite() {
                world.seed_torch(seed, "dropout", at.step);
                let why = non_finite_loss(value, at.step, &params, |probe| {
                    classifier.forward(&examples, true, with_lm, probe);
                });
                return Err(why.into());
            }
            tuned.zero_grad();
            grads.backward(&total, true)?;
            let norm = clip::clip_grad_norm(&params, cfg.clip);
            check_gradients(norm, at.step, &params)?;
            tuned.step(warmup_linear(at.step, warmup, steps, lr));
            at.step += 1;

            // 2. Everything that only looks.
            for (sum, x) in at.sums.iter_mut().zip([of_classifier, of_lm, norm]) {
                *sum += x;
            }
            let epoch = if at.step.is_multiple_of(per_epoch) {
                let [loss, lm_loss, grad_norm] =
                    std::mem::take(&mut at.sums).map(|sum| sum / per_epoch as f64);
                let val = classifier.score(self.val, 2 * cfg.batch, self.autocast)?;
                let better = |(score, rate): (f64, f64)| {
                    if rate.total_cmp(&lr).is_eq() { val >= score } else { val > score }
                };
                if at.best.is_none_or(better) {
                    at.best = Some((val, lr));
                    tuned.best = copy(&classifier.model.vs);
                }
                Some(Epoch { epoch: at.step / per_epoch, loss, lm_loss, grad_norm, val })
            } else {
                None
            };
            let stop = world.interrupted();
            let seen_now = Seen {
                step: at.tries as u64 * steps + at.step,
                steps: cfg.lr.len() as u64 * steps,
                loss: value,
                epoch,
                keep: epoch.is_some() || stop.is_err(),
            };
            seen(tuned, at, seen_now)?;
            stop?;
        }
        Ok(())
    }
}

/// The weights as they are now.
pub fn copy(vs: &VarStore) -> BTreeMap<String, Tensor> {
    let _no_grad = tch::no_grad_guard();
    checkpoint::variables(vs).into_iter().map(|(name, x)| (name, x.copy())).collect()
}

/// Puts weights back that [`copy`] took from the same variables.
fn restore(vs: &VarStore, weights: &BTreeMap<String, Tensor>) {
    let _no_grad = tch::no_grad_guard();
    for (name, variable) in checkpoint::variables(vs) {
        variable.shallow_clone().copy_(&weights[&name]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;
    use common::checkpoint::restore_variables;
    use common::device::Precision;
    use tch::Device;

    use crate::finetune::classifier::tests::{classifier, example};
    use crate::model::Dropout;

    fn examples(n: i64) -> Vec<Encoded> {
        let one = |i: i64| example(&[&[17, 1 + i % 7, 10 + i % 2, 1 + i % 5, 19]], (i % 2) as f64);
        (0..n).map(one).collect()
    }

    fn config(epochs: u64, lr: &[f64]) -> Config {
        Config {
            epochs,
            batch: 8,
            lr: lr.to_vec(),
            warmup: 0.1,
            weight_decay: 0.01,
            clip: 1.0,
            lm_weight: 0.5,
            classifier_dropout: 0.1,
            dropout: Dropout::NONE,
        }
    }

    fn fp32() -> Autocast {
        Precision::Fp32.autocast(Device::Cpu)
    }

    fn tuning<'a>(
        classifier: &'a Classifier,
        cfg: &'a Config,
        seed: u64,
        train: &'a [Encoded],
        val: &'a [Encoded],
        world: &'a World,
    ) -> Tuning<'a> {
        Tuning { classifier, cfg, seed, train, val, autocast: &fp32, world }
    }

    #[test]
    fn a_classifier_learns_which_token_tells_and_keeps_the_best_epoch() {
        tch::set_num_threads(1); // the tensors are tiny, and threads wait for each other
        let classifier = classifier("sst-2", 0.1);
        let (examples, cfg) = (examples(64), config(30, &[1e-2]));
        let (train, val) = examples.split_at(48);
        let world = World::alone();
        let tuning = tuning(&classifier, &cfg, 0, train, val, &world);
        let mut vals = Vec::new();
        let mut seen = |_: &Tuned, _: &At, seen: Seen| {
            vals.extend(seen.epoch.map(|epoch| epoch.val));
            Ok(())
        };
        let vs = &classifier.model.vs;
        let mut tuned = Tuned::new(vs, cfg.weight_decay);
        let (best, lr) = tuning.run(&copy(vs), &mut tuned, &mut At::default(), &mut seen).unwrap();
        assert_eq!((vals.len(), lr.to_bits()), (30, 1e-2_f64.to_bits()));
        let highest = vals.iter().copied().fold(0.0, f64::max);
        assert!((best - highest).abs() < 1e-9 && best > 99.0, "{vals:?}");
        let again = classifier.score(val, 5, &fp32).unwrap();
        assert!((again - best).abs() < 1e-9, "{again}");
    }

    type Tensors = HashMap<String, Tensor>;

    /// What a checkpoint holds.
    struct Kept {
        model: Tensors,
        optim: Tensors,
        at: At,
    }

    fn owned(tensors: Vec<(String, Tensor)>) -> Tensors {
        tensors.into_iter().map(|(name, x)| (name, x.copy())).collect()
    }

    /// Fine-tunes with two rates, from `kept` on if it is given, with another process's objects. Returns where it
    /// stands after update `stop`, or at the end with the best score and rate.
    fn tune(stop: u64, kept: Option<Kept>) -> (Kept, Option<(f64, f64)>) {
        let classifier = classifier("sst-2", 0.1);
        let (examples, cfg) = (examples(40), config(2, &[3e-3, 1e-2]));
        let (train, val) = examples.split_at(32);
        let world = World::alone();
        let tuning = tuning(&classifier, &cfg, 3, train, val, &world);
        let vs = &classifier.model.vs;
        let (begin, mut tuned, mut at) =
            (copy(vs), Tuned::new(vs, cfg.weight_decay), At::default());
        if let Some(kept) = kept {
            restore_variables(vs, &kept.model, "a checkpoint").unwrap();
            tuned.load_state(&kept.optim).unwrap();
            at = kept.at;
        }
        let now = |tuned: &Tuned, at: &At| {
            let at = serde_json::from_value(serde_json::to_value(at).unwrap()).unwrap();
            Kept { model: owned(checkpoint::variables(vs)), optim: owned(tuned.state()), at }
        };
        let mut stopped = None;
        let mut seen = |tuned: &Tuned, at: &At, seen: Seen| {
            if seen.step == stop {
                stopped = Some(now(tuned, at));
                bail!("stopped");
            }
            Ok(())
        };
        match tuning.run(&begin, &mut tuned, &mut at, &mut seen) {
            Ok(best) => (now(&tuned, &at), Some(best)),
            Err(error) => (stopped.unwrap_or_else(|| panic!("{error:#}")), None),
        }
    }

    #[test]
    fn a_fine_tuning_that_was_stopped_anywhere_ends_as_one_that_was_not() {
        tch::set_num_threads(1);
        let (wanted, best) = tune(u64::MAX, None);
        assert!(best.is_some());
        // Two rates of two epochs of four updates: in the first epoch, at its end, at the end of the first rate, in
        // the second rate, after its better epoch.
        for stop in [1, 4, 8, 11, 13] {
            let (kept, ended) = tune(stop, None);
            assert_eq!(ended, None, "it was not stopped after {stop}");
            let (found, found_best) = tune(u64::MAX, Some(kept));
            assert_eq!(found_best, best, "stopped after {stop}");
            for (name, wanted) in &wanted.model {
                assert!(found.model[name] == *wanted, "stopped after {stop}: {name} differs");
            }
        }
    }
}
