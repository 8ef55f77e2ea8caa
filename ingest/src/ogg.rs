//! Ogg Opus: pages to packets.
