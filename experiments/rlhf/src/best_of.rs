//! Best-of-n sampling: the estimate that uses all samples at once.

/// The expected `gold` of the sample with the highest `proxy` out of n, for n = 1 to the number of samples: sorted by
/// proxy, the i-th of N (from 1) is the best of n with weight `C(i − 1, n − 1)/C(N, n)`.
///
/// Source: Nakano et al. 2021 (`WebGPT`), appendix I.
///
/// # Panics
/// If there are not as many of one as of the other.
pub fn best_of(proxy: &[f64], gold: &[f64]) -> Vec<f64> {
    assert_eq!(proxy.len(), gold.len(), "a gold reward for each proxy reward");
    let total = proxy.len();
    let mut order: Vec<usize> = (0..total).collect();
    order.sort_by(|&a, &b| proxy[a].total_cmp(&proxy[b]).then(a.cmp(&b)));
    (1..=total)
        .map(|n| {
            // The best of all has weight C(N − 1, n − 1)/C(N, n) = n/N; one place down multiplies by (i − n)/(i − 1).
            let mut weight = n as f64 / total as f64;
            let mut sum = 0.0;
            for i in (n..=total).rev() {
                sum += weight * gold[order[i - 1]];
                weight *= (i - n) as f64 / (i - 1).max(1) as f64;
            }
            sum
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_estimates_are_the_golden_ones() {
        let found = best_of(&[0.1, 0.4, 0.2, 0.3], &[1.0, 4.0, 2.0, 3.0]);
        for (found, wanted) in found.iter().zip([2.5, 10.0 / 3.0, 3.75, 4.0]) {
            assert!((found - wanted).abs() < 1e-12, "{found}, wanted {wanted}");
        }
    }

    #[test]
    fn it_is_the_mean_over_all_subsets() {
        let proxy = [0.3, -1.0, 2.0, 0.7, 0.1];
        let gold = [1.0, 5.0, -2.0, 0.5, 3.0];
        let found = best_of(&proxy, &gold);
        for n in 1..=5_usize {
            let subsets: Vec<u32> = (0..32_u32).filter(|s| s.count_ones() as usize == n).collect();
            let of = |subset: &u32| {
                let inside = (0..5).filter(|i| subset >> i & 1 == 1);
                gold[inside.max_by(|&a, &b| proxy[a].total_cmp(&proxy[b])).unwrap()]
            };
            let wanted = subsets.iter().map(of).sum::<f64>() / subsets.len() as f64;
            assert!((found[n - 1] - wanted).abs() < 1e-12, "{n}: {found:?}, wanted {wanted}");
        }
    }
}
