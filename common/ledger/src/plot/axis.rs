//! Axes: from values to fractions of the axis, ranges, tick positions and their labels.

use super::{Axis, Panel, ReferenceShape, Scale, Style};
use crate::numbers::grouped;

/// An axis with its range settled: `low` and `high` are on the drawn scale (log10 for [`Scale::Log`]).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Settled {
    pub(super) scale: Scale,
    pub(super) low: f64,
    pub(super) high: f64,
}

/// A tick; without a label it is a minor one.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tick {
    /// Fraction of the axis, 0 at its low end.
    pub(super) at: f64,
    pub(super) label: Option<String>,
}

impl Settled {
    /// Where `value` lies, 0 at the low end and 1 at the high end; `None` if it cannot be drawn.
    pub(super) fn fraction(&self, value: f64) -> Option<f64> {
        let on_scale = match self.scale {
            Scale::Linear => value,
            Scale::Log => value.log10(), // -inf or NaN where there is no logarithm
        };
        let fraction = (on_scale - self.low) / (self.high - self.low);
        // Far outside, a canvas coordinate would overflow; 50 lengths away the slope still looks right.
        fraction.is_finite().then(|| fraction.clamp(-50.0, 50.0))
    }
}

/// Which of a panel's two axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    X,
    Y,
}

/// Settles the range of one axis of `panel`: as asked for, or what its series and references cover.
pub(super) fn settle(panel: &Panel, side: Side) -> Settled {
    let axis = match side {
        Side::X => &panel.x,
        Side::Y => &panel.y,
    };
    let scale = axis.scale;
    if !axis.categories.is_empty() {
        return Settled {
            scale: Scale::Linear,
            low: -0.5,
            high: axis.categories.len() as f64 - 0.5,
        };
    }
    let on_scale = |v: f64| if scale == Scale::Log { v.log10() } else { v };
    if let Some((a, b)) = axis.range {
        let (low, high) = (on_scale(a.min(b)), on_scale(a.max(b)));
        if low.is_finite() && high.is_finite() && low < high {
            return Settled { scale, low, high };
        }
    }
    let values = covered(panel, side);
    let finite = values.iter().map(|&v| on_scale(v)).filter(|v| v.is_finite());
    let (low, high) =
        finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    if low > high {
        return Settled { scale, low: 0.0, high: 1.0 }; // nothing to show: 0 to 1, or 1 to 10
    }
    let (low, high) = if high - low > 1e-9 * low.abs().max(high.abs()) {
        (low, high)
    } else if scale == Scale::Log {
        (low - 0.5, high + 0.5)
    } else {
        let half = if low == 0.0 { 0.5 } else { 0.1 * low.abs() };
        (low - half, high + half)
    };
    let room = (high - low) * if side == Side::X { 0.02 } else { 0.05 };
    // A quantity that starts at or just above zero is shown from zero, without room below it.
    let from_zero = scale == Scale::Linear && low >= 0.0 && low < 0.15 * high;
    let to_zero = scale == Scale::Linear && high <= 0.0 && high > 0.15 * low;
    Settled {
        scale,
        low: if from_zero { 0.0 } else { low - room },
        high: if to_zero { 0.0 } else { high + room },
    }
}

/// Every value that should be inside the range of this axis.
fn covered(panel: &Panel, side: Side) -> Vec<f64> {
    let mut values = Vec::new();
    for series in &panel.series {
        let bars = matches!(series.style, Style::Bars | Style::Histogram);
        match side {
            Side::X => {
                values.extend(series.points.iter().map(|p| p.0));
                values.extend(series.band.iter().map(|b| b.0));
                if series.style == Style::Bars {
                    let half = super::panel::spacing(&series.points) / 2.0;
                    values.extend(series.points.iter().flat_map(|p| [p.0 - half, p.0 + half]));
                }
            }
            Side::Y => {
                values.extend(series.points.iter().filter(|p| p.0.is_finite()).map(|p| p.1));
                values.extend(series.band.iter().flat_map(|b| [b.1, b.2]));
                if bars && panel.y.scale == Scale::Linear {
                    values.push(0.0);
                }
            }
        }
    }
    for reference in &panel.references {
        match (&reference.shape, side) {
            (ReferenceShape::Horizontal(v), Side::Y) | (ReferenceShape::Vertical(v), Side::X) => {
                values.push(*v);
            }
            (ReferenceShape::Curve(points), Side::X) => values.extend(points.iter().map(|p| p.0)),
            (ReferenceShape::Curve(points), Side::Y) => values.extend(points.iter().map(|p| p.1)),
            _ => {}
        }
    }
    values
}

/// Ticks along an axis with room for about `most` labels.
pub(super) fn ticks(axis: &Axis, settled: &Settled, most: usize) -> Vec<Tick> {
    if !axis.categories.is_empty() {
        let at = |i: usize| settled.fraction(i as f64).unwrap_or(0.0);
        let tick = |(i, name): (usize, &String)| Tick { at: at(i), label: Some(name.clone()) };
        return axis.categories.iter().enumerate().map(tick).collect();
    }
    match settled.scale {
        Scale::Linear => linear_ticks(settled, most),
        Scale::Log => log_ticks(settled, most),
    }
}

/// Multiples of 1, 2 or 5 times a power of ten: the finest that give at most `most` ticks.
fn linear_ticks(axis: &Settled, most: usize) -> Vec<Tick> {
    let values = nice_values(axis.low, axis.high, most);
    let labels = numbers(&values);
    let span = axis.high - axis.low;
    let tick = |(v, label): (&f64, String)| Tick { at: (v - axis.low) / span, label: Some(label) };
    values.iter().zip(labels).map(tick).collect()
}

fn nice_values(low: f64, high: f64, most: usize) -> Vec<f64> {
    let most = most.max(2) as f64;
    let mut exponent = ((high - low) / most).log10().floor() as i32;
    loop {
        for factor in [1.0, 2.0, 5.0] {
            let of = |k: f64| times_power(k * factor, exponent);
            let step = of(1.0);
            // A tick a rounding error outside the range still belongs to it.
            let (first, last) = ((low / step - 1e-9).ceil(), (high / step + 1e-9).floor());
            if last - first < most {
                return (0..=(last - first) as i64).map(|i| of(first + i as f64)).collect();
            }
        }
        exponent += 1;
    }
}

/// `k · 10^exponent`, rounded once: 3·10⁻¹ is the number nearest 0.3, which 3 × 0.1 is not.
fn times_power(k: f64, exponent: i32) -> f64 {
    if exponent < 0 { k / 10f64.powi(-exponent) } else { k * 10f64.powi(exponent) }
}

/// Powers of ten with unlabelled ticks between them; over less than three of them 1, 2, 5, 10, ….
fn log_ticks(axis: &Settled, most: usize) -> Vec<Tick> {
    let span = axis.high - axis.low;
    let inside = |v: f64| (axis.low - 1e-9..=axis.high + 1e-9).contains(&v);
    let tick = |on_scale: f64, label| Tick { at: (on_scale - axis.low) / span, label };
    let (first, last) = ((axis.low - 1e-9).ceil() as i32, (axis.high + 1e-9).floor() as i32);
    let decades = (last - first + 1).max(0);
    let plain_reads_well = (-3.0..=5.0).contains(&axis.low) && axis.high <= 5.0;
    if decades > 2 || (decades == 2 && !plain_reads_well) {
        let stride = (decades as usize).div_ceil(most.max(2)) as i32;
        let mut all = Vec::new();
        for decade in first - 1..=last {
            if decade >= first && decade.rem_euclid(stride) == 0 {
                all.push(tick(f64::from(decade), Some(power_of_ten(decade))));
            } else if decade >= first && stride <= 5 {
                all.push(tick(f64::from(decade), None));
            }
            if stride == 1 {
                let minor = (2..10).map(|k| f64::from(decade) + f64::from(k).log10());
                all.extend(minor.filter(|&v| inside(v)).map(|v| tick(v, None)));
            }
        }
        return all;
    }
    let (low, high) = (10f64.powf(axis.low), 10f64.powf(axis.high));
    let mut values: Vec<f64> = (first - 1..=last)
        .flat_map(|decade| [1.0, 2.0, 5.0].map(|k| times_power(k, decade)))
        .filter(|v| inside(v.log10()))
        .collect();
    if values.len() < 3 {
        values = nice_values(low, high, most.min(6));
    }
    // Fractions and multiples stand side by side here, so each has its own number of decimals.
    let label = |v: &f64| if plain_reads_well { numbers(&[*v]).remove(0) } else { scientific(*v) };
    values.iter().map(|v| tick(v.log10(), Some(label(v)))).collect()
}

/// `2×10⁻⁷`, or `10⁻⁷`.
fn scientific(value: f64) -> String {
    let exponent = (value.log10() + 1e-9).floor() as i32;
    let mantissa = numbers(&[times_power(value, -exponent)]).remove(0);
    let power = power_of_ten(exponent);
    if mantissa == "1" { power } else { format!("{mantissa}×{power}") }
}

/// 10 with a superscript exponent.
pub(super) fn power_of_ten(exponent: i32) -> String {
    const DIGITS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let superscript = |c: char| c.to_digit(10).map_or('⁻', |d| DIGITS[d as usize]);
    format!("10{}", exponent.to_string().chars().map(superscript).collect::<String>())
}

/// Labels for the values of one axis, all in one notation and with one number of decimals.
fn numbers(values: &[f64]) -> Vec<String> {
    let largest = values.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
    let smallest =
        values.iter().map(|v| v.abs()).filter(|v| *v > 0.0).fold(f64::INFINITY, f64::min);
    let shift = if largest >= 1e6 || (largest > 0.0 && largest < 1e-2 && smallest < 1e-3) {
        largest.log10().floor() as i32
    } else {
        0
    };
    let scaled: Vec<f64> = values.iter().map(|&v| times_power(v, -shift)).collect();
    let exact = |decimals: usize| {
        let unit = 10f64.powi(decimals as i32);
        scaled
            .iter()
            .all(|v| ((v * unit).round() - v * unit).abs() < 1e-6 * (v * unit).abs().max(1.0))
    };
    let decimals = (0..12).find(|&d| exact(d)).unwrap_or(12);
    scaled
        .iter()
        .map(|&v| match (v == 0.0, shift) {
            (true, _) => "0".to_owned(),
            (_, 0) => plain(v, decimals),
            _ => format!("{}×{}", plain(v, decimals), power_of_ten(shift)),
        })
        .collect()
}

fn plain(value: f64, decimals: usize) -> String {
    // Of -0, the sign goes.
    grouped(&format!("{:.decimals$}", value + 0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(settled: &Settled, most: usize) -> Vec<String> {
        ticks(&Axis::default(), settled, most).into_iter().filter_map(|t| t.label).collect()
    }

    fn linear(low: f64, high: f64) -> Settled {
        Settled { scale: Scale::Linear, low, high }
    }

    fn log(low: f64, high: f64) -> Settled {
        Settled { scale: Scale::Log, low: low.log10(), high: high.log10() }
    }

    #[test]
    fn linear_ticks_are_round_numbers_in_one_notation() {
        assert_eq!(labels(&linear(0.0, 1.0), 6), ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(&linear(-0.31, 0.3), 5), ["\u{2212}0.2", "0", "0.2"]);
        assert_eq!(
            labels(&linear(0.0, 40_000.0), 5),
            ["0", "10,000", "20,000", "30,000", "40,000"]
        );
        assert_eq!(
            labels(&linear(0.0, 2.1e6), 5),
            ["0", "0.5×10⁶", "1.0×10⁶", "1.5×10⁶", "2.0×10⁶"]
        );
        assert_eq!(labels(&linear(0.0, 4e-4), 3), ["0", "2×10⁻⁴", "4×10⁻⁴"]);
    }

    #[test]
    fn log_ticks_over_decades_are_powers_of_ten_with_minor_ticks_between() {
        let axis = log(1e-3, 2e1);
        assert_eq!(labels(&axis, 8), ["10⁻³", "10⁻²", "10⁻¹", "10⁰", "10¹"]);
        let all = ticks(&Axis::default(), &axis, 8);
        assert_eq!(all.len(), 5 + 4 * 8 + 1, "eight minor ticks in a decade, and 2·10¹");
        let second = all.iter().filter(|t| t.label.is_some()).nth(1).unwrap();
        assert!((second.at - 1.0 / (2e4_f64).log10()).abs() < 1e-12);
    }

    #[test]
    fn log_ticks_within_a_decade_are_plain_numbers() {
        assert_eq!(labels(&log(2.1, 4.9), 6), ["2.5", "3", "3.5", "4", "4.5"]);
        assert_eq!(labels(&log(0.8, 7.0), 6), ["1", "2", "5"]);
        assert_eq!(labels(&log(0.06, 1.2), 6), ["0.1", "0.2", "0.5", "1"]);
        assert_eq!(labels(&log(1.5e-7, 8e-7), 6), ["2×10⁻⁷", "4×10⁻⁷", "6×10⁻⁷", "8×10⁻⁷"]);
        assert_eq!(labels(&log(8e8, 7e9), 6), ["10⁹", "2×10⁹", "5×10⁹"]);
    }

    #[test]
    fn many_decades_keep_only_the_labels_that_fit() {
        assert_eq!(labels(&log(1e-12, 1e12), 5), ["10⁻¹⁰", "10⁻⁵", "10⁰", "10⁵", "10¹⁰"]);
    }

    #[test]
    fn a_range_of_one_value_or_none_still_has_length() {
        let panel = |points| Panel {
            series: vec![super::super::Series::new("", Style::Line, points)],
            ..Panel::default()
        };
        for points in [vec![], vec![(f64::NAN, f64::NAN)], vec![(3.0, 7.0)], vec![(0.0, 0.0)]] {
            for side in [Side::X, Side::Y] {
                let axis = settle(&panel(points.clone()), side);
                assert!(axis.low < axis.high, "{points:?} gives {axis:?}");
            }
        }
    }
}
