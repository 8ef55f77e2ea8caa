//! Objects that no row names: rowed where they fit, removed where they are of no use.

use std::ops::Range;

use anyhow::Context as _;
use archive::verify::Damage;
use archive::{Key, repair, store};
use models::db::{self, Mend};
use models::{Chunk, Ticks};

use super::Outcome;
use super::mender::Mender;

impl Mender<'_> {
    /// Rows, made from the objects, of chunks that have none and whose number is in `seqs`.
    pub(super) async fn unrowed(&self, seqs: Range<u32>) -> anyhow::Result<Vec<Chunk>> {
        let id = self.kept.recording.id;
        let listed = self.home.store.list(&Key::prefix(id)).await.context("listing its objects")?;
        let mut found = Vec::new();
        for key in listed.iter().filter_map(|(path, _)| Key::parse(path)) {
            let Key::Chunk(_, seq, take) = key else { continue };
            let is_rowed = self.kept.chunks.iter().any(|chunk| Key::of(id, chunk) == key);
            if seqs.contains(&seq) && !is_rowed {
                let row = repair::row_of(&self.home.store, id, seq, take).await;
                found.extend(row.context("reading an object")?);
            }
        }
        Ok(found)
    }

    /// Sees to an object that no row names.
    pub(super) async fn unnamed(&self, damage: &Damage, key: Key) -> anyhow::Result<Outcome> {
        let id = self.kept.recording.id;
        let useless = match key {
            Key::Chunk(_, seq, take) => {
                let row = repair::row_of(&self.home.store, id, seq, take).await;
                let row = row.context("reading an object")?;
                if let Some(row) = row.clone().filter(|_| !self.kept.recording.state.is_open())
                    && self.is_next(&row).await?
                {
                    let new = vec![row];
                    self.mend(Mend { new, has_new_sound: true, ..Mend::default() }).await?;
                    return Ok(Outcome::mended(damage, "it is the recording's next chunk"));
                }
                repair::is_useless(row.as_ref(), &self.kept.chunks, &self.kept.gaps)
            }
            // Made from the chunks, which are there.
            Key::Init(_) | Key::Export(..) => true,
        };
        if !useless {
            return Ok(Outcome::left(damage, "kept: nothing else has the sound of its time"));
        }
        if !self.args.dry_run {
            self.remove(key).await?;
        }
        Ok(Outcome::mended(damage, "removed"))
    }

    async fn is_next(&self, row: &Chunk) -> anyhow::Result<bool> {
        let last = self.home.db.last_chunk(self.kept.recording.id).await;
        let last = last.context("reading the last chunk")?;
        let end = last.map_or((0, Ticks::ZERO), |last| (last.seq + 1, last.span().end));
        Ok((row.seq, row.start) == end)
    }

    /// Removes an object, unless a row names it. Should one come to name it in this moment (late audio
    /// is put before it is rowed, and once more after), it is put back.
    async fn remove(&self, key: Key) -> anyhow::Result<()> {
        let store = &self.home.store;
        if matches!(key, Key::Export(..)) {
            return store.delete(&key).await.context("removing an object");
        }
        let bytes = match store.get(&key, None).await {
            Ok(bytes) => bytes,
            Err(store::Error::Missing(_)) => return Ok(()),
            Err(error) => return Err(error).context("reading an object"),
        };
        if self.is_named(key).await? {
            return Ok(());
        }
        store.delete(&key).await.context("removing an object")?;
        if self.is_named(key).await? {
            store.put(&key, bytes).await.context("putting an object back")?;
        }
        Ok(())
    }

    async fn is_named(&self, key: Key) -> anyhow::Result<bool> {
        let id = self.kept.recording.id;
        let (seq, take) = match key {
            Key::Chunk(_, seq, take) => (seq, Some(take)),
            Key::Init(_) | Key::Export(..) => (0, None),
        };
        match self.home.db.chunk(id, seq).await {
            Ok(row) => Ok(take.is_none_or(|take| take == row.take)),
            Err(db::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error).context("reading a row"),
        }
    }
}
