//! Environment variables that change what is built or how it runs. `make` clears the first kind.

use std::fs;
use std::path::Path;

use super::machine::usable_cores;
use super::system::System;
use super::{Check, Status};

const WHAT: &str = "environment";

/// A line for each variable that interferes, or one that says none does.
pub(super) fn checks(system: &System) -> Vec<Check> {
    let mut checks = build_variables(system);
    checks.extend(library_path(system));
    checks.extend(omp_threads(system, usable_cores()));
    checks.extend(visible_gpus(system));
    if checks.iter().all(|c| c.status == Status::Ok) {
        checks.insert(0, Check::ok(WHAT, "no variable interferes"));
    }
    checks
}

fn build_variables(system: &System) -> Vec<Check> {
    let libtorch = |name: &str| name == "LIBTORCH" || name.starts_with("LIBTORCH_");
    let cargo = [
        "RUSTFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_BUILD_RUSTFLAGS",
        "CARGO_TARGET_DIR",
        "CARGO_BUILD_TARGET_DIR",
    ];
    system
        .vars
        .iter()
        // What they would be anyway; cargo itself sets LIBTORCH for what it starts.
        .filter(|(_, value)| {
            ![".libtorch", "target"].iter().any(|own| Path::new(value) == system.tree.join(own))
        })
        .filter_map(|(name, value)| {
            let effect = if libtorch(name) {
                "cargo then builds against another libtorch than .libtorch"
            } else if cargo[..3].contains(&name.as_str()) {
                "it replaces the run paths in .cargo/config.toml, and binaries may not start"
            } else if cargo.contains(&name.as_str()) {
                "a target folder outside the work tree holds binaries that do not find .libtorch"
            } else {
                return None;
            };
            let found = format!("{name}={value}: {effect}");
            Some(Check::warn(WHAT, found, format!("unset {name}, or build with make, which does")))
        })
        .collect()
}

/// `LD_LIBRARY_PATH` matters where one of its folders holds a library that libtorch brings too.
fn library_path(system: &System) -> Vec<Check> {
    let rivals = ["libtorch_cpu.so", "libc10.so", "libgomp.so.1", "libcudart.so.13"];
    let path = system.var("LD_LIBRARY_PATH").unwrap_or_default();
    let own = fs::canonicalize(system.tree.join(".libtorch/lib")).ok();
    let shadowing =
        path.split(':').filter(|f| fs::canonicalize(f).ok() != own).find_map(|folder| {
            let rival = rivals.iter().find(|name| Path::new(folder).join(name).exists())?;
            Some((folder, rival))
        });
    let Some((folder, rival)) = shadowing else { return Vec::new() };
    let found =
        format!("LD_LIBRARY_PATH names {folder}, whose {rival} is taken before .libtorch's");
    vec![Check::warn(WHAT, found, "unset LD_LIBRARY_PATH, or start with make, which does")]
}

fn omp_threads(system: &System, cores: usize) -> Vec<Check> {
    let Some(value) = system.var("OMP_NUM_THREADS") else { return Vec::new() };
    let found = format!("OMP_NUM_THREADS={value}");
    vec![match value.parse::<usize>() {
        Ok(threads) if (1..=cores).contains(&threads) => Check::ok(WHAT, found),
        Ok(threads) if threads > cores => Check::warn(
            WHAT,
            format!("{found}, more than the {cores} usable cores: OpenMP then spins and collapses"),
            "unset OMP_NUM_THREADS, or pass --threads",
        ),
        _ => Check::warn(WHAT, format!("{found}, which is no number of threads"), {
            format!("unset it, or set it to 1–{cores}")
        }),
    }]
}

/// A set but empty list hides every GPU, so this looks at empty values too.
fn visible_gpus(system: &System) -> Vec<Check> {
    let Some(value) = system.vars.get("CUDA_VISIBLE_DEVICES") else { return Vec::new() };
    let found = format!("CUDA_VISIBLE_DEVICES={value}");
    vec![if value.is_empty() || value.trim_start().starts_with('-') {
        Check::warn(WHAT, format!("{found} hides every GPU"), "unset CUDA_VISIBLE_DEVICES")
    } else {
        Check::ok(WHAT, format!("{found}: only those GPUs are seen, counted from 0"))
    }]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn system(vars: &[(&str, &str)]) -> System {
        let vars = vars.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
        System { tree: "/nowhere".into(), root: "/nowhere".into(), vars }
    }

    #[test]
    fn each_interfering_variable_has_its_line() {
        for (name, value) in [
            ("LIBTORCH", "/opt/libtorch"),
            ("LIBTORCH_USE_PYTORCH", "1"),
            ("LIBTORCH_BYPASS_VERSION_CHECK", "1"),
            ("RUSTFLAGS", "-Ctarget-cpu=native"),
            ("CARGO_TARGET_DIR", "/tmp/t"),
            ("OMP_NUM_THREADS", "9999"),
            ("OMP_NUM_THREADS", "0"),
            ("OMP_NUM_THREADS", "two"),
            ("CUDA_VISIBLE_DEVICES", ""),
            ("CUDA_VISIBLE_DEVICES", "-1"),
        ] {
            let checks = checks(&system(&[(name, value)]));
            assert_eq!(checks.len(), 1, "{name}={value}: {checks:?}");
            assert_eq!(checks[0].status, Status::Warn, "{name}={value}");
            assert!(checks[0].found.contains(&format!("{name}={value}")), "{:?}", checks[0]);
            assert!(checks[0].fix.is_some());
        }
    }

    #[test]
    fn harmless_variables_are_fine() {
        for vars in [
            &[][..],
            &[("OMP_NUM_THREADS", "1")],
            &[("CUDA_VISIBLE_DEVICES", "0,1")],
            &[("LD_LIBRARY_PATH", "/nonexistent:")],
            &[("LIBTORCHES", "x"), ("PATH", "/bin")],
            &[("LIBTORCH", "/nowhere/.libtorch"), ("CARGO_TARGET_DIR", "/nowhere/target")],
        ] {
            let checks = checks(&system(vars));
            assert!(checks.iter().all(|c| c.status == Status::Ok), "{vars:?}: {checks:?}");
        }
    }

    #[test]
    fn a_library_path_with_another_libtorch_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let lib = dir.path().join(".libtorch/lib");
        fs::create_dir_all(&lib).unwrap();
        fs::write(lib.join("libc10.so"), "").unwrap();
        fs::write(dir.path().join("libc10.so"), "").unwrap();
        let mut system = system(&[("LD_LIBRARY_PATH", lib.to_str().unwrap())]);
        system.tree = dir.path().to_owned();
        assert!(library_path(&system).is_empty(), "the tree's own folder is no rival");
        let path = format!("/usr/lib:{}:{}", lib.display(), dir.path().display());
        system.vars.insert("LD_LIBRARY_PATH".into(), path);
        let checks = checks(&system);
        assert_eq!(checks.len(), 1);
        assert_eq!(checks[0].status, Status::Warn);
        let wanted = format!("{}, whose libc10.so", dir.path().display());
        assert!(checks[0].found.contains(&wanted), "{}", checks[0]);
    }
}
