//! Encoded audio to PCM.
