//! The idx format of the MNIST family.
