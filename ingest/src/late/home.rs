//! One directory of the spool that no recorder writes in: its audio to where it belongs.

use std::path::Path;

use archive::Key;
use archive::cmaf::Fragment;
use bytes::Bytes;
use models::db::Late;
use models::recording::State;
use models::{Chunk, Gap, Hold, Recording, Ticks, WallMicros, db};
use sha2::{Digest as _, Sha256};

use super::notes::Landing;
use super::recut::{self, Recut};
use super::{Error, Found, Held, Place, blocking, cut, spool, upload};
use crate::upload::{Cargo, Shipper};

/// Brings home what a directory holds.
pub(super) async fn bring(place: &Place, path: &Path) -> Result<Found, Error> {
    let name = path.file_name().and_then(|name| name.to_str());
    let Some((id, take)) = name.and_then(spool::parse_dir) else {
        return Ok(Found::Unknown("it is not a recording's".into()));
    };
    let recording = match place.db.recording(id).await {
        Ok(recording) => recording,
        Err(db::Error::NotFound { .. }) => {
            return Ok(Found::Unknown("its recording is unknown".into()));
        }
        Err(error) => return Err(error.into()),
    };
    // What is being written under the take that counts is its recorder's.
    if recording.state.is_open() && place.db.take(id).await? == take {
        return Ok(Found::InUse);
    }
    let dir = path.to_owned();
    let held = blocking(move || match Held::existing(dir) {
        Err(error) if error.is_locked() => Ok(None),
        Err(error) => Err(error.into()),
        Ok(held) => Ok(Some((spool::mend(&held)?.chunks, held))),
    });
    let Some((seqs, _held)) = held.await? else { return Ok(Found::InUse) };
    if recording.state != State::Failed {
        let hold = Hold { recording_id: id, epoch: 0 };
        let (place, dir) = (place.clone(), path.to_owned());
        let shipper = Shipper { place, recording, hold, take, dir };
        let outcome = Tail { shipper }.land(&seqs).await?;
        if !matches!(outcome, Found::Home(_)) {
            return Ok(outcome);
        }
    }
    let dir = path.to_owned();
    let remove =
        move || std::fs::remove_dir_all(&dir).map_err(|source| Error::Open { path: dir, source });
    blocking(remove).await?;
    Ok(Found::Home(id))
}

/// What is left in the spool of one take of a recording.
struct Tail {
    shipper: Shipper,
}

impl Tail {
    /// Sees to it that every chunk is in the store and rowed. [`Found::Home`] where it is.
    async fn land(&self, seqs: &[u32]) -> Result<Found, Error> {
        let Recording { id, state, .. } = self.shipper.recording;
        let db = &self.shipper.place.db;
        let mut homeless = Vec::new();
        for seq in seqs {
            match self.shipper.load(*seq).await {
                Ok(Some(cargo)) => match self.row_of(&cargo).await? {
                    Some(row) => {
                        // Whoever repairs may have taken it for nobody's just before it was rowed.
                        self.shipper.put(&row, cargo.bytes).await?;
                        self.shipper.remove(*seq).await?;
                    }
                    None => homeless.push(cargo),
                },
                Ok(None) => self.shipper.remove(*seq).await?,
                Err(upload::Error::Damaged { .. }) => {
                    homeless.push(self.salvaged(*seq, homeless.last()).await?);
                }
                Err(error) => return Err(error.into()),
            }
        }
        let (Some(first), Some(last)) = (homeless.first(), homeless.last()) else {
            return Ok(Found::Home(id));
        };
        if homeless.windows(2).any(|pair| pair[0].chunk.span().end != pair[1].chunk.start) {
            return Ok(Found::Unknown("its chunks do not follow one another".into()));
        }
        let landed = self.landed_before(first.chunk.seq).await?;
        if let Some(landing) = landed {
            return self.clear(&landing, &homeless).await;
        }
        let mut there = db.chunks_from(id, first.chunk.start).await?;
        if there.is_empty() && state.is_open() {
            return Ok(Found::Waiting(id));
        }
        if there.is_empty() {
            return self.append(&homeless).await;
        }
        let gaps = db.gaps(id).await?;
        let Some(gap) = recut::place_of(&gaps, first.chunk.start) else {
            let what = format!("there is sound where chunk {} would be", first.chunk.seq);
            return Ok(Found::Unknown(what));
        };
        there.retain(|chunk| chunk.span().end <= gap.start + gap.duration);
        let tail: Vec<Fragment> =
            homeless.iter().flat_map(|cargo| cargo.fragments.clone()).collect();
        let starts = there.first().is_some_and(|there| there.start == first.chunk.start);
        let Some(recut) = recut::recut(&tail, &there).filter(|_| starts) else {
            let what =
                format!("there is no room for chunks {} to {}", first.chunk.seq, last.chunk.seq);
            return Ok(Found::Unknown(what));
        };
        self.replace(&homeless, &there, recut, gap).await
    }

    /// What is whole of a damaged chunk, from the end of the one before it to the beginning of the
    /// next, where these are known.
    async fn salvaged(&self, seq: u32, before: Option<&Cargo>) -> Result<Cargo, Error> {
        let dir = self.shipper.dir.clone();
        let look = move || {
            let first = |seq| {
                let found = spool::load_pieces(&dir, seq)?;
                Ok::<_, Error>(found.and_then(|found| Some(found.fragments.first()?.start)))
            };
            Ok((first(seq)?, first(seq + 1)?))
        };
        let (first, next) = blocking(look).await?;
        let start = match (before, seq.checked_sub(1)) {
            (Some(before), _) => Some(before.chunk.span().end),
            (None, None) => Some(Ticks::ZERO),
            (None, Some(before)) => {
                let rows = self.shipper.place.db.chunks(self.shipper.recording.id).await?;
                rows.iter().find(|row| row.seq == before).map(|row| row.span().end).or(first)
            }
        };
        let behind = next.map(|next| (seq + 1, next));
        Ok(self.shipper.pieces(seq, start.unwrap_or_default(), behind, None).await?.0)
    }

    /// The row that a chunk has already.
    async fn row_of(&self, cargo: &Cargo) -> Result<Option<Chunk>, Error> {
        let row = self.shipper.place.db.chunk(self.shipper.recording.id, cargo.chunk.seq).await;
        match row {
            Ok(row) => Ok(Some(row).filter(|row| row.sha256 == cargo.chunk.sha256)),
            Err(db::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// What was done by a run that crashed after the rows were changed.
    async fn landed_before(&self, seq: u32) -> Result<Option<Landing>, Error> {
        let Some(landing) = self.landing()? else { return Ok(None) };
        let row = self.shipper.place.db.chunk(self.shipper.recording.id, seq).await;
        match row {
            Ok(row) => Ok(Some(landing).filter(|landing| landing.take == row.take)),
            Err(db::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Adds the chunks to a recording that is over.
    async fn append(&self, homeless: &[Cargo]) -> Result<Found, Error> {
        let id = self.shipper.recording.id;
        let own = homeless.iter().map(|cargo| (cargo.chunk.clone(), cargo.bytes.clone()));
        self.note(id, own.collect(), &own_gaps(homeless)).await
    }

    /// Puts the audio in the place of concealment.
    async fn replace(
        &self,
        homeless: &[Cargo],
        there: &[Chunk],
        recut: Recut,
        gap: &Gap,
    ) -> Result<Found, Error> {
        let id = self.shipper.recording.id;
        let take = match self.landing()? {
            Some(landing) => landing.take,
            None => self.shipper.place.db.new_take(id).await?,
        };
        let replaces = there.iter().map(|chunk| (chunk.seq, chunk.take)).collect();
        let landing = Landing { take, replaces };
        landing.write(&self.shipper.dir).map_err(|source| self.failed(source))?;
        let end = there.last().map_or(Ticks::ZERO, |chunk| chunk.span().end);
        let gaps = recut::gaps(&own_gaps(homeless), recut.until, end, gap);
        let mut chunks = Vec::new();
        for (fragment, place) in recut.chunks.iter().zip(there) {
            let bytes = upload::object(std::slice::from_ref(fragment));
            let chunk = Chunk {
                seq: place.seq,
                take,
                start: fragment.start,
                duration: fragment.duration(),
                bytes: bytes.len() as u64,
                sha256: Sha256::digest(&bytes).into(),
            };
            chunks.push((chunk, bytes.into()));
        }
        match self.note(id, chunks, &gaps).await? {
            Found::Home(_) => self.clear(&landing, homeless).await,
            other => Ok(other),
        }
    }

    /// Puts chunks and notes them.
    async fn note(
        &self,
        id: models::RecordingId,
        objects: Vec<(Chunk, Bytes)>,
        gaps: &[Gap],
    ) -> Result<Found, Error> {
        for (chunk, bytes) in &objects {
            self.shipper.put(chunk, bytes.clone()).await?;
        }
        let chunks: Vec<Chunk> = objects.iter().map(|(chunk, _)| chunk.clone()).collect();
        match self.shipper.place.db.land(id, &chunks, gaps, WallMicros::now()).await {
            Ok(Late::Landed(_)) => {
                // Before they were rowed, whoever repairs may have taken them for nobody's.
                for (chunk, bytes) in objects {
                    self.shipper.put(&chunk, bytes).await?;
                }
                let ticks = chunks.iter().map(|chunk| chunk.duration).sum::<Ticks>();
                tracing::info!(recording = %id, %ticks, "late audio has its place");
                Ok(Found::Home(id))
            }
            Ok(Late::Wait) => Ok(Found::Waiting(id)),
            Err(db::Error::Conflict { what }) => Ok(Found::Unknown(what)),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes the objects that nobody needs any more: concealment, and what this take had put
    /// before it lost the recording.
    async fn clear(&self, landing: &Landing, homeless: &[Cargo]) -> Result<Found, Error> {
        let id = self.shipper.recording.id;
        let own = homeless.iter().map(|cargo| (cargo.chunk.seq, self.shipper.take));
        for (seq, take) in landing.replaces.iter().copied().chain(own) {
            self.shipper.place.store.delete(&Key::Chunk(id, seq, take)).await?;
        }
        Ok(Found::Home(id))
    }

    fn landing(&self) -> Result<Option<Landing>, Error> {
        Landing::read(&self.shipper.dir).map_err(|source| self.failed(source))
    }

    fn failed(&self, source: std::io::Error) -> Error {
        Error::Open { path: self.shipper.dir.clone(), source }
    }
}

fn own_gaps(homeless: &[Cargo]) -> Vec<Gap> {
    let end = homeless.last().map_or(Ticks::ZERO, |cargo| cargo.chunk.span().end);
    let gaps: Vec<Gap> = homeless.iter().flat_map(|cargo| cargo.gaps.clone()).collect();
    cut::clip(&gaps, end)
}
