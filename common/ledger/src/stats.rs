//! Intervals: Student t for few seeds, BCa bootstrap for many, Kaplan–Meier for times to a target.

pub mod bca;
pub mod kaplan_meier;
pub mod student;
