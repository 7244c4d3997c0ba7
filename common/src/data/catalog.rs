//! The data sets of datasets.toml and the order in which they are looked up.
