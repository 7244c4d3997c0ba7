//! Claims, verdicts and the ledger through the public interface.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::fs;
use std::path::{Path, PathBuf};

use ledger::claims::{
    Claim, LedgerRow, Measured, Published, Verdict, build_ledger, headline, judge, parse_claims,
    read_claims, read_ledger, read_measured, summarise, verify_ledger, write_ledger,
    write_measured,
};
use ledger::stats::{Bound, Estimate};
use proptest::prelude::*;

const HEADER: &str = "id,study,metric,op,published,low,high,no_effect,tolerance,tolerance_reason,\
                      unit,scale,source,where,confidence,needs\n";

fn claims(rows: &str) -> Vec<Claim> {
    parse_claims(Path::new("claims.csv"), &format!("{HEADER}{rows}")).unwrap()
}

fn claim(row: &str) -> Claim {
    claims(row).remove(0)
}

fn refusal(rows: &str) -> String {
    parse_claims(Path::new("claims.csv"), &format!("{HEADER}{rows}")).unwrap_err().to_string()
}

const FACTOR: &str =
    "f,speed,a factor,ratio,6,,,1,1.5,one curve,x,log,A paper,Fig. 1,seen in source,";
const ERROR: &str = "e,nets,test error,le,13,,,,1,rounded,%,natural,A paper,p. 4,seen in source,";
const GAIN: &str =
    "g,lrn,points won,ge,1.4,,,0,0.7,half,points,natural,A paper,p. 4,seen in source,";
const COUNT: &str = "c,anatomy,parameters,eq,60,,,,1,rounded,,natural,A paper,p. 1,seen in source,";
const SIGN: &str = "s,speed,faster,sign,,,,1,,,x,log,A paper,p. 2,seen in source,";
const MEMORY: &str = "m,speed,a factor,ratio,6,,,1,1.5,one curve,x,log,A paper,Fig. 1,from memory,";
const EXTRA: &str = "x,speed,second regime,sign,,,,1,,,x,log,this project,,extra,";

fn estimate(value: f64, low: f64, high: f64, n_seeds: usize) -> Estimate {
    let (low, high) = (Some(low), Some(high));
    Estimate { value, low, high, bound: Bound::Exact, n_seeds, n: n_seeds, method: "t".into() }
}

fn measured(id: &str, preset: &str, estimate: Estimate, protocol_ok: bool) -> Measured {
    let (preset, data) = (preset.into(), "cifar10".into());
    Measured { id: id.into(), preset, data, estimate, evidence: String::new(), protocol_ok }
}

fn verdict(row: &str, estimate: Estimate, protocol_ok: bool) -> Verdict {
    let judgement = judge(&claim(row), &[measured("any", "overnight", estimate, protocol_ok)]);
    assert!(!judgement.reason.is_empty());
    judgement.verdict
}

#[test]
fn the_publications_own_protocol_is_judged_by_the_tolerance() {
    for (row, value, want) in [
        (FACTOR, 6.0, Verdict::Reproduced),
        (FACTOR, 4.0, Verdict::Reproduced),
        (FACTOR, 9.0, Verdict::Reproduced),
        (FACTOR, 3.99, Verdict::NotReproduced),
        (FACTOR, 9.01, Verdict::Exceeds),
        (ERROR, 13.9, Verdict::Reproduced),
        (ERROR, 14.1, Verdict::NotReproduced),
        (ERROR, 11.9, Verdict::Exceeds),
        (GAIN, 0.71, Verdict::Reproduced),
        (GAIN, 0.69, Verdict::NotReproduced),
        (GAIN, 2.2, Verdict::Exceeds),
        (COUNT, 60.9, Verdict::Reproduced),
        (COUNT, 61.1, Verdict::NotReproduced),
        (COUNT, 58.9, Verdict::NotReproduced),
    ] {
        let found = verdict(row, Estimate::certain(value), true);
        assert_eq!(found, want, "{value} for {row}");
    }
}

#[test]
fn another_scale_is_a_trend_at_best_and_needs_seeds_and_an_interval_clear_of_no_effect() {
    for (row, found, want) in [
        (FACTOR, estimate(6.0, 4.0, 9.0, 3), Verdict::Trend),
        (FACTOR, estimate(60.0, 40.0, 90.0, 3), Verdict::Trend),
        (FACTOR, estimate(1.2, 1.01, 1.4, 3), Verdict::Trend),
        (FACTOR, estimate(1.2, 1.0, 1.4, 3), Verdict::NotReproduced),
        (FACTOR, estimate(6.0, 4.0, 9.0, 2), Verdict::NotReproduced),
        (FACTOR, estimate(0.5, 0.4, 0.6, 3), Verdict::NotReproduced),
        (GAIN, estimate(0.2, 0.1, 0.3, 5), Verdict::Trend),
        (SIGN, estimate(2.0, 1.5, 2.5, 3), Verdict::Trend),
        (SIGN, estimate(2.0, 0.5, 2.5, 3), Verdict::NotReproduced),
        (ERROR, estimate(13.0, 12.0, 14.0, 3), Verdict::NotRun),
        (COUNT, estimate(60.0, 60.0, 60.0, 3), Verdict::NotRun),
    ] {
        assert_eq!(verdict(row, found.clone(), false), want, "{found:?} for {row}");
    }
    let without = Estimate { low: None, high: None, ..estimate(6.0, 0.0, 0.0, 3) };
    assert_eq!(verdict(FACTOR, without, false), Verdict::NotReproduced, "no interval, no trend");
}

#[test]
fn a_sign_is_reproduced_by_the_interval_and_not_by_the_value() {
    assert_eq!(verdict(SIGN, estimate(2.0, 1.5, 2.5, 3), true), Verdict::Reproduced);
    assert_eq!(verdict(SIGN, estimate(2.0, 0.9, 2.5, 3), true), Verdict::NotReproduced);
    assert_eq!(verdict(SIGN, estimate(2.0, 1.5, 2.5, 2), true), Verdict::NotReproduced);
}

#[test]
fn a_bound_is_judged_by_the_bound() {
    let bound = |value, low: Option<f64>, bound| Estimate {
        low,
        high: None,
        bound,
        ..estimate(value, 0.0, 0.0, 3)
    };
    let at_least = |x| bound(x, Some(x), Bound::AtLeast);
    assert_eq!(verdict(FACTOR, at_least(4.5), true), Verdict::Reproduced);
    assert_eq!(verdict(FACTOR, at_least(9.5), true), Verdict::Exceeds);
    assert_eq!(verdict(FACTOR, at_least(3.0), true), Verdict::Trend, "too weak to decide on 6");
    assert_eq!(verdict(FACTOR, at_least(0.9), true), Verdict::NotReproduced);
    assert_eq!(verdict(FACTOR, at_least(3.0), false), Verdict::Trend);
    assert_eq!(verdict(FACTOR, bound(3.0, None, Bound::AtLeast), false), Verdict::NotReproduced);
    assert_eq!(verdict(FACTOR, bound(3.9, None, Bound::AtMost), true), Verdict::NotReproduced);
    assert_eq!(verdict(FACTOR, bound(6.0, None, Bound::AtMost), true), Verdict::NotReproduced);
    assert_eq!(verdict(ERROR, at_least(13.5), true), Verdict::NotReproduced);
    assert_eq!(verdict(COUNT, at_least(60.0), true), Verdict::NotReproduced);
}

#[test]
fn a_value_from_memory_is_unverified_and_no_better_than_a_trend() {
    let one = [measured("m", "overnight", estimate(6.0, 4.0, 9.0, 3), true)];
    let found = judge(&claim(MEMORY), &one);
    assert_eq!(found.verdict, Verdict::Trend);
    assert!(found.reason.starts_with("published value unverified"), "{}", found.reason);
    let two_seeds = estimate(6.0, 4.0, 9.0, 2);
    assert_eq!(verdict(MEMORY, two_seeds, true), Verdict::NotReproduced);
    assert_eq!(verdict(MEMORY, estimate(2.0, 1.5, 3.0, 3), true), Verdict::NotReproduced);
}

#[test]
fn smoke_is_no_evidence_unless_the_protocol_is_the_publications() {
    let judged =
        |ok| judge(&claim(FACTOR), &[measured("f", "smoke", estimate(6.0, 4.0, 9.0, 3), ok)]);
    assert_eq!(judged(false).verdict, Verdict::NotRun);
    assert_eq!(judged(true).verdict, Verdict::Reproduced);
}

#[test]
fn a_measurement_of_our_own_is_extra_and_says_where_it_lies() {
    let found = judge(&claim(EXTRA), &[measured("x", "laptop", estimate(1.2, 0.9, 1.5, 3), true)]);
    assert_eq!(found.verdict, Verdict::Extra);
    assert!(found.reason.contains("includes"), "{}", found.reason);
    assert_eq!(judge(&claim(EXTRA), &[]).verdict, Verdict::Extra);
}

#[test]
fn what_is_not_run_says_what_it_needs() {
    let found = judge(&claim(&format!("{FACTOR}needs_gpu needs_data")), &[]);
    assert_eq!(found.verdict, Verdict::NotRun);
    assert!(found.reason.contains("needs_gpu") && found.reason.contains("needs_data"));
}

#[test]
fn the_headline_is_the_published_protocol_then_the_larger_preset() {
    let row = |preset: &str, ok| measured("f", preset, estimate(6.0, 4.0, 9.0, 3), ok);
    let rows = [
        row("smoke", false),
        row("overnight+1a2b3c4d", false),
        row("laptop", false),
        row("overnight", false),
    ];
    assert_eq!(headline(&rows).unwrap().preset, "overnight");
    let rows = [row("overnight", false), row("laptop", true)];
    assert_eq!(headline(&rows).unwrap().preset, "laptop");
    assert!(headline(&[]).is_none());
}

#[test]
fn a_claim_that_no_effect_would_reproduce_is_refused() {
    let wide = FACTOR.replace(",1.5,", ",7,");
    assert!(refusal(&wide).contains("column no_effect"), "{}", refusal(&wide));
    let wrong_side = GAIN.replace(",ge,", ",le,");
    assert!(refusal(&wrong_side).contains("column no_effect"), "{}", refusal(&wrong_side));
}

#[test]
fn a_broken_claim_names_file_line_column_and_what_was_wanted() {
    for (from, to, column, wanted) in [
        (",ratio,", ",about,", "op", "eq, ge, le, ratio or sign"),
        (",6,", ",six,", "published", "a finite number"),
        (",6,", ",NaN,", "published", "a finite number"),
        (",6,", ",,", "published", "or the op sign"),
        (",log,", ",natural,", "scale", "log for a ratio"),
        (",1,1.5,", ",,1.5,", "no_effect", "a number"),
        (",1.5,", ",0.5,", "tolerance", "a factor of at least 1"),
        (",one curve,", ",,", "tolerance_reason", "why"),
        ("f,speed", ",speed", "id", "some text"),
        ("seen in source,", "seen in source,needs_time", "needs", "needs_gpu"),
    ] {
        let message = refusal(&format!("{ERROR}\n{}", FACTOR.replacen(from, to, 1)));
        let place = format!("claims.csv, line 3, column {column}: found");
        assert!(message.starts_with(&place), "{message}\nwanted: {place}");
        assert!(message.contains(wanted), "{message}\nwanted: {wanted}");
    }
    assert!(refusal(&format!("{FACTOR}\n{FACTOR}")).contains("no other row"));
    let header = parse_claims(Path::new("claims.csv"), "id,study\n").unwrap_err().to_string();
    assert!(header.contains("missing column \"metric\""), "{header}");
    let short = refusal("f,speed\n");
    assert!(
        short.contains("claims.csv") && short.contains("line 2: found 2 cells, wanted 16"),
        "{short}"
    );
}

#[test]
fn a_broken_measured_row_names_file_line_column_and_what_was_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("measured.csv");
    let header = "id,preset,data,value,low,high,n_seeds,n,method,evidence,protocol_ok\n";
    for (row, column) in [
        ("f,laptop,cifar10,>5,,,3,3,t,,true", "value"),
        ("f,laptop,cifar10,,,,3,3,t,,true", "value"),
        ("f,laptop,cifar10,5,,inf,3,3,t,,true", "high"),
        ("f,laptop,cifar10,5,,,3.5,3,t,,true", "n_seeds"),
        ("f,laptop,cifar10,5,,,3,3,t,,yes", "protocol_ok"),
    ] {
        fs::write(&path, format!("{header}{row}\n")).unwrap();
        let message = read_measured(&path).unwrap_err().to_string();
        assert!(message.contains(&format!("measured.csv, line 2, column {column}")), "{message}");
    }
    let missing = read_measured(&folder.path().join("none.csv")).unwrap_err().to_string();
    assert!(missing.contains("none.csv"), "{missing}");
}

fn results_with(rows: &[(&str, Measured)]) -> tempfile::TempDir {
    let results = tempfile::tempdir().unwrap();
    for (study, row) in rows {
        let folder = results.path().join("alexnet").join(&row.preset).join(study);
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("measured.csv");
        let mut all = if path.exists() { read_measured(&path).unwrap() } else { Vec::new() };
        all.push(row.clone());
        write_measured(&path, &all).unwrap();
    }
    results
}

fn ours() -> Vec<(String, Vec<Claim>)> {
    vec![("alexnet".into(), claims(&[FACTOR, ERROR, MEMORY, EXTRA].join("\n")))]
}

#[test]
fn the_ledger_has_every_claim_and_every_measurement_with_the_headline_first() {
    let laptop = measured("f", "laptop", estimate(3.0, 2.0, 4.5, 3), false);
    let overnight = measured("f", "overnight", estimate(5.0, 4.0, 6.25, 5), true);
    let results = results_with(&[("speed", laptop), ("speed", overnight)]);
    let rows = build_ledger(&ours(), results.path()).unwrap();
    let found: Vec<_> =
        rows.iter().map(|r| (r.id.as_str(), r.preset.as_str(), r.verdict)).collect();
    let want = [
        ("f", "overnight", Verdict::Reproduced),
        ("f", "laptop", Verdict::Trend),
        ("e", "", Verdict::NotRun),
        ("m", "", Verdict::NotRun),
        ("x", "", Verdict::Extra),
    ];
    assert_eq!(found, want);
    assert_eq!(rows[0].evidence, "alexnet/overnight/speed");
    assert_eq!(rows[1].command, "make alexnet STUDY=speed PRESET=laptop");
    let summary = summarise(&rows);
    assert_eq!((summary.reproduced, summary.trend, summary.unverified), (1, 0, 1));
}

#[test]
fn verify_finds_a_typed_verdict_a_missing_row_and_missing_evidence() {
    let mut overnight = measured("f", "overnight", estimate(5.0, 4.0, 6.25, 5), true);
    overnight.evidence = "cifar10/times.csv".into();
    let results = results_with(&[("speed", overnight)]);
    let rows = build_ledger(&ours(), results.path()).unwrap();
    write_ledger(&rows, results.path()).unwrap();
    let found = verify_ledger(&ours(), results.path()).unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].computed, "no such file or folder");
    let evidence: PathBuf = results.path().join("alexnet/overnight/speed/cifar10/times.csv");
    fs::create_dir_all(evidence.parent().unwrap()).unwrap();
    fs::write(&evidence, "").unwrap();
    assert_eq!(verify_ledger(&ours(), results.path()).unwrap(), []);

    let path = results.path().join("ledger.csv");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen(",reproduced,", ",exceeds,", 1)).unwrap();
    let found = verify_ledger(&ours(), results.path()).unwrap();
    let message = found[0].to_string();
    assert_eq!(found.len(), 1, "{found:?}");
    let want = "alexnet f overnight cifar10: verdict: stored \"exceeds\", computed \"reproduced\"";
    assert_eq!(message, want);

    write_ledger(&rows[1..], results.path()).unwrap();
    let found = verify_ledger(&ours(), results.path()).unwrap();
    assert_eq!((found.len(), found[0].column, found[0].stored.as_str()), (1, "row", "missing"));
    write_ledger(&[rows.clone(), vec![rows[0].clone()]].concat(), results.path()).unwrap();
    let found = verify_ledger(&ours(), results.path()).unwrap();
    assert_eq!((found.len(), found[0].stored.as_str()), (1, "repeated"));
}

#[test]
fn a_measured_row_in_the_wrong_place_is_an_error() {
    for (study, id, wanted) in [("speed", "typo", "claims.csv"), ("speed", "e", "nets")] {
        let row = measured(id, "laptop", estimate(5.0, 4.0, 6.0, 3), false);
        let results = results_with(&[(study, row)]);
        let message = build_ledger(&ours(), results.path()).unwrap_err().to_string();
        assert!(message.contains("measured.csv") && message.contains(wanted), "{message}");
    }
}

#[test]
fn every_experiments_claims_can_be_read_and_show_a_reason() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../experiments");
    let mut read = 0;
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path().join("claims.csv");
        if path.is_file() {
            for claim in read_claims(&path).unwrap() {
                let found = judge(&claim, &[]);
                let wanted = if claim.extra() { Verdict::Extra } else { Verdict::NotRun };
                assert_eq!(found.verdict, wanted, "{}", claim.id);
                assert!(!found.reason.is_empty(), "{}", claim.id);
                read += 1;
            }
        }
    }
    assert!(read >= 57, "read {read} claims");
}

fn finite() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>().prop_filter("finite", |x| x.is_finite()),
        -1e3..1e3,
        (-1e6..1e6).prop_map(f64::round),
    ]
}

fn text() -> impl Strategy<Value = String> {
    "[a-z0-9,\"\n%+/ .≥é-]{0,12}".prop_map(|s| format!("a{s}z"))
}

fn bound() -> impl Strategy<Value = Bound> {
    prop_oneof![Just(Bound::Exact), Just(Bound::AtLeast), Just(Bound::AtMost)]
}

fn any_estimate() -> impl Strategy<Value = Estimate> {
    let ends = (proptest::option::of(finite()), proptest::option::of(finite()));
    (finite(), ends, bound(), 1..99usize, 1..9999usize, text()).prop_map(
        |(value, (low, high), bound, n_seeds, n, method)| Estimate {
            value,
            low,
            high,
            bound,
            n_seeds,
            n,
            method,
        },
    )
}

/// Verdicts in order of how much they grant.
fn grade(verdict: Verdict) -> usize {
    match verdict {
        Verdict::NotReproduced => 0,
        Verdict::Trend => 1,
        Verdict::Reproduced => 2,
        Verdict::Exceeds => 3,
        Verdict::NotRun | Verdict::Extra => panic!("{verdict} is not on the scale"),
    }
}

proptest! {
    #[test]
    fn measured_rows_read_back_as_the_same_bits(
        rows in proptest::collection::vec((text(), text(), any_estimate(), text(), any::<bool>()), 0..5)
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("measured.csv");
        let rows: Vec<Measured> = rows
            .into_iter()
            .enumerate()
            .map(|(i, (preset, data, estimate, evidence, protocol_ok))| {
                Measured { id: format!("id-{i}"), preset, data, estimate, evidence, protocol_ok }
            })
            .collect();
        write_measured(&path, &rows).unwrap();
        let read = read_measured(&path).unwrap();
        prop_assert_eq!(&read, &rows);
        let first = fs::read(&path).unwrap();
        write_measured(&path, &read).unwrap();
        prop_assert_eq!(fs::read(&path).unwrap(), first);
    }

    #[test]
    fn ledger_rows_read_back_as_the_same_bits(
        published in proptest::option::of(finite()), unverified: bool, estimate in any_estimate(),
        words in proptest::collection::vec(text(), 8)
    ) {
        let folder = tempfile::tempdir().unwrap();
        let [experiment, id, claim, unit, preset, data, reason, command] =
            <[String; 8]>::try_from(words).unwrap();
        let row = LedgerRow {
            experiment, id, claim, unit, preset, data, reason, command,
            published: Published { value: published, unverified },
            measured: Some((estimate.value, estimate.bound)),
            low: estimate.low,
            high: estimate.high,
            seeds: Some(estimate.n_seeds),
            verdict: Verdict::Trend,
            evidence: String::new(),
        };
        write_ledger(std::slice::from_ref(&row), folder.path()).unwrap();
        prop_assert_eq!(read_ledger(folder.path()).unwrap(), vec![row]);
    }

    /// Moving the measurement, interval and all, to the claim's side never lowers the verdict.
    #[test]
    fn verdicts_are_monotone_on_the_claims_side(
        value in -1.0..20.0, below in 0.0..5.0, above in 0.0..5.0, shift in 0.0..10.0,
        seeds in 1..6usize, protocol_ok: bool, which in 0..4usize, bound in bound()
    ) {
        let (row, sign) = [(FACTOR, 1.0), (GAIN, 1.0), (SIGN, 1.0), (ERROR, -1.0)][which];
        let protocol_ok = protocol_ok || row == ERROR;
        let judged = |x: f64| {
            let found = Estimate { bound, ..estimate(x, x - below, x + above, seeds) };
            judge(&claim(row), &[measured("any", "overnight", found, protocol_ok)])
        };
        let (here, there) = (judged(value), judged(value + sign * shift));
        prop_assert!(grade(here.verdict) <= grade(there.verdict), "{here:?}\n{there:?}");
    }

    /// What a trend needs cannot be had without the interval on the claim's side.
    #[test]
    fn an_interval_that_holds_no_effect_is_never_a_trend(
        low in -5.0..1.0, high in 1.0..30.0, seeds in 1..9usize
    ) {
        let found = estimate(f64::midpoint(low, high), low, high, seeds);
        prop_assert_eq!(verdict(FACTOR, found, false), Verdict::NotReproduced);
    }
}
