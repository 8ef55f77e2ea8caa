//! PCM of any rate to 48 kHz.
