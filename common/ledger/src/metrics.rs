//! metrics.csv: one row a step, every scalar a column.
