//! Existing audio files in.
