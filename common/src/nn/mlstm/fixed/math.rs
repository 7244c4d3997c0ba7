//! exp, sigmoid and tanh from additions, multiplications and divisions alone.

/// `2ⁿ` and `e^r − 1` with `x = n·ln 2 + r`, `|r| ≤ ln 2 / 2`: the latter by its series to `r⁷`.
/// `x` beyond ±87 counts as ±87.
fn power_and_rest(x: f32) -> (f32, f32) {
    const TO_INTEGER: f32 = 12_582_912.0; // 1.5 · 2²³: adding it leaves no place for a fraction
    let x = x.clamp(-87.0, 87.0);
    let shifted = x * std::f32::consts::LOG2_E + TO_INTEGER;
    let n = shifted - TO_INTEGER;
    // ln 2 in two parts: the first times n is exact.
    let r = x - n * (355.0 / 512.0) + n * 2.121_944_4e-4;
    let series = [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5];
    let series = series.iter().fold(1.0 / 5040.0, |sum, term| sum * r + term);
    (f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000)), series * r * r + r)
}

/// `e^x`, relative error below 3e-7.
pub(super) fn exp(x: f32) -> f32 {
    let (power, rest) = power_and_rest(x);
    power * rest + power
}

/// `e^x − 1`, relative error below 3e-7.
fn exp_minus_1(x: f32) -> f32 {
    let (power, rest) = power_and_rest(x);
    power * rest + (power - 1.0)
}

/// `1 / (1 + e^−x)`, relative error below 5e-7 for `|x| ≤ 87`.
pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (exp_minus_1(-x) + 2.0)
}

/// The hyperbolic tangent, relative error below 5e-7.
pub(super) fn tanh(x: f32) -> f32 {
    let e = exp_minus_1(x + x);
    e / (e + 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The largest relative error over 200,001 points from `-range` to `range`.
    fn worst(f: fn(f32) -> f32, exact: fn(f64) -> f64, range: f32) -> f64 {
        (-100_000..=100_000_i32)
            .map(|i| range * i as f32 / 100_000.0)
            .filter(|&x| x != 0.0)
            .map(|x| (f64::from(f(x)) / exact(f64::from(x)) - 1.0).abs())
            .fold(0.0, f64::max)
    }

    #[test]
    fn functions_keep_the_stated_errors() {
        for range in [0.01, 1.0, 20.0, 40.0] {
            let found = [
                worst(exp, f64::exp, range),
                worst(exp_minus_1, f64::exp_m1, range),
                worst(sigmoid, |x| 1.0 / (1.0 + (-x).exp()), range),
                worst(tanh, f64::tanh, range),
            ];
            let wanted = [3e-7, 3e-7, 5e-7, 5e-7];
            assert!(
                found.iter().zip(wanted).all(|(f, w)| f < &w),
                "to ±{range}\n  found {found:?}\n wanted {wanted:?}"
            );
        }
    }

    #[test]
    fn ends_of_the_range_are_finite_and_zero_is_exact() {
        assert!(exp(f32::MAX).is_finite() && exp(f32::MIN) > 0.0);
        let bits = |xs: [f32; 3]| xs.map(f32::to_bits);
        assert_eq!(bits([tanh(0.0), sigmoid(0.0), exp(0.0)]), bits([0.0, 0.5, 1.0]));
        assert_eq!(bits([tanh(90.0), tanh(-90.0), sigmoid(90.0)]), bits([1.0, -1.0, 1.0]));
    }
}
