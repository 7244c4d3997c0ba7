//! How well the points determine a law: bootstrap intervals, constants they leave open, and the
//! largest run predicted from the others.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::form::{Form, Point};
use super::solve::{FINE, Fit, FitError, Logs, descend, fit, logs};

/// Share of the draws inside an interval.
const LEVEL: f64 = 0.95;

/// The laws fitted to resampled points.
#[derive(Debug, Clone, Default)]
pub struct Draws {
    fits: Vec<Fit>,
}

/// Refits `best` to `draws` resamplings of its points.
///
/// Every draw descends from `best` and from two places with its exponents halved and doubled, and
/// keeps the deepest. Draw `i` depends on `(seed, i)` only, not on the number of threads.
pub fn bootstrap(best: &Fit, points: &[Point], delta: f64, draws: usize, seed: u64) -> Draws {
    let each: Vec<usize> = (0..points.len()).collect();
    bootstrap_runs(best, points, &each, delta, draws, seed)
}

/// The same where a run has several points, which are drawn together: `run_of[i]` is point `i`'s run,
/// counted from 0.
pub fn bootstrap_runs(
    best: &Fit,
    points: &[Point],
    run_of: &[usize],
    delta: f64,
    draws: usize,
    seed: u64,
) -> Draws {
    let all = logs(points, best.centre);
    let n_runs = run_of.iter().max().map_or(0, |last| last + 1);
    let starts = [0.5, 1.0, 2.0].map(|factor| {
        let mut theta = best.theta.clone();
        for &i in slopes(best.form) {
            theta[i] *= factor;
        }
        theta
    });
    let one = |draw: usize| -> Option<Fit> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(draw as u64);
        let mut drawn = vec![0.0; n_runs];
        for _ in 0..n_runs {
            drawn[rng.random_range(0..n_runs)] += 1.0;
        }
        let weighed = |(p, run): (&Logs, &usize)| Logs { weight: drawn[*run], ..*p };
        let mut sample: Vec<Logs> = all.iter().zip(run_of).map(weighed).collect();
        sample.retain(|p: &Logs| p.weight > 0.0);
        let end = starts
            .iter()
            .filter_map(|start| descend(best.form, &sample, delta, start, FINE))
            .min_by(|a, b| a.objective.total_cmp(&b.objective))?;
        Some(Fit {
            theta: end.theta,
            objective: end.objective * delta,
            converged: end.converged,
            ..*best
        })
    };
    Draws { fits: (0..draws).into_par_iter().filter_map(one).collect() }
}

/// Where a law's exponents stand in `theta`.
fn slopes(form: Form) -> &'static [usize] {
    match form {
        Form::Hoffmann => &[3, 4],
        Form::Shared => &[3],
        Form::Kaplan | Form::LearningCurves => &[2, 3],
        Form::Power | Form::PurePower => &[1],
    }
}

impl Draws {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.fits.is_empty()
    }

    /// 95 % percentile interval of `of` over the draws, `[low, high]`; NaN when there are none.
    pub fn interval(&self, of: impl Fn(&Fit) -> f64) -> [f64; 2] {
        let mut values: Vec<f64> = self.fits.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        let tail = (1.0 - LEVEL) / 2.0;
        [tail, 1.0 - tail].map(|q| {
            let last = values.len().saturating_sub(1);
            values.get((q * last as f64).round() as usize).copied().unwrap_or(f64::NAN)
        })
    }

    /// Intervals of the published constants, in the order of [`Form::keys`].
    pub fn of_constants(&self, form: Form) -> Vec<[f64; 2]> {
        (0..form.keys().len()).map(|i| self.interval(|fit| fit.named()[i])).collect()
    }

    /// Share of the draws whose fit converged.
    pub fn converged(&self) -> f64 {
        let n = self.fits.iter().filter(|fit| fit.converged).count();
        n as f64 / self.fits.len().max(1) as f64
    }

    /// The constants that the points leave open, by their place in [`Form::keys`].
    ///
    /// An exponent is open when its interval reaches zero, an irreducible loss when it reaches a
    /// thousandth of what is fitted, and the size of a term when its logarithm is uncertain by more
    /// than ten, five decades either way.
    pub fn open(&self, best: &Fit) -> Vec<usize> {
        let named = best.named();
        let is_open = |&(i, key): &(usize, &str)| {
            let [low, high] = self.interval(|fit| fit.named()[i]);
            match key {
                "alpha" | "beta" | "k" | "alpha_N" | "alpha_D" | "alpha_S" => low <= 1e-3,
                "E" => named[i] > 0.0 && low <= 1e-3 * high,
                _ => (high / low).is_nan() || high / low >= 1e10,
            }
        };
        let keys = best.form.keys().iter().copied().enumerate();
        keys.filter(is_open).map(|(i, _)| i).collect()
    }
}

/// Fits without the run of largest `x·y` and returns its predicted and its measured loss.
///
/// # Errors
/// As [`fit`], on one point fewer.
pub fn without_largest(form: Form, points: &[Point], delta: f64) -> Result<(f64, f64), FitError> {
    let mut rest = points.to_vec();
    rest.sort_by(|a, b| (a.x * a.y).total_cmp(&(b.x * b.y)));
    let last = rest.pop().ok_or(FitError::Nowhere)?;
    Ok((fit(form, &rest, delta)?.loss(last.x, last.y), last.loss))
}

#[cfg(test)]
mod tests {
    use super::super::synthetic::{TRUTHS, runs};
    use super::*;

    #[test]
    fn intervals_cover_the_truth_about_as_often_as_they_say() {
        // A bootstrap of 49 points is a little narrow: 93 % is what the literature leads to expect.
        // Of 60 intervals 55.8 then hold the truth, deviation 2.0; 49 and 60 are three of them off.
        const REPEATS: u64 = 60;
        for (form, truth) in [TRUTHS[0], TRUTHS[5]] {
            let mut hits = vec![0; truth.len()];
            for seed in 0..REPEATS {
                let points = runs(form, truth, 0.01, seed);
                let best = fit(form, &points, 1e-3).unwrap();
                let intervals = bootstrap(&best, &points, 1e-3, 100, seed).of_constants(form);
                for (hits, (want, [low, high])) in hits.iter_mut().zip(truth.iter().zip(intervals))
                {
                    *hits += u64::from(low <= *want && *want <= high);
                }
            }
            for (key, hits) in form.keys().iter().zip(hits) {
                assert!(
                    (49..=REPEATS).contains(&hits),
                    "{form:?}, {key}: expected about 56 of 60 intervals to cover, got {hits}"
                );
            }
        }
    }

    #[test]
    fn draws_do_not_depend_on_the_threads() {
        let (form, truth) = TRUTHS[2];
        let points = runs(form, truth, 0.01, 3);
        let best = fit(form, &points, 1e-3).unwrap();
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| bootstrap(&best, &points, 1e-3, 20, 7).of_constants(form))
        };
        assert_eq!(on(1), on(3));
        let other = bootstrap(&best, &points, 1e-3, 20, 8).of_constants(form);
        assert_ne!(on(1), other);
    }

    #[test]
    fn points_of_one_run_are_drawn_together() {
        // Each run four times over: as uncertain as once, where single points would halve it.
        let (form, truth) = TRUTHS[5];
        let points = runs(form, truth, 0.01, 3);
        let best = fit(form, &points, 1e-3).unwrap();
        let width = |draws: Draws| {
            let [low, high] = draws.interval(|fit| fit.named()[1]);
            high - low
        };
        let once = width(bootstrap(&best, &points, 1e-3, 200, 7));
        let repeated: Vec<Point> = points.iter().flat_map(|p| [*p; 4]).collect();
        let run_of: Vec<usize> = (0..repeated.len()).map(|i| i / 4).collect();
        let together = width(bootstrap_runs(&best, &repeated, &run_of, 1e-3, 200, 7));
        let single = width(bootstrap(&best, &repeated, 1e-3, 200, 7));
        assert!((together / once - 1.0).abs() < 0.05, "expected {once}, got {together}");
        assert!(single < 0.7 * once, "expected about {}, got {single}", once / 2.0);
    }

    #[test]
    fn a_constant_that_the_points_leave_open_is_named() {
        // Where every run has far more data than it can use, nothing says how loss falls with data.
        let truth = [400.0, 1e-6, 1.7, 0.34, 0.28];
        let points = runs(Form::Hoffmann, &truth, 0.01, 1);
        let best = fit(Form::Hoffmann, &points, 1e-3).unwrap();
        let open = bootstrap(&best, &points, 1e-3, 100, 1).open(&best);
        assert!(open.contains(&1) || open.contains(&4), "expected B or beta, got {open:?}");
        assert!(!open.contains(&3), "alpha is well determined, got {open:?}");

        let (form, truth) = TRUTHS[0];
        let points = runs(form, truth, 0.005, 1);
        let best = fit(form, &points, 1e-3).unwrap();
        let open = bootstrap(&best, &points, 1e-3, 100, 1).open(&best);
        assert!(open.is_empty(), "expected none, got {open:?}");
    }

    #[test]
    fn the_largest_run_is_predicted_from_the_others() {
        let (form, truth) = TRUTHS[0];
        let mut points = runs(form, truth, 0.0, 1);
        let (predicted, measured) = without_largest(form, &points, 1e-3).unwrap();
        assert!((predicted / measured - 1.0).abs() < 1e-4, "{predicted}, {measured}");
        let largest = points.len() - 1;
        points[largest].loss *= 1.3; // of a run that went wrong
        let (predicted, measured) = without_largest(form, &points, 1e-3).unwrap();
        assert!((measured / predicted - 1.3).abs() < 1e-3, "{predicted}, {measured}");
    }
}
