//! The GPU: which, whether this libtorch can use it, and if there is none, why.

use std::fs;
use std::path::Path;

use super::system::{System, at_least};
use super::{Check, libtorch};

const WHAT: &str = "GPU";
/// The oldest driver that runs CUDA 13.0.
///
/// Source: NVIDIA, CUDA Toolkit 13.0 release notes, table "CUDA Toolkit and Minimum Required
/// Driver Version".
const DRIVER: &str = "580";
const NVIDIA: &str = "0x10de";
const AMD: &str = "0x1002";

/// A line for each GPU, or one that says why there is none.
pub(super) fn checks(system: &System) -> Vec<Check> {
    let query = ["--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"];
    match system.output("nvidia-smi", &query) {
        Ok(output) if output.status.success() => {
            let text = String::from_utf8_lossy(&output.stdout);
            let mut checks: Vec<Check> =
                text.lines().filter(|l| !l.trim().is_empty()).map(|l| one(l.trim())).collect();
            if checks.is_empty() {
                let found = "none: nvidia-smi lists no GPU";
                checks.push(Check::warn(WHAT, found, "make the card visible to this machine"));
            } else {
                checks.push(usable(system));
            }
            checks
        }
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stdout);
            let said = said.lines().find(|l| !l.trim().is_empty()).unwrap_or("no reason given");
            let fix = if said.contains("mismatch") {
                "restart the machine: the driver was updated while running"
            } else {
                "mend the NVIDIA driver: nvidia-smi has to work"
            };
            vec![Check::warn(WHAT, format!("none: nvidia-smi says `{}`", said.trim()), fix)]
        }
        Err(why) if why == "not found" => vec![without_driver(system)],
        Err(why) => vec![Check::warn(WHAT, format!("none: {why}"), "mend the NVIDIA driver")],
    }
}

/// A line of `nvidia-smi`: name, memory, driver.
fn one(line: &str) -> Check {
    match line.rsplit(',').next().map(str::trim) {
        Some(driver) if !at_least(driver, DRIVER) => {
            let found = format!("{line}: the driver is older than {DRIVER}, which CUDA 13.0 needs");
            Check::warn(WHAT, found, "update the NVIDIA driver")
        }
        _ => Check::ok(WHAT, line),
    }
}

/// Whether the installed libtorch can use the GPUs there are.
fn usable(system: &System) -> Check {
    let what = "GPU in libtorch";
    if !libtorch::is_installed(system) {
        return Check::warn(what, "not installed yet", "make setup");
    }
    if !libtorch::has_cuda(system) {
        let found = "this libtorch was installed for machines without a GPU";
        return Check::warn(what, found, "make setup KIND=gpu");
    }
    let cuda = system.tree.join(".libtorch/lib/libtorch_cuda.so");
    for (library, fix) in [
        (Path::new("libcuda.so.1"), "install the driver's libraries (Debian: libcuda1)"),
        (&cuda, "remove the folder that .libtorch points to, make setup"),
    ] {
        if let Err(said) = libtorch::try_load(system, library) {
            return Check::warn(what, said, fix);
        }
    }
    Check::ok(what, "libcuda.so.1 and libtorch_cuda.so load")
}

/// There is no `nvidia-smi`: look for the card itself.
fn without_driver(system: &System) -> Check {
    let vendors = display_vendors(system);
    let container = ["/.dockerenv", "/run/.containerenv"].iter().any(|f| system.path(f).exists());
    let cpu = "runs use the processor";
    if vendors.iter().any(|v| v == NVIDIA) {
        let found = format!("an NVIDIA card without nvidia-smi, so without a driver; {cpu}");
        let fix = if container {
            "start the container with the GPU (docker run --gpus all)".to_owned()
        } else {
            format!("{} (from non-free; version {DRIVER} or later)", System::apt("nvidia-driver"))
        };
        Check::warn(WHAT, found, fix)
    } else if vendors.iter().any(|v| v == AMD) {
        Check::ok(WHAT, format!("none: an AMD card, but this libtorch knows only CUDA; {cpu}"))
    } else if container {
        Check::ok(WHAT, format!("none: this container sees no NVIDIA card; {cpu}"))
    } else {
        Check::ok(WHAT, format!("none: no NVIDIA card on the PCI bus and no nvidia-smi; {cpu}"))
    }
}

/// The makers of the display and 3D controllers on the PCI bus.
fn display_vendors(system: &System) -> Vec<String> {
    let Ok(devices) = fs::read_dir(system.path("/sys/bus/pci/devices")) else { return Vec::new() };
    let text = |path| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    devices
        .filter_map(|device| {
            let device = device.ok()?.path();
            text(device.join("class")).starts_with("0x03").then(|| text(device.join("vendor")))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::Status;
    use super::*;

    /// A system with one PCI device and, if given, an `nvidia-smi` that runs this shell text.
    fn system(vendor: &str, class: &str, smi: Option<&str>) -> (tempfile::TempDir, System) {
        let dir = tempfile::tempdir().unwrap();
        let device = dir.path().join("sys/bus/pci/devices/0000:01:00.0");
        fs::create_dir_all(&device).unwrap();
        fs::write(device.join("vendor"), vendor.to_owned() + "\n").unwrap();
        fs::write(device.join("class"), class.to_owned() + "\n").unwrap();
        if let Some(text) = smi {
            let script = dir.path().join("nvidia-smi");
            // By another process, so that no test that starts one inherits it open for writing.
            let mut write = assert_cmd::Command::new("/bin/sh");
            write.args(["-c", r#"cat > "$0" && chmod 755 "$0""#]).arg(script);
            write.write_stdin(format!("#!/bin/sh\n{text}\n")).assert().success();
        }
        let root = dir.path().to_owned();
        let vars = BTreeMap::from([("PATH".to_owned(), root.display().to_string())]);
        (dir, System { tree: root.clone(), root, vars })
    }

    #[test]
    fn without_nvidia_smi_the_bus_tells_why() {
        for (vendor, class, status, wanted) in [
            (NVIDIA, "0x030200", Status::Warn, "without a driver"),
            (AMD, "0x030000", Status::Ok, "AMD card"),
            ("0x8086", "0x030000", Status::Ok, "no NVIDIA card"),
            (NVIDIA, "0x040300", Status::Ok, "no NVIDIA card"), // its sound device
        ] {
            let (_dir, system) = system(vendor, class, None);
            let found = checks(&system);
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].status, status, "{}", found[0]);
            assert!(found[0].found.contains(wanted), "{}", found[0]);
        }
    }

    #[test]
    fn in_a_container_the_way_out_is_another() {
        let (dir, system) = system(NVIDIA, "0x030200", None);
        fs::write(dir.path().join(".dockerenv"), "").unwrap();
        let found = checks(&system);
        assert!(found[0].fix.as_ref().unwrap().contains("--gpus all"), "{}", found[0]);
    }

    #[test]
    fn what_nvidia_smi_says_is_judged() {
        let gpu = |driver| format!("echo 'NVIDIA H200, 143771 MiB, {driver}'");
        let (_dir, new) = system(NVIDIA, "0x030200", Some(&gpu("580.95.05")));
        let found = checks(&new);
        assert_eq!(found[0], Check::ok(WHAT, "NVIDIA H200, 143771 MiB, 580.95.05"));
        assert_eq!(found[1].fix.as_deref(), Some("make setup"), "{}", found[1]);
        let (_dir, old) = system(NVIDIA, "0x030200", Some(&gpu("550.54.14")));
        assert_eq!(checks(&old)[0].status, Status::Warn);
        let said = "echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18";
        let (_dir, ill) = system(NVIDIA, "0x030200", Some(said));
        let found = checks(&ill);
        assert_eq!(found.len(), 1);
        assert!(found[0].found.contains("Failed to initialize NVML"), "{}", found[0]);
        assert!(found[0].fix.as_ref().unwrap().contains("restart"), "{}", found[0]);
        let (_dir, none) = system(NVIDIA, "0x030200", Some("true"));
        assert_eq!(checks(&none)[0].status, Status::Warn);
    }
}
