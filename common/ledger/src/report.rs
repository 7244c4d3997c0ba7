//! The ledger table and the self-contained results page.
