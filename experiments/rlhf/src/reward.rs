//! The reward model: a language model whose last state is read by one linear layer, and the losses that it learns by.
//!
//! `B` texts of `T` tokens, `C` channels, `K` texts that were judged together.

use common::nn::transformer::Transformer;
use common::weights::decoder::Decoder;
use tch::nn::{Init, VarStore};
use tch::{Device, Kind, Tensor};

use crate::policy::{Head, states};
use crate::tokens::readable;

/// A reward that is no use to a policy.
#[derive(Debug, thiserror::Error)]
pub enum RewardError {
    /// It is not a number.
    #[error(
        "the reward of {what} is not finite: the reward model has diverged; train it again with a lower lr \
         (reward.lr)"
    )]
    NotFinite {
        /// Of which texts.
        what: String,
    },
    /// It is the same for every text.
    #[error(
        "the reward of {what} is constant, {value} for all {n} texts: it cannot tell texts apart and a policy would \
         learn nothing from it; look at the reward model's accuracy, or train it with more comparisons"
    )]
    Constant {
        /// Of which texts.
        what: String,
        /// The reward.
        value: f64,
        /// How many texts.
        n: usize,
    },
}

/// Refuses rewards `[B]` of `what` that are not finite, or all the same.
///
/// # Errors
/// As [`RewardError`] says.
pub fn check_rewards(rewards: &Tensor, what: &str) -> Result<(), RewardError> {
    let what = || what.to_owned();
    if rewards.isfinite().all().int64_value(&[]) == 0 {
        return Err(RewardError::NotFinite { what: what() });
    }
    let (low, high) = (rewards.min().double_value(&[]), rewards.max().double_value(&[]));
    let n = rewards.numel();
    if n > 1 && (high - low).abs() <= 1e-9 * high.abs().max(1.0) {
        return Err(RewardError::Constant { what: what(), value: low, n });
    }
    Ok(())
}

/// A reward model with its variables.
#[derive(Debug)]
pub struct RewardModel {
    /// `body.…`, `head.weight`, `head.bias`, `gain`, `bias`.
    pub vs: VarStore,
    /// The language model that it began as.
    pub body: Transformer,
    head: Head,
    gain: Tensor,
    bias: Tensor,
}

impl RewardModel {
    /// A model that starts as the first `layers` blocks of `start`; the head is drawn from libtorch's generator.
    ///
    /// Source: openai/lm-human-preferences, `rewards.py`: a head of N(0, 1/√(C + 1)) on the last position, then a gain
    /// and a bias.
    pub fn new(start: &Decoder, layers: i64, device: Device) -> Self {
        let vs = VarStore::new(device);
        let root = vs.root();
        let body = start.model(&(&root / "body"), layers);
        let c = start.config.d_model;
        let stdev = 1.0 / (c as f64 + 1.0).sqrt();
        let head = Head::new(&(&root / "head"), c, Init::Randn { mean: 0.0, stdev });
        let gain = root.var("gain", &[], Init::Const(1.0));
        let bias = root.var("bias", &[], Init::Const(0.0));
        Self { vs, body, head, gain, bias }
    }

    /// The reward `[B]` of texts `ids: [B, T]`, padded on either side, from the last state that is there.
    pub fn score(&self, ids: &Tensor) -> Tensor {
        let (_, padding) = readable(ids);
        let states = states(&self.body, ids); // [B, T, C]
        let (b, _, c) = states.size3().expect("states are [B, T, C]");
        let places = padding.last().view([b, 1, 1]).expand([b, 1, c], false);
        let last = states.gather(1, &places, false).squeeze_dim(1); // [B, C]
        self.head.of(&last) * &self.gain + &self.bias
    }

    /// Sets gain and bias so that rewards which are `raw` now get mean 0 and standard deviation 1 on these texts.
    ///
    /// Source: openai/lm-human-preferences, `train_reward.py`, `normalize`: on samples of the reference policy, before
    /// and after training.
    ///
    /// # Errors
    /// Rewards that are not finite or constant.
    pub fn normalise(&mut self, rewards: &Tensor) -> Result<(), RewardError> {
        check_rewards(rewards, "the samples it is normalised on")?;
        let _no_grad = tch::no_grad_guard();
        let mean = rewards.mean(Kind::Float);
        let std = (rewards - &mean).square().mean(Kind::Float).sqrt();
        let (gain, bias) = (&self.gain / &std, (&self.bias - mean) / std);
        self.gain.copy_(&gain);
        self.bias.copy_(&bias);
        Ok(())
    }

    /// What the head's number is multiplied by.
    pub fn gain(&self) -> f64 {
        self.gain.double_value(&[])
    }

    /// Its language model alone: what a separate value network starts from.
    pub fn decoder(&self) -> Decoder {
        Decoder::of(&self.vs, "body.", self.body.config())
    }
}

/// Loss of `K` texts judged together, from their `rewards: [K]` and how good each is: `−log σ(r_better − r_worse)`, the
/// mean over all pairs that differ; none if none does.
///
/// Source: Stiennon et al. 2020, section 3.4; all pairs of a prompt as one element: Ouyang et al. 2022, section 3.5.
pub fn pairs_loss(rewards: &Tensor, goodness: &[f64]) -> Option<Tensor> {
    let (better, worse) = pairs_of(goodness);
    if better.is_empty() {
        return None;
    }
    let device = rewards.device();
    let of =
        |places: &[i64]| rewards.index_select(0, &Tensor::from_slice(places).to_device(device));
    let margin = of(&better) - of(&worse);
    Some(-margin.log_sigmoid().mean(Kind::Float))
}

/// All pairs of places of which the first is better.
pub fn pairs_of(goodness: &[f64]) -> (Vec<i64>, Vec<i64>) {
    let n = goodness.len();
    let all = (0..n).flat_map(|i| (0..n).map(move |j| (i, j)));
    all.filter(|&(i, j)| goodness[i] > goodness[j]).map(|(i, j)| (i as i64, j as i64)).unzip()
}

/// Loss of a choice out of several, from rewards `[B, K]` and the places `[B]` chosen: a softmax over the rewards.
///
/// Source: Ziegler et al. 2019, equation 1.
pub fn best_of_loss(rewards: &Tensor, chosen: &Tensor) -> Tensor {
    rewards.cross_entropy_for_logits(chosen)
}

#[cfg(test)]
mod tests {
    use std::f64::consts::LN_2;

    use super::*;
    use common::nn::transformer::TransformerConfig;

    use crate::ppo::advantage::moments;
    use crate::tokens::{Side, batch};
    use crate::train_reward::scores_of;

    fn model() -> RewardModel {
        tch::manual_seed(4);
        let config = TransformerConfig {
            vocab: 30,
            context: 12,
            n_layers: 2,
            n_heads: 2,
            d_model: 16,
            init_std: 0.3,
            ..TransformerConfig::GPT1
        };
        let vs = VarStore::new(Device::Cpu);
        let _net = Transformer::new(&vs.root(), &config);
        RewardModel::new(&Decoder::of(&vs, "", &config), 2, Device::Cpu)
    }

    #[test]
    fn equal_rewards_cost_the_golden_losses() {
        let equal = Tensor::zeros([4], (Kind::Float, Device::Cpu));
        let pair = pairs_loss(&equal.narrow(0, 0, 2), &[1.0, 0.0]).unwrap();
        assert!((pair.double_value(&[]) - LN_2).abs() < 1e-6);
        let ranking = pairs_loss(&equal, &[4.0, 3.0, 2.0, 1.0]).unwrap();
        assert!((ranking.double_value(&[]) - LN_2).abs() < 1e-6);
        let four = best_of_loss(&equal.view([1, 4]), &Tensor::from_slice(&[2_i64]));
        assert!((four.double_value(&[]) - 1.386_294).abs() < 1e-6);
    }

    #[test]
    fn a_ranking_costs_the_mean_of_all_its_pairs_and_ties_nothing() {
        let rewards = Tensor::from_slice(&[0.3_f32, -1.0, 2.0]);
        let sigma = |x: f64| 1.0 / (1.0 + (-x).exp());
        let wanted =
            -(sigma(0.3 + 1.0).ln() + sigma(0.3 - 2.0).ln() + sigma(-1.0 - 2.0).ln()) / 3.0;
        let found = pairs_loss(&rewards, &[3.0, 2.0, 1.0]).unwrap().double_value(&[]);
        assert!((found - wanted).abs() < 1e-6, "{found}, wanted {wanted}");
        let (better, worse) = pairs_of(&[1.0, 1.0, 0.0]);
        assert_eq!((better, worse), (vec![0, 1], vec![2, 2]));
        assert!(pairs_loss(&rewards, &[1.0; 3]).is_none());
    }

    #[test]
    fn normalised_rewards_have_mean_zero_and_variance_one_and_again() {
        let mut model = model();
        let texts: Vec<Vec<i64>> = (0..12).map(|i| vec![i, 2 * i, 29 - i]).collect();
        let ids = batch(&texts, Side::Right);
        for _ in 0..2 {
            let rewards = tch::no_grad(|| model.score(&ids));
            model.normalise(&rewards).unwrap();
            let (mean, variance) = moments(&tch::no_grad(|| model.score(&ids)));
            assert!(mean.abs() < 1e-5 && (variance - 1.0).abs() < 1e-4, "{mean} {variance}");
        }
    }

    #[test]
    fn a_text_has_the_same_reward_wherever_its_padding_stands() {
        let model = model();
        let texts = [vec![3_i64, 4, 5, 6, 7, 8], vec![9, 1]];
        let _no_grad = tch::no_grad_guard();
        let left = model.score(&batch(&texts, Side::Left));
        let right = model.score(&batch(&texts, Side::Right));
        let alone = model.score(&batch(&texts[1..], Side::Right));
        assert!((&left - &right).abs().max().double_value(&[]) < 1e-5);
        assert!((right.narrow(0, 1, 1) - alone).abs().max().double_value(&[]) < 1e-5);
    }

    #[test]
    fn texts_of_any_lengths_and_repeated_ones_have_their_own_rewards_in_their_order() {
        let model = model();
        let texts: Vec<Vec<i64>> =
            (0..150).map(|i| (0..=i % 7).map(|k| (i % 40 + k) % 30).collect()).collect();
        let found = scores_of(&model, &texts);
        for (text, found) in texts.iter().zip(found) {
            let alone = tch::no_grad(|| model.score(&batch(&[text], Side::Right)));
            assert!((alone.double_value(&[0]) - found).abs() < 1e-5, "{text:?}");
        }
        assert!(scores_of::<Vec<i64>>(&model, &[]).is_empty());
    }

    #[test]
    fn a_constant_reward_and_one_that_is_no_number_are_refused() {
        let constant = Tensor::from_slice(&[0.25_f32; 5]);
        let said = check_rewards(&constant, "a batch").unwrap_err().to_string();
        assert!(said.contains("constant, 0.25 for all 5"), "{said}");
        let nan = Tensor::from_slice(&[0.0_f32, f32::NAN]);
        let said = check_rewards(&nan, "a batch").unwrap_err().to_string();
        assert!(said.contains("a batch is not finite"), "{said}");
    }
}
