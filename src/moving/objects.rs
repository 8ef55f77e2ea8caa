//! The objects of a recording: copied, read back, deleted.

use anyhow::Context as _;
use archive::store::{Error, Store};
use archive::{Key, chunk};
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use models::db::Whole;
use models::{Chunk, RecordingId};

/// What was copied; what was there already does not count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Copied {
    pub(super) objects: u64,
    pub(super) bytes: u64,
}

/// Copies what is not there yet, so many at once. Each chunk's bytes are those its row has the
/// SHA-256 of, at either end.
///
/// # Errors
/// An object that is missing or damaged, or a store that fails.
pub(super) async fn copy(
    from: &Store,
    to: &Store,
    whole: &Whole,
    at_once: usize,
    step: impl Fn(u64),
) -> anyhow::Result<Copied> {
    let id = whole.recording.id;
    let mut copied = Copied::default();
    if whole.chunks.is_empty() {
        return Ok(copied);
    }
    let header = copy_header(from, to, id).await?;
    copied.count(header);
    let chunks = futures_util::stream::iter(&whole.chunks);
    let mut chunks =
        chunks.map(|chunk| copy_chunk(from, to, id, chunk)).buffer_unordered(at_once.clamp(1, 64));
    while let Some(size) = chunks.try_next().await? {
        copied.count(size);
        step(size.unwrap_or_default());
    }
    Ok(copied)
}

impl Copied {
    fn count(&mut self, size: Option<u64>) {
        self.objects += u64::from(size.is_some());
        self.bytes += size.unwrap_or_default();
    }
}

/// The size of what was copied; `None` where it was there.
async fn copy_header(from: &Store, to: &Store, id: RecordingId) -> anyhow::Result<Option<u64>> {
    let key = Key::Init(id);
    let bytes = from.get(&key, None).await.context("reading its header")?;
    let is_there = match to.get(&key, None).await {
        Ok(there) => there == bytes,
        Err(Error::Missing(_)) => false,
        Err(error) => return Err(error).context("looking for its header at the destination"),
    };
    if is_there { Ok(None) } else { put(to, &key, bytes).await.map(Some) }
}

async fn copy_chunk(
    from: &Store,
    to: &Store,
    id: RecordingId,
    chunk: &Chunk,
) -> anyhow::Result<Option<u64>> {
    let key = Key::of(id, chunk);
    let there = to.head(&key).await.context("looking for a chunk at the destination")?;
    // Of another size it is another object, which put refuses to replace.
    if there == Some(chunk.bytes) && chunk::open(to, id, chunk).await.is_ok() {
        return Ok(None);
    }
    let bytes = from.get(&key, None).await.context("reading a chunk")?;
    chunk::parse(&bytes, chunk).context("the chunk is damaged where it is")?;
    put(to, &key, bytes).await.map(Some)
}

async fn put(to: &Store, key: &Key, bytes: Bytes) -> anyhow::Result<u64> {
    let size = bytes.len() as u64;
    to.put(key, bytes).await.context("writing an object at the destination")?;
    Ok(size)
}

/// Reads every object back and compares the chunks with their rows.
///
/// # Errors
/// The first that is missing or damaged.
pub(super) async fn verify(store: &Store, whole: &Whole, at_once: usize) -> anyhow::Result<()> {
    let id = whole.recording.id;
    if whole.chunks.is_empty() {
        return Ok(());
    }
    let header = store.head(&Key::Init(id)).await.context("looking for its header")?;
    header.context("its header is not at the destination")?;
    let chunks = futures_util::stream::iter(whole.chunks.iter().map(Ok));
    chunks
        .try_for_each_concurrent(at_once.clamp(1, 64), async |chunk| {
            chunk::open(store, id, chunk).await.map(drop)
        })
        .await
        .context("reading it back at the destination")
}

/// Deletes every object of a recording, also such as no row knows of.
///
/// # Errors
/// A store that fails.
pub(super) async fn delete(store: &Store, id: RecordingId) -> anyhow::Result<()> {
    let listed = store.list(&Key::prefix(id)).await.context("listing its objects")?;
    for (path, _) in listed {
        if let Some(key) = Key::parse(&path) {
            store.delete(&key).await.context("deleting an object")?;
        }
    }
    Ok(())
}
