//! The usual compressors at their strongest settings, to set a language model beside.

use std::io::Write as _;

/// xz's `-9e`: the strongest level with more effort.
const EXTREME: u32 = 9 | 1 << 31;

/// A compressor's name and how many bytes it needs for `content`: gzip -9, bzip2 -9, xz -9e, zstd --ultra -22.
///
/// # Errors
/// A compressor that fails.
pub fn sizes(content: &[u8]) -> std::io::Result<[(&'static str, u64); 4]> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(content)?;
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
    bzip2.write_all(content)?;
    let zstd = zstd::bulk::compress(content, 22)?;
    let of = |bytes: Vec<u8>| bytes.len() as u64;
    Ok([
        ("gzip", of(gzip.finish()?)),
        ("bzip2", of(bzip2.finish()?)),
        ("xz", xz(content, EXTREME)?),
        ("zstd", of(zstd)),
    ])
}

/// How many bytes xz needs for `content` at a level.
///
/// # Errors
/// A compressor that fails.
pub fn xz(content: &[u8], level: u32) -> std::io::Result<u64> {
    let mut xz = xz2::write::XzEncoder::new(Vec::new(), level);
    xz.write_all(content)?;
    Ok(xz.finish()?.len() as u64)
}

/// A line of bits per byte for people.
pub fn line(content: u64, sizes: &[(&str, u64)]) -> String {
    let bits = |size: u64| 8.0 * size as f64 / content.max(1) as f64;
    sizes
        .iter()
        .map(|(name, size)| format!("{name} {:.3}", bits(*size)))
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_compressor_sees_repetition_and_none_shrinks_noise() {
        let mut x = 1_u64;
        let noise: Vec<u8> = (0..20_000)
            .map(|_| {
                x ^= x << 13;
                x ^= x >> 7;
                x ^= x << 17;
                (x >> 33) as u8
            })
            .collect();
        for (name, size) in sizes(&noise).unwrap() {
            assert!(size >= 20_000, "{name} {size}");
        }
        for (name, size) in sizes(&noise[..200].repeat(100)).unwrap() {
            assert!(size < 1500, "{name} {size}");
        }
        assert_eq!(line(100, &[("gzip", 50)]), "gzip 4.000");
    }
}
