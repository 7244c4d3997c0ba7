//! What a training loop measures between two rows of `metrics.csv`.

use serde::{Deserialize, Serialize};

/// Sums over the updates since the last row; part of what a checkpoint holds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Window {
    updates: u64,
    loss: f64,
    grad_norm: f64,
}

/// Means over the updates of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Means {
    /// Of the loss.
    pub loss: f64,
    /// Of the gradients' norm before clipping.
    pub grad_norm: f64,
}

impl Window {
    /// Adds an update.
    pub fn add(&mut self, loss: f64, grad_norm: f64) {
        self.updates += 1;
        self.loss += loss;
        self.grad_norm += grad_norm;
    }

    /// The means over the updates added since the last call; not a number without any.
    pub fn take(&mut self) -> Means {
        let Self { updates, loss, grad_norm } = std::mem::take(self);
        Means { loss: loss / updates as f64, grad_norm: grad_norm / updates as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_the_means_of_its_own_updates() {
        let mut window = Window::default();
        window.add(3.0, 1.0);
        window.add(5.0, 2.0);
        assert_eq!(window.take(), Means { loss: 4.0, grad_norm: 1.5 });
        window.add(7.0, 0.5);
        assert_eq!(window.take(), Means { loss: 7.0, grad_norm: 0.5 });
    }
}
