//! Sealed chunks to the store and the database, one recording's in order.
//!
//! For each chunk: its fragments become one, as the archive wants them; the object is put (the
//! store reads it back), the row is added with the gaps and anchors that belong to it, and only then
//! the spool file goes. Each step is idempotent and the next chunk waits for this one, so that a
//! crash between any two is answered by doing it again. The spool's files are the queue: nothing
//! is held in memory but the chunk on its way, however long the store is away. The init object is
//! put before the first chunk.
//!
//! A chunk that is damaged on disk, or gone, holds up those behind it only for the time in which
//! that may pass. Then what is whole of it is kept and the rest is a gap (`salvage`): the chunk
//! keeps its place and its length.

mod salvage;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use archive::cmaf::{self, Fragment};
use archive::{Key, store};
use bytes::Bytes;
use models::db::{self, NewChunk};
use models::{Anchor, Chunk, Gap, Hold, Recording, Ticks};
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::anchors::Anchors;
use crate::place::Place;
use crate::{cut, spool};

/// First wait after a failure; doubled each time.
const WAIT_FIRST: Duration = Duration::from_millis(250);
/// Longest wait between tries: a store that is back is noticed within this.
const WAIT_MOST: Duration = Duration::from_secs(30);
/// After so many failures in a row (about eight seconds) damage is taken to stay.
const SALVAGE_AFTER: u32 = 6;

/// Why a chunk is not in the store and rowed yet. Its spool file stays.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The spool could not be read or cleared.
    #[error("could not take chunk {seq} from the spool")]
    Spool {
        /// The chunk.
        seq: u32,
        /// Why.
        source: spool::Error,
    },
    /// A sealed chunk is damaged on disk.
    #[error("chunk {seq} is damaged in the spool: {bad_bytes} bytes of it are not sound")]
    Damaged {
        /// The chunk.
        seq: u32,
        /// How many bytes belong to no whole fragment.
        bad_bytes: u64,
    },
    /// The chunk is neither in the spool nor rowed.
    #[error("chunk {seq} is gone from the spool")]
    Gone {
        /// The chunk.
        seq: u32,
    },
    /// The store did not take it.
    #[error("the store did not take {key}")]
    Store {
        /// The object.
        key: Key,
        /// Why.
        source: store::Error,
    },
    /// The database did not take its row.
    #[error("the database did not take the row of chunk {seq}")]
    Row {
        /// The chunk.
        seq: u32,
        /// Why.
        source: db::Error,
    },
    /// The runtime stopped the work.
    #[error("the work on chunk {seq} was stopped")]
    Stopped {
        /// The chunk.
        seq: u32,
        /// What the runtime says.
        source: tokio::task::JoinError,
    },
}

impl Error {
    /// Whether somebody else has taken hold of the recording.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Row { source: db::Error::LeaseLost, .. })
    }

    /// Whether trying again may never help: a part of the chunk is missing, so that it cannot be read
    /// or does not continue the one before, or the store has other bytes under its name.
    fn is_damage(&self) -> bool {
        match self {
            Self::Spool { .. } | Self::Damaged { .. } | Self::Gone { .. } => true,
            Self::Row { source, .. } => matches!(source, db::Error::Conflict { .. }),
            Self::Store { source, .. } => matches!(source, store::Error::Different { .. }),
            Self::Stopped { .. } => false,
        }
    }
}

/// How far a recording's chunks are.
#[derive(Debug, Clone)]
pub struct Progress {
    /// Every chunk below this number is in the store and rowed.
    pub rowed: u32,
    /// What the last try failed with.
    pub trouble: Option<Arc<Error>>,
    /// Whether it was the last one.
    pub gave_up: bool,
}

/// What a recording's chunks are shipped from and to.
#[derive(Debug, Clone)]
pub(crate) struct Shipper {
    pub(crate) place: Place,
    pub(crate) recording: Recording,
    /// The right to write it.
    pub(crate) hold: Hold,
    /// The take of its chunks.
    pub(crate) take: u32,
    /// The spool directory of that take.
    pub(crate) dir: PathBuf,
}

/// A chunk with all that is rowed with it.
#[derive(Debug)]
pub(crate) struct Cargo {
    pub(crate) chunk: Chunk,
    pub(crate) bytes: Bytes,
    pub(crate) fragments: Vec<Fragment>,
    pub(crate) gaps: Vec<Gap>,
}

impl Shipper {
    /// Takes a chunk to the store and the database and out of the spool. `anchors` are the
    /// recording's.
    pub(crate) async fn ship(&self, seq: u32, anchors: &mut Anchors) -> Result<(), Error> {
        if let Some(cargo) = self.load(seq).await? {
            self.put(&cargo.chunk, cargo.bytes.clone()).await?;
            *anchors = self.row(&cargo, *anchors).await?;
        } else {
            // Removed already: that is right where it is rowed, and only there.
            let row = self.place.db.chunk(self.recording.id, seq).await;
            row.map_err(|source| match source {
                db::Error::NotFound { .. } => Error::Gone { seq },
                source => Error::Row { seq, source },
            })?;
        }
        self.remove(seq).await
    }

    /// Reads a chunk from the spool; `None` where there is none.
    pub(crate) async fn load(&self, seq: u32) -> Result<Option<Cargo>, Error> {
        let dir = self.dir.clone();
        let read = move || Ok((spool::load(&dir, seq)?, spool::gaps(&dir, seq)?));
        let (spooled, gaps) = blocking(seq, read).await?;
        let Some(spooled) = spooled else { return Ok(None) };
        if !spooled.is_whole() {
            return Err(Error::Damaged { seq, bad_bytes: spooled.bad_bytes });
        }
        Ok(Some(self.cargo(seq, spooled.fragments, &gaps)))
    }

    /// A chunk of these fragments, of which there is at least one.
    fn cargo(&self, seq: u32, fragments: Vec<Fragment>, noted: &[Gap]) -> Cargo {
        let start = fragments.first().map_or(Ticks::ZERO, |first| first.start);
        let end = fragments.last().map_or(start, |last| last.span().end);
        let bytes = object(&fragments);
        let chunk = Chunk {
            seq,
            take: self.take,
            start,
            duration: end.saturating_sub(start),
            bytes: bytes.len() as u64,
            sha256: Sha256::digest(&bytes).into(),
        };
        Cargo { chunk, bytes: bytes.into(), fragments, gaps: cut::clip(noted, end) }
    }

    /// Puts a chunk into the store, and the init object before the first.
    pub(crate) async fn put(&self, chunk: &Chunk, bytes: Bytes) -> Result<(), Error> {
        if chunk.seq == 0 {
            let init = cmaf::init_segment(self.recording.channels);
            self.put_object(Key::Init(self.recording.id), init.into()).await?;
        }
        self.put_object(Key::of(self.recording.id, chunk), bytes).await
    }

    async fn put_object(&self, key: Key, bytes: Bytes) -> Result<(), Error> {
        let put = self.place.store.put(&key, bytes).await;
        put.map_err(|source| Error::Store { key, source })
    }

    /// Adds a chunk's row, and with the first one the recording's start on the wall clock. Gives
    /// back what follows from it for the recording's further anchors.
    pub(crate) async fn row(&self, cargo: &Cargo, mut known: Anchors) -> Result<Anchors, Error> {
        let Cargo { chunk, fragments, gaps, .. } = cargo;
        let Recording { origin, channels, source, .. } = &self.recording;
        let failed = |source| Error::Row { seq: chunk.seq, source };
        let db = &self.place.db;
        if let Some(first) = fragments.first().filter(|_| chunk.seq == 0) {
            let started = Some(first.wall);
            db.set_source(self.hold, *origin, *channels, source, started).await.map_err(failed)?;
        }
        let anchors = known.of_chunk(fragments, gaps);
        let (hold, chunk, gaps) = (self.hold, chunk.clone(), gaps.clone());
        self.place.note(NewChunk { hold, chunk, gaps, anchors }).await.map_err(failed)?;
        Ok(known)
    }

    /// Takes a rowed chunk out of the spool.
    pub(crate) async fn remove(&self, seq: u32) -> Result<(), Error> {
        let dir = self.dir.clone();
        blocking(seq, move || spool::remove(&dir, seq)).await
    }
}

async fn blocking<T: Send + 'static>(
    seq: u32,
    work: impl FnOnce() -> Result<T, spool::Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.map_err(|source| Error::Stopped { seq, source })?;
    done.map_err(|source| Error::Spool { seq, source })
}

/// The object that a chunk's fragments are kept as: one fragment, and the same bytes each time.
#[must_use]
pub(crate) fn object(fragments: &[Fragment]) -> Vec<u8> {
    Fragment::join(fragments).map_or_else(Vec::new, |joined| cmaf::write_fragment(&joined))
}

/// What is complete in the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sealed {
    /// Every chunk below this number is.
    pub(crate) below: u32,
    /// Where the last of them ends.
    pub(crate) until: Ticks,
}

/// The object that a chunk in a spool directory is to become; `None` where it is not there, or not
/// whole. This blocks.
#[must_use]
pub fn spooled(dir: &Path, seq: u32) -> Option<Bytes> {
    let whole = spool::load(dir, seq).ok()??;
    whole.is_whole().then(|| object(&whole.fragments).into())
}

/// Ships one recording's chunks in the background. Dropping it stops that; what is not shipped
/// stays in the spool.
#[derive(Debug)]
pub struct Uploader {
    sealed: watch::Sender<Sealed>,
    progress: watch::Receiver<Progress>,
    _task: AbortOnDropHandle<()>,
}

impl Uploader {
    /// Ships the chunks from `first` on. What is `sealed` is complete already. `last` is the
    /// recording's last anchor. After `patience` failures in a row it gives up; `None`: never.
    pub(crate) fn start(
        shipper: Shipper,
        first: u32,
        sealed: Sealed,
        last: Option<Anchor>,
        patience: Option<u32>,
    ) -> Self {
        let (sealed, is_sealed) = watch::channel(sealed);
        let (report, progress) =
            watch::channel(Progress { rowed: first, trouble: None, gave_up: false });
        let task = tokio::spawn(ship_all(shipper, is_sealed, report, patience, last));
        Self { sealed, progress, _task: AbortOnDropHandle::new(task) }
    }

    /// Says what is complete now.
    pub(crate) fn seal(&self, sealed: Sealed) {
        self.sealed.send_if_modified(|now| {
            let more = now.below < sealed.below;
            if more {
                *now = sealed;
            }
            more
        });
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.progress.borrow().clone()
    }

    /// Whether every sealed chunk is in the store and rowed.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.progress.borrow().rowed >= self.sealed.borrow().below
    }

    /// Waits until at most `behind` sealed chunks are not rowed yet.
    ///
    /// # Errors
    /// It has given up.
    pub async fn wait(&mut self, behind: u32) -> Result<(), Arc<Error>> {
        let sealed = self.sealed.borrow().below;
        let enough = |now: &Progress| now.gave_up || now.rowed.saturating_add(behind) >= sealed;
        let stopped = Arc::new(Error::Gone { seq: self.progress().rowed });
        let now = self.progress.wait_for(enough).await.map_err(|_| stopped)?.clone();
        match now.trouble {
            Some(trouble) if now.gave_up => Err(trouble),
            _ => Ok(()),
        }
    }
}

async fn ship_all(
    shipper: Shipper,
    mut sealed: watch::Receiver<Sealed>,
    report: watch::Sender<Progress>,
    patience: Option<u32>,
    last: Option<Anchor>,
) {
    let mut anchors = Anchors::new(last);
    let mut next = report.borrow().rowed;
    let mut failures = 0;
    loop {
        while next < sealed.borrow_and_update().below {
            let mut shipped = shipper.ship(next, &mut anchors).await;
            if failures >= SALVAGE_AFTER && shipped.as_ref().is_err_and(Error::is_damage) {
                let complete = *sealed.borrow();
                shipped = shipper.salvage(next, complete, &mut anchors).await;
            }
            match shipped {
                Ok(()) => {
                    (next, failures) = (next + 1, 0);
                    shipper.place.meters.shipped();
                    report.send_modify(|now| (now.rowed, now.trouble) = (next, None));
                }
                Err(error) => {
                    failures += 1;
                    // Somebody else writes the recording now: trying again changes nothing.
                    let gave_up = error.is_lost() || patience.is_some_and(|most| failures >= most);
                    shipper.place.meters.upload_failed();
                    complain(&shipper, next, failures, &error);
                    report.send_modify(|now| {
                        (now.trouble, now.gave_up) = (Some(Arc::new(error)), gave_up);
                    });
                    if gave_up {
                        return;
                    }
                    tokio::time::sleep(shipper.place.waits(wait_after(failures))).await;
                }
            }
        }
        if sealed.changed().await.is_err() {
            return;
        }
    }
}

fn complain(shipper: &Shipper, seq: u32, failures: u32, error: &Error) {
    tracing::error!(
        recording = %shipper.recording.id,
        chunk = seq,
        failures,
        error = error as &dyn std::error::Error,
        "a chunk could not be moved from the spool to the store"
    );
}

fn wait_after(failures: u32) -> Duration {
    (WAIT_FIRST * 2_u32.saturating_pow(failures.saturating_sub(1).min(16))).min(WAIT_MOST)
}

#[cfg(test)]
mod tests;
