//! The policy, its values, and the reference that it must not run away from.
//!
//! What makes it lm-human-preferences': no dropout anywhere; scores are divided by the temperature once and for all, in
//! sampling as in the update; the value of a response's token comes from the state before that token; value weights
//! begin at 0. With [`ValueNet::Separate`] values come from a network of their own (Stiennon et al. 2020, App. G.1).
//!
//! `B` queries of `P` tokens with responses of `R` tokens, `C` channels, `V` vocabulary.

use std::collections::BTreeMap;

use common::checkpoint::variables;
use common::nn::probe::Probe;
use common::nn::transformer::Transformer;
use common::nn::transformer::parts::{LogProbs, log_probs as log_probs_of};
use common::weights::decoder::Decoder;
use serde::{Deserialize, Serialize};
use tch::nn::{self, Init, VarStore};
use tch::{Device, Kind, Tensor};

use crate::tokens::{predicting, readable};

/// Where values come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ValueNet {
    /// A head on the policy's own states: Ziegler et al. 2019.
    Shared,
    /// A network of its own that starts as the reward model: Stiennon et al. 2020, Ouyang et al. 2022.
    Separate,
}

/// A number of each state.
#[derive(Debug)]
pub struct Head {
    /// `[1, C]`
    ws: Tensor,
    /// `[1]`
    bs: Tensor,
}

impl Head {
    /// Variables `weight` and `bias` below `path`, the bias 0.
    pub fn new(path: &nn::Path, d_model: i64, init: Init) -> Self {
        let bs = path.var("bias", &[1], Init::Const(0.0));
        Self { ws: path.var("weight", &[1, d_model], init), bs }
    }

    /// `[…]` of states `[…, C]`.
    pub fn of(&self, states: &Tensor) -> Tensor {
        states.linear(&self.ws, Some(&self.bs)).squeeze_dim(-1).to_kind(Kind::Float)
    }
}

/// What a policy says of responses: `[B, R]` each.
#[derive(Debug)]
pub struct Seen {
    /// Log-probability of each token, at the temperature.
    pub log_probs: Tensor,
    /// Value before each token.
    pub values: Tensor,
    /// Entropy of each token's distribution, nats.
    pub entropy: Tensor,
}

impl Seen {
    /// Responses behind each other.
    ///
    /// # Panics
    /// If there are none.
    pub fn cat(parts: &[&Self]) -> Self {
        let all = |of: fn(&Self) -> &Tensor| {
            Tensor::cat(&parts.iter().map(|&seen| of(seen)).collect::<Vec<_>>(), 0)
        };
        Self {
            log_probs: all(|seen| &seen.log_probs),
            values: all(|seen| &seen.values),
            entropy: all(|seen| &seen.entropy),
        }
    }

    /// All three through `f`.
    ///
    /// # Errors
    /// What `f` says.
    pub fn map<E>(&self, f: impl Fn(&Tensor) -> Result<Tensor, E>) -> Result<Self, E> {
        Ok(Self {
            log_probs: f(&self.log_probs)?,
            values: f(&self.values)?,
            entropy: f(&self.entropy)?,
        })
    }
}

/// A policy with its values, trained together.
#[derive(Debug)]
pub struct Policy {
    /// All variables: `policy.…`, `value_head.…`, for a separate network `value.…`, and `mean.…`, a running mean of the
    /// policy's that is not trained.
    pub vs: VarStore,
    /// The language model.
    pub net: Transformer,
    value: Option<Transformer>,
    head: Head,
    mean: Option<Transformer>,
}

impl Policy {
    /// A policy that starts as `start`; with a separate value network that starts as `value`, and with a running mean of
    /// its weights.
    pub fn new(start: &Decoder, value: Option<&Decoder>, mean: bool, device: Device) -> Self {
        let vs = VarStore::new(device);
        let root = vs.root();
        let net = start.model(&(&root / "policy"), start.config.n_layers);
        let value = value.map(|from| from.model(&(&root / "value"), from.config.n_layers));
        let width = value.as_ref().map_or(start.config.d_model, |net| net.config().d_model);
        let head = Head::new(&(&root / "value_head"), width, Init::Const(0.0));
        let mean = mean.then(|| start.model(&(&root / "mean"), start.config.n_layers));
        for (_, variable) in
            variables(&vs).into_iter().filter(|(name, _)| name.starts_with("mean."))
        {
            let _ = variable.set_requires_grad(false);
        }
        Self { vs, net, value, head, mean }
    }

    /// Moves the running mean: `kept` of it stays.
    pub fn follow(&self, kept: f64) {
        let own: BTreeMap<String, Tensor> = variables(&self.vs).into_iter().collect();
        let _no_grad = tch::no_grad_guard();
        for (name, mean) in &own {
            if let Some(name) = name.strip_prefix("mean.") {
                let next = mean * kept + &own[&format!("policy.{name}")] * (1.0 - kept);
                mean.shallow_clone().copy_(&next);
            }
        }
    }

    /// What it says of `responses: [B, R]` to `queries: [B, P]`, whose padding stands before them.
    pub fn see(&self, queries: &Tensor, responses: &Tensor, temperature: f64) -> Seen {
        let read = read_of(queries, responses); // [B, P + R − 1]
        let query = queries.size()[1];
        let states = predicting(&states(&self.net, &read), query); // [B, R, C]
        let said = of_tokens(&self.net, &states, responses, temperature);
        let values = match &self.value {
            None => self.head.of(&states),
            Some(net) => self.head.of(&predicting(&self::states(net, &read), query)),
        };
        Seen { log_probs: said.chosen, values, entropy: said.entropy }
    }

    /// The policy's language model alone: the running mean, where there is one.
    pub fn decoder(&self) -> Decoder {
        let prefix = if self.mean.is_some() { "mean." } else { "policy." };
        Decoder::of(&self.vs, prefix, self.net.config())
    }
}

/// Log-probabilities `[B, R]` of responses by a model that is not trained: the reference.
pub fn log_probs(
    net: &Transformer,
    queries: &Tensor,
    responses: &Tensor,
    temperature: f64,
) -> Tensor {
    let _no_grad = tch::no_grad_guard();
    let states = predicting(&states(net, &read_of(queries, responses)), queries.size()[1]);
    of_tokens(net, &states, responses, temperature).chosen
}

/// Queries and responses behind each other, without the last token, after which nothing is predicted.
fn read_of(queries: &Tensor, responses: &Tensor) -> Tensor {
    let all = Tensor::cat(&[queries, responses], 1);
    all.narrow(1, 0, all.size()[1] - 1)
}

/// The last layer's states of `ids: [B, T]`, which may be padded.
pub fn states(net: &Transformer, ids: &Tensor) -> Tensor {
    let (ids, padding) = readable(ids);
    if padding.is_none() {
        return net.forward(&ids, true, &Probe::off());
    }
    net.forward_padded(&ids, &padding, true)
}

/// What `net` says, with `states: [B, R, C]`, of the tokens `[B, R]` after them; `[B, R]` both.
fn of_tokens(net: &Transformer, states: &Tensor, tokens: &Tensor, temperature: f64) -> LogProbs {
    let all = log_probs_of(&states.flatten(0, 1), net.tokens(), &tokens.flatten(0, 1), temperature);
    LogProbs { chosen: all.chosen.view_as(tokens), entropy: all.entropy.view_as(tokens) }
}
