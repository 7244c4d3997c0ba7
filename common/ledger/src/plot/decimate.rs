//! Leaves out points that cannot be seen.

/// A point on the canvas, in canvas units.
pub(super) type At = (i32, i32);

/// Thins a line: within each stretch of points that share a column `cell` units wide only the
/// first, the lowest, the highest and the last stay, in their order. What is left covers the same
/// columns from the same lowest to the same highest point, so the drawn line looks the same.
///
/// Source: Jugel, Jerzak, Hackenbroich, Markl 2014 (VLDB 7), section 4, "M4".
pub(super) fn line(points: &[At], cell: i32) -> Vec<At> {
    let mut kept: Vec<At> = Vec::new();
    for stretch in points.chunk_by(|a, b| a.0.div_euclid(cell) == b.0.div_euclid(cell)) {
        let last = stretch.len() - 1;
        let lowest = (0..=last).min_by_key(|&i| stretch[i].1).unwrap_or(0);
        let highest = (0..=last).max_by_key(|&i| stretch[i].1).unwrap_or(0);
        let mut stays = [0, lowest.min(highest), lowest.max(highest), last];
        stays.sort_unstable();
        for i in stays {
            if kept.last() != Some(&stretch[i]) {
                kept.push(stretch[i]);
            }
        }
    }
    kept
}

/// Thins markers: one for each square of `cell` units, the first.
pub(super) fn markers(points: &[At], cell: i32) -> Vec<At> {
    let mut seen = std::collections::HashSet::new();
    let square = |p: &At| (p.0.div_euclid(cell), p.1.div_euclid(cell));
    points.iter().filter(|p| seen.insert(square(p))).copied().collect()
}
