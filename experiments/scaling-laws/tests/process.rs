//! The binary run as a process: the JSON of `fit` and its answers to bad tables.

use std::fmt::Write as _;

use assert_cmd::Command;

const GOOD: &str = "params,tokens,loss\n1e6,1e9,4.0\n1e7,1e9,3.5\n1e8,1e9,3.2\n1e9,1e9,3.0\n";

/// Runs `fit` on a table of this text; returns success, stdout, stderr.
fn fit(table: &str, flags: &[&str]) -> (bool, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("runs.csv");
    std::fs::write(&file, table).unwrap();
    let mut command = Command::cargo_bin("scaling-laws").unwrap();
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
fn bad_cells_are_refused_with_their_line() {
    for (row, wanted) in [
        ("1e6,,3.0", "line 6: column \"tokens\" holds \"\""),
        ("1e6,1e9,-3.0", "line 6: column \"loss\" holds \"-3.0\""),
        ("big,1e9,3.0", "line 6: column \"params\" holds \"big\""),
        ("1e7,1e9,3.5", "line 6: the same values as line 3"),
    ] {
        let (ok, _, stderr) = fit(&format!("{GOOD}{row}\n"), &[]);
        assert!(!ok && stderr.contains(wanted), "expected {wanted}\ngot {stderr}");
    }
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
