//! Alone in its process, since it changes how all of it allocates.

use common::shim::keep_memory;
use tch::{Device, Kind, Tensor};

/// How many pages the system has had to provide to this process.
fn page_faults() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux has it");
    let after_name = stat.rsplit(')').next().expect("the name is in parentheses");
    after_name.split_whitespace().nth(7).and_then(|n| n.parse().ok()).expect("the field minflt")
}

/// Page faults while a tensor of 40 MB, 10,000 pages, is made and dropped ten times.
fn faults_of_ten_tensors() -> u64 {
    let before = page_faults();
    for _ in 0..10 {
        drop(Tensor::ones([10_000_000], (Kind::Float, Device::Cpu)));
    }
    page_faults() - before
}

#[test]
fn kept_memory_is_used_again_without_new_pages() {
    let default = faults_of_ten_tensors();
    keep_memory();
    faults_of_ten_tensors();
    let kept = faults_of_ten_tensors();
    assert!(default > 50_000, "by default each tensor gets new pages, found {default}");
    assert!(kept < 5_000, "found {kept}, by default {default}");
}
