//! A text coloured by the value of a unit after each byte, as the published picture: green on the positive side of its
//! threshold, red on the other.

use common::linear::threshold::Threshold;
use common::nn::mlstm::FixedMlstm;
use ledger::plot::Coloured;

use crate::weights::ChosenUnit;

/// Deviations from the threshold at which colours are full.
const FULL: f64 = 2.0;

/// The unit's distance from its threshold after each byte, positive on the positive side, as a colour takes it: from -1
/// to 1, which are two deviations.
pub fn of_chosen(net: &FixedMlstm, unit: &ChosenUnit, bytes: &[u8]) -> Vec<f64> {
    let scores = unit.threshold.scores(&cells(net, unit.index, bytes));
    scaled(&scores, FULL * unit.scale())
}

/// The value of a unit that nothing is known of after each byte, over its own largest.
pub fn of_any(net: &FixedMlstm, unit: usize, bytes: &[u8]) -> Vec<f64> {
    let plain = Threshold { at: 0.0, larger_is_positive: true };
    let scores = plain.scores(&cells(net, unit, bytes));
    let largest = scores.iter().fold(1e-9, |a, b| f64::max(a, b.abs()));
    scaled(&scores, largest)
}

/// The cell of a unit after each byte, from a zero state.
fn cells(net: &FixedMlstm, unit: usize, bytes: &[u8]) -> Vec<f32> {
    let mut state = net.start();
    let cell = |&byte: &u8| {
        net.step(&mut state, usize::from(byte));
        state.c[unit]
    };
    bytes.iter().map(cell).collect()
}

fn scaled(scores: &[f64], full: f64) -> Vec<f64> {
    scores.iter().map(|score| (score / full).clamp(-1.0, 1.0)).collect()
}

/// Characters with the value after their last byte; bytes that are no UTF-8 are shown as Latin-1.
pub fn characters(bytes: &[u8], values: &[f64]) -> Vec<(char, f64)> {
    let mut out = Vec::new();
    let mut at = 0;
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            at += c.len_utf8();
            out.push((c, values[at - 1]));
        }
        for &byte in chunk.invalid() {
            at += 1;
            out.push((char::from(byte), values[at - 1]));
        }
    }
    out
}

/// Characters on grounds of their values' colours.
pub fn coloured(bytes: &[u8], values: &[f64]) -> Coloured {
    characters(bytes, values).into_iter().map(|(c, value)| (c, colour(value))).collect()
}

/// Red, green, blue of a value from -1 to 1; white at zero.
pub fn colour(value: f64) -> [u8; 3] {
    let fade = |end: f64| (255.0 + (end - 255.0) * value.abs().min(1.0)).round() as u8;
    if value >= 0.0 {
        [fade(60.0), fade(180.0), fade(75.0)]
    } else {
        [fade(225.0), fade(60.0), fade(50.0)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_has_the_value_after_its_last_byte() {
        let text = "aé\u{20ac}".as_bytes();
        let values: Vec<f64> = (1..=6).map(f64::from).collect();
        assert_eq!(characters(text, &values), [('a', 1.0), ('é', 3.0), ('\u{20ac}', 6.0)]);
        assert_eq!(characters(b"\xe8x", &[0.5, 1.0]), [('è', 0.5), ('x', 1.0)]);
    }

    #[test]
    fn colours_are_full_at_one_and_white_at_zero() {
        let found = [1.0, -1.0, 0.0, 0.5].map(colour);
        assert_eq!(found, [[60, 180, 75], [225, 60, 50], [255, 255, 255], [158, 218, 165]]);
    }
}
