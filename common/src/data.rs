//! Data sets: where they come from and how they are read.

pub mod catalog;
pub mod cifar10;
pub mod fetch;
pub mod idx;
pub mod image_folder;
pub mod loader;
pub mod packages;
pub mod pickle;
