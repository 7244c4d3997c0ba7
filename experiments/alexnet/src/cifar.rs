//! The authors' own CIFAR-10 nets, of 26, 19, 18, 13 and 11 % test error, and Caffe's copy of the first.
//!
//! [`nets`] has one table a net, [`net`] builds it, [`schedule`] says at which step training stands in
//! which stage, [`data`] cuts views out of pictures, [`train`] trains, [`predictions`] keeps what the test
//! pictures were taken for.
//!
//! Source: cuda-convnet, `example-layers/`; how they were trained is in its `docs/Methodology.md`.

pub mod data;
pub mod layers;
pub mod net;
pub mod nets;
pub mod predictions;
pub mod schedule;
pub mod train;
