//! A repository with results in a temporary folder: the pages, publishing, and the check of what is
//! published, through the library and through the program.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod publish;
mod report;
mod tree;
mod verify;
