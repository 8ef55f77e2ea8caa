//! Whether a recording is what its rows and receipts say: every object read back, every hash
//! compared, every sum made again.
//!
//! [`rows`] and [`receipts`] look at rows alone, [`objects`] reads the store, a few chunks at a time;
//! what is wrong comes back as [`Damage`]. An error is only that the store could not be looked at.
//!
//! Of a recording that is going on, the newest objects have no row yet, and late audio may be on its
//! way into one that is over. So the store is listed first and rows are read afterwards, what no row
//! names counts only where the recording is over, and [`Damage::may_pass`] tells what is to be looked
//! at twice.

mod damage;

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use models::recording::State;
use models::{Chunk, Receipt, RecordingId, Span, Ticks};
use sha2::{Digest as _, Sha256};

use crate::chunk;
use crate::cmaf;
use crate::concat::Layout;
use crate::key::Key;
use crate::receipt::{self, Document, Facts, sign};
use crate::store::{Cause, Error, Store};
pub use damage::Damage;

/// How far an anchor may be behind the one before it, in microseconds: clocks are set now and then.
const BACK_US: i64 = 1_000_000;

/// What was read of a recording's objects.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Read {
    /// How many.
    pub objects: u64,
    /// Their size.
    pub bytes: u64,
    /// What is wrong with them.
    pub damage: Vec<Damage>,
}

/// Looks at the rows: chunks follow each other from 0 on, add up, and all gaps and anchors lie where
/// the recording does.
#[must_use]
pub fn rows(facts: &Facts<'_>) -> Vec<Damage> {
    let mut damage = Vec::new();
    let (mut seq, mut end, mut bytes) = (0_u32, Ticks::ZERO, 0_u64);
    for chunk in facts.chunks {
        if chunk.start < end || chunk.seq < seq {
            damage.push(Damage::Overlap { seq: chunk.seq });
        } else if (chunk.seq, chunk.start) != (seq, end) {
            damage.push(Damage::Hole { seqs: (seq, chunk.seq), span: Span::new(end, chunk.start) });
        }
        (seq, end) = (chunk.seq.saturating_add(1), chunk.span().end);
        bytes = bytes.saturating_add(chunk.bytes);
    }
    // Those of a live recording move on while we look.
    let recording = facts.recording;
    if !recording.state.is_open() && (recording.duration, recording.bytes) != (end, bytes) {
        damage.push(Damage::Sums);
    }
    let outside = facts.gaps.iter().filter(|gap| gap.start + gap.duration > end);
    let outside = outside.filter(|_| !recording.state.is_open());
    damage.extend(outside.map(|gap| Damage::GapOutside { start: gap.start, cause: gap.cause }));
    let mut last = None;
    for anchor in facts.anchors {
        let back = last.is_some_and(|last| anchor.wall.micros_since(last) < -BACK_US);
        if back || !recording.state.is_open() && anchor.media > end {
            damage.push(Damage::Anchor { media: anchor.media });
        }
        last = Some(anchor.wall);
    }
    damage
}

/// Looks at the receipts of a recording, the oldest first: each is whole, signed by the key it names
/// and names the one before it; the last tells what is there, where `is_receipted` says that it does.
#[must_use]
pub fn receipts(facts: &Facts<'_>, receipts: &[Receipt], is_receipted: bool) -> Vec<Damage> {
    let mut damage = Vec::new();
    let mut before: Option<&Receipt> = None;
    for receipt in receipts {
        let number = receipt.number;
        match whole(receipt) {
            Ok(document) => {
                let named = before.map(|before| receipt::hex(&before.sha256));
                let follows = number == before.map_or(1, |before| before.number.saturating_add(1));
                if document.previous != named || !follows {
                    damage.push(Damage::ReceiptChain { number });
                }
                let is_last = receipts.last() == Some(receipt);
                let differs = document.differs_from(facts).filter(|_| is_last && is_receipted);
                damage.extend(differs.map(|what| Damage::ReceiptDiffers { number, what }));
            }
            Err(why) => damage.push(Damage::ReceiptAltered { number, why }),
        }
        let signature = receipt.signature.as_ref();
        if signature.is_some_and(|signature| !sign::is_good(signature, receipt.body.as_bytes())) {
            damage.push(Damage::ReceiptSignature { number });
        }
        before = Some(receipt);
    }
    if facts.recording.state == State::Ended && !(is_receipted && before.is_some()) {
        damage.push(Damage::NoReceipt);
    }
    damage
}

/// What a receipt says, where it is what it was.
fn whole(receipt: &Receipt) -> Result<Document, String> {
    if receipt::digest(&receipt.body) != receipt.sha256 {
        return Err("its SHA-256 is another".into());
    }
    let document = Document::read(receipt.body.as_bytes()).map_err(|error| error.to_string())?;
    let summary = (document.number, document.root.clone(), document.chunks.len());
    let noted = (receipt.number, receipt::hex(&receipt.root), receipt.chunks as usize);
    if summary == noted { Ok(document) } else { Err("its row sums it up wrongly".into()) }
}

/// Reads every object of a recording, `at_once` at a time, and compares it with its row. `listed` is
/// what the store had under [`Key::prefix`] before the rows were read. `step` is told the bytes of
/// each chunk that has been looked at.
///
/// # Errors
/// The store could not be looked at.
pub async fn objects(
    store: &Store,
    facts: &Facts<'_>,
    listed: &[(String, u64)],
    at_once: usize,
    step: impl Fn(u64),
) -> Result<Read, Error> {
    let id = facts.recording.id;
    let mut read = Read { objects: listed.len() as u64, ..Read::default() };
    read.bytes = listed.iter().map(|(_, size)| size).sum();
    let sizes: HashMap<&str, u64> =
        listed.iter().map(|(path, size)| (path.as_str(), *size)).collect();
    if !facts.chunks.is_empty() {
        read.damage.extend(init(store, id).await?);
    }
    let chunks = stream::iter(facts.chunks).map(async |chunk| {
        let size = sizes.get(Key::of(id, chunk).path().as_str()).copied();
        let found = look(store, id, chunk, size).await;
        step(chunk.bytes);
        found
    });
    let mut found = chunks.buffered(at_once.max(1));
    while let Some(damage) = found.try_next().await? {
        read.damage.extend(damage);
    }
    read.damage.extend(unnamed(facts, listed));
    let layout = Layout::new(facts.recording.channels, facts.chunks);
    let export = listed.iter().filter_map(|(path, size)| Some((Key::parse(path)?, *size)));
    for (key, size) in export {
        let is_current = matches!(key, Key::Export(_, digest, _) if digest == layout.digest());
        if is_current && !is_whole(store, &key, size, &layout, facts.chunks).await? {
            read.damage.push(Damage::Export(key));
        }
    }
    Ok(read)
}

async fn init(store: &Store, id: RecordingId) -> Result<Option<Damage>, Error> {
    match store.get(&Key::Init(id), None).await {
        // Sources of one recording may have had one channel and two; either header plays both.
        Ok(bytes) if [1, 2].iter().any(|channels| bytes == cmaf::init_segment(*channels)) => {
            Ok(None)
        }
        Ok(_) => Ok(Some(Damage::BadInit)),
        Err(Error::Missing(_)) => Ok(Some(Damage::NoInit)),
        Err(error) => Err(error),
    }
}

/// Compares a chunk's object, which is `size` long by the list, with its row.
async fn look(
    store: &Store,
    id: RecordingId,
    chunk: &Chunk,
    size: Option<u64>,
) -> Result<Option<Damage>, Error> {
    let damaged = |why: String| Some(Damage::Spoilt { chunk: chunk.clone(), why });
    // What has grown is not read: it might be of any size.
    if let Some(size) = size.filter(|size| *size != chunk.bytes) {
        return Ok(damaged(format!("it has {size} bytes and not {}", chunk.bytes)));
    }
    match chunk::open(store, id, chunk).await {
        Ok(_) => Ok(None),
        Err(chunk::Error::Get { source: Error::Missing(_), .. }) => {
            Ok(Some(Damage::Missing(chunk.clone())))
        }
        // Where the store's own checksum is at odds with the bytes, they only come as a part.
        Err(chunk::Error::Get { source: Error::Remote { cause: Cause::Garbled, .. }, .. }) => {
            let bytes = store.get(&Key::of(id, chunk), Some(0..chunk.bytes)).await?;
            Ok(chunk::parse(&bytes, chunk).err().and_then(|error| damaged(error.to_string())))
        }
        Err(chunk::Error::Get { source, .. }) => Err(source),
        Err(error) => Ok(damaged(error.to_string())),
    }
}

/// Objects that no row names, where the recording is over, and what is not an object.
#[must_use]
pub fn unnamed(facts: &Facts<'_>, listed: &[(String, u64)]) -> Vec<Damage> {
    let id = facts.recording.id;
    let mut named: HashSet<Key> = facts.chunks.iter().map(|chunk| Key::of(id, chunk)).collect();
    if !facts.chunks.is_empty() {
        named.insert(Key::Init(id));
    }
    let layout = Layout::new(facts.recording.channels, facts.chunks);
    let mut damage = Vec::new();
    for (path, bytes) in listed {
        match Key::parse(path) {
            None => damage.push(Damage::Stranger(path.clone())),
            // Of the layout that there is now: looked at by itself.
            Some(Key::Export(_, digest, _)) if digest == layout.digest() => {}
            Some(key) if !named.contains(&key) && !facts.recording.state.is_open() => {
                damage.push(Damage::Orphan { key, bytes: *bytes });
            }
            Some(_) => {}
        }
    }
    damage
}

/// Whether the whole as one file has every chunk in its place.
async fn is_whole(
    store: &Store,
    key: &Key,
    size: u64,
    layout: &Layout,
    chunks: &[Chunk],
) -> Result<bool, Error> {
    if size != layout.len() {
        return Ok(false);
    }
    for chunk in chunks {
        let Some(range) = layout.place(chunk.seq) else { return Ok(false) };
        let bytes = match store.get(key, Some(range)).await {
            Ok(bytes) => bytes,
            // It has been made anew, or taken away, while we looked.
            Err(Error::Missing(_)) => return Ok(true),
            Err(error) => return Err(error),
        };
        if <[u8; 32]>::from(Sha256::digest(&bytes)) != chunk.sha256 {
            return Ok(false);
        }
    }
    Ok(true)
}
