//! A multi-threaded loader whose order never depends on its workers.
