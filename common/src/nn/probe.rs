//! Names the first layer whose output is not finite.
