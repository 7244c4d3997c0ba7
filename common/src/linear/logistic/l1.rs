//! The penalty `‖w‖₁`.

use super::model::Model;
use super::problem::{Problem, Slopes};
use super::{LinearError, MAX_STEPS, RIDGE, SUFFICIENT, softplus};
use crate::{interrupt, rng};

/// Rounds over the coordinates in one step at the most.
const MAX_ROUNDS: usize = 1000;

impl Problem<'_> {
    /// How far weight `w` with this derivative of the loss is from the optimum's condition under L1.
    fn violation(&self, j: usize, w: f64, gradient: f64) -> f64 {
        let penalty = self.penalised(j);
        if w > 0.0 {
            (gradient + penalty).abs()
        } else if w < 0.0 {
            (gradient - penalty).abs()
        } else {
            (gradient.abs() - penalty).max(0.0)
        }
    }

    pub(super) fn l1(&self, w: &mut [f64]) -> Result<(), LinearError> {
        let n_weights = w.len();
        let at_zero = self.slopes(&vec![0.0; self.labels.len()]);
        let mut scale = 0.0;
        for j in 0..n_weights {
            scale += self.violation(j, 0.0, self.gradient(j, &at_zero)?);
        }
        let goal = self.cfg.tolerance * scale;
        let mut scores = self.scores(w);
        let mut active: Vec<usize> = (0..n_weights).collect();
        let mut widest = f64::INFINITY; // the largest violation of the step before
        let mut inner_goal = scale;
        for step in 0..MAX_STEPS {
            interrupt::check()?;
            let slopes = self.slopes(&scores);
            let mut gradients = vec![0.0; n_weights];
            let (mut violations, mut largest) = (0.0, 0.0_f64);
            let whole = active.len() == n_weights;
            let mut kept = Vec::with_capacity(active.len());
            for &j in &active {
                gradients[j] = self.gradient(j, &slopes)?;
                let slack = self.penalised(j) - gradients[j].abs();
                if w[j] == 0.0 && slack > widest / self.labels.len() as f64 {
                    continue; // stays at zero for now
                }
                let violation = self.violation(j, w[j], gradients[j]);
                violations += violation;
                largest = largest.max(violation);
                kept.push(j);
            }
            active = kept;
            if violations <= goal {
                if whole {
                    return Ok(());
                }
                // Optimal among the active ones: look at all again.
                active = (0..n_weights).collect();
                widest = f64::INFINITY;
                continue;
            }
            widest = largest;
            inner_goal = f64::min(inner_goal, 0.1 * violations);
            let (delta, rounds) =
                self.l1_direction(step, w, &slopes, &gradients, &active, inner_goal);
            if rounds == 1 {
                inner_goal *= 0.25;
            }
            if !self.l1_search(w, &mut scores, &delta, &gradients) {
                return Ok(()); // no step of this size changes the objective's last digits any more
            }
        }
        Ok(())
    }

    /// Minimises the quadratic model over the active weights; returns by how much each changes, and the rounds.
    fn l1_direction(
        &self,
        step: usize,
        w: &[f64],
        slopes: &Slopes,
        gradients: &[f64],
        active: &[usize],
        goal: f64,
    ) -> (Vec<f64>, usize) {
        let mut model = Model::new(self, &slopes.second, active);
        let mut curvatures = vec![0.0; w.len()];
        for &j in active {
            curvatures[j] = model.curvature(j);
        }
        let mut delta = vec![0.0; w.len()];
        let mut looked_at = active.to_vec();
        let mut widest = f64::INFINITY;
        for round in 0..MAX_ROUNDS {
            shuffle(&mut looked_at, (step * MAX_ROUNDS + round) as u64);
            let whole = looked_at.len() == active.len();
            let (mut violations, mut largest) = (0.0, 0.0_f64);
            let mut kept = Vec::with_capacity(looked_at.len());
            for &j in &looked_at {
                let (at, penalty, h) = (w[j] + delta[j], self.penalised(j), curvatures[j]);
                let g = gradients[j] + delta[j] * RIDGE + model.slope(j);
                if at == 0.0 && penalty - g.abs() > widest / self.labels.len() as f64 {
                    continue;
                }
                let violation = self.violation(j, at, g);
                violations += violation;
                largest = largest.max(violation);
                kept.push(j);
                let to_zero = (g - h * at).abs() <= penalty;
                let change = if to_zero { -at } else { -(g - penalty.copysign(g - h * at)) / h };
                if change.abs() < 1e-12 {
                    continue;
                }
                // Exactly zero where it is meant: a sum of parts would leave a rest.
                delta[j] = if to_zero { -w[j] } else { delta[j] + change };
                model.moved(j, change);
            }
            looked_at = kept;
            widest = largest;
            if violations <= goal {
                if whole {
                    return (delta, round + 1);
                }
                looked_at = active.to_vec();
                widest = f64::INFINITY;
            }
        }
        (delta, MAX_ROUNDS)
    }

    /// Goes along `delta` as far as the objective falls enough; false if it falls nowhere.
    fn l1_search(
        &self,
        w: &mut [f64],
        scores: &mut [f64],
        delta: &[f64],
        gradients: &[f64],
    ) -> bool {
        let turned = self.scores(delta);
        let size = |step: f64| -> f64 {
            let moved = w.iter().zip(delta).enumerate();
            moved.map(|(j, (w, d))| self.penalised(j) * (w + step * d).abs()).sum()
        };
        let before = size(0.0);
        let promised =
            delta.iter().zip(gradients).map(|(d, g)| d * g).sum::<f64>() + size(1.0) - before;
        let mut step = 1.0;
        for _ in 0..30 {
            // Differences of the loss example by example: those of two sums would drown in rounding.
            let lost: f64 = scores
                .iter()
                .zip(&turned)
                .zip(self.labels)
                .map(|((&score, &turn), &label)| {
                    let sign = if label { -1.0 } else { 1.0 };
                    softplus(sign * (score + step * turn)) - softplus(sign * score)
                })
                .sum();
            let change = self.cfg.c * lost + size(step) - before;
            if change <= SUFFICIENT * step * promised {
                for (w, d) in w.iter_mut().zip(delta) {
                    *w += step * d;
                }
                scores.iter_mut().zip(&turned).for_each(|(score, turn)| *score += step * turn);
                return true;
            }
            step *= 0.5;
        }
        false
    }
}

/// An order of its own for every round: in a fixed one, neighbours that are alike slow each other down.
fn shuffle(items: &mut [usize], round: u64) {
    use rand_chacha::rand_core::Rng as _;
    let mut rng = rng::chacha(0, "coordinates", round);
    for i in (1..items.len()).rev() {
        items.swap(i, (rng.next_u64() % (i as u64 + 1)) as usize);
    }
}
