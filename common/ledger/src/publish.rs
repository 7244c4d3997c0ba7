//! Copies finished runs into results/reference.
