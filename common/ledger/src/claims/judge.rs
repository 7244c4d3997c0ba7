//! Verdicts. [`judge`] is a pure function of a claim and what was measured for it.
//!
//! With the publication's own protocol, scale and data (`protocol_ok`):
//! - `reproduced`: the value lies in the tolerance around the published value or range;
//! - `exceeds`: it lies beyond the tolerance on the claim's side;
//! - `not_reproduced`: it falls short of the tolerance, or misses an `eq` on either side.
//!
//! At a smaller scale or on other data:
//! - `trend`: at least [`TREND_SEEDS`] seeds, and the whole interval on the claim's side of `no_effect`;
//! - `not_reproduced`: otherwise;
//! - `not_run`: the claim is a level without a `no_effect`, so another scale says nothing about it, or
//!   the preset is `smoke`, which only checks that the study works.
//!
//! A `sign` claim has no tolerance: with the publication's protocol, what would be a trend reproduces
//! it. A value that is a bound is judged by the bound: `>= 5` reproduces "6 within a factor 1.5" on the
//! upper side; a bound too weak to decide falls under the rule for trends. A published value from memory
//! gets at most `trend`, and that with [`TREND_SEEDS`] seeds only. Measurements of our own are `extra`.

use std::cmp::Reverse;
use std::fmt;
use std::str::FromStr;

use super::claim::{Claim, Op, Side};
use super::measured::Measured;
use crate::numbers::short;
use crate::stats::Bound;

/// Fewest seeds of a trend.
pub const TREND_SEEDS: usize = 3;

/// What a measurement says about a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Same protocol and scale, within the tolerance.
    Reproduced,
    /// Same protocol and scale, beyond the tolerance on the claim's side.
    Exceeds,
    /// Smaller scale or other data, and clearly on the claim's side of no effect.
    Trend,
    /// Measured, and none of the above.
    NotReproduced,
    /// Nothing was measured that could be judged; the reason says what it needs.
    NotRun,
    /// A measurement of our own, made or not; nothing was published to compare it with.
    Extra,
}

impl Verdict {
    const ALL: [Self; 6] = [
        Self::Reproduced,
        Self::Exceeds,
        Self::Trend,
        Self::NotReproduced,
        Self::NotRun,
        Self::Extra,
    ];

    /// The word used in the ledger.
    pub fn word(self) -> &'static str {
        match self {
            Self::Reproduced => "reproduced",
            Self::Exceeds => "exceeds",
            Self::Trend => "trend",
            Self::NotReproduced => "not_reproduced",
            Self::NotRun => "not_run",
            Self::Extra => "extra",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Verdict {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|verdict| verdict.word() == text)
            .ok_or_else(|| Self::ALL.map(Self::word).join(", "))
    }
}

/// A verdict and the sentence that explains it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// Why, with the numbers that decided.
    pub reason: String,
}

/// The judgement of `claim`: that of its [`headline`] among the `measured` rows, or `not_run` when
/// there are none (`extra` all the same for a measurement of our own).
pub fn judge(claim: &Claim, measured: &[Measured]) -> Judgement {
    let (verdict, reason) = match headline(measured) {
        None if claim.extra() => (Verdict::Extra, not_run(claim)),
        None => (Verdict::NotRun, not_run(claim)),
        Some(measured) if claim.extra() => (Verdict::Extra, extra(claim, measured)),
        Some(measured) => verdict(claim, measured),
    };
    if !claim.unverified() {
        return Judgement { verdict, reason };
    }
    let enough = headline(measured).is_some_and(|row| row.estimate.n_seeds >= TREND_SEEDS);
    let verdict = match verdict {
        Verdict::Reproduced | Verdict::Exceeds if enough => Verdict::Trend,
        Verdict::Reproduced | Verdict::Exceeds => Verdict::NotReproduced,
        other => other,
    };
    let seeds = if enough || verdict != Verdict::NotReproduced {
        String::new()
    } else {
        format!(", fewer than {TREND_SEEDS} seeds")
    };
    Judgement { verdict, reason: format!("published value unverified{seeds}; {reason}") }
}

/// Of several measurements of one claim, the one that stands for it: the publication's protocol before
/// any other, presets as they are before changed ones (`laptop+1a2b3c4d`), `paper` before `overnight`
/// before `laptop` before others before `smoke`, more seeds before fewer; then by name of data and preset.
pub fn headline(measured: &[Measured]) -> Option<&Measured> {
    measured.iter().min_by_key(|row| rank(row))
}

/// The order of [`headline`], smallest first.
pub(super) fn rank(row: &Measured) -> impl Ord + use<'_> {
    let seeds = Reverse(row.estimate.n_seeds);
    (!row.protocol_ok, rank_of_preset(&row.preset), seeds, &row.data, &row.preset)
}

/// The order of presets, smallest first: as they are before changed ones, larger before smaller.
pub(crate) fn rank_of_preset(preset: &str) -> impl Ord + use<> {
    let size = match base(preset) {
        "paper" => 0,
        "overnight" => 1,
        "laptop" => 2,
        "smoke" => 4,
        _ => 3,
    };
    (changed(preset), size)
}

/// The preset's name without the digest of what was changed.
fn base(preset: &str) -> &str {
    preset.split_once('+').map_or(preset, |(base, _)| base)
}

/// Whether the preset was changed on the command line.
pub(crate) fn changed(preset: &str) -> bool {
    preset.contains('+')
}

fn not_run(claim: &Claim) -> String {
    if claim.needs.is_empty() {
        return if claim.extra() {
            "a measurement of ours, not made yet".into()
        } else {
            "not measured at the published scale yet".into()
        };
    }
    let each: Vec<_> =
        claim.needs.iter().map(|need| format!("{}: {}", need.word(), need.explained())).collect();
    each.join("; ")
}

fn extra(claim: &Claim, measured: &Measured) -> String {
    let none = claim.no_effect.expect("an extra row has a no_effect");
    let (low, high) = (measured.estimate.low, measured.estimate.high);
    let place = if low.is_some_and(|low| low > none) {
        "lies above"
    } else if high.is_some_and(|high| high < none) {
        "lies below"
    } else if low.is_none() && high.is_none() {
        return "nothing was published to compare it with; no interval".into();
    } else if low.is_some() && high.is_some() {
        "includes"
    } else {
        "does not rule out"
    };
    format!(
        "nothing was published to compare it with; the interval {} {place} no effect ({})",
        interval(low, high),
        short(none)
    )
}

/// Where a value lies as seen from the tolerance around the published value.
enum Place {
    Inside,
    Beyond,
    Short,
    Undecided,
}

fn verdict(claim: &Claim, measured: &Measured) -> (Verdict, String) {
    if claim.op == Op::Sign {
        return match trend(claim, measured) {
            (Verdict::Trend, reason) if measured.protocol_ok => (Verdict::Reproduced, reason),
            other => other,
        };
    }
    let (Some(published), Some((low, high))) = (claim.published, claim.band()) else {
        return (Verdict::NotRun, "no published value to compare with".into());
    };
    if !measured.protocol_ok {
        return trend(claim, measured);
    }
    let value = shown(measured);
    let band =
        format!("{} to {}, the tolerance around {}", short(low), short(high), short(published));
    match place(claim.side(), measured.estimate.value, measured.bound(), low, high) {
        Place::Inside => (Verdict::Reproduced, format!("{value} lies within {band}")),
        Place::Beyond => (Verdict::Exceeds, format!("{value} lies beyond {band}")),
        Place::Short => (Verdict::NotReproduced, format!("{value} misses {band}")),
        Place::Undecided => {
            let (verdict, reason) = trend(claim, measured);
            (verdict, format!("{value} does not decide about {band}; {reason}"))
        }
    }
}

fn place(side: Option<Side>, value: f64, bound: Bound, low: f64, high: f64) -> Place {
    let toward = |up: bool| match (side, up) {
        (Some(Side::Above), true) | (Some(Side::Below), false) => Place::Beyond,
        _ => Place::Short,
    };
    match bound {
        Bound::Exact | Bound::AtLeast if value > high => toward(true),
        Bound::Exact | Bound::AtMost if value < low => toward(false),
        Bound::Exact => Place::Inside,
        Bound::AtLeast if value >= low && side == Some(Side::Above) => Place::Inside,
        Bound::AtMost if value <= high && side == Some(Side::Below) => Place::Inside,
        Bound::AtLeast | Bound::AtMost => Place::Undecided,
    }
}

/// The rule for measurements that are not the publication's own protocol.
fn trend(claim: &Claim, measured: &Measured) -> (Verdict, String) {
    let scale = if measured.protocol_ok { "" } else { "smaller scale or other data; " };
    if !measured.protocol_ok && base(&measured.preset) == "smoke" {
        return (Verdict::NotRun, "smoke only checks that the study works".into());
    }
    let (Some(side), Some(none)) = (claim.side(), claim.no_effect) else {
        if measured.protocol_ok {
            return (Verdict::NotReproduced, "and the claim has no direction".into());
        }
        let reason =
            format!("{scale}a level says nothing about the published one; {}", not_run(claim));
        return (Verdict::NotRun, reason);
    };
    let (low, high) = (measured.estimate.low, measured.estimate.high);
    let seeds = measured.estimate.n_seeds;
    if seeds < TREND_SEEDS {
        let reason = format!("{scale}{} where a trend needs {TREND_SEEDS}", plural(seeds, "seed"));
        return (Verdict::NotReproduced, reason);
    }
    let (end, clear, name) = match side {
        Side::Above => (low, low.is_some_and(|low| low > none), "above"),
        Side::Below => (high, high.is_some_and(|high| high < none), "below"),
    };
    let none = short(none);
    let interval = interval(low, high);
    match end {
        _ if clear => {
            let seeds = plural(seeds, "seed");
            (Verdict::Trend, format!("{scale}{interval} ({seeds}) lies {name} no effect ({none})"))
        }
        Some(_) => {
            let reason = format!("{scale}{interval} does not lie {name} no effect ({none})");
            (Verdict::NotReproduced, reason)
        }
        None => {
            let reason = format!(
                "{scale}no end of an interval shows that it lies {name} no effect ({none})"
            );
            (Verdict::NotReproduced, reason)
        }
    }
}

fn shown(measured: &Measured) -> String {
    let sign = match measured.bound() {
        Bound::Exact => "",
        Bound::AtLeast => "at least ",
        Bound::AtMost => "at most ",
    };
    format!("{sign}{}", short(measured.estimate.value))
}

fn interval(low: Option<f64>, high: Option<f64>) -> String {
    match (low, high) {
        (Some(low), Some(high)) => format!("{} to {}", short(low), short(high)),
        (Some(low), None) => format!("at least {}", short(low)),
        (None, Some(high)) => format!("at most {}", short(high)),
        (None, None) => "no interval".into(),
    }
}

fn plural(n: usize, word: &str) -> String {
    if n == 1 { format!("1 {word}") } else { format!("{n} {word}s") }
}
