//! Packets to fragments to chunks.
