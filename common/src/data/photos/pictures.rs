//! Square pictures of one size, wherever they lie, and parts of them.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::PhotosError;
use crate::data::images::ImageSet;
use crate::data::sampler::epoch_order;

/// Square labelled pictures of one size, as levels 0–255.
pub trait Pictures: Send + Sync {
    /// How many there are.
    fn n(&self) -> usize;

    /// Rows and columns of each.
    fn side(&self) -> usize;

    /// 1 for grey, 3 for red, green, blue.
    fn channels(&self) -> usize;

    /// The class of picture `i`.
    fn label(&self, i: usize) -> u32;

    /// Picture `i`, `[side, side, channels]`; `room` is there for sets that have to make it first.
    ///
    /// # Errors
    /// If it cannot be read or decoded.
    fn picture<'a>(&'a self, i: usize, room: &'a mut Vec<u8>) -> Result<&'a [u8], PhotosError>;
}

/// Pictures in memory, e.g. CIFAR-10.
#[derive(Clone, Debug)]
pub struct MemoryPictures {
    /// `[n, side, side, channels]`.
    pixels: Vec<u8>,
    labels: Vec<u8>,
    side: usize,
    channels: usize,
}

impl MemoryPictures {
    /// The pictures of `set`, its channels moved to the last place.
    ///
    /// # Errors
    /// If they are not square.
    pub fn new(set: &ImageSet) -> Result<Self, PhotosError> {
        if set.height != set.width {
            let found = format!("{} rows and {} columns", set.height, set.width);
            return Err(PhotosError::misfit("pictures", found, "square ones"));
        }
        let (c, plane) = (set.channels, set.height * set.width);
        let mut pixels = Vec::with_capacity(set.images.len());
        for i in 0..set.n {
            let picture = set.picture(i); // [C, S, S]
            pixels.extend((0..plane).flat_map(|at| (0..c).map(move |k| picture[k * plane + at])));
        }
        Ok(Self { pixels, labels: set.labels.clone(), side: set.height, channels: c })
    }
}

impl Pictures for MemoryPictures {
    fn n(&self) -> usize {
        self.labels.len()
    }

    fn side(&self) -> usize {
        self.side
    }

    fn channels(&self) -> usize {
        self.channels
    }

    fn label(&self, i: usize) -> u32 {
        self.labels[i].into()
    }

    fn picture<'a>(&'a self, i: usize, _room: &'a mut Vec<u8>) -> Result<&'a [u8], PhotosError> {
        let size = self.side * self.side * self.channels;
        Ok(&self.pixels[i * size..(i + 1) * size])
    }
}

/// Some pictures of a set: a split, or a subset of one.
#[derive(Clone)]
pub struct Part {
    /// The whole set.
    pub pictures: Arc<dyn Pictures>,
    /// Which of its pictures, in order; at least one.
    pub indices: Arc<[u32]>,
}

/// The pictures of a smaller run are the same for every seed and variant.
const SUBSET_SEED: u64 = 0;

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} pictures", self.n(), self.pictures.n())
    }
}

impl Part {
    /// The pictures at `range`.
    ///
    /// # Errors
    /// If there are none, or not so many.
    pub fn new(pictures: Arc<dyn Pictures>, range: Range<usize>) -> Result<Self, PhotosError> {
        let n = pictures.n();
        if range.is_empty() || range.end > n {
            let found = format!("pictures {} to {}", range.start, range.end);
            return Err(PhotosError::misfit("part of a set", found, format!("some of {n}")));
        }
        let indices = (range.start as u32..range.end as u32).collect();
        Ok(Self { pictures, indices })
    }

    /// The first `n` of a fixed shuffle of this part; all of it, in its own order, when it has no more.
    ///
    /// # Errors
    /// If `n` is 0.
    pub fn subset(&self, n: usize) -> Result<Self, PhotosError> {
        if n == 0 {
            return Err(PhotosError::misfit("subset", "0 pictures", "at least one"));
        }
        if n >= self.indices.len() {
            return Ok(self.clone());
        }
        let order = epoch_order(SUBSET_SEED, 0, self.indices.len());
        let indices = order[..n].iter().map(|&i| self.indices[i as usize]).collect();
        Ok(Self { pictures: Arc::clone(&self.pictures), indices })
    }

    /// How many pictures it has.
    pub fn n(&self) -> usize {
        self.indices.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::photos::test_set::set;

    #[test]
    fn the_channels_of_a_set_in_memory_come_last() {
        let planar = set(5, 2, 3);
        let pictures = MemoryPictures::new(&planar).unwrap();
        let mut room = Vec::new();
        for i in 0..5 {
            let picture = pictures.picture(i, &mut room).unwrap();
            for (at, pixel) in picture.chunks_exact(3).enumerate() {
                let expected: Vec<u8> = (0..3).map(|c| planar.picture(i)[c * 4 + at]).collect();
                assert_eq!(pixel, expected);
            }
            assert_eq!(pictures.label(i), u32::from(planar.labels[i]));
        }
        assert_eq!((pictures.n(), pictures.side(), pictures.channels()), (5, 2, 3));
    }

    #[test]
    fn a_subset_keeps_to_its_part_and_is_the_same_each_time() {
        let pictures = Arc::new(MemoryPictures::new(&set(20, 2, 1)).unwrap());
        let part = Part::new(pictures.clone(), 5..15).unwrap();
        let subset = part.subset(4).unwrap();
        assert_eq!(subset.indices, part.subset(4).unwrap().indices);
        assert_eq!(subset.n(), 4);
        assert!(subset.indices.iter().all(|i| (5..15).contains(i)), "{:?}", subset.indices);
        assert_eq!(part.subset(10).unwrap().indices, part.indices);
        assert!(part.subset(0).is_err() && Part::new(pictures.clone(), 3..3).is_err());
        assert!(Part::new(pictures, 0..21).is_err());
    }
}
