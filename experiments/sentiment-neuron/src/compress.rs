//! A language model as a lossless compressor: an arithmetic coder over its probabilities of the next byte.
//!
//! Decoding needs the encoder's probabilities to the last bit. So they come from arithmetic in a fixed order
//! (`common::nn::mlstm::FixedMlstm`), are rounded to whole numbers here, and a file says which model and which
//! arithmetic wrote it: any other is refused before a byte is decoded.

pub mod baselines;
pub mod coder;
pub mod container;
pub mod predictor;
