//! Text: from files of reviews to the bytes a language model sees.
//!
//! [`input`] reads lines out of plain, packed and archived files, [`reviews`] finds the reviews in them, [`clean`]
//! makes each the published form, [`shards`] shuffles them into files once, [`segments`] cuts the batches of a step.
//! [`labelled`] are the sets that a classifier is trained and tested on, [`corpora`] says which files make which text.
//! [`books`] are long texts, kept whole and held out by author.

pub mod books;
pub mod clean;
pub mod corpora;
pub mod input;
pub mod labelled;
pub mod reviews;
pub mod segments;
pub mod shards;
