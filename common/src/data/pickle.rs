//! A restricted pickle reader.
