//! Photographs: from class folders of JPEG and PNG files to batches.
//!
//! [`prepare`] decodes a folder once, brings every picture to `side × side` and packs them into one
//! file; [`PreparedSet`] maps that file into memory. [`TrainBatches`] cuts random views of any
//! [`Pictures`] (a prepared file, CIFAR-10 in memory), [`TestBatches`] the fixed ones. Pictures are
//! `[side, side, channels]` throughout: channels last.

mod augment;
mod batches;
mod decode;
mod error;
mod folder;
mod layout;
mod pictures;
mod prepare;
mod prepared;
mod resize;
mod source;
mod square;
mod statistics;
#[cfg(test)]
mod test_set;
mod views;

pub use self::augment::{Centring, ColourNoise, MeanAt, NoiseForm, TrainView};
pub use self::batches::{Batch, TestBatches, TrainBatches};
pub use self::decode::{BadPicture, decode};
pub use self::error::PhotosError;
pub use self::folder::{FolderPictures, Square};
pub use self::pictures::{MemoryPictures, Part, Pictures};
pub use self::prepare::{PrepareOptions, Report, default_place, prepare, prepared};
pub use self::prepared::PreparedSet;
pub use self::resize::resized;
pub use self::source::{Source, SplitName};
pub use self::square::square;
pub use self::statistics::{Pca, Statistics};
pub use self::views::TestView;
