//! What decides the numbers of an autoencoder's run.

use serde::{Deserialize, Serialize};

use crate::net::Net;
use crate::{hessian_free, momentum, pretrain};

/// Everything that decides the numbers of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// Units from the pixels to the code; the way back mirrors them.
    pub widths: Vec<i64>,
    /// How the parameters begin.
    pub start: Start,
    /// What trains them then.
    pub method: Method,
    /// Training pictures; fewer than the set has are a fixed random subset.
    pub cases: usize,
    /// sha256 over the data set's labels and pixels.
    pub data_sha256: String,
}

/// How the parameters begin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Start {
    /// As the machines of a stack, trained layer by layer.
    PreTrained(pretrain::Config),
    /// Weights from N(0, std²), biases of zero.
    Gaussian {
        /// Standard deviation.
        std: f64,
    },
    /// A few weights into each unit from N(0, 1), everything else zero.
    Sparse {
        /// How many.
        incoming: i64,
    },
}

/// What trains the unrolled net.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Method {
    /// A few line searches on each batch.
    ConjugateGradients(Searches),
    /// Truncated Newton steps.
    HessianFree {
        /// Weight of ½‖θ‖², biases included, in the objective.
        l2: f64,
        /// The optimiser's settings.
        newton: hessian_free::Config,
    },
    /// Gradient descent with momentum.
    Momentum(momentum::Config),
}

/// The settings of fine-tuning by conjugate gradients.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Searches {
    /// Passes over the cases.
    pub epochs: u64,
    /// Cases in a batch.
    pub batch: usize,
    /// Line searches on a batch.
    pub searches: usize,
}

impl Config {
    /// The autoencoder.
    pub fn net(&self) -> Net {
        Net::autoencoder(&self.widths)
    }

    /// Updates of the machines before the net as a whole is trained.
    pub fn pre_training_steps(&self) -> u64 {
        match &self.start {
            Start::PreTrained(pre) => pre.steps(self.widths.len() - 1, self.cases),
            _ => 0,
        }
    }

    /// About how many multiply-adds a run takes; Hessian-free optimisation at the most.
    pub fn work(&self) -> f64 {
        let net = self.net();
        let gradient = 3.0 * net.multiply_adds() as f64; // of a case
        let encoder: i64 = self.widths.windows(2).map(|pair| pair[0] * pair[1]).sum();
        let pre = match &self.start {
            Start::PreTrained(pre) => 5.0 * (encoder * pre.epochs as i64) as f64,
            _ => 0.0,
        };
        let passes = match &self.method {
            // A line search takes about two evaluations.
            Method::ConjugateGradients(cg) => (cg.epochs as usize * (1 + 2 * cg.searches)) as f64,
            Method::HessianFree { newton, .. } => newton.passes_at_most(),
            Method::Momentum(momentum) => {
                (momentum.schedule.updates as usize * momentum.schedule.batch) as f64
                    / self.cases as f64
            }
        };
        self.cases as f64 * (pre + gradient * passes)
    }
}

impl Method {
    /// Updates in all, on so many cases.
    pub fn steps(&self, cases: usize) -> u64 {
        match self {
            Self::ConjugateGradients(cg) => cg.epochs * (cases / cg.batch) as u64,
            Self::HessianFree { newton, .. } => newton.iterations,
            Self::Momentum(momentum) => momentum.schedule.updates,
        }
    }
}
