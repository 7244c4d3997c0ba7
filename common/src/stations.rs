//! Stations of a long training: the steps at which its weights are kept, so that what it learned can be looked at
//! on the way.

/// All steps, half of them, a quarter, …, `n` in all; ascending, each once.
pub fn stations(steps: u64, n: u32) -> Vec<u64> {
    let mut at: Vec<u64> = (0..n).map(|halved| steps >> halved).filter(|&step| step > 0).collect();
    at.reverse();
    at.dedup();
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_kept_at_halves_of_all_steps() {
        assert_eq!(stations(1000, 4), [125, 250, 500, 1000]);
        assert_eq!(stations(3, 5), [1, 3]);
        assert!(stations(3, 0).is_empty());
    }
}
