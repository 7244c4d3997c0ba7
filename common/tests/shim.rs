//! What the shim does to the whole process: threads and the random state.

use common::shim::{parallel_threads, rng_state, set_rng_state};
use tch::{Device, Kind, Tensor};

#[test]
fn a_parallel_loop_of_the_shim_runs_on_more_than_one_thread() {
    tch::set_num_threads(2);
    assert_eq!(parallel_threads().unwrap(), 2);
}

#[test]
fn a_restored_random_state_draws_the_same_numbers() {
    let state = rng_state(Device::Cpu).unwrap();
    let first = Tensor::randn([100], (Kind::Float, Device::Cpu));
    set_rng_state(Device::Cpu, &state).unwrap();
    let again = Tensor::randn([100], (Kind::Float, Device::Cpu));
    assert_eq!(first, again);
    assert_ne!(first, Tensor::randn([100], (Kind::Float, Device::Cpu)));
}
