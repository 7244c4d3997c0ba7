//! Processor, cores, memory, disk: what the machine has and what a container leaves of it.

use std::collections::BTreeSet;
use std::path::Path;
use std::thread;

use super::system::{System, gigabytes};
use super::{Check, libtorch};

/// Free space in bytes: below the first set-up or a build fails, below the second a long run may.
const CACHE_SPACE: (u64, u64) = (2_000_000_000, 6_000_000_000);
const TREE_SPACE: (u64, u64) = (1_000_000_000, 4_000_000_000);
/// Memory in bytes below which a build swaps, or is killed.
const MEMORY: u64 = 4_000_000_000;

/// Each resource in one line.
pub(super) fn checks(system: &System) -> Vec<Check> {
    let info = system.read("/proc/cpuinfo").unwrap_or_default();
    let mut checks = vec![
        processor(&info, std::env::consts::ARCH),
        cores(&info, usable_cores()),
        memory(system),
    ];
    let cache_space = if libtorch::is_installed(system) { (0, CACHE_SPACE.1) } else { CACHE_SPACE };
    match system.cache() {
        Some(cache) => checks.push(disk("disk of the cache", &cache, cache_space, free_at(&cache))),
        None => checks.push(Check::fail(
            "disk of the cache",
            "no cache folder: LANDMARKS_CACHE, XDG_CACHE_HOME and HOME are all unset",
            "set LANDMARKS_CACHE to a folder with 6 GB free",
        )),
    }
    let tree = &system.tree;
    checks.push(disk("disk of the tree", tree, TREE_SPACE, free_at(tree)));
    checks
}

/// The cores this process may use: affinity and control groups respected.
pub(super) fn usable_cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// The first value of a field of `/proc/cpuinfo`.
fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then_some(value.trim())
    })
}

fn processor(info: &str, arch: &str) -> Check {
    let what = "processor";
    let model = field(info, "model name").unwrap_or(arch);
    // One of the two is there: `flags` on x86, `Features` on Arm.
    let flags: BTreeSet<&str> = field(info, "flags")
        .or_else(|| field(info, "Features"))
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let asked: &[&str] = match arch {
        "x86_64" => &["avx2", "fma", "avx512f", "avx512_bf16", "amx_tile", "amx_bf16"],
        _ => &["asimd", "sve", "bf16"],
    };
    let (has, lacks): (Vec<&str>, Vec<&str>) = asked.iter().partition(|f| flags.contains(*f));
    let list = |names: &[&str]| if names.is_empty() { "none".into() } else { names.join(" ") };
    let found = format!("{model}; has {}; has not {}", list(&has), list(&lacks));
    if arch == "x86_64" && !(flags.contains("avx2") && flags.contains("fma")) {
        let fix = "expect several times the printed minutes; a virtual machine may hide features \
                   its host has (CPU type `host`)";
        return Check::warn(what, found, fix);
    }
    Check::ok(what, found)
}

fn cores(info: &str, usable: usize) -> Check {
    let online = info.lines().filter(|l| l.starts_with("processor")).count();
    // A core is a pair of package and number within it; machines that say neither have no threads
    // that share one, as far as we can tell.
    let mut physical = BTreeSet::new();
    let mut package = "";
    for line in info.lines() {
        match line.split_once(':').map(|(k, v)| (k.trim(), v.trim())) {
            Some(("physical id", id)) => package = id,
            Some(("core id", id)) => {
                physical.insert((package, id));
            }
            _ => {}
        }
    }
    let mut found = vec![format!("{usable} usable")];
    if online > usable {
        found.push(format!("{} kept from this process", online - usable));
    }
    if !physical.is_empty() && physical.len() < online {
        found.push(format!("{online} threads on {} physical cores", physical.len()));
    }
    Check::ok("cores", found.join("; "))
}

fn memory(system: &System) -> Check {
    let what = "memory";
    let info = system.read("/proc/meminfo").unwrap_or_default();
    let kilobytes = |name| -> Option<u64> {
        field(&info, name)?.split_whitespace().next()?.parse::<u64>().ok().map(|n| n * 1024)
    };
    let (Some(total), Some(free)) = (kilobytes("MemTotal"), kilobytes("MemAvailable")) else {
        return Check::warn(what, "unknown: /proc/meminfo does not say", "mount /proc");
    };
    let limit = group_limit(system).filter(|&limit| limit < total);
    let usable = limit.unwrap_or(total);
    let mut found = format!("{}, {} of it free", gigabytes(total), gigabytes(free));
    if let Some(limit) = limit {
        found = format!("{} by the control group's limit; machine: {found}", gigabytes(limit));
    }
    if usable.min(free) < MEMORY {
        let fix = format!("end other programs, or use a machine with {} free", gigabytes(MEMORY));
        return Check::warn(what, found, fix);
    }
    Check::ok(what, found)
}

/// The smallest memory limit on the way from this process's control group to the root, in bytes.
fn group_limit(system: &System) -> Option<u64> {
    let groups = system.read("/proc/self/cgroup")?;
    let mut limits = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (parts.next(), parts.next()) else { continue };
        let (mount, file) = if controllers.is_empty() {
            ("/sys/fs/cgroup", "memory.max")
        } else if controllers.split(',').any(|c| c == "memory") {
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
        } else {
            continue;
        };
        // In a container the group's own path may not be mounted; its root then is.
        for folder in Path::new(group).ancestors() {
            let folder = folder.to_string_lossy();
            let text = system.read(&format!("{mount}/{}/{file}", folder.trim_matches('/')));
            limits.extend(text.and_then(|t| t.trim().parse::<u64>().ok()));
        }
    }
    limits.into_iter().min()
}

/// Free bytes on the disk that holds `folder` or, if it is not there yet, would hold it.
fn free_at(folder: &Path) -> Option<u64> {
    let there = folder.ancestors().find(|f| f.is_dir())?;
    let stat = rustix::fs::statvfs(there).ok()?;
    Some(stat.f_bavail * stat.f_frsize)
}

fn disk(what: &str, folder: &Path, (least, enough): (u64, u64), free: Option<u64>) -> Check {
    let shown = folder.display();
    let Some(free) = free else {
        return Check::warn(what, format!("{shown}: cannot tell what is free"), "check the path");
    };
    let found = format!("{} free at {shown}", gigabytes(free));
    let fix = |wanted| match what {
        "disk of the cache" => {
            format!("free {} there, or set LANDMARKS_CACHE to a larger disk", gigabytes(wanted))
        }
        _ => format!("free {} there", gigabytes(wanted)),
    };
    if free < least {
        Check::fail(what, found, fix(least))
    } else if free < enough {
        Check::warn(what, found, fix(enough))
    } else {
        Check::ok(what, found)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;

    use super::super::Status;
    use super::*;

    const INFO: &str = "processor\t: 0\nmodel name\t: Made Up 3000\nphysical id\t: 0\n\
                        core id\t\t: 0\nflags\t\t: fpu avx2 fma avx512f\n\n\
                        processor\t: 1\nmodel name\t: Made Up 3000\nphysical id\t: 0\n\
                        core id\t\t: 0\nflags\t\t: fpu avx2 fma avx512f\n";

    #[test]
    fn processor_features_are_told_apart() {
        let check = processor(INFO, "x86_64");
        assert_eq!(check.status, Status::Ok);
        let wanted = "Made Up 3000; has avx2 fma avx512f; has not avx512_bf16 amx_tile amx_bf16";
        assert_eq!(check.found, wanted);
        let old = processor(&INFO.replace("avx2", ""), "x86_64");
        assert_eq!(old.status, Status::Warn, "{old}");
        let arm = processor("processor : 0\nFeatures : fp asimd bf16\n", "aarch64");
        assert_eq!(arm.found, "aarch64; has asimd bf16; has not sve");
        assert_eq!(arm.status, Status::Ok);
    }

    #[test]
    fn shared_and_withheld_cores_are_told() {
        let found = cores(INFO, 1).found;
        assert_eq!(found, "1 usable; 1 kept from this process; 2 threads on 1 physical cores");
        assert_eq!(cores("processor : 0\nprocessor : 1\n", 2).found, "2 usable");
    }

    /// A system whose files are these.
    fn with_files(files: &[(&str, &str)]) -> (tempfile::TempDir, System) {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let root = dir.path().to_owned();
        let system = System { tree: root.clone(), root, vars: BTreeMap::new() };
        (dir, system)
    }

    const MEMINFO: &str = "MemTotal: 24000000 kB\nMemFree: 1 kB\nMemAvailable: 20000000 kB\n";

    #[test]
    fn the_smallest_memory_limit_up_the_groups_counts() {
        for (files, limit) in [
            (vec![], None),
            (vec![("sys/fs/cgroup/a/b/memory.max", "max\n")], None),
            (vec![("sys/fs/cgroup/a/b/memory.max", "8000000000\n")], Some(8_000_000_000)),
            (
                vec![
                    ("sys/fs/cgroup/a/b/memory.max", "8000000000\n"),
                    ("sys/fs/cgroup/a/memory.max", "5000000000\n"),
                ],
                Some(5_000_000_000),
            ),
            // A container that sees only the root of its group.
            (vec![("sys/fs/cgroup/memory.max", "6000000000\n")], Some(6_000_000_000)),
        ] {
            let mut files = files;
            files.extend([("proc/self/cgroup", "0::/a/b\n"), ("proc/meminfo", MEMINFO)]);
            let (_dir, system) = with_files(&files);
            assert_eq!(group_limit(&system), limit, "{files:?}");
        }
        let (_dir, system) = with_files(&[
            ("proc/self/cgroup", "4:memory:/x\n3:cpu:/x\n0::/\n"),
            ("sys/fs/cgroup/memory/x/memory.limit_in_bytes", "3000000000\n"),
            ("proc/meminfo", MEMINFO),
        ]);
        let check = memory(&system);
        assert_eq!(check.status, Status::Warn, "{check}");
        let wanted = "3.0 GB by the control group's limit; machine: 24.6 GB, 20.5 GB of it free";
        assert_eq!(check.found, wanted);
    }

    #[test]
    fn version_1_says_unlimited_with_a_number_larger_than_the_machine() {
        let (_dir, system) = with_files(&[
            ("proc/self/cgroup", "4:memory:/\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("proc/meminfo", MEMINFO),
        ]);
        assert_eq!(memory(&system).found, "24.6 GB, 20.5 GB of it free");
    }

    #[test]
    fn a_small_disk_fails_and_a_middling_one_warns() {
        let at = |free| disk("disk of the cache", Path::new("/c"), CACHE_SPACE, free).status;
        assert_eq!(at(Some(CACHE_SPACE.0 - 1)), Status::Fail);
        assert_eq!(at(Some(CACHE_SPACE.0)), Status::Warn);
        assert_eq!(at(Some(CACHE_SPACE.1)), Status::Ok);
        assert_eq!(at(None), Status::Warn);
    }

    #[test]
    fn free_space_is_asked_of_the_folder_that_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let text = std::process::Command::new("df")
            .args(["-B1", "--output=avail"])
            .arg(dir.path())
            .output()
            .unwrap();
        let df: f64 = String::from_utf8_lossy(&text.stdout)
            .lines()
            .nth(1)
            .and_then(|l| l.trim().parse().ok())
            .unwrap();
        let ours = free_at(&dir.path().join("not/there/yet")).unwrap() as f64;
        assert!((ours - df).abs() < 2e9, "\nexpected about {df}\n     got {ours}");
    }
}
