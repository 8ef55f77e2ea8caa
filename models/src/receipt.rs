//! A receipt: what was kept of a recording, said once and for all.
//!
//! Made when the recording ends and again when its sound changes later; each names the one before
//! it. What one says stands in its body, which this crate does not read.

use crate::time::WallMicros;

/// A receipt as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Its place among the recording's receipts, from 1.
    pub number: u32,
    /// SHA-256 of the body: what the next receipt names.
    pub sha256: [u8; 32],
    /// Canonical JSON (RFC 8785), byte for byte.
    pub body: String,
    /// Root of the tree over the chunks.
    pub root: [u8; 32],
    /// How many chunks it tells of.
    pub chunks: u32,
    /// Who vouches for it; `None`: nobody.
    pub signature: Option<Signature>,
    /// When it was made.
    pub made_at: WallMicros,
}

/// An Ed25519 signature (RFC 8032) over a receipt's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The public key, 32 bytes in Base64.
    pub public_key: String,
    /// The signature, 64 bytes in Base64.
    pub bytes: String,
}

/// A receipt without its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brief {
    /// Its place among the recording's receipts.
    pub number: u32,
    /// SHA-256 of its body.
    pub sha256: [u8; 32],
    /// Root of the tree over the chunks.
    pub root: [u8; 32],
    /// How many chunks it tells of.
    pub chunks: u32,
    /// The public key of whoever signed it, in Base64.
    pub public_key: Option<String>,
    /// When it was made.
    pub made_at: WallMicros,
}
