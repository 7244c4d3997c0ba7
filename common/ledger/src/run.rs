//! Run folders: where a run's files live, its record, its lock.
