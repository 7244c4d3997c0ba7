//! Data inside pip, npm and apt packages.
