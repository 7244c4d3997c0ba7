//! libtorch: is it there, is it the right version, does it load.

use std::error::Error as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use super::Check;
use super::system::System;

/// The version that the bindings need; `setup/install-libtorch` installs the same.
pub(super) const VERSION: &str = "2.13.0";
const WHAT: &str = "libtorch";

/// Found and its version, then whether it loads.
pub(super) fn checks(system: &System) -> Vec<Check> {
    let place = system.tree.join(".libtorch");
    match found(&place) {
        Ok(check) => vec![check, loads(system, &place.join("lib/libtorch_cpu.so"))],
        Err(check) => vec![check],
    }
}

/// Whether set-up is done, as far as files tell.
pub(super) fn is_installed(system: &System) -> bool {
    found(&system.tree.join(".libtorch")).is_ok()
}

/// Whether the installed libtorch can use a GPU: it stands beside the CUDA libraries it needs.
pub(super) fn has_cuda(system: &System) -> bool {
    let lib = system.tree.join(".libtorch/lib");
    let beside = fs::canonicalize(system.tree.join(".libtorch")).map(|f| f.join("../nvidia/cudnn"));
    lib.join("libtorch_cuda.so").is_file() && (beside.is_ok_and(|f| f.is_dir()) || !is_ours(system))
}

/// Whether `.libtorch` points into an installation that `make setup` made, not to one of the
/// user's own.
fn is_ours(system: &System) -> bool {
    let target = fs::canonicalize(system.tree.join(".libtorch")).unwrap_or_default();
    let folder = target.parent().and_then(Path::file_name).unwrap_or_default();
    folder.to_string_lossy().starts_with(&format!("{VERSION}-"))
}

fn found(place: &Path) -> Result<Check, Check> {
    let setup = "make setup";
    let Ok(link) = fs::symlink_metadata(place) else {
        return Err(Check::fail(WHAT, "not installed: there is no .libtorch here", setup));
    };
    let target = fs::read_link(place).unwrap_or_else(|_| place.to_owned());
    let target = target.display();
    if link.is_symlink() && !place.exists() {
        return Err(Check::fail(
            WHAT,
            format!(".libtorch points to {target}, which is gone"),
            setup,
        ));
    }
    if !place.join("lib/libtorch_cpu.so").is_file() {
        let found = format!("{target} holds no lib/libtorch_cpu.so");
        return Err(Check::fail(WHAT, found, "rm .libtorch, remove that folder, make setup"));
    }
    match version(place) {
        Some(version) if version.split('+').next() == Some(VERSION) => {
            Ok(Check::ok(WHAT, format!("{version} in {target}")))
        }
        Some(version) => Err(Check::fail(
            WHAT,
            format!("version {version} in {target}; wanted {VERSION}"),
            "rm .libtorch && make setup",
        )),
        None => Err(Check::fail(
            WHAT,
            format!("{target}/version.py does not say its version; wanted {VERSION}"),
            "rm .libtorch, remove that folder, make setup",
        )),
    }
}

/// What `version.py` says; the wheel has no build-version file.
fn version(place: &Path) -> Option<String> {
    let text = fs::read_to_string(place.join("version.py")).ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("__version__ = "))?;
    Some(line.trim().trim_matches(['\'', '"']).to_owned())
}

/// Lets the dynamic linker load a library, in another process: one that crashes is a finding too.
pub(super) fn try_load(system: &System, library: &Path) -> Result<(), String> {
    // This very file, also if a build has replaced it since.
    let me = "/proc/self/exe";
    let output = system.output(me, &["doctor", "--load", &library.to_string_lossy()])?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Err(if said.is_empty() { format!("the loader ended with {}", output.status) } else { said })
}

/// The other process: loads the library and says why not.
pub(super) fn load_and_say(library: &Path) -> ExitCode {
    use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
    // SAFETY: loading runs the library's initialisers. It is the library that every binary of this
    // project links, and this process does nothing else.
    #[expect(unsafe_code, reason = "only the dynamic linker knows whether a library loads")]
    let loaded = unsafe { Library::open(Some(library), RTLD_NOW | RTLD_LOCAL) };
    match loaded {
        Ok(library) => {
            std::mem::forget(library); // unloading it is not the question
            ExitCode::SUCCESS
        }
        Err(error) => {
            let said = error.source().map_or_else(|| error.to_string(), ToString::to_string);
            // If the parent no longer listens there is nobody to tell.
            let _ = writeln!(io::stdout(), "{said}");
            ExitCode::FAILURE
        }
    }
}

fn loads(system: &System, library: &Path) -> Check {
    let what = "libtorch loads";
    let Err(said) = try_load(system, library) else {
        return Check::ok(what, "libtorch_cpu.so and all it needs");
    };
    let fix = if said.contains("GLIBC") || said.contains("CXXABI") {
        "use a newer system: the wheel needs glibc 2.28 and libstdc++ of GCC 11"
    } else if said.contains("signal") {
        "the library crashes here; remove the folder that .libtorch points to, make setup"
    } else if system.var("LD_LIBRARY_PATH").is_some() {
        "unset LD_LIBRARY_PATH; if that does not help, remove the folder that .libtorch points to, \
         make setup"
    } else {
        "remove the folder that .libtorch points to, make setup"
    };
    Check::fail(what, said, fix)
}
