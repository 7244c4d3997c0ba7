//! What the binary and the Python version share: six batches, in an archive or unpacked, that must
//! hold the official labels and pixels.

use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::{N_TRAIN, PICTURE_BYTES, image_set};
use crate::data::error::DataError;
use crate::data::image_folder::for_each_file;
use crate::data::images::ImageSet;
use crate::data::lookup::LocatedFile;
use ledger::run::hex;

/// Reads one batch from its bytes; file and place in it are for the error.
pub(super) type ParseBatch = fn(&Path, &str, &[u8]) -> Result<ImageSet, DataError>;

/// Sums of the official `data_batch_1.bin` to `data_batch_5.bin` and `test_batch.bin`.
///
/// Source: the list of files of two independent loaders, torchvision for Ruby and red-datasets for
/// Ruby, and for the test batch a third repository.
const BATCH_SHA256: [&str; 6] = [
    "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
    "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
    "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
    "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
    "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
    "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
];

/// Reads an archive with batches of these names: train and test.
pub(super) fn read_archive(
    path: &Path,
    names: &[&str],
    parse: ParseBatch,
) -> Result<(ImageSet, ImageSet), DataError> {
    let batches = files_of_archive(path, names)?
        .iter()
        .zip(names)
        .map(|(bytes, name)| parse(path, name, bytes))
        .collect::<Result<Vec<_>, _>>()?;
    check_official(path, &batches)?;
    Ok(join(batches))
}

/// Reads unpacked batches: train and test.
pub(super) fn read_files(
    files: &[LocatedFile],
    parse: ParseBatch,
) -> Result<(ImageSet, ImageSet), DataError> {
    let mut batches = Vec::with_capacity(files.len());
    for file in files {
        let bytes = fs::read(&file.path).map_err(DataError::io(&file.path, "read"))?;
        batches.push(parse(&file.path, "batch", &bytes)?);
    }
    let folder = files.first().and_then(|f| f.path.parent()).unwrap_or(Path::new("."));
    check_official(folder, &batches)?;
    Ok(join(batches))
}

/// The archive's files with these names, in whatever folder they are.
fn files_of_archive(path: &Path, names: &[&str]) -> Result<Vec<Vec<u8>>, DataError> {
    let mut batches = vec![Vec::new(); names.len()];
    for_each_file(path, |name, content| {
        let base = name.rsplit('/').next().unwrap_or_default();
        if let Some(i) = names.iter().position(|n| *n == base) {
            content.read_to_end(&mut batches[i])?;
        }
        Ok(())
    })?;
    if let Some(i) = batches.iter().position(Vec::is_empty) {
        return Err(DataError::malformed(path, names[i], "no such file", "the official archive"));
    }
    Ok(batches)
}

/// Train and test split out of the six official batches, in order.
fn join(batches: Vec<ImageSet>) -> (ImageSet, ImageSet) {
    let mut train = image_set(Vec::with_capacity(N_TRAIN * PICTURE_BYTES), Vec::new());
    let mut test = image_set(Vec::new(), Vec::new());
    for (i, batch) in batches.into_iter().enumerate() {
        let split = if i < 5 { &mut train } else { &mut test };
        split.images.extend(batch.images);
        split.labels.extend(batch.labels);
        split.n = split.labels.len();
    }
    (train, test)
}

/// Checks that the batches, from whatever file, hold exactly the official labels and pixels.
fn check_official(path: &Path, batches: &[ImageSet]) -> Result<(), DataError> {
    for (i, (batch, wanted)) in batches.iter().zip(BATCH_SHA256).enumerate() {
        let mut hash = Sha256::new();
        for (k, label) in batch.labels.iter().enumerate() {
            hash.update([*label]);
            hash.update(batch.picture(k));
        }
        let found = hex(&hash.finalize());
        if found != wanted {
            let place =
                if i < 5 { format!("training batch {}", i + 1) } else { "test batch".into() };
            let found = format!("labels and pixels with sha256 {found}");
            return Err(DataError::malformed(path, place, found, format!("the official {wanted}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cifar10::binary::BATCH_FILES as NAMES;

    #[test]
    fn an_archive_without_a_batch_or_cut_short_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cifar.tar.gz");
        let file = std::fs::File::create(&path).unwrap();
        let gz = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        let mut tar = tar::Builder::new(gz);
        for name in &NAMES[..5] {
            let mut header = tar::Header::new_gnu();
            header.set_size(3);
            let name = format!("cifar-10-batches-bin/{name}");
            tar.append_data(&mut header, name, &b"abc"[..]).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap();
        let error = read_archive(&path, &NAMES, |_, _, _| panic!("nothing to parse"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("cifar.tar.gz: test_batch.bin: found no such file"), "{error}");
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let error = read_archive(&path, &NAMES, |_, _, _| panic!("nothing to parse"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("cifar.tar.gz: cannot unpack"), "{error}");
    }

    #[test]
    fn the_first_five_batches_are_the_training_set() {
        let batch = |i: u8| image_set(vec![i; PICTURE_BYTES], vec![i]);
        let (train, test) = join((0..6).map(batch).collect());
        assert_eq!((train.n, train.labels.as_slice()), (5, [0, 1, 2, 3, 4].as_slice()));
        assert_eq!((test.n, test.labels.as_slice(), test.picture(0)[0]), (1, [5].as_slice(), 5));
        assert_eq!(train.picture(4), [4; PICTURE_BYTES]);
    }

    #[test]
    fn other_pixels_are_not_taken_for_the_official_ones() {
        let black = image_set(vec![0; 2 * PICTURE_BYTES], vec![0, 0]);
        let error = check_official(Path::new("folder"), &[black]).unwrap_err().to_string();
        assert!(
            error.contains("folder: training batch 1") && error.contains("cee91656"),
            "{error}"
        );
    }
}
