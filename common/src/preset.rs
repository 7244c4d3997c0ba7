//! Presets: TOML files and --set.
