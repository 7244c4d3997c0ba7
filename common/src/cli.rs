//! The command line all binaries share.
