//! A matrix of features, stored by columns: a coordinate solver walks down one at a time.

/// `n` examples with `d` features each.
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    n: usize,
    storage: Storage,
}

#[derive(Clone, Debug, PartialEq)]
enum Storage {
    /// `[d, n]`.
    Dense { d: usize, columns: Vec<f32> },
    /// The non-zeros of column `j` are at `starts[j]..starts[j + 1]`, sorted by row.
    Sparse { starts: Vec<usize>, rows: Vec<u32>, values: Vec<f32> },
}

/// Sums kept apart so that the compiler may use the processor's vectors.
const LANES: usize = 8;

impl Features {
    /// From `rows: [n, d]`.
    ///
    /// # Panics
    /// If `rows` is not a multiple of `d`.
    pub fn dense(rows: &[f32], d: usize) -> Self {
        assert!(d > 0 && rows.len().is_multiple_of(d), "rows are [n, {d}]");
        let n = rows.len() / d;
        let mut columns = vec![0.0; rows.len()];
        // Blocks of rows, so that both sides stay in the processor's cache.
        for (block, some) in rows.chunks(64 * d).enumerate() {
            for j in 0..d {
                for (i, row) in some.chunks_exact(d).enumerate() {
                    columns[j * n + block * 64 + i] = row[j];
                }
            }
        }
        Self { n, storage: Storage::Dense { d, columns } }
    }

    /// From the non-zeros `(row, value)` of each column, sorted by row.
    ///
    /// # Panics
    /// If a row is not below `n`.
    pub fn sparse(n: usize, columns: &[Vec<(u32, f32)>]) -> Self {
        let (mut starts, mut rows, mut values) = (vec![0], Vec::new(), Vec::new());
        for column in columns {
            for &(row, value) in column {
                assert!((row as usize) < n, "row {row} of {n}");
                rows.push(row);
                values.push(value);
            }
            starts.push(rows.len());
        }
        Self { n, storage: Storage::Sparse { starts, rows, values } }
    }

    /// Examples.
    pub fn n(&self) -> usize {
        self.n
    }

    /// Features.
    pub fn d(&self) -> usize {
        match &self.storage {
            Storage::Dense { d, .. } => *d,
            Storage::Sparse { starts, .. } => starts.len() - 1,
        }
    }

    /// Whether zeros are stored like other values.
    pub(super) fn is_dense(&self) -> bool {
        matches!(self.storage, Storage::Dense { .. })
    }

    /// The examples at `indices`, in that order.
    ///
    /// # Panics
    /// If an index is not below `n`, or one is there twice in sparse features.
    #[must_use]
    pub fn select(&self, indices: &[usize]) -> Self {
        match &self.storage {
            Storage::Dense { d, columns } => {
                let columns = columns
                    .chunks_exact(self.n.max(1))
                    .flat_map(|column| indices.iter().map(|&i| column[i]));
                Self {
                    n: indices.len(),
                    storage: Storage::Dense { d: *d, columns: columns.collect() },
                }
            }
            Storage::Sparse { starts, rows, values } => {
                let mut place = vec![u32::MAX; self.n];
                for (at, &i) in indices.iter().enumerate() {
                    assert_eq!(place[i], u32::MAX, "example {i} is chosen twice");
                    place[i] = at as u32;
                }
                let columns: Vec<Vec<(u32, f32)>> = starts
                    .windows(2)
                    .map(|ends| {
                        let range = ends[0]..ends[1];
                        let all = rows[range.clone()].iter().zip(&values[range]);
                        let mut column: Vec<_> = all
                            .map(|(&row, &x)| (place[row as usize], x))
                            .filter(|c| c.0 != u32::MAX)
                            .collect();
                        column.sort_unstable_by_key(|cell| cell.0);
                        column
                    })
                    .collect();
                Self::sparse(indices.len(), &columns)
            }
        }
    }

    /// The same examples as if feature `j` were zero in all of them: what a fit makes without it. The other features
    /// keep their places.
    #[must_use]
    pub fn without(&self, j: usize) -> Self {
        let mut left = self.clone();
        match &mut left.storage {
            Storage::Dense { columns, .. } => columns[j * self.n..(j + 1) * self.n].fill(0.0),
            Storage::Sparse { starts, values, .. } => values[starts[j]..starts[j + 1]].fill(0.0),
        }
        left
    }

    /// Column `j`, `[n]`.
    pub fn column(&self, j: usize) -> Vec<f32> {
        match &self.storage {
            Storage::Dense { columns, .. } => columns[j * self.n..(j + 1) * self.n].to_vec(),
            Storage::Sparse { .. } => {
                let mut column = vec![0.0; self.n];
                self.each(j, |i, x| column[i] = x as f32);
                column
            }
        }
    }

    /// Σ xᵢⱼ·vᵢ over the examples.
    pub(super) fn dot(&self, j: usize, v: &[f64]) -> f64 {
        self.sum(j, v, |x, v| x * v)
    }

    /// Σ xᵢⱼ²·vᵢ over the examples.
    pub(super) fn dot_squared(&self, j: usize, v: &[f64]) -> f64 {
        self.sum(j, v, |x, v| x * x * v)
    }

    /// vᵢ += scale·xᵢⱼ.
    pub(super) fn add(&self, j: usize, scale: f64, v: &mut [f64]) {
        match &self.storage {
            Storage::Dense { columns, .. } => {
                let column = &columns[j * self.n..(j + 1) * self.n];
                v.iter_mut().zip(column).for_each(|(v, &x)| *v += scale * f64::from(x));
            }
            Storage::Sparse { .. } => self.each(j, |i, x| v[i] += scale * x),
        }
    }

    /// vᵢ += scale·xᵢⱼ·weightᵢ.
    pub(super) fn add_weighted(&self, j: usize, scale: f64, weights: &[f64], v: &mut [f64]) {
        match &self.storage {
            Storage::Dense { columns, .. } => {
                let column = &columns[j * self.n..(j + 1) * self.n];
                for ((v, &x), &weight) in v.iter_mut().zip(column).zip(weights) {
                    *v += scale * f64::from(x) * weight;
                }
            }
            Storage::Sparse { .. } => self.each(j, |i, x| v[i] += scale * x * weights[i]),
        }
    }

    fn sum(&self, j: usize, v: &[f64], term: impl Fn(f64, f64) -> f64) -> f64 {
        match &self.storage {
            Storage::Dense { columns, .. } => {
                let column = &columns[j * self.n..(j + 1) * self.n];
                let mut sums = [0.0; LANES];
                let (xs, vs) = (column.chunks_exact(LANES), v[..self.n].chunks_exact(LANES));
                let rest = xs.remainder().iter().zip(vs.remainder());
                let rest: f64 = rest.map(|(&x, &v)| term(f64::from(x), v)).sum();
                for (xs, vs) in xs.zip(vs) {
                    for k in 0..LANES {
                        sums[k] += term(f64::from(xs[k]), vs[k]);
                    }
                }
                sums.iter().sum::<f64>() + rest
            }
            Storage::Sparse { .. } => {
                let mut sum = 0.0;
                self.each(j, |i, x| sum += term(x, v[i]));
                sum
            }
        }
    }

    /// Shows the non-zeros of a sparse column.
    fn each(&self, j: usize, mut see: impl FnMut(usize, f64)) {
        if let Storage::Sparse { starts, rows, values } = &self.storage {
            let range = starts[j]..starts[j + 1];
            for (&row, &x) in rows[range.clone()].iter().zip(&values[range]) {
                see(row as usize, f64::from(x));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same 5 × 3 matrix in both forms.
    fn both() -> [Features; 2] {
        let rows = [1.0, 0.0, 2.0, 0.0, 3.0, 0.0, 4.0, 0.0, 0.0, 0.0, 5.0, -6.0, 0.5, 0.0, 0.0];
        let column = |j: usize| {
            let cells = (0..5).map(|i| (i as u32, rows[i * 3 + j]));
            cells.filter(|cell| cell.1 != 0.0).collect::<Vec<_>>()
        };
        [Features::dense(&rows, 3), Features::sparse(5, &[column(0), column(1), column(2)])]
    }

    #[test]
    fn dense_and_sparse_agree_in_every_operation() {
        let v = [1.0, -2.0, 3.0, 0.5, 4.0];
        let weights = [0.1, 0.2, 0.3, 0.4, 0.5];
        let [a, b] = both();
        assert_eq!((a.n(), a.d(), b.n(), b.d()), (5, 3, 5, 3));
        for j in 0..3 {
            assert_eq!(a.column(j), b.column(j));
            assert_eq!((a.dot(j, &v), a.dot_squared(j, &v)), (b.dot(j, &v), b.dot_squared(j, &v)));
            let (mut x, mut y) = (v, v);
            a.add(j, 2.0, &mut x);
            b.add(j, 2.0, &mut y);
            a.add_weighted(j, -3.0, &weights, &mut x);
            b.add_weighted(j, -3.0, &weights, &mut y);
            assert_eq!(x.map(f64::to_bits), y.map(f64::to_bits));
        }
        assert!((a.dot(2, &v) - (2.0 - 3.0)).abs() < 1e-12);
    }

    #[test]
    fn a_feature_that_is_left_out_is_zero_and_the_others_stay() {
        for features in both() {
            let left = features.without(2);
            assert_eq!(left.column(2), [0.0; 5]);
            assert_eq!((left.column(0), left.column(1)), (features.column(0), features.column(1)));
        }
    }

    #[test]
    fn chosen_examples_keep_their_order_in_both_forms() {
        for features in both() {
            let chosen = features.select(&[3, 0, 4]);
            assert_eq!(chosen.column(0), [0.0, 1.0, 0.5]);
            assert_eq!(chosen.column(2), [-6.0, 2.0, 0.0]);
        }
    }

    #[test]
    fn a_long_dense_matrix_is_turned_right() {
        let rows: Vec<f32> = (0..200 * 3).map(|i| i as f32).collect();
        let features = Features::dense(&rows, 3);
        for j in 0..3 {
            assert_eq!(
                features.column(j),
                (0..200).map(|i| (i * 3 + j) as f32).collect::<Vec<_>>()
            );
        }
    }
}
