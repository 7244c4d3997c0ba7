//! Compiles the C++ shim against the libtorch that `.libtorch` points to.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// The shim's sources: the context (autocast, random state, threads), the optimisers, the layers.
const SOURCES: [&str; 3] = ["csrc/context.cpp", "csrc/optim.cpp", "csrc/lrn.cpp"];

fn main() {
    for file in SOURCES.iter().chain(&["csrc/shim.h", "csrc/isa.h"]) {
        println!("cargo::rerun-if-changed={file}");
    }
    // torch-sys has found libtorch and passes its library folder on.
    let lib = PathBuf::from(
        env::var_os("DEP_TCH_LIBTORCH_LIB")
            .expect("torch-sys is a direct dependency, it sets DEP_TCH_LIBTORCH_LIB"),
    );
    let include = lib.with_file_name("include");
    assert!(
        include.join("ATen/ATen.h").is_file(),
        "no libtorch headers in {}: run `make setup`, and unset LIBTORCH if it points elsewhere",
        include.display()
    );

    cc::Build::new()
        .cpp(true)
        .std("c++20")
        .opt_level(3) // in every profile: these are the hot loops
        .flag("-fopenmp") // without it `at::parallel_for` silently runs on one thread
        .flag("-ffp-contract=off") // the same bits on every processor
        .flag("-fno-math-errno") // a square root is an instruction, and vectorises
        .define("_GLIBCXX_USE_CXX11_ABI", "1")
        .include(&include)
        .include(include.join("torch/csrc/api/include"))
        .flag_if_supported("-Wno-unused-parameter") // libtorch's own headers
        .files(SOURCES)
        .compile("shim");

    println!("cargo::rustc-link-search=native={}", lib.display());
    println!("cargo::rustc-link-lib=dylib=torch_cpu");
    println!("cargo::rustc-link-lib=dylib=c10");
    println!("cargo::rustc-link-lib=dylib:+verbatim={}", openmp_of(&lib));
}

/// The file name of the OpenMP library that libtorch itself uses: two of them in one process would
/// be two thread pools.
fn openmp_of(lib: &Path) -> String {
    fs::read_dir(lib)
        .unwrap_or_else(|err| panic!("{}: {err}", lib.display()))
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .find(|name| name.starts_with("libgomp") && name.contains(".so"))
        .unwrap_or_else(|| panic!("no libgomp*.so* in {}: run `make setup`", lib.display()))
}
