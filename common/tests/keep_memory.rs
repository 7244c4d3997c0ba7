//! A process of its own, without the test harness and its threads, since it changes how all of it allocates.

use common::shim::keep_memory;
use tch::{Device, Kind, Tensor};

/// How many pages the system has had to provide to this process.
fn page_faults() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux has it");
    let after_name = stat.rsplit(')').next().expect("the name is in parentheses");
    after_name.split_whitespace().nth(7).and_then(|n| n.parse().ok()).expect("the field minflt")
}

/// Page faults while a tensor of 80 MB, 20,000 pages, is made ten times and dropped by this thread.
fn faults_of_ten_tensors(make: fn() -> Tensor) -> u64 {
    let before = page_faults();
    for _ in 0..10 {
        drop(make());
    }
    page_faults() - before
}

fn here() -> Tensor {
    Tensor::ones([20_000_000], (Kind::Float, Device::Cpu))
}

/// As a loader does.
fn in_a_thread() -> Tensor {
    std::thread::spawn(here).join().expect("it makes a tensor")
}

fn main() {
    let default = faults_of_ten_tensors(here);
    assert!(default > 100_000, "by default each tensor gets new pages, found {default}");
    keep_memory();
    for make in [here, in_a_thread] {
        faults_of_ten_tensors(make);
        let kept = faults_of_ten_tensors(make);
        assert!(
            kept < 10_000,
            "kept memory needs no new pages: found {kept}, by default {default}"
        );
    }
}
