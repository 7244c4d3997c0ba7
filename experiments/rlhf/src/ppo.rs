//! Proximal policy optimisation of a language model, piece by piece.
//!
//! `B` responses of `R` tokens each; every tensor of a response is `[B, R]`. Means are over all tokens of all
//! responses: fixed-length responses count whole, also behind the token that ends them (lm-human-preferences).

pub mod advantage;
pub mod kl;
pub mod loss;
