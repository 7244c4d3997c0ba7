//! What building needs: Rust, a C++ compiler, make, Python with pip, gloo's headers.

use std::fs;

use super::system::{System, at_least, version_in};
use super::{Check, libtorch};

const RUSTUP: &str = "install Rust by rustup, which then fetches the right version by itself \
                      (rustup.rs)";

/// Each tool in one line.
pub(super) fn checks(system: &System) -> Vec<Check> {
    vec![
        rust(system, "rustc"),
        rust(system, "cargo"),
        compiler(system),
        match system.first_line("make", &["--version"]) {
            Ok(line) => Check::ok("make", line),
            Err(why) => Check::warn("make", why, System::apt("make")),
        },
        python(system),
        gloo(system),
    ]
}

/// The version in `rust-toolchain.toml`.
fn wanted_rust(system: &System) -> Option<String> {
    let text = fs::read_to_string(system.tree.join("rust-toolchain.toml")).ok()?;
    let line = text.lines().find_map(|l| l.trim().strip_prefix("channel"))?;
    line.split('"').nth(1).map(str::to_owned)
}

fn rust(system: &System, tool: &str) -> Check {
    let line = match system.first_line(tool, &["--version"]) {
        Ok(line) => line,
        Err(why) => return Check::fail(tool, why, RUSTUP),
    };
    let Some(wanted) = wanted_rust(system) else {
        let found = format!("{line}; no rust-toolchain.toml in {}", system.tree.display());
        return Check::warn(tool, found, "start doctor in the work tree");
    };
    match version_in(&line) {
        Some(found) if at_least(found, &wanted) => Check::ok(tool, line),
        _ => Check::fail(tool, format!("{line}; rust-toolchain.toml wants {wanted}"), RUSTUP),
    }
}

/// The compiler that the build scripts take: `$CXX`, else `c++`.
fn compiler(system: &System) -> Check {
    let chosen = system.var("CXX");
    // `CXX` may hold a wrapper and flags, e.g. `ccache g++`.
    let mut words = chosen.unwrap_or("c++").split_whitespace();
    let program = words.next().unwrap_or("c++");
    let args: Vec<&str> = words.chain(["--version"]).collect();
    match (system.first_line(program, &args), chosen) {
        (Ok(line), _) => Check::ok("C++ compiler", line),
        (Err(why), None) => Check::fail("C++ compiler", why, System::apt("g++")),
        (Err(why), Some(cxx)) => {
            Check::fail("C++ compiler", format!("CXX is `{cxx}`: {why}"), "unset CXX, or mend it")
        }
    }
}

/// Python is needed for set-up and for nothing else.
fn python(system: &System) -> Check {
    let program = system.var("PYTHON").unwrap_or("python3");
    let package = match system.first_line(program, &["--version"]) {
        Err(why) => (format!("{program}: {why}"), "python3 python3-pip"),
        Ok(version) => match system.first_line(program, &["-m", "pip", "--version"]) {
            Ok(pip) => {
                let pip = version_in(&pip).unwrap_or("of unknown version").to_owned();
                return Check::ok("Python with pip", format!("{version}, pip {pip}"));
            }
            Err(_) => (format!("{version} without pip"), "python3-pip"),
        },
    };
    let (found, package) = package;
    let fix = System::apt(package);
    if libtorch::is_installed(system) {
        Check::ok("Python with pip", format!("{found}; only set-up needs it, which is done"))
    } else {
        Check::fail("Python with pip", found, fix)
    }
}

/// gloo's headers: training in several processes is compiled in only where they are.
fn gloo(system: &System) -> Check {
    let what = "gloo headers";
    if let Some(folder) = system.var("GLOO_INCLUDE") {
        return if system.tree.join(folder).join("gloo/context.h").is_file() {
            Check::ok(what, folder)
        } else {
            let found = format!("GLOO_INCLUDE is {folder}, which holds no gloo/context.h");
            Check::warn(what, found, "name the folder that holds gloo/, or unset GLOO_INCLUDE")
        };
    }
    if system.path("/usr/include/gloo/context.h").is_file() {
        return Check::ok(what, "/usr/include/gloo");
    }
    let found = "none; only training in several processes needs them";
    Check::warn(what, found, System::apt("libgloo-dev"))
}
