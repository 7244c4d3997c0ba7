//! Letting a network write on, with some of its units held at values of ours.

use common::data::text::clean::PREFIX;
use common::nn::mlstm::{FixedMlstm, FixedState};
use common::rng;
use rand_chacha::rand_core::Rng as _;

/// How a text is written.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Below 1 plainer, above 1 wilder; 0 always takes the likeliest byte.
    pub temperature: f64,
    /// Decides the draws, with the text's number: texts with the same of both share their random numbers.
    pub seed: u64,
    /// Units whose cells are overwritten after each byte, with their values.
    ///
    /// Source: Radford, Jozefowicz & Sutskever 2017, section 4.4: the value of the unit is fixed while sampling.
    pub clamps: Vec<(usize, f32)>,
}

/// A text in the making.
#[derive(Debug)]
pub struct Writer<'a> {
    net: &'a FixedMlstm,
    settings: &'a Settings,
    state: FixedState,
    logits: Vec<f32>,
    text: u64,
    drawn: u64,
}

impl<'a> Writer<'a> {
    /// Text number `text`, begun as reviews are in training and then with `prefix`.
    pub fn new(net: &'a FixedMlstm, settings: &'a Settings, prefix: &str, text: u64) -> Self {
        let state = net.start();
        let mut writer = Self { net, settings, state, logits: Vec::new(), text, drawn: 0 };
        PREFIX.bytes().chain(prefix.bytes()).for_each(|byte| writer.read(byte));
        writer
    }

    fn read(&mut self, byte: u8) {
        self.net.step(&mut self.state, usize::from(byte));
        for &(unit, value) in &self.settings.clamps {
            self.state.c[unit] = value;
        }
        self.logits = self.net.logits(&self.state);
    }

    /// The review up to its end (a newline, with which the next one begins) or to `bytes` of it, without the prefix.
    pub fn review(self, bytes: usize) -> Vec<u8> {
        self.take(bytes).take_while(|&byte| byte != b'\n').collect()
    }
}

impl Iterator for Writer<'_> {
    type Item = u8;

    /// The next byte; there is always one.
    fn next(&mut self) -> Option<u8> {
        let Settings { temperature, seed, .. } = *self.settings;
        let purpose = format!("generate {}", self.text);
        let uniform = (rng::chacha(seed, &purpose, self.drawn).next_u64() >> 11) as f64
            / (1_u64 << 53) as f64;
        let byte = draw(&self.logits, temperature, uniform);
        self.drawn += 1;
        self.read(byte);
        Some(byte)
    }
}

/// The byte that `uniform`, from 0 to below 1, falls on where each has its share by score.
fn draw(logits: &[f32], temperature: f64, uniform: f64) -> u8 {
    let top = logits.iter().copied().fold(f32::MIN, f32::max);
    if temperature <= 0.0 {
        return logits.iter().position(|&logit| logit >= top).unwrap_or_default() as u8;
    }
    let weights: Vec<f64> =
        logits.iter().map(|&logit| (f64::from(logit - top) / temperature).exp()).collect();
    let mut left = uniform * weights.iter().sum::<f64>();
    for (byte, weight) in weights.iter().enumerate() {
        left -= weight;
        if left < 0.0 {
            return byte as u8;
        }
    }
    weights.len().saturating_sub(1) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Neuron, Sizes};
    use tch::Device;

    fn net() -> FixedMlstm {
        FixedMlstm::new(&Neuron::new(Sizes { embedding: 4, hidden: 6 }, 1, 3, Device::Cpu).net)
    }

    fn settings(clamps: &[(usize, f32)]) -> Settings {
        Settings { temperature: 1.0, seed: 7, clamps: clamps.to_vec() }
    }

    #[test]
    fn draws_follow_the_scores() {
        let mut logits = vec![-30.0_f32; 256];
        (logits[65], logits[66]) = (1.0, 0.0);
        assert_eq!(draw(&logits, 0.0, 0.9), 65);
        let share = |temperature| {
            let all = (0..2000).map(|i| draw(&logits, temperature, f64::from(i) / 2000.0));
            all.filter(|&byte| byte == 65).count() as f64 / 2000.0
        };
        let wanted = 1.0 / (1.0 + (-1.0_f64).exp());
        assert!((share(1.0) - wanted).abs() < 1e-3, "{} {wanted}", share(1.0));
        assert!(share(0.25) > 0.97);
    }

    #[test]
    fn a_text_repeats_with_seed_and_number_and_no_other() {
        let net = net();
        let write = |text, seed| {
            let settings = Settings { seed, ..settings(&[]) };
            Writer::new(&net, &settings, "So", text).take(40).collect::<Vec<_>>()
        };
        assert_eq!(write(0, 7), write(0, 7));
        assert_ne!(write(0, 7), write(1, 7));
        assert_ne!(write(0, 7), write(0, 8));
    }

    #[test]
    fn a_clamped_unit_has_its_value_after_each_byte_and_moves_the_scores() {
        let net = net();
        let (held, free) = (settings(&[(2, 5.0)]), settings(&[]));
        let (mut held, mut free) =
            (Writer::new(&net, &held, "", 0), Writer::new(&net, &free, "", 0));
        for _ in 0..5 {
            assert_eq!(held.state.c[2].to_bits(), 5.0_f32.to_bits());
            assert_ne!(held.logits, free.logits);
            held.next();
            free.next();
        }
    }

    #[test]
    fn a_review_ends_where_the_next_would_begin() {
        let (net, settings) = (net(), settings(&[]));
        // A new network draws every byte about as often: among 2,000 there are newlines.
        let whole: Vec<u8> = Writer::new(&net, &settings, "", 0).take(2000).collect();
        let end = whole.iter().position(|&byte| byte == b'\n').unwrap();
        assert_eq!(Writer::new(&net, &settings, "", 0).review(2000), whole[..end]);
        assert_eq!(Writer::new(&net, &settings, "", 0).review(3), whole[..3.min(end)]);
    }
}
