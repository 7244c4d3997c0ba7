//! Random numbers drawn from (seed, purpose, step), never from a running global state.
//!
//! Because nothing is carried from one draw to the next, a run that was stopped and resumed, or
//! that used another number of loader threads, draws the same numbers.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use sha2::{Digest, Sha256};

/// A generator of its own for `purpose` at `step` of the run with `seed`.
pub fn chacha(seed: u64, purpose: &str, step: u64) -> ChaCha8Rng {
    ChaCha8Rng::from_seed(key(seed, purpose, step))
}

/// Seeds libtorch's generators (dropout masks, initial weights) for `purpose` at `step`.
pub fn seed_torch(seed: u64, purpose: &str, step: u64) {
    let key = key(seed, purpose, step);
    let word = i64::from_le_bytes(key[..8].try_into().expect("a key has 32 bytes"));
    tch::manual_seed(word);
}

fn key(seed: u64, purpose: &str, step: u64) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(seed.to_le_bytes());
    hash.update(step.to_le_bytes());
    hash.update(purpose.as_bytes());
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::*;

    #[test]
    fn draws_differ_with_each_part_of_the_key_and_repeat_with_the_same() {
        let draw = |seed, purpose, step| chacha(seed, purpose, step).next_u64();
        let first = draw(1, "order", 7);
        assert_eq!(first, draw(1, "order", 7));
        for other in [draw(2, "order", 7), draw(1, "crop", 7), draw(1, "order", 8)] {
            assert_ne!(first, other);
        }
    }

    #[test]
    fn libtorch_draws_the_same_after_the_same_seed() {
        let draw = |step| {
            seed_torch(3, "dropout", step);
            Vec::<f32>::try_from(tch::Tensor::randn([4], (tch::Kind::Float, tch::Device::Cpu)))
                .unwrap()
        };
        assert_eq!(draw(5), draw(5));
        assert_ne!(draw(5), draw(6));
    }
}
