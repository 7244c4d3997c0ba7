//! `refits`: a table of one's own, dropped in.

use std::fmt::Write as _;
use std::fs;

use crate::place::{Place, fails, succeeds};

fn with_table() -> Place {
    let place = Place::new();
    let mut table = "N,D,L,note\n".to_owned();
    for i in 0..7 {
        let flops = 1e18 * 3_f64.powi(i);
        for j in 0..7 {
            let n = 0.6 * flops.powf(0.4516) * 1.5_f64.powi(j - 3);
            let d = flops / 6.0 / n;
            let noise = 1.0 + 1e-4 * f64::from((i * 7 + j * 5) % 11 - 5);
            let loss = (1.69 + 406.4 / n.powf(0.34) + 410.7 / d.powf(0.28)) * noise;
            writeln!(table, "{n},{d},{loss},kept").unwrap();
        }
    }
    table.push_str("1e9,1e9,99,diverged\n");
    fs::write(place.path("mine.csv"), table).unwrap();
    place
}

const MINE: &str = "refits.tables=[{ name = 'mine', file = 'mine.csv', params = 'N', tokens = 'D', \
                    loss = 'L', exclude = 'note == diverged', seed_noise = 0.0005, authors = { a = 0.45, alpha = 0.34 } }]";

#[test]
fn a_table_of_ones_own_is_refitted_by_a_law_and_at_equal_compute() {
    let place = with_table();
    succeeds(place.on_text("run", &["refits", "--set", MINE]));
    let (out, _) = succeeds(place.command(&["figures"]));
    let value = |id: &str| -> f64 {
        let line = out.lines().find(|line| line.starts_with(&format!("{id} smoke"))).unwrap();
        let after = line.split(": ").nth(1).unwrap();
        after.split(' ').next().unwrap().parse().unwrap()
    };
    for (id, wanted, within) in [
        ("refit-alpha", 0.34, 0.02),
        ("refit-beta", 0.28, 0.02),
        ("refit-E", 1.69, 0.03),
        ("refit-a", 0.4516, 0.02),
        ("refit-a-isoflop", 0.4516, 0.02),
    ] {
        assert!((value(id) - wanted).abs() < within, "{id}: expected {wanted}, got {}", value(id));
    }
    for figure in ["residuals-mine.svg", "refits.svg", "refits-constants.svg"] {
        assert!(out.contains(figure), "{figure}: {out}");
    }
    succeeds(place.command(&["verify"]));
}

#[test]
fn a_table_with_a_bad_cell_is_named_with_its_line() {
    let place = with_table();
    let all = MINE.replace(", exclude = 'note == diverged'", "");
    fs::write(place.path("mine.csv"), "N,D,L,note\n1e6,1e9,3,a\n1e6,-1e9,3,a\n").unwrap();
    let said = fails(place.on_text("run", &["refits", "--set", &all]));
    assert!(said.contains("line 3: column \"D\" holds \"-1e9\""), "{said}");
    let gone = all.replace("mine.csv", "none.csv");
    let said = fails(place.on_text("run", &["refits", "--set", &gone]));
    assert!(said.contains("none.csv"), "{said}");
}
