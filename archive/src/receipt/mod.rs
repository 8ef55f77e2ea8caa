//! A receipt: what was kept of a recording and what was not, in a form that can be signed and checked
//! by whoever has it, without this program.
//!
//! Its body is canonical JSON (RFC 8785): sorted names, whole numbers, nothing between. It has the
//! SHA-256 of every chunk and the root of a Merkle tree over them (RFC 6962), the gaps with their
//! causes, the anchors to the wall clock and the drift measured from them, how the audio came, the
//! room's policy and audience, and how much of the media time is there. It names the receipt before
//! it by its SHA-256, so that what was once said stays known. Media time is in 48 kHz ticks, the wall
//! clock in microseconds since 1970.
//!
//! [`make`] writes one, [`Document::read`] reads one and checks it against itself,
//! [`Document::differs_from`] against rows; [`sign`] vouches for it with Ed25519.

mod canonical;
mod content;
pub mod sign;
mod sums;
mod tree;

#[cfg(test)]
mod tests;

use models::{Anchor, Chunk, Gap, Receipt, Recording, Room, WallMicros};
use sha2::{Digest as _, Sha256};

pub use content::{Consent, Document};
pub use sums::Coverage;
pub use tree::root;

/// Version of the form described here.
const VERSION: u32 = 1;
/// What a receipt calls itself.
const FORMAT: &str = "roomtape-receipt";

/// Why bytes are not a receipt, or none can be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// They are not JSON, or not the JSON of a receipt.
    #[error("it is not a receipt")]
    Form(#[source] serde_json::Error),
    /// It is of another form.
    #[error("it is a receipt of version {0}, which this program does not know")]
    Version(u32),
    /// It is not spelt as RFC 8785 has it, so that its hash means nothing.
    #[error("it is not canonical JSON: it has been changed since it was made")]
    Spelling,
    /// It contradicts itself.
    #[error("it contradicts itself: {0}")]
    Inconsistent(String),
    /// A number that JSON cannot carry exactly.
    #[error("{0} is too large a number for a receipt")]
    Number(serde_json::Number),
}

/// What is known of a recording that is over.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// Itself.
    pub recording: &'a Recording,
    /// Its room.
    pub room: &'a Room,
    /// All its chunks in order.
    pub chunks: &'a [Chunk],
    /// All its gaps in order.
    pub gaps: &'a [Gap],
    /// All its anchors in order.
    pub anchors: &'a [Anchor],
}

/// Makes the next receipt after `last`, not signed yet. Policy and audience are those of the first
/// receipt: what was said when the recording was made. Where `last` is not a receipt any more, it is
/// named all the same.
///
/// # Errors
/// [`Error::Number`].
pub fn make(facts: &Facts<'_>, last: Option<&Receipt>, now: WallMicros) -> Result<Receipt, Error> {
    let agreed = last.and_then(|last| Document::read(last.body.as_bytes()).ok());
    let now_agreed = Consent { policy: facts.room.policy, audience: facts.room.audience };
    let consent = agreed.map_or(now_agreed, |last| last.consent);
    let number = last.map_or(1, |last| last.number.saturating_add(1));
    let previous = last.map(|last| hex(&last.sha256));
    let document = Document::of(facts, consent, number, previous, now);
    let body = document.write()?;
    Ok(Receipt {
        number,
        sha256: digest(&body),
        body,
        root: root_of(facts.chunks),
        chunks: u32::try_from(facts.chunks.len()).unwrap_or(u32::MAX),
        signature: None,
        made_at: now,
    })
}

/// What a receipt's body is known by.
#[must_use]
pub fn digest(body: &str) -> [u8; 32] {
    Sha256::digest(body).into()
}

/// Bytes in lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn root_of(chunks: &[Chunk]) -> [u8; 32] {
    let leaves: Vec<[u8; 32]> = chunks.iter().map(|chunk| chunk.sha256).collect();
    root(&leaves)
}

/// The name that an enum's value has in JSON.
fn name(value: impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name,
        _ => String::new(),
    }
}
