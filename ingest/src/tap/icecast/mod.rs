//! Icecast sources.
