//! How values, units, times and verdicts are written for readers.

use crate::claims::{Claim, LedgerRow, Op, TREND_SEEDS, Verdict};
use crate::numbers::{grouped, short};
use crate::stats::Bound;

/// A verdict as two words at most.
pub(super) fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::NotReproduced => "not reproduced",
        Verdict::NotRun => "not run",
        other => other.word(),
    }
}

/// The words of the ledger and what they mean, for the glossary: word, key of its colour, meaning.
pub(super) fn glossary() -> Vec<(&'static str, &'static str, String)> {
    let entry = |v: Verdict, meaning: &str| (verdict(v), v.word(), meaning.to_owned());
    vec![
        entry(
            Verdict::Reproduced,
            "Measured with the publication\u{2019}s own protocol, scale and data, and within the tolerance \
             set beforehand around the published value.",
        ),
        entry(
            Verdict::Exceeds,
            "The same protocol, scale and data, and better than the published value by more than the \
             tolerance.",
        ),
        entry(
            Verdict::Trend,
            &format!(
                "Measured at a smaller scale or on other data, with at least {TREND_SEEDS} seeds, \
                 and the whole interval lies on the claimed side of \u{201c}no effect\u{201d}. It \
                 supports the direction of the claim, not its size."
            ),
        ),
        entry(Verdict::NotReproduced, "Measured, and none of the above."),
        entry(
            Verdict::NotRun,
            "Nothing was measured that could be judged. The reason says what it would take, and the \
             command would do it.",
        ),
        entry(
            Verdict::Extra,
            "A measurement of our own; nothing was published to compare it with.",
        ),
        (
            "unverified",
            "unverified",
            "The published value was quoted from memory and not seen in its source. It is counted \
             separately and is never better than a trend."
                .into(),
        ),
    ]
}

/// Four significant digits, digits grouped by thousands.
pub(super) fn number(x: f64) -> String {
    grouped(&short(x))
}

/// Every digit, grouped by thousands.
fn exact(x: f64) -> String {
    let size = x.abs();
    let plain = size == 0.0 || (1e-5..1e15).contains(&size);
    if plain { grouped(&x.to_string()) } else { number(x) }
}

/// A value with its unit; a line does not break before a sign such as `%`.
fn with_unit(value: &str, unit: &str) -> String {
    match unit {
        "" => value.to_owned(),
        "x" => format!("{value}\u{d7}"),
        unit if unit.chars().count() < 3 => format!("{value}\u{a0}{unit}"),
        unit => format!("{value} {unit}"),
    }
}

/// The published value or, where only a direction was published, the direction.
pub(super) fn published(claim: &Claim) -> String {
    match (claim.published, claim.op, claim.no_effect) {
        (Some(value), ..) => with_unit(&exact(value), &claim.unit),
        (None, Op::Sign, Some(none)) if !claim.extra() => {
            format!("above {}", with_unit(&exact(none), &claim.unit))
        }
        _ => String::new(),
    }
}

/// The published range around the value; empty without one.
pub(super) fn published_range(claim: &Claim) -> String {
    match (claim.low, claim.high) {
        (Some(low), Some(high)) => format!("{} to {}", exact(low), exact(high)),
        (Some(low), None) => format!("at least {}", exact(low)),
        (None, Some(high)) => format!("at most {}", exact(high)),
        (None, None) => String::new(),
    }
}

/// The measured value; `≥` or `≤` before a bound.
pub(super) fn measured(row: &LedgerRow) -> String {
    let Some((value, bound)) = row.measured else { return String::new() };
    let sign = match bound {
        Bound::Exact => "",
        Bound::AtLeast => "\u{2265}\u{a0}",
        Bound::AtMost => "\u{2264}\u{a0}",
    };
    format!("{sign}{}", with_unit(&number(value), &row.unit))
}

/// The 95 % interval; empty without one.
pub(super) fn interval(row: &LedgerRow) -> String {
    match (row.low, row.high) {
        (Some(low), Some(high)) => format!("{} to {}", number(low), number(high)),
        (Some(low), None) => format!("at least {}", number(low)),
        (None, Some(high)) => format!("at most {}", number(high)),
        (None, None) => String::new(),
    }
}

/// `1 seed`, `3 seeds`.
pub(super) fn count(n: usize, one: &str, many: &str) -> String {
    format!("{}\u{a0}{}", grouped(&n.to_string()), if n == 1 { one } else { many })
}

/// Seconds as a reader says them.
pub(super) fn elapsed(seconds: f64) -> String {
    if seconds < 60.0 {
        return format!("{seconds:.1}\u{a0}s");
    }
    let whole = seconds.round() as u64;
    let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, whole % 60);
    match hours {
        0 => format!("{minutes}\u{a0}min {seconds:02}\u{a0}s"),
        _ => format!("{hours}\u{a0}h {minutes:02}\u{a0}min"),
    }
}

/// A size in decimal units.
pub(crate) fn bytes(n: u64) -> String {
    match n {
        0..1_000 => format!("{n}\u{a0}B"),
        1_000..1_000_000 => format!("{:.0}\u{a0}kB", n as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1}\u{a0}MB", n as f64 / 1e6),
        _ => format!("{:.2}\u{a0}GB", n as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_four_digits_and_thousands_apart() {
        for (x, want) in [
            (0.0, "0"),
            (6.123_456, "6.123"),
            (-0.25, "\u{2212}0.25"),
            (2048.0, "2048"),
            (60_954_656.0, "60,954,656"),
            (0.000_123_456, "0.0001235"),
        ] {
            assert_eq!(number(x), want);
        }
        assert_eq!(exact(650_000.5), "650,000.5");
    }

    #[test]
    fn times_and_sizes_read_at_their_own_scale() {
        assert_eq!(elapsed(12.34), "12.3\u{a0}s");
        assert_eq!(elapsed(185.2), "3\u{a0}min 05\u{a0}s");
        assert_eq!(elapsed(7_260.0), "2\u{a0}h 01\u{a0}min");
        assert_eq!(bytes(299_999), "300\u{a0}kB");
        assert_eq!(bytes(1_240_000_000), "1.24\u{a0}GB");
    }
}
