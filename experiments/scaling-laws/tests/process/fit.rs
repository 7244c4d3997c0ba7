//! `fit` as a process: its JSON and its answers to bad tables.

use std::fmt::Write as _;

use std::process::Command;

const GOOD: &str = "params,tokens,loss\n1e6,1e9,4.0\n1e7,1e9,3.5\n1e8,1e9,3.2\n1e9,1e9,3.0\n";

/// Runs `fit` on a table of this text; returns success, stdout, stderr.
fn fit(table: &str, flags: &[&str]) -> (bool, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("runs.csv");
    std::fs::write(&file, table).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_scaling-laws"));
    let out = command.arg("fit").arg(&file).args(flags).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (out.status.success(), text(out.stdout), text(out.stderr))
}

#[test]
fn a_power_law_comes_back_as_json() {
    let mut table = "params,tokens,loss\n".to_owned();
    for i in 0..12 {
        let n = 1e5 * 10_f64.powf(f64::from(i) * 0.4);
        writeln!(table, "{n},1e9,{}", 1.5 + 40.0 * n.powf(-0.3)).unwrap();
    }
    let (ok, stdout, stderr) = fit(&table, &["--form", "power", "--bootstrap", "0", "--json"]);
    assert!(ok, "{stderr}");
    let json: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(json["form"], "power");
    assert_eq!(json["n_points"], 12);
    assert!(json["intervals"].is_null());
    assert_eq!(json["converged"], true);
    for (key, want) in [("a", 40.0), ("k", 0.3), ("E", 1.5)] {
        let got = json["parameters"][key].as_f64().unwrap();
        assert!((got - want).abs() < 1e-3 * want, "{key}: expected {want}, got {got}");
    }
}

#[test]
fn the_keys_of_each_form_are_those_documented() {
    let mut table = "n,d,c,l\n".to_owned();
    for i in 0..6 {
        for j in 0..6 {
            let (n, d) = (1e6 * 3_f64.powi(i), 1e8 * 3_f64.powi(j));
            let noise = 1.0 + 0.01 * f64::from((i * 7 + j * 5) % 11 - 5);
            let loss = 1.7 + 400.0 / n.powf(0.34) + 410.0 / d.powf(0.28);
            writeln!(table, "{n},{d},{},{}", 6.0 * n * d, loss * noise).unwrap();
        }
    }
    let columns = ["--params-col", "n", "--tokens-col", "d", "--loss-col", "l"];
    for (form, keys) in [
        ("hoffmann", &["A", "B", "E", "alpha", "beta"][..]),
        ("kaplan", &["D_c", "N_c", "alpha_D", "alpha_N"]),
    ] {
        let flags = [&columns[..], &["--form", form, "--bootstrap", "40", "--json"]].concat();
        let (ok, stdout, stderr) = fit(&table, &flags);
        assert!(ok, "{stderr}");
        let json: serde_json::Value = serde_json::from_str(&stdout).unwrap();
        let mut all: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
        all.sort_unstable();
        assert_eq!(all, ["converged", "form", "intervals", "n_points", "objective", "parameters"]);
        for part in ["parameters", "intervals"] {
            let mut found: Vec<&str> =
                json[part].as_object().unwrap().keys().map(String::as_str).collect();
            found.sort_unstable();
            assert_eq!(found, keys, "{form}, {part}");
        }
        for key in keys {
            let at = |i: usize| json["intervals"][key][i].as_f64().unwrap();
            let value = json["parameters"][key].as_f64().unwrap();
            assert!(
                at(0) < value && value < at(1),
                "{form}, {key}: {value} in {:?}",
                (at(0), at(1))
            );
        }
    }
    // Tokens said by compute instead: the same fit.
    let by_compute = ["--params-col", "n", "--flops-col", "c", "--loss-col", "l"];
    let alpha = |columns: &[&str]| {
        let (ok, stdout, stderr) =
            fit(&table, &[columns, &["--bootstrap", "0", "--json"]].concat());
        assert!(ok, "{stderr}");
        let json: serde_json::Value = serde_json::from_str(&stdout).unwrap();
        json["parameters"]["alpha"].as_f64().unwrap()
    };
    let (direct, said) = (alpha(&columns), alpha(&by_compute));
    assert!((direct - said).abs() < 1e-4, "{direct}, {said}");
}

#[test]
fn the_same_seed_gives_the_same_intervals() {
    let mut table = "params,loss\n".to_owned();
    for i in 0..12 {
        let noise = 1.0 + 0.01 * f64::from((i * 7) % 5 - 2);
        writeln!(table, "{},{}", 1e5 * 2_f64.powi(i), 30.0 * 0.9_f64.powi(i) * noise).unwrap();
    }
    let flags = ["--form", "power", "--bootstrap", "50", "--json"];
    let (first, again) = (fit(&table, &flags).1, fit(&table, &flags).1);
    assert!(!first.is_empty());
    assert_eq!(first, again);
}

#[test]
fn excluded_rows_are_left_out_even_when_their_cells_are_bad() {
    let mut table = "params,loss,seed\n".to_owned();
    for i in 0..8 {
        let n = 1e5 * 4_f64.powi(i);
        writeln!(table, "{n},{},{}", 40.0 * n.powf(-0.3) + 1.5, i % 2).unwrap();
    }
    table.push_str("1e5,diverged,9\n");
    let count = |exclude: &str| {
        let flags = ["--form", "power", "--bootstrap", "0", "--json", "--exclude", exclude];
        let (ok, stdout, stderr) = fit(&table, &flags);
        assert!(ok, "{stderr}");
        let json: serde_json::Value = serde_json::from_str(&stdout).unwrap();
        json["n_points"].as_u64().unwrap()
    };
    assert_eq!(count("loss == diverged"), 8);
    assert_eq!(count("seed == 9 or params < 2e5"), 7);
    let (ok, _, stderr) = fit(&table, &["--form", "power", "--exclude", "sede == 9"]);
    assert!(!ok && stderr.contains("no column \"sede\" for --exclude; the nearest are seed"));
    let (ok, _, stderr) = fit(&table, &["--form", "power", "--exclude", "seed <"]);
    assert!(!ok && stderr.contains("the end where a number or a word was wanted"), "{stderr}");
}

#[test]
fn bad_cells_are_refused_with_their_line() {
    for (row, wanted) in [
        ("1e6,,3.0", "line 6: column \"tokens\" holds \"\""),
        ("1e6,1e9,-3.0", "line 6: column \"loss\" holds \"-3.0\""),
        ("1e6,0,3.0", "line 6: column \"tokens\" holds \"0\""),
        ("1e6,1e9,nan", "line 6: column \"loss\" holds \"nan\""),
        ("big,1e9,3.0", "line 6: column \"params\" holds \"big\""),
        ("1e7,1e9,3.5", "line 6: the same values as line 3"),
        ("1e7,1e9", "line: 6"),
    ] {
        let (ok, _, stderr) = fit(&format!("{GOOD}{row}\n"), &[]);
        assert!(!ok && stderr.contains(wanted), "expected {wanted}\ngot {stderr}");
    }
    let (ok, _, stderr) = fit("params,loss,loss\n1,2,3\n", &["--form", "power"]);
    assert!(!ok && stderr.contains("two columns are called \"loss\""), "{stderr}");
}

#[test]
fn a_column_not_found_names_the_nearest() {
    let (ok, _, stderr) = fit(GOOD, &["--tokens-col", "token"]);
    assert!(!ok && stderr.contains("--tokens-col; the nearest are tokens"), "{stderr}");
}

#[test]
fn too_few_points_are_refused() {
    let (ok, _, stderr) = fit(GOOD, &[]);
    assert!(!ok && stderr.contains("4 points for the form hoffmann"), "{stderr}");
}

#[test]
fn flags_that_contradict_each_other_are_refused() {
    for (flags, wanted) in [
        (&["--delta", "0"][..], "--delta is 0"),
        (&["--form", "power", "--params-col", "params", "--tokens-col", "tokens"], "one variable"),
        (
            &["--params-col", "params", "--tokens-col", "tokens", "--flops-col", "loss"],
            "two of --params-col",
        ),
    ] {
        let (ok, _, stderr) = fit(GOOD, flags);
        assert!(!ok && stderr.contains(wanted), "expected {wanted}\ngot {stderr}");
    }
}

#[test]
fn constants_that_the_data_leave_open_are_warned_of() {
    let mut table = "params,tokens,loss\n".to_owned();
    for i in 0..10 {
        // Twice the same data: nothing says how loss falls with it.
        let (n, d) = (1e5 * 3_f64.powi(i), 1e9 * (1.0 + 0.01 * f64::from(i % 2)));
        let noise = 1.0 + 0.01 * f64::from((i * 7) % 5 - 2);
        writeln!(table, "{n},{d},{}", (1.5 + 40.0 * n.powf(-0.3)) * noise).unwrap();
    }
    let (ok, _, stderr) = fit(&table, &["--bootstrap", "40"]);
    assert!(ok, "{stderr}");
    assert!(stderr.contains("the data do not identify"), "{stderr}");
}

#[test]
fn residuals_are_drawn_when_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let stem = folder.path().join("residuals");
    let mut table = "flops,loss\n".to_owned();
    (0..9).for_each(|i| {
        writeln!(table, "{},{}", 10_f64.powi(i + 9), 9.0 - 0.5 * f64::from(i)).unwrap();
    });
    let flags = ["--form", "power", "--flops-col", "flops", "--bootstrap", "0", "--residuals"];
    let (ok, _, stderr) = fit(&table, &[&flags[..], &[stem.to_str().unwrap()]].concat());
    assert!(ok, "{stderr}");
    assert!(stem.with_extension("svg").is_file() && stem.with_extension("png").is_file());
}
