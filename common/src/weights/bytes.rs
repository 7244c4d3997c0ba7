//! Matrices at a byte a weight, a quarter of single precision: whole numbers, and a scale for each row.
//!
//! Beside a matrix `name` in a file stands `name.scale`; a weight is its whole number times its row's scale. Vectors
//! stay as they are. Source: Dettmers et al. 2022, `LLM.int8()`, section 2.1, row-wise absolute maximum.

use std::collections::BTreeMap;

use tch::{Kind, Tensor};

use super::StateDict;

/// What a matrix's scales are called behind its name.
pub(super) const SCALE: &str = ".scale";

/// The largest whole number.
const LARGEST: f64 = 127.0;

/// `matrix: [out, in]` as whole numbers `[out, in]`, and each row's scale `[out]`.
pub(super) fn packed(matrix: &Tensor) -> (Tensor, Tensor) {
    let matrix = matrix.to_kind(Kind::Float);
    // A row of zeros has any scale.
    let scale = (matrix.abs().amax([1].as_slice(), true) / LARGEST).clamp_min(1e-30); // [out, 1]
    let whole = (&matrix / &scale).round().to_kind(Kind::Int8);
    (whole, scale.squeeze_dim(1))
}

/// The same tensors with matrices that have scales multiplied out; `turned` says of a name whether its matrix is kept
/// `[in, out]`.
pub(super) fn unpacked(tensors: &StateDict, turned: impl Fn(&str) -> bool) -> StateDict {
    let mut plain = BTreeMap::new();
    for name in tensors.names().filter(|name| !name.ends_with(SCALE)) {
        let tensor = tensors.get(name).expect("it was listed");
        let tensor = match tensors.get(&format!("{name}{SCALE}")) {
            Some(scale) if turned(name) => tensor.to_kind(Kind::Float) * scale,
            Some(scale) => tensor.to_kind(Kind::Float) * scale.unsqueeze(1),
            None => tensor.shallow_clone(),
        };
        plain.insert(name.to_owned(), tensor);
    }
    StateDict::of(tensors.path(), plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_is_off_by_half_a_step_of_its_row_at_most() {
        tch::manual_seed(4);
        let sizes = Tensor::from_slice(&[1e-3_f32, 1.0, 40.0, 0.0]).unsqueeze(1);
        let matrix = Tensor::randn([4, 500], (Kind::Float, tch::Device::Cpu)) * sizes;
        let (whole, scale) = packed(&matrix);
        assert_eq!((whole.kind(), scale.size()), (Kind::Int8, vec![4]));
        let again = whole.to_kind(Kind::Float) * scale.unsqueeze(1);
        let steps = ((again - &matrix).abs() / scale.unsqueeze(1)).max().double_value(&[]);
        assert!(steps <= 0.5 + 1e-3, "off by {steps} steps");
        // The largest of a row keeps its value but for rounding.
        let largest = whole.abs().amax([1].as_slice(), false).to_kind(Kind::Int64);
        assert_eq!(Vec::<i64>::try_from(largest).unwrap(), [127, 127, 127, 0]);
    }
}
