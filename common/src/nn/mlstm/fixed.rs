//! The multiplicative LSTM in arithmetic that gives the same bits on every processor: what an
//! arithmetic coder needs, whose decoder must see its encoder's probabilities exactly.
//!
//! Only single additions, multiplications, divisions and square roots of `f32` in a fixed order,
//! which IEEE 754 rounds in one way (Rust neither fuses nor reorders them); functions by own
//! polynomials; one thread; no libtorch. Each output of a product sums over its inputs in order,
//! [`PANEL`] outputs side by side, so that vectors of any length compute the same.
//!
//! One text at a time: this is also the fast way to generate.

use super::{Mlstm, MlstmConfig};

mod math;

use math::{exp, sigmoid, tanh};

/// Outputs of a product that are summed side by side.
const PANEL: usize = 64;

/// The model, ready to step.
#[derive(Debug)]
pub struct FixedMlstm {
    vocab: usize,
    hidden: usize,
    /// `x·Wmx` of each symbol, `[vocab, hidden]`.
    mx: Vec<f32>,
    /// `x·Wx + b` of each symbol, `[vocab, 4·hidden]`.
    zx: Vec<f32>,
    wmh: Panels,
    wh: Panels,
    output: Panels,
    output_bias: Vec<f32>,
}

/// Where a text stands.
#[derive(Debug, Clone, PartialEq)]
pub struct FixedState {
    /// The hidden state; it alone decides the next symbol's probabilities.
    pub h: Vec<f32>,
    /// The cell state. Clamping a unit is writing here after each step.
    pub c: Vec<f32>,
}

impl FixedMlstm {
    /// The model's weights, normalised here: libtorch's sums differ from processor to processor.
    pub fn new(model: &Mlstm) -> Self {
        let MlstmConfig { vocab, embedding, hidden } = model.config;
        let (vocab, e, hidden) = (vocab as usize, embedding as usize, hidden as usize);
        let wx = Panels::new(&normalised(&model.wx, &model.gx), 4 * hidden);
        let wmx = Panels::new(&normalised(&model.wmx, &model.gmx), hidden);
        let (embedding, b) = (numbers(&model.embedding), numbers(&model.b));
        let (mut mx, mut zx) = (vec![0.0; vocab * hidden], vec![0.0; vocab * 4 * hidden]);
        for symbol in 0..vocab {
            let x = &embedding[symbol * e..][..e];
            wmx.apply(x, &mut mx[symbol * hidden..][..hidden]);
            let zx = &mut zx[symbol * 4 * hidden..][..4 * hidden];
            wx.apply(x, zx);
            zx.iter_mut().zip(&b).for_each(|(z, b)| *z += b);
        }
        Self {
            vocab,
            hidden,
            mx,
            zx,
            wmh: Panels::new(&normalised(&model.wmh, &model.gmh), hidden),
            wh: Panels::new(&normalised(&model.wh, &model.gh), 4 * hidden),
            output: Panels::new(&numbers(&model.output), vocab),
            output_bias: numbers(&model.output_bias),
        }
    }

    /// The state before any text.
    pub fn start(&self) -> FixedState {
        FixedState { h: vec![0.0; self.hidden], c: vec![0.0; self.hidden] }
    }

    /// Reads one symbol.
    ///
    /// # Panics
    /// If `symbol` is not in the vocabulary.
    pub fn step(&self, state: &mut FixedState, symbol: usize) {
        let n = self.hidden;
        let mut m = vec![0.0; n];
        self.wmh.apply(&state.h, &mut m);
        m.iter_mut().zip(&self.mx[symbol * n..][..n]).for_each(|(m, mx)| *m *= mx);
        let mut z = vec![0.0; 4 * n];
        self.wh.apply(&m, &mut z);
        z.iter_mut().zip(&self.zx[symbol * 4 * n..][..4 * n]).for_each(|(z, zx)| *z += zx);
        for unit in 0..n {
            let gate = |which: usize| z[which * n + unit];
            let c = sigmoid(gate(1)) * state.c[unit] + sigmoid(gate(0)) * tanh(gate(3));
            state.c[unit] = c;
            state.h[unit] = sigmoid(gate(2)) * tanh(c);
        }
    }

    /// Scores of the next symbol, `[vocab]`.
    pub fn logits(&self, state: &FixedState) -> Vec<f32> {
        let mut logits = vec![0.0; self.vocab];
        self.output.apply(&state.h, &mut logits);
        logits.iter_mut().zip(&self.output_bias).for_each(|(logit, b)| *logit += b);
        logits
    }

    /// Probabilities of the next symbol, `[vocab]`; none is below e⁻⁸⁷ over the sum of all.
    pub fn probabilities(&self, state: &FixedState) -> Vec<f32> {
        let mut ps = self.logits(state);
        let top = ps.iter().fold(f32::MIN, |top, &logit| top.max(logit));
        for p in &mut ps {
            *p = exp(*p - top);
        }
        let sum: f32 = ps.iter().sum(); // in order
        for p in &mut ps {
            *p /= sum;
        }
        ps
    }
}

/// A matrix `[inputs, outputs]`, [`PANEL`] columns at a time: `[panel, inputs, PANEL]`, the last
/// panel filled up with zeros.
#[derive(Debug)]
struct Panels {
    numbers: Vec<f32>,
    inputs: usize,
}

impl Panels {
    fn new(matrix: &[f32], outputs: usize) -> Self {
        let inputs = matrix.len() / outputs;
        let mut numbers = vec![0.0; outputs.div_ceil(PANEL) * inputs * PANEL];
        for (panel, panel_numbers) in numbers.chunks_exact_mut(inputs * PANEL).enumerate() {
            let width = PANEL.min(outputs - panel * PANEL);
            for (row, to) in panel_numbers.chunks_exact_mut(PANEL).enumerate() {
                to[..width].copy_from_slice(&matrix[row * outputs + panel * PANEL..][..width]);
            }
        }
        Self { numbers, inputs }
    }

    /// `ys = xs · matrix`.
    fn apply(&self, xs: &[f32], ys: &mut [f32]) {
        assert_eq!(xs.len(), self.inputs);
        let panels = self.numbers.chunks_exact(self.inputs * PANEL);
        for (panel, ys) in panels.zip(ys.chunks_mut(PANEL)) {
            ys.copy_from_slice(&sums(xs, panel)[..ys.len()]);
        }
    }
}

/// `Σ_k xs[k] · panel[k][j]` for each column j of a panel, k in order. With wider vectors where the
/// processor has them: the lanes are independent, so the bits are the same.
fn sums(xs: &[f32], panel: &[f32]) -> [f32; PANEL] {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f")]
        fn avx512(xs: &[f32], panel: &[f32]) -> [f32; PANEL] {
            sums_in_order(xs, panel)
        }
        #[target_feature(enable = "avx2")]
        fn avx2(xs: &[f32], panel: &[f32]) -> [f32; PANEL] {
            sums_in_order(xs, panel)
        }
        #[expect(unsafe_code, reason = "the processor must have what a function is compiled for")]
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: just detected.
            return unsafe { avx512(xs, panel) };
        } else if is_x86_feature_detected!("avx2") {
            // SAFETY: just detected.
            return unsafe { avx2(xs, panel) };
        }
    }
    sums_in_order(xs, panel)
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "compiled anew for the instruction set of each caller")]
fn sums_in_order(xs: &[f32], panel: &[f32]) -> [f32; PANEL] {
    let mut sums = [0.0; PANEL];
    for (x, row) in xs.iter().zip(panel.chunks_exact(PANEL)) {
        for (sum, w) in sums.iter_mut().zip(row) {
            *sum += x * w;
        }
    }
    sums
}

/// The numbers of a tensor, row by row.
fn numbers(tensor: &tch::Tensor) -> Vec<f32> {
    let flat = tensor.detach().to_device(tch::Device::Cpu).contiguous().flatten(0, -1);
    Vec::try_from(flat.to_kind(tch::Kind::Float)).expect("one dimension of fp32")
}

/// `v: [inputs, outputs]` with the norm of each column set to its gain.
fn normalised(v: &tch::Tensor, gains: &tch::Tensor) -> Vec<f32> {
    let (mut v, gains) = (numbers(v), numbers(gains));
    let mut squares = vec![0.0_f32; gains.len()];
    for row in v.chunks_exact(gains.len()) {
        squares.iter_mut().zip(row).for_each(|(sum, x)| *sum += x * x);
    }
    let factors: Vec<f32> = gains.iter().zip(squares).map(|(g, s)| g / s.sqrt()).collect();
    for row in v.chunks_exact_mut(gains.len()) {
        row.iter_mut().zip(&factors).for_each(|(x, factor)| *x *= factor);
    }
    v
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wider_vectors_give_the_same_bits() {
        let number = |i: usize| ((i * 7919 % 1009) as f32 / 1009.0 - 0.5) * 3.0;
        let xs: Vec<f32> = (0..333).map(number).collect();
        let panel: Vec<f32> = (0..333 * PANEL).map(|i| number(i + 5)).collect();
        let bits = |sums: [f32; PANEL]| sums.map(f32::to_bits);
        assert_eq!(bits(sums(&xs, &panel)), bits(sums_in_order(&xs, &panel)));
    }

    #[test]
    fn a_matrix_whose_columns_fill_no_panel_is_applied_whole() {
        // Column j holds j in its first row and 1 in its second.
        let matrix: Vec<f32> = (0..2 * 70).map(|i| if i < 70 { i as f32 } else { 1.0 }).collect();
        let mut ys = vec![0.0; 70];
        Panels::new(&matrix, 70).apply(&[2.0, 0.5], &mut ys);
        let wanted: Vec<u32> = (0..70).map(|j| (2.0 * j as f32 + 0.5).to_bits()).collect();
        let found: Vec<u32> = ys.into_iter().map(f32::to_bits).collect();
        assert_eq!(found, wanted);
    }
}
