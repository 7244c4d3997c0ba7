//! What a network knows at the end of a text.
//!
//! The published feature is the cell state after the whole text, from a zero state, with prefix and suffix as in
//! training. The released code returns it as it is; the paper passes it through tanh. We keep it as it is.

use common::data::text::clean::{clean, decode};
use common::interrupt;
use common::linear::features::Features;
use tch::Tensor;

use crate::model::Neuron;

/// Texts read side by side.
const BATCH: usize = 64;

/// The cell state after each text's bytes, `[texts, hidden]`, row by row. The texts are read as they are.
///
/// # Errors
/// Ctrl-C.
pub fn cells_of_bytes(neuron: &Neuron, texts: &[Vec<u8>]) -> anyhow::Result<Vec<f32>> {
    let _no_grad = tch::no_grad_guard();
    let hidden = neuron.hidden();
    let mut cells = vec![0.0; texts.len() * hidden];
    // Of like length together: less is read that belongs to no text.
    let mut order: Vec<usize> = (0..texts.len()).collect();
    order.sort_by_key(|&i| texts[i].len());
    for some in order.chunks(BATCH) {
        interrupt::check()?;
        let longest = some.iter().map(|&i| texts[i].len()).max().unwrap_or_default().max(1);
        let mut bytes = vec![0_u8; some.len() * longest];
        for (&i, row) in some.iter().zip(bytes.chunks_exact_mut(longest)) {
            row[..texts[i].len()].copy_from_slice(&texts[i]);
        }
        let lengths: Vec<i64> = some.iter().map(|&i| texts[i].len() as i64).collect();
        let xs = symbols_tensor(&bytes, some.len(), longest).to_device(neuron.device());
        let last =
            neuron.net.last_states(&xs, &Tensor::from_slice(&lengths).to_device(neuron.device()));
        let rows = Vec::<f32>::try_from(last.c.to_device(tch::Device::Cpu).flatten(0, -1))?; // [some · hidden]
        for (&i, row) in some.iter().zip(rows.chunks_exact(hidden)) {
            cells[i * hidden..(i + 1) * hidden].copy_from_slice(row);
        }
    }
    Ok(cells)
}

/// The published features of texts as files hold them; one that is empty is read as prefix and suffix alone.
///
/// # Errors
/// Ctrl-C.
pub fn features<S: AsRef<str>>(neuron: &Neuron, texts: &[S]) -> anyhow::Result<Features> {
    let bytes: Vec<Vec<u8>> = texts.iter().map(|text| prepared(text.as_ref())).collect();
    Ok(Features::dense(&cells_of_bytes(neuron, &bytes)?, neuron.hidden()))
}

/// A text's bytes with prefix and suffix.
pub fn prepared(text: &str) -> Vec<u8> {
    let cleaned = clean(decode(text.as_bytes()).0.as_ref());
    cleaned.unwrap_or_else(|| "\n  ".to_owned()).into_bytes()
}

/// Bytes or other symbols as what the network takes, `[rows, columns]`.
pub fn symbols_tensor<T: Copy + Into<i64>>(symbols: &[T], rows: usize, columns: usize) -> Tensor {
    let wide: Vec<i64> = symbols.iter().map(|&symbol| symbol.into()).collect();
    Tensor::from_slice(&wide).view([rows as i64, columns as i64])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Sizes;
    use tch::Device;

    #[test]
    fn a_text_has_the_same_features_alone_and_among_longer_ones() {
        let neuron = Neuron::new(Sizes { embedding: 4, hidden: 6 }, 1, 3, Device::Cpu);
        let texts: Vec<Vec<u8>> = (0..70).map(|i| vec![(i * 37 % 251) as u8; 1 + i * 5]).collect();
        let all = cells_of_bytes(&neuron, &texts).unwrap();
        for i in [0, 13, 69] {
            let alone = cells_of_bytes(&neuron, &texts[i..=i]).unwrap();
            let apart = alone.iter().zip(&all[i * 6..]).map(|(a, b)| (a - b).abs());
            assert!(apart.fold(0.0, f32::max) < 1e-6, "text {i}");
        }
    }

    #[test]
    fn an_empty_text_is_prefix_and_suffix() {
        assert_eq!(prepared(" \n"), b"\n  ");
        assert_eq!(prepared("a &lt; b\n"), b"\n a < b ");
    }
}
