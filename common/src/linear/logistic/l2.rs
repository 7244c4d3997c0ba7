//! The penalty `½‖w‖²`.

use super::problem::{Problem, Slopes};
use super::{LinearError, MAX_STEPS, RIDGE, SUFFICIENT, softplus};

impl Problem<'_> {
    pub(super) fn l2(&self, w: &mut [f64]) -> Result<(), LinearError> {
        let gradient = |w: &[f64], slopes: &Slopes| -> Result<Vec<f64>, LinearError> {
            (0..w.len()).map(|j| Ok(self.penalised(j) * w[j] + self.gradient(j, slopes)?)).collect()
        };
        let norm = |v: &[f64]| v.iter().map(|x| x.abs()).sum::<f64>();
        let zero = vec![0.0; w.len()];
        let goal = self.cfg.tolerance
            * norm(&gradient(&zero, &self.slopes(&vec![0.0; self.labels.len()]))?);
        let mut scores = self.scores(w);
        for _ in 0..MAX_STEPS {
            let slopes = self.slopes(&scores);
            let g = gradient(w, &slopes)?;
            if norm(&g) <= goal {
                return Ok(());
            }
            let delta = self.l2_direction(&g, &slopes);
            let turned = self.scores(&delta);
            let promised: f64 = g.iter().zip(&delta).map(|(g, d)| g * d).sum();
            let mut step = 1.0;
            let mut fell = false;
            for _ in 0..30 {
                let mut change = 0.0;
                for ((&score, &turn), &label) in scores.iter().zip(&turned).zip(self.labels) {
                    let sign = if label { -1.0 } else { 1.0 };
                    change += self.cfg.c
                        * (softplus(sign * (score + step * turn)) - softplus(sign * score));
                }
                for (j, (&w, &d)) in w.iter().zip(&delta).enumerate() {
                    change += self.penalised(j) * step * d * (w + 0.5 * step * d);
                }
                if change <= SUFFICIENT * step * promised {
                    fell = true;
                    break;
                }
                step *= 0.5;
            }
            if !fell {
                return Ok(());
            }
            w.iter_mut().zip(&delta).for_each(|(w, d)| *w += step * d);
            scores.iter_mut().zip(&turned).for_each(|(score, turn)| *score += step * turn);
        }
        Ok(())
    }

    /// Solves `H·delta = −g` to a tenth by conjugate gradients, scaled by H's diagonal.
    fn l2_direction(&self, g: &[f64], slopes: &Slopes) -> Vec<f64> {
        let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
        let diagonal: Vec<f64> = (0..g.len())
            .map(|j| self.penalised(j) + RIDGE + self.dot_squared(j, &slopes.second))
            .collect();
        let scaled =
            |r: &[f64]| -> Vec<f64> { r.iter().zip(&diagonal).map(|(r, d)| r / d).collect() };
        let mut delta = vec![0.0; g.len()];
        let mut r: Vec<f64> = g.iter().map(|g| -g).collect();
        let mut z = scaled(&r);
        let mut p = z.clone();
        let mut rz = dot(&r, &z);
        let goal = 0.01 * rz; // its root is a tenth
        for _ in 0..g.len().min(200) {
            let mut bent = self.scores(&p);
            bent.iter_mut().zip(&slopes.second).for_each(|(b, second)| *b *= second);
            let hp: Vec<f64> = (0..p.len())
                .map(|j| (self.penalised(j) + RIDGE) * p[j] + self.dot(j, &bent))
                .collect();
            let alpha = rz / dot(&p, &hp);
            delta.iter_mut().zip(&p).for_each(|(d, p)| *d += alpha * p);
            r.iter_mut().zip(&hp).for_each(|(r, hp)| *r -= alpha * hp);
            z = scaled(&r);
            let next = dot(&r, &z);
            if next <= goal {
                break;
            }
            let beta = next / rz;
            p.iter_mut().zip(&z).for_each(|(p, z)| *p = z + beta * *p);
            rz = next;
        }
        delta
    }
}
