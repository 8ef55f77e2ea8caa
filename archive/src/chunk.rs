//! Opens a chunk and checks it against its row.

use bytes::Bytes;
use models::{Chunk, RecordingId, Ticks};
use sha2::{Digest, Sha256};

use crate::cmaf::{self, Fragment};
use crate::key::Key;
use crate::store::{self, Store};

/// Why a chunk cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store did not give it.
    #[error("get chunk {seq}")]
    Get {
        /// Which one.
        seq: u32,
        /// What the store says.
        source: store::Error,
    },
    /// Its bytes are not those that were recorded.
    #[error("the bytes of chunk {seq} are not those that were recorded (SHA-256 differs)")]
    Hash {
        /// Which one.
        seq: u32,
    },
    /// Its bytes are not fragments.
    #[error("read chunk {seq}")]
    Read {
        /// Which one.
        seq: u32,
        /// Where and what.
        source: cmaf::Error,
    },
    /// It covers other media time than its row says.
    #[error(
        "chunk {seq} covers ticks {} to {}, but its row says {} to {}",
        found.start.0, found.end.0, row.start.0, row.end.0
    )]
    Span {
        /// Which one.
        seq: u32,
        /// What its fragments cover.
        found: models::Span,
        /// What its row says.
        row: models::Span,
    },
}

/// Gets a chunk from the store, checks its bytes and reads its fragments.
///
/// # Errors
/// [`Error::Get`] where the store fails; the others where the chunk is damaged.
pub async fn open(
    store: &Store,
    recording: RecordingId,
    chunk: &Chunk,
) -> Result<Vec<Fragment>, Error> {
    let seq = chunk.seq;
    let got = store.get(&Key::of(recording, chunk), None).await;
    parse(&got.map_err(|source| Error::Get { seq, source })?, chunk)
}

/// Checks a chunk's bytes against its row and reads its fragments.
///
/// # Errors
/// All but [`Error::Get`].
pub fn parse(bytes: &Bytes, chunk: &Chunk) -> Result<Vec<Fragment>, Error> {
    let seq = chunk.seq;
    if <[u8; 32]>::from(Sha256::digest(bytes)) != chunk.sha256 {
        return Err(Error::Hash { seq });
    }
    let fragments = cmaf::read_fragments(bytes).map_err(|source| Error::Read { seq, source })?;
    let start = fragments.first().map_or(Ticks::ZERO, |fragment| fragment.start);
    let end = fragments.last().map_or(start, |fragment| fragment.span().end);
    let (found, row) = (models::Span::new(start, end), chunk.span());
    if found == row { Ok(fragments) } else { Err(Error::Span { seq, found, row }) }
}
