//! From the rows of a run to the number Figure 1 is about.

use ledger::stats::kaplan_meier::Observation;

/// One row of a run: the error over the pictures since the row before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row {
    /// Passes over the training pictures at the end of the row's pictures.
    pub epoch: f64,
    /// Training error, a fraction.
    pub error: f64,
}

/// Passes over the training pictures until the error was at `target`; a run that ended before is censored
/// at its end.
///
/// A row's error belongs to the middle of its pictures; between two rows the error is a straight line.
/// None when there are no rows.
pub fn epochs_to_target(rows: &[Row], target: f64) -> Option<Observation> {
    let last = rows.last()?;
    let curve = curve(rows);
    let Some(at) = rows.iter().position(|row| row.error <= target) else {
        return Some(Observation::censored(last.epoch));
    };
    let (epoch, error) = curve[at];
    let Some((before, above)) = at.checked_sub(1).map(|i| curve[i]) else {
        return Some(Observation::reached(epoch)); // in the first row already
    };
    let share = (above - target) / (above - error);
    Some(Observation::reached(before + share * (epoch - before)))
}

/// `(epoch, error)` of each row, the epoch being the middle of the row's pictures.
pub fn curve(rows: &[Row]) -> Vec<(f64, f64)> {
    let before = std::iter::once(0.0).chain(rows.iter().map(|row| row.epoch));
    rows.iter()
        .zip(before)
        .map(|(row, start)| (f64::midpoint(start, row.epoch), row.error))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(errors: &[f64]) -> Vec<Row> {
        errors.iter().zip(1..).map(|(&error, i)| Row { epoch: 0.5 * f64::from(i), error }).collect()
    }

    #[test]
    fn the_crossing_lies_on_the_line_between_two_rows() {
        // Middles at 0.25, 0.75, 1.25; the line from 0.40 to 0.20 meets 0.25 after three quarters.
        let found = epochs_to_target(&rows(&[0.6, 0.4, 0.2]), 0.25).unwrap();
        assert!((found.time - (0.75 + 0.75 * 0.5)).abs() < 1e-12 && found.reached, "{found:?}");
    }

    #[test]
    fn a_target_met_exactly_or_at_once_is_met_at_that_row() {
        assert_eq!(epochs_to_target(&rows(&[0.6, 0.25]), 0.25), Some(Observation::reached(0.75)));
        assert_eq!(epochs_to_target(&rows(&[0.2]), 0.25), Some(Observation::reached(0.25)));
    }

    #[test]
    fn a_run_that_never_gets_there_is_censored_at_its_end() {
        assert_eq!(epochs_to_target(&rows(&[0.6, 0.5]), 0.25), Some(Observation::censored(1.0)));
        assert_eq!(epochs_to_target(&[], 0.25), None);
    }
}
