//! Compiles the C++ shim against the libtorch that `.libtorch` points to.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// The shim's sources: the context (autocast, random state, threads), several processes, the optimisers, the layers.
const SOURCES: [&str; 10] = [
    "csrc/context.cpp",
    "csrc/distributed.cpp",
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
const HEADERS: [&str; 9] = [
    "csrc/shim.h",
    "csrc/distributed.h",
    "csrc/bf16.h",
    "csrc/isa.h",
    "csrc/tables.h",
    "csrc/vectors.h",
    "csrc/mlstm_kernel.h",
    "csrc/attention_kernel.h",
    "csrc/rows_kernel.h",
];

/// libtorch's headers that nearly all sources include: read once for all, which takes as long as what follows for each.
const PRECOMPILED: &str = "csrc/libtorch.h";

/// Compiled once for each instruction set.
const KERNELS: [&str; 3] =
    ["csrc/mlstm_kernel.cpp", "csrc/attention_kernel.cpp", "csrc/rows_kernel.cpp"];

/// NCCL's process group, a library of its own, and what says whether gloo's headers are there.
const APART: [&str; 2] = ["csrc/nccl.cpp", "csrc/has_gloo.cpp"];

/// Line tables alone, as in our Rust: all that libtorch's headers declare would make each program three times as large.
const LINES: &str = "-g1";

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
    for file in SOURCES.iter().chain(&HEADERS).chain(&KERNELS).chain(&APART).chain([&PRECOMPILED]) {
        println!("cargo::rerun-if-changed={file}");
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let nccl = out.join("nccl.so");
    println!("cargo::rustc-env=SHIM_NCCL={}", nccl.display());
    if is_linting() {
        write(&nccl, "");
        return;
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

    let mut shim = cc::Build::new();
    shim.cpp(true)
        .std("c++20")
        .opt_level(3) // in every profile: these are the hot loops
        .flag("-fopenmp") // without it `at::parallel_for` silently runs on one thread
        .flag("-ffp-contract=off") // the same bits on every processor
        .flag(LINES)
        .flag("-fno-math-errno") // a square root is an instruction, and vectorises
        .define("_GLIBCXX_USE_CXX11_ABI", "1")
        .include(&include)
        .include(include.join("torch/csrc/api/include"))
        // libtorch's own headers; what they silence themselves is heard again from their compiled form.
        .flag_if_supported("-Wno-unused-parameter")
        .flag_if_supported("-Wno-sign-compare");
    nccl_library(&shim, &lib, &nccl);
    if let Some(gloo) = gloo_headers(&shim) {
        shim.define("SHIM_GLOO", None).include(gloo);
    }
    let (header, compiled) = precompile(&shim, &out);
    shim.flag("-include").flag(header);
    shim.files(SOURCES).compile("shim");
    let _ = fs::remove_file(compiled); // hundreds of megabytes

    for (name, flags) in instruction_sets() {
        cc::Build::new()
            .cpp(true)
            .std("c++20")
            .opt_level(3)
            .flag("-ffp-contract=fast") // fused multiply-adds where the set has them
            .flag(LINES)
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

/// Whether clippy reads this crate: it needs no objects, and would have them compiled once more.
fn is_linting() -> bool {
    env::var_os("RUSTC_WORKSPACE_WRAPPER").is_some_and(|wrapper| {
        Path::new(&wrapper).file_stem().is_some_and(|name| name == "clippy-driver")
    })
}

/// Copies the common headers into `out` and compiles them for the compiler to find there; where that fails it reads
/// the copy. Copy and compiled form.
fn precompile(shim: &cc::Build, out: &Path) -> (PathBuf, PathBuf) {
    let header = out.join("libtorch.h");
    let text = fs::read_to_string(PRECOMPILED).unwrap_or_else(|err| panic!("{PRECOMPILED}: {err}"));
    write(&header, &text);
    let compiled = out.join("libtorch.h.gch");
    let mut compiler = shim.get_compiler().to_command();
    compiler.args(["-x", "c++-header", "-o"]).arg(&compiled).arg(&header);
    let output = compiler.output().unwrap_or_else(|err| panic!("{compiler:?}: {err}"));
    if !output.status.success() {
        let _ = fs::remove_file(&compiled);
    }
    (header, compiled)
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
}

/// The folder with gloo's headers, which libtorch's wheel lacks: `$GLOO_INCLUDE`, else the system's. Without them
/// several processes cannot train together.
fn gloo_headers(shim: &cc::Build) -> Option<PathBuf> {
    println!("cargo::rerun-if-env-changed=GLOO_INCLUDE");
    let given = env::var_os("GLOO_INCLUDE").map(PathBuf::from);
    let folder = given.unwrap_or_else(|| "/usr/include".into());
    let mut compiler = shim.get_compiler().to_command();
    compiler.arg("-I").arg(&folder).args(["-fsyntax-only", APART[1]]);
    let output = compiler.output().unwrap_or_else(|err| panic!("{compiler:?}: {err}"));
    // Where they are missing: until something is installed.
    let watched = folder.join("gloo/context.h");
    let watched = if watched.exists() { watched } else { folder.clone() };
    println!("cargo::rerun-if-changed={}", watched.display());
    if env::var_os("GLOO_INCLUDE").is_some() && !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        println!("cargo::warning=GLOO_INCLUDE={}: {}", folder.display(), said.trim());
    }
    output.status.success().then_some(folder)
}

/// NCCL's process group as a library that the program carries and loads on a machine with GPUs; an empty file where
/// the headers of CUDA and NCCL are not installed. They come with the Python packages that `make setup KIND=gpu`
/// installs beside torch, or with CUDA itself.
fn nccl_library(shim: &cc::Build, lib: &Path, library: &Path) {
    println!("cargo::rerun-if-env-changed=CUDA_HOME");
    let packages = lib.join("../../nvidia");
    let cuda = env::var_os("CUDA_HOME").map_or_else(|| "/usr/local/cuda".into(), PathBuf::from);
    let folders = [
        packages.join("cu13/include"),
        packages.join("nccl/include"),
        cuda.join("include"),
        "/usr/include".into(),
    ];
    write(library, "");
    let has = |header: &str| folders.iter().any(|folder| folder.join(header).is_file());
    if !has("nccl.h") || !has("cuda_runtime_api.h") {
        return;
    }
    let mut compiler = shim.get_compiler().to_command();
    compiler.args(folders.iter().filter(|f| f.is_dir()).map(|f| format!("-I{}", f.display())));
    // What it needs of libtorch is there when it is loaded.
    compiler.args(["-shared", "-fPIC", "-fvisibility=hidden", "-s", APART[0], "-o"]).arg(library);
    let output = compiler.output().unwrap_or_else(|err| panic!("{compiler:?}: {err}"));
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let error = said.lines().find(|line| line.contains("error")).unwrap_or_default();
        println!("cargo::warning=built without NCCL, so for one GPU: {error}");
        write(library, "");
    }
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
