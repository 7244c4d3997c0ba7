//! Compiles the C++ shim against the libtorch that `.libtorch` points to.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// The shim's sources: the context (autocast, random state, threads), the optimisers, the layers.
const SOURCES: [&str; 9] = [
    "csrc/context.cpp",
    "csrc/optim.cpp",
    "csrc/lrn.cpp",
    "csrc/locally_connected.cpp",
    "csrc/mlstm.cpp",
    "csrc/attention.cpp",
    "csrc/mlp.cpp",
    "csrc/tied_loss.cpp",
    "csrc/recompute.cpp",
];

/// What they include.
const HEADERS: [&str; 8] = [
    "csrc/shim.h",
    "csrc/bf16.h",
    "csrc/isa.h",
    "csrc/tables.h",
    "csrc/vectors.h",
    "csrc/mlstm_kernel.h",
    "csrc/attention_kernel.h",
    "csrc/rows_kernel.h",
];

/// Compiled once for each instruction set.
const KERNELS: [&str; 3] =
    ["csrc/mlstm_kernel.cpp", "csrc/attention_kernel.cpp", "csrc/rows_kernel.cpp"];

/// Names and compiler flags of the instruction sets; tables.h picks one at run time.
fn instruction_sets() -> Vec<(&'static str, Vec<&'static str>)> {
    let mut sets = vec![("baseline", vec![])];
    if env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "x86_64") {
        let avx512 = vec!["-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mfma"];
        sets.push(("avx2", vec!["-mavx2", "-mfma"]));
        sets.push(("avx512", avx512.clone()));
        sets.push(("avx512bf16", [avx512, vec!["-mavx512bf16"]].concat()));
    }
    sets
}

fn main() {
    for file in SOURCES.iter().chain(&HEADERS).chain(&KERNELS) {
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

    for (name, flags) in instruction_sets() {
        cc::Build::new()
            .cpp(true)
            .std("c++20")
            .opt_level(3)
            .flag("-ffp-contract=fast") // fused multiply-adds where the set has them
            .define("SHIM_ISA", name)
            .flags(flags)
            .files(KERNELS)
            .compile(&format!("kernels_{name}"));
    }

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
