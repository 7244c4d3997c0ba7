//! Photographs: the paper's training (section 5) of [`AlexNet`](crate::network::AlexNet) on ImageNet or a
//! part of it, and its evaluation with one view and with ten (section 4.1).

pub mod data;
pub mod eval;
pub mod schedule;
pub mod train;
