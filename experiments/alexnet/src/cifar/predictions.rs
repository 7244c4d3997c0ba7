//! What a net took the test pictures for: one file a run, from which the errors are computed.

use std::path::Path;

use serde::{Deserialize, Serialize};

use common::rows::{read_rows, write_rows};

/// The file in a run's folder.
pub const FILE: &str = "predictions.csv.gz";

/// What one test picture was taken for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// The pictures it is one of: `test`, or which copy of them.
    pub set: String,
    /// Views averaged: 1 or 10.
    pub views: usize,
    /// Its class.
    pub label: u8,
    /// The class with the largest probability.
    pub predicted: u8,
    /// `−ln` of the probability that the net gives to its class, nats, to four places.
    pub loss: f64,
}

/// Error, a fraction, and mean loss in nats over the pictures of `set` with so many views; none without
/// any.
pub fn error_and_loss(predictions: &[Prediction], set: &str, views: usize) -> Option<(f64, f64)> {
    let of_set = || predictions.iter().filter(|p| p.set == set && p.views == views);
    let n = of_set().count() as f64;
    let wrong = of_set().filter(|p| p.predicted != p.label).count() as f64;
    let loss: f64 = of_set().map(|p| p.loss).sum();
    (n > 0.0).then(|| (wrong / n, loss / n))
}

/// Writes the predictions to `folder`.
///
/// # Errors
/// If the file cannot be written.
pub fn write(folder: &Path, predictions: &[Prediction]) -> anyhow::Result<()> {
    write_rows(&folder.join(FILE), predictions)
}

/// Reads the predictions of the run in `folder`.
///
/// # Errors
/// If the file cannot be read or is not what [`write`] writes.
pub fn read(folder: &Path) -> anyhow::Result<Vec<Prediction>> {
    read_rows(&folder.join(FILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prediction(set: &str, views: usize, predicted: u8, loss: f64) -> Prediction {
        Prediction { set: set.into(), views, label: 3, predicted, loss }
    }

    #[test]
    fn what_is_written_is_read_back_and_counted_by_set_and_views() {
        let folder = tempfile::tempdir().unwrap();
        let written = [
            prediction("test", 1, 3, 0.5),
            prediction("test", 1, 4, 1.5),
            prediction("test", 10, 3, 0.25),
            prediction("other", 1, 4, 2.0),
        ];
        write(folder.path(), &written).unwrap();
        let found = read(folder.path()).unwrap();
        assert_eq!(found, written);
        assert_eq!(error_and_loss(&found, "test", 1), Some((0.5, 1.0)));
        assert_eq!(error_and_loss(&found, "test", 10), Some((0.0, 0.25)));
        assert_eq!(error_and_loss(&found, "none", 1), None);
    }

    #[test]
    fn a_file_that_is_damaged_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), b"no gzip").unwrap();
        let error = format!("{:#}", read(folder.path()).unwrap_err());
        assert!(error.contains(FILE), "{error}");
    }
}
