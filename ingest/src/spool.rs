//! The chunk being written, on disk.
