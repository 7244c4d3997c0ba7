//! Runs that obey a known law, for tests.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::form::{Form, Point};

/// Laws with constants of a published kind, in the order of [`Form::keys`].
pub(super) const TRUTHS: [(Form, &[f64]); 6] = [
    (Form::Hoffmann, &[406.4, 410.7, 1.69, 0.34, 0.28]),
    (Form::Shared, &[120.0, 190.0, 1.5, 0.25]),
    (Form::Kaplan, &[6.4e13, 1.8e13, 0.076, 0.103]),
    (Form::LearningCurves, &[6.5e13, 2.1e9, 0.077, 0.5]),
    (Form::Power, &[54.0, 0.3, 1.5]),
    (Form::PurePower, &[20.0, 0.2, 0.0]),
];

/// Seven sizes from 1e7 times seven amounts of data from 1e8, three decades each; log loss with
/// Gaussian noise of this deviation.
pub(super) fn runs(form: Form, truth: &[f64], noise: f64, seed: u64) -> Vec<Point> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut points = vec![];
    for i in 0..7 {
        for j in 0..7 {
            let x = 1e7 * 10_f64.powf(f64::from(i) * 0.5);
            let y = 1e8 * 10_f64.powf(f64::from(j) * 0.5);
            let gauss: f64 = (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0;
            points.push(Point { x, y, loss: form.loss(truth, x, y) * (noise * gauss).exp() });
        }
    }
    points
}
