//! Runs that obey Kaplan's laws give his constants back.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::rows::tests::row;

/// Table 3 and eq. 5.3, with a critical batch near the batches of these runs.
const LAW: [f64; 4] = [6.5e13, 2.1e3, 0.077, 0.76];
const ALPHA_B: f64 = 0.21;
const B_STAR: f64 = 2e8;
const BATCH: f64 = 524_288.0;

/// `B_crit` without noise, as `batch-size` would measure it.
fn batch() -> Fitted {
    let points = (0..14).map(|i| {
        let loss = 2.0 + 0.3 * f64::from(i);
        Point { x: loss, y: 1.0, loss: B_STAR / loss.powf(1.0 / ALPHA_B) }
    });
    Fitted::new("batch-size", Form::PurePower, points.collect(), 3).unwrap()
}

/// Updates at [`BATCH`] after which a model of `n` parameters has this loss.
fn steps_to(n: f64, loss: f64) -> Option<f64> {
    let [n_c, s_c, alpha_n, alpha_s] = LAW;
    let left = loss - (n_c / n).powf(alpha_n);
    let least = (left > 0.0).then(|| s_c / left.powf(1.0 / alpha_s))?;
    let critical = B_STAR / loss.powf(1.0 / ALPHA_B);
    Some(least * (1.0 + critical / BATCH))
}

/// Looks and ends of runs of several sizes and seeds.
fn runs() -> Efficient {
    let (mut rows, mut looks) = (Vec::new(), Vec::new());
    for i in 0..14 {
        let n = 1e6 * 10_f64.powf(f64::from(i) * 0.3);
        for seed in 0..2 {
            for j in 0..16 {
                let loss = (LAW[0] / n).powf(LAW[2]) * (1.02 + 0.03 * f64::from(j));
                let Some(steps) = steps_to(n, loss) else { continue };
                looks.push(Look { params: n, seed, batch_tokens: BATCH, step: steps, loss });
                let tokens = BATCH * steps;
                let flops = 6.0 * n * tokens;
                let variant = format!("{i}-{j}");
                let batch_tokens = BATCH;
                rows.push(Row {
                    variant,
                    seed,
                    params: n,
                    tokens,
                    flops,
                    loss,
                    batch_tokens,
                    ..row()
                });
            }
        }
    }
    looks.sort_by(|a, b| {
        (a.params as u64, a.seed).cmp(&(b.params as u64, b.seed)).then(a.step.total_cmp(&b.step))
    });
    Efficient::new(rows, looks, batch())
}

#[test]
fn the_constants_behind_the_runs_come_back() {
    let efficient = runs();
    let found: BTreeMap<&str, Estimate> =
        efficient.of_curves().into_iter().chain(efficient.of_compute()).collect();
    let wanted = 1.0 / (1.0 / LAW[2] + 1.0 / LAW[3] + 1.0 / ALPHA_B); // B.7
    for (id, wanted, within) in [
        ("kap-18", LAW[2], 1e-3),
        ("kap-19", LAW[3], 1e-2),
        ("kap-30", wanted, 1e-3),
        ("kap-31", 100.0 * LAW[2] / LAW[3], 0.2),
        ("kap-52", 45.3, 0.5),
        // Along the frontier of all sizes and losses, whose grid is coarse.
        ("kap-05", wanted, 4e-3),
        ("kap-22", wanted / LAW[2], 0.05),
        ("kap-25", 1.0 - wanted / LAW[2], 0.05),
        ("kap-23", wanted / ALPHA_B, 0.03),
        ("kap-24", wanted / LAW[3], 0.05),
    ] {
        let got = found[id].value;
        assert!((got - wanted).abs() < within, "{id}: expected {wanted}, got {got}");
    }
    // Constants in PF-days: size times tokens is compute, whatever the fits.
    let (size, tokens) = (found["kap-26"].value, found["kap-29"].value);
    assert!((6.0 * size * tokens / PF_DAY - 1.0).abs() < 0.01, "{size} · {tokens}");
    assert!((found["kap-46"].value / tokens - 2.0).abs() < 1e-9);
}

#[test]
fn larger_models_take_fewer_updates_to_one_loss() {
    let fewer = runs().fewer_updates().unwrap().unwrap();
    assert!(fewer.value > 0.0, "{fewer:?}");
    // Updates that go as N^-0.4, to a loss between looks.
    let curve = |n: u64| {
        let looks = (1..40).map(|i| {
            let steps = 100.0 * f64::from(i);
            (steps, 9.0 - (steps * (n as f64).powf(0.4)).ln() * 0.3)
        });
        (n, looks.collect())
    };
    let slope = slope_of_updates(&[1000, 4000, 16_000].map(curve).into()).unwrap();
    assert!((slope - 0.4).abs() < 0.01, "expected 0.4, got {slope}");
    assert_eq!(slope_of_updates(&[(1000, vec![(1.0, 3.0)])].into()), None);
}

#[test]
fn nothing_is_derived_from_exponents_that_the_curves_leave_open() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    // Losses that no updates lower.
    let look = |i: u32, loss: f64| Look {
        params: 1e6 * 10_f64.powi((i % 4) as i32),
        seed: u64::from(i / 4 % 3),
        batch_tokens: BATCH,
        step: 1000.0 + 100.0 * f64::from(i / 12),
        loss,
    };
    let mut looks: Vec<Look> = (0..120).map(|i| look(i, 3.0 + rng.random::<f64>())).collect();
    looks.sort_by_key(|look| (look.params as u64, look.seed, look.step as u64));
    let found = Efficient::new(Vec::new(), looks, batch()).of_curves();
    let ids: Vec<_> = found.into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, ["kap-18", "kap-19"]);
}
