//! Which part of what all share out is a process's own.

use std::ops::Range;

use tch::Tensor;

use super::{World, WorldError};
use crate::rng;

/// One process's share of what all share out; another thread may have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    rank: usize,
    size: usize,
}

impl Share {
    /// That of a process that is alone.
    pub const ALL: Self = Self { rank: 0, size: 1 };

    /// Its part of `n` things: one more in some processes than in others where they cannot be shared evenly, as an
    /// epoch's last, shorter batch.
    pub fn of(self, n: usize) -> Range<usize> {
        n * self.rank / self.size..n * (self.rank + 1) / self.size
    }

    /// Refuses `n` things, called `what`, that cannot be shared evenly.
    ///
    /// # Errors
    /// When the number of processes does not divide `n`.
    pub fn divides(self, what: &str, n: usize) -> Result<(), WorldError> {
        if n.is_multiple_of(self.size) {
            return Ok(());
        }
        Err(WorldError::Share { what: what.to_owned(), n, size: self.size })
    }

    /// Refuses `n` things, called `what`, of which a process would get none.
    ///
    /// # Errors
    /// When there are fewer than processes, but not none at all.
    pub fn reaches(self, what: &str, n: usize) -> Result<(), WorldError> {
        if n == 0 || n >= self.size {
            return Ok(());
        }
        Err(WorldError::Share { what: what.to_owned(), n, size: self.size })
    }
}

/// Which part of an update's samples a process takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Division {
    /// Its micro-batches.
    pub micro: Vec<u64>,
    /// Its rows of each of them.
    pub rows: Range<usize>,
}

impl World {
    /// This process's part of `n` things that are shared evenly; `what` is what an error calls them.
    ///
    /// # Errors
    /// When the number of processes does not divide `n`.
    pub fn share(&self, what: &str, n: usize) -> Result<Range<usize>, WorldError> {
        self.own().divides(what, n)?;
        Ok(self.own().of(n))
    }

    /// Which share of a batch is this process's own.
    pub fn own(&self) -> Share {
        Share { rank: self.rank(), size: self.size() }
    }

    /// This process's part of an update of `accumulate` micro-batches of `batch` rows: whole micro-batches as far as
    /// their number can be shared, rows of them beyond that.
    ///
    /// # Errors
    /// When neither can be shared evenly.
    pub fn divide(&self, batch: usize, accumulate: u64) -> Result<Division, WorldError> {
        let groups = gcd(accumulate, self.size() as u64);
        let within = self.size() / groups as usize;
        if !batch.is_multiple_of(within) {
            let (what, n) = (format!("a batch of {accumulate} times {batch}"), batch);
            return Err(WorldError::Share { what, n: n * accumulate as usize, size: self.size() });
        }
        let (group, part) = (self.rank() as u64 % groups, self.rank() / groups as usize);
        let own = batch / within;
        Ok(Division {
            micro: (group..accumulate).step_by(groups as usize).collect(),
            rows: part * own..(part + 1) * own,
        })
    }

    /// This process's share of the rows `[n, …]`, which `what` is an error's name for.
    ///
    /// # Errors
    /// When the number of processes does not divide `n`.
    pub fn rows(&self, what: &str, all: &Tensor) -> Result<Tensor, WorldError> {
        let own = self.share(what, all.size()[0] as usize)?;
        Ok(all.narrow(0, own.start as i64, own.len() as i64))
    }

    /// Seeds libtorch for `purpose` at `step`: in each process with another seed, since each sees other samples, and
    /// in the first with that of a process that is alone.
    pub fn seed_torch(&self, seed: u64, purpose: &str, step: u64) {
        match self.rank() {
            0 => rng::seed_torch(seed, purpose, step),
            rank => rng::seed_torch(seed, &format!("{purpose} of process {rank}"), step),
        }
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_cover_everything_once() {
        for (n, size) in [(8, 2), (7, 3), (3, 3), (80, 7)] {
            let shares = (0..size).map(|rank| Share { rank, size }.of(n));
            let all: Vec<usize> = shares.flatten().collect();
            assert_eq!(all, (0..n).collect::<Vec<_>>());
        }
        let four = Share { rank: 0, size: 4 };
        assert!(four.divides("a batch", 8).is_ok() && four.divides("a batch", 6).is_err());
        assert!(four.reaches("the last batch", 0).is_ok() && four.reaches("it", 3).is_err());
    }

    #[test]
    fn the_greatest_common_divisor_is_that_of_euclid() {
        for (a, b, wanted) in [(8, 12, 4), (1, 5, 1), (6, 6, 6), (9, 4, 1)] {
            assert_eq!(gcd(a, b), wanted);
        }
    }
}
