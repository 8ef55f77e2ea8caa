//! PCM to Opus packets.
