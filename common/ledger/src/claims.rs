//! Claims, measured values and the verdicts computed from the two.
