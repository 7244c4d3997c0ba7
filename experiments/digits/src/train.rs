//! One autoencoder: its machines' pre-training if it has any, then one of three optimisers on all of it.

use std::collections::BTreeMap;

use anyhow::ensure;
use common::data::sampler::{LastBatch, Sampler};
use common::rng;
use common::training_run::TrainingRun;
use ledger::run::RunKey;
use tch::nn::VarStore;
use tch::{Kind, Tensor};

use crate::data::{Cases, batch};
use crate::hessian_free::{self, Problem};
use crate::net::Net;
use crate::pictures;
use crate::pretrain::{self, Stack, Top};
use crate::steps::Steps;
use crate::{conjugate_gradients, momentum};

mod config;

pub use config::{Config, Method, Searches, Start};

/// The columns of `metrics.csv` after step and time.
pub const COLUMNS: [&str; 10] = [
    "layer",
    "rbm/error",
    "passes",
    "train/loss",
    "train/error",
    "momentum",
    "hf/lambda",
    "hf/rho",
    "hf/cg_iterations",
    "hf/rate",
];

/// Cases evaluated at a time.
const CHUNK: i64 = 5000;
/// What stands for minus infinity in a row: the loss rose where it should have fallen.
const RHO_LOWEST: f64 = -1e6;

/// What an autoencoder makes of some cases.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen {
    /// Cross entropy, nats per case.
    pub loss: f64,
    /// Squared distance of the output from the input, mean over the cases.
    pub error: f64,
}

/// Trains from wherever `run` stopped; returns the numbers it ended with. The test pictures are looked at once, at the
/// end; one of each class and what becomes of them is drawn then.
///
/// # Errors
/// A loss that is not finite, an interrupt, a file that cannot be written.
pub fn train(
    key: &RunKey,
    cfg: &Config,
    train: &Cases,
    test: &Cases,
    run: &mut TrainingRun,
) -> anyhow::Result<BTreeMap<String, f64>> {
    let _no_grad = tch::no_grad_guard();
    let net = cfg.net();
    let store = VarStore::new(run.device());
    let root = store.root();
    rng::seed_torch(key.seed, "init", 0);
    let mut theta = root.zeros_no_train("theta", &[net.n_params()]);
    let velocity = root.zeros_no_train("velocity", &[net.n_params()]);
    let mut pre_training = None;
    match &cfg.start {
        Start::PreTrained(pre) => {
            let stack = Stack::new(&(&root / "stack"), &cfg.widths, Top::Code, pre.std);
            pre_training = Some((pre, stack));
        }
        Start::Gaussian { std } => theta.copy_(&net.gaussian(*std, run.device())),
        Start::Sparse { incoming } => theta.copy_(&net.sparse(*incoming, run.device())),
    }
    let xs = &train.xs;
    let pre_steps = cfg.pre_training_steps();
    let n_steps = pre_steps + cfg.method.steps(train.len());
    let steps = Steps::resume_or_start(run, store, key.seed, n_steps, &COLUMNS)?;
    let mut training = Training { net, xs, theta, velocity, pre_steps, steps };

    if let Some((pre, stack)) = &mut pre_training {
        let sees = |stack: &Stack, layer| stack.inputs(xs, layer);
        pretrain::train(&mut training.steps, pre, stack, train.len(), sees)?;
        if training.steps.step == pre_steps {
            training.theta.copy_(&stack.unrolled());
        }
    }
    match &cfg.method {
        Method::ConjugateGradients(searches) => training.search(searches)?,
        Method::HessianFree { l2, newton } => training.hessian_free(*l2, newton)?,
        Method::Momentum(momentum) => training.descend(momentum)?,
    }

    let passes = training.passes();
    let Training { net, theta, steps, .. } = training;
    let shown = test.one_of_each();
    pictures::write_pairs(steps.run.path(), &shown, &net.forward(&theta, &shown).output)?;
    let (last, held_out) = (evaluate(&net, &theta, xs), evaluate(&net, &theta, &test.xs));
    let mut numbers = vec![
        ("train/loss", last.loss),
        ("train/error", last.error),
        ("test/error", held_out.error),
        ("passes", passes),
    ];
    if let Some((_, stack)) = &pre_training {
        numbers.push(("unrolled/train/error", evaluate(&net, &stack.unrolled(), xs).error));
    }
    Ok(numbers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// A net in training.
struct Training<'a> {
    net: Net,
    /// Training pictures, `[N, pixels]`.
    xs: &'a Tensor,
    /// The parameters, `[P]`.
    theta: Tensor,
    /// The velocity of momentum, or the last step of Hessian-free optimisation, `[P]`.
    velocity: Tensor,
    /// Updates of the machines, before those of the net.
    pre_steps: u64,
    steps: Steps<'a>,
}

impl Training<'_> {
    /// Conjugate gradients, a few line searches on each batch.
    fn search(&mut self, cfg: &Searches) -> anyhow::Result<()> {
        let sampler = self.sampler(cfg.batch);
        while !self.steps.done() {
            let t = self.steps.step - self.pre_steps;
            let xs = batch(self.xs, &sampler.batch_of(t).indices);
            let f = |theta: &Tensor| self.net.gradient(theta, &xs, &xs);
            let found = conjugate_gradients::minimise(f, &self.theta, cfg.searches);
            ensure!(found.value.is_finite(), "the loss is {} at step {t}", found.value);
            self.theta.copy_(&found.point);
            self.count((found.evaluations * cfg.batch) as f64);
            if (t + 1).is_multiple_of(sampler.steps_per_epoch()) {
                self.row(&[])?;
            }
            self.steps.end_step(cfg.batch, found.value)?;
        }
        Ok(())
    }

    /// Hessian-free optimisation.
    fn hessian_free(&mut self, l2: f64, cfg: &hessian_free::Config) -> anyhow::Result<()> {
        let n = self.xs.size()[0];
        while !self.steps.done() {
            let t = self.steps.step - self.pre_steps;
            let problem = Problem {
                net: &self.net,
                cases: self.xs,
                l2,
                chunk: (n + cfg.chunks - 1) / cfg.chunks,
            };
            let mut lambda = self.steps.at.damping.unwrap_or(cfg.damping);
            let (theta, last) = (&mut self.theta, &mut self.velocity);
            let update = hessian_free::update(&problem, cfg, t, theta, last, &mut lambda);
            ensure!(update.after.is_finite(), "the loss is {} at step {t}", update.after);
            self.steps.at.damping = Some(lambda);
            self.count(update.passes * n as f64);
            self.row(&[
                ("hf/lambda", lambda),
                ("hf/rho", update.rho.max(RHO_LOWEST)),
                ("hf/cg_iterations", update.cg_iterations as f64),
                ("hf/rate", update.rate),
            ])?;
            self.steps.end_step(n as usize, update.after)?;
        }
        Ok(())
    }

    /// Gradient descent with momentum.
    fn descend(&mut self, cfg: &momentum::Config) -> anyhow::Result<()> {
        let schedule = cfg.schedule;
        let sampler = self.sampler(schedule.batch);
        while !self.steps.done() {
            let t = self.steps.step - self.pre_steps;
            let xs = batch(self.xs, &sampler.batch_of(t).indices);
            let momentum = cfg.momentum(t);
            let (theta, velocity) = (&mut self.theta, &mut self.velocity);
            let gradient = |theta: &Tensor| self.net.gradient(theta, &xs, &xs);
            let loss = momentum::update(cfg.form, momentum, cfg.lr, theta, velocity, gradient);
            ensure!(loss.is_finite(), "the loss is {loss} at step {t}; try a lower learning rate");
            self.count(schedule.batch as f64);
            if schedule.has_row(t + 1) {
                self.row(&[("momentum", momentum)])?;
            }
            self.steps.end_step(schedule.batch, loss)?;
        }
        Ok(())
    }

    fn sampler(&self, batch: usize) -> Sampler {
        Sampler::new(self.steps.seed, self.xs.size()[0] as usize, batch, LastBatch::Drop)
    }

    /// An update was made whose work is that of the gradients of so many `cases`.
    fn count(&mut self, cases: f64) {
        self.steps.step += 1;
        self.steps.at.multiply_adds += cases * self.gradient();
    }

    /// Multiply-adds of a case's gradient: those of its forward pass, and twice as many back.
    fn gradient(&self) -> f64 {
        3.0 * self.net.multiply_adds() as f64
    }

    /// Work since the start, pre-training included, in gradients of all cases.
    fn passes(&self) -> f64 {
        self.steps.at.multiply_adds / self.gradient() / self.xs.size()[0] as f64
    }

    /// A row with the loss and error of all training cases.
    fn row(&mut self, more: &[(&str, f64)]) -> anyhow::Result<()> {
        let Seen { loss, error } = evaluate(&self.net, &self.theta, self.xs);
        let row = [("passes", self.passes()), ("train/loss", loss), ("train/error", error)];
        self.steps.run.log(self.steps.step, &[&row[..], more].concat())
    }
}

/// Loss and squared error over `xs: [N, pixels]`.
pub fn evaluate(net: &Net, theta: &Tensor, xs: &Tensor) -> Seen {
    let n = xs.size()[0] as f64;
    let mut seen = Seen { loss: 0.0, error: 0.0 };
    for chunk in xs.split(CHUNK, 0) {
        let pass = net.forward(theta, &chunk);
        seen.loss += net.loss(&pass, &chunk) * chunk.size()[0] as f64 / n;
        seen.error += (&pass.output - &chunk).square().sum(Kind::Double).double_value(&[]) / n;
    }
    seen
}
