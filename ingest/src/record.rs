//! One recording's writer: events in; fragments, chunks, objects and rows out.
//!
//! [`cut`](crate::cut) decides what is written, [`spool`] makes it durable and [`upload`] takes sealed chunks
//! to the store and the database in the background. The recorder holds them together, fills media
//! time without audio with concealment, and keeps what could not be written yet, so that a full or
//! failing disk costs time and not audio.
//!
//! Nothing here reads a clock or decides when a recording begins, pauses or ends: that is the
//! supervisor's and the import's.

mod left;
mod plan;

use std::collections::VecDeque;
use std::sync::Arc;

use archive::{chunk, cmaf};
use models::db::{self, Held as Holding};
use models::{GapCause, Ticks, WallMicros};

use self::plan::Step;
use crate::cut::{Cut, Cutter};
use crate::meters::Meters;
use crate::place::Place;
use crate::spool::{self, Held};
use crate::tap::Event;
use crate::upload::{self, Progress, Sealed, Shipper, Uploader};

/// Most media time that is filled for one gap. A longer one keeps its length on the wall clock, but
/// takes no more media time than this: a clock set wrong must not make days of silence.
pub const FILL_MAX: Ticks = Ticks::from_secs(3600);
/// Concealment is made in steps of this much, so that a long gap takes no memory. A multiple of
/// every Opus frame length.
const FILL_STEP: Ticks = Ticks::from_millis(1200);
/// How many sealed chunks an import may be ahead of the store: enough to keep both busy.
const IMPORT_AHEAD: u32 = 8;
/// What conceals audio of which nothing is known: one frame of 20 ms, mono, full band.
pub(crate) const TOC: u8 = 31 << 3;
/// After so many failures in a row (about half a minute) an import gives up.
const IMPORT_PATIENCE: u32 = 8;

/// How far media time may be off the wall clock, in microseconds, and be brought back: more than the
/// cheapest crystals drift apart in a day. A source that is further off does not send in real time.
const OFF_MAX_US: i64 = 20_000_000;
/// Less is not worth a change.
const OFF_MIN_US: i64 = 10_000;
/// What a gap measured on the wall clock is a multiple of: Opus' shortest frame, so that players
/// find as much of it to decode as its length says.
const FRAME_US: i64 = 2_500;

/// How careful and how patient to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Audio that comes once: synced every fragment, the store is tried for ever.
    Live,
    /// Audio that can be read again: synced every chunk, held back while the store is behind, and
    /// given up after some tries.
    Import,
}

/// Why audio could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The spool.
    #[error("the spool failed")]
    Spool(#[from] spool::Error),
    /// What is in the store and the database could not be read.
    #[error("could not see what is kept of the recording already")]
    Rows(#[from] db::Error),
    /// The last chunk could not be read.
    #[error("could not read the recording's last chunk")]
    LastChunk(#[from] chunk::Error),
    /// Store and database did not take a chunk.
    #[error("a chunk could not be moved to the store")]
    Upload(#[source] Arc<upload::Error>),
    /// The runtime stopped the work.
    #[error("opening the spool was stopped")]
    Stopped(#[source] tokio::task::JoinError),
}

impl Error {
    /// Whether another process has the recording's directory.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        matches!(self, Self::Spool(error) if error.is_locked())
    }

    /// Whether there is no room on the disk.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Spool(error) if error.is_full())
    }

    /// Whether somebody else has taken hold of the recording.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        match self {
            Self::Rows(error) => matches!(error, db::Error::LeaseLost),
            Self::Upload(error) => error.is_lost(),
            _ => false,
        }
    }
}

/// The end of what was taken so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kept {
    /// The wall clock there.
    wall: WallMicros,
    /// The first byte of the last packet: how to conceal what follows it.
    toc: u8,
}

/// One recording's writer.
#[derive(Debug)]
pub struct Recorder {
    mode: Mode,
    kept: Option<Kept>,
    /// How far media time has fallen behind the wall clock, beyond what was on purpose.
    behind_us: i64,
    /// Whether `kept.wall` was measured by the source that goes on: not after a pause.
    is_measured: bool,
    cutter: Cutter,
    written: Ticks,
    /// Bounded by its callers: nothing is added while the last call's steps are not done.
    steps: VecDeque<Step>,
    /// What the last step cut, and whether each fragment is to be synced. A step cuts little: two
    /// fragments and a seal.
    cuts: VecDeque<(Cut, bool)>,
    /// What comes next follows what another worker wrote, of which there may be more in its spool.
    taken_over: bool,
    spool: spool::Writer,
    uploads: Uploader,
    meters: Meters,
}

impl Recorder {
    /// Opens a recording's writer where its spool and its rows left off. What a crash left in the
    /// spool is mended, sealed and on its way to the store when this returns.
    ///
    /// `holding` says under which right it is written. The recording's origin, channels and source
    /// must be known and must not change after that. Its start on the wall clock is noted with the
    /// first chunk's row, if it has not been before.
    ///
    /// # Errors
    /// Spool or database, or the store where the last chunk has to be read back.
    /// [`Error::is_locked`] tells that another process has its directory.
    pub async fn open(place: &Place, holding: &Holding, mode: Mode) -> Result<Self, Error> {
        let Holding { hold, take, recording } = holding.clone();
        let id = recording.id;
        let dir = spool::dir(&place.spool_dir, id, take);
        let (held, left) = tokio::task::spawn_blocking(move || {
            let held = Held::new(dir)?;
            let left = spool::mend(&held)?;
            Ok::<_, spool::Error>((held, left))
        })
        .await
        .map_err(Error::Stopped)??;
        if left.torn_bytes > 0 {
            let (recording, bytes) = (tracing::field::display(id), left.torn_bytes);
            tracing::warn!(recording, bytes, "the torn tail of the spool was cut");
        }
        let rowed = place.db.last_chunk(id).await?;
        let last_anchor = place.db.anchors(id).await?.last().copied();
        let spooled = left.chunks.last().copied();
        let next = spooled.max(rowed.as_ref().map(|chunk| chunk.seq)).map_or(0, |seq| seq + 1);
        let left = left::without_stale(left, next, held.dir().to_owned()).await?;
        let (media, kept) = left::ends_at(place, &recording, &left, rowed.as_ref()).await?;
        let (at, dir) = ((media, kept), held.dir().to_owned());
        let behind_us = left::behind_us(place, &recording, at, rowed.as_ref(), dir).await?;
        let taken_over = rowed.as_ref().map_or(take > 0, |chunk| chunk.take != take);

        let spool = spool::Writer::new(held);
        let (place, dir) = (place.clone(), spool.dir().to_owned());
        let meters = place.meters.clone();
        let shipper = Shipper { place, recording, hold, take, dir };
        let first = left.chunks.first().copied().unwrap_or(next);
        let patience = (mode == Mode::Import).then_some(IMPORT_PATIENCE);
        let sealed = Sealed { below: next, until: media };
        let uploads = Uploader::start(shipper, first, sealed, last_anchor, patience);
        let (steps, cuts) = (VecDeque::new(), VecDeque::new());
        let cutter = Cutter::new(next, media);
        let taken_over = taken_over && left.chunks.is_empty();
        Ok(Self {
            mode,
            kept,
            behind_us,
            is_measured: false,
            cutter,
            written: media,
            steps,
            cuts,
            taken_over,
            spool,
            uploads,
            meters,
        })
    }

    /// Takes events in order of media time. `first` is the wall-clock time of their first sample.
    /// Loss before the recording's first packet is not part of it.
    ///
    /// # Errors
    /// The spool failed (or, for an import, the uploads). What was handed over is kept and written
    /// by [`Recorder::catch_up`], which must succeed before more is handed over.
    pub async fn write(
        &mut self,
        events: impl IntoIterator<Item = Event>,
        first: WallMicros,
    ) -> Result<(), Error> {
        if let Some(kept) = self.kept.filter(|_| self.is_measured) {
            self.behind_us += first.micros_since(kept.wall);
        }
        self.is_measured = true;
        let mut passed = Ticks::ZERO;
        for event in events {
            let (duration, wall) = (event.duration(), first.plus(passed));
            passed += duration;
            match event {
                Event::Packet(packet) => self.take(packet, wall),
                Event::Lost { duration, cause } => self.miss(duration, duration.as_micros(), cause),
            }
        }
        self.catch_up().await
    }

    /// Fills the time from the end of what was kept until `until`, for which there was no source or
    /// no us. Nothing, where nothing was kept yet. Takes up what media time was off the wall clock, by
    /// at most half of that time.
    ///
    /// # Errors
    /// See [`Recorder::write`].
    pub async fn away(&mut self, cause: GapCause, until: WallMicros) -> Result<(), Error> {
        if let Some(kept) = self.kept {
            let passed_us = until.micros_since(kept.wall);
            let wall_us = passed_us.max(0);
            self.behind_us += passed_us - wall_us;
            let filled = self.fill_for(wall_us);
            self.miss(filled, wall_us, cause);
            self.kept = Some(Kept { wall: until, ..kept });
        }
        self.catch_up().await
    }

    /// Notes that media time stood still from the end of what was kept until `at`: the recording
    /// was paused. The note is durable on return.
    ///
    /// # Errors
    /// See [`Recorder::write`].
    pub async fn resume(&mut self, at: WallMicros) -> Result<(), Error> {
        if let Some(kept) = self.kept {
            let wall_us = at.micros_since(kept.wall).max(0);
            self.steps.push_back(Step::Pause { wall_us });
            self.kept = Some(Kept { wall: at, ..kept });
            self.is_measured = false;
        }
        self.catch_up().await
    }

    /// Makes everything taken so far durable.
    ///
    /// # Errors
    /// See [`Recorder::write`].
    pub async fn flush(&mut self) -> Result<(), Error> {
        self.steps.push_back(Step::Flush);
        self.catch_up().await
    }

    /// Makes everything taken so far durable, and a complete chunk on its way to the store.
    ///
    /// # Errors
    /// See [`Recorder::write`].
    pub async fn seal(&mut self) -> Result<(), Error> {
        self.steps.push_back(Step::Seal);
        self.catch_up().await
    }

    /// Does what a failure left undone.
    ///
    /// # Errors
    /// See [`Recorder::write`].
    pub async fn catch_up(&mut self) -> Result<(), Error> {
        if let Some(trouble) = self.progress().trouble.filter(|trouble| trouble.is_lost()) {
            return Err(Error::Upload(trouble));
        }
        self.carry_on().await
    }

    /// Makes everything taken so far durable although somebody else has the recording now, so that
    /// it can be brought home from the spool.
    ///
    /// # Errors
    /// The spool failed: what was not written is lost.
    pub async fn abandon(mut self) -> Result<(), Error> {
        self.steps.push_back(Step::Flush);
        self.carry_on().await
    }

    async fn carry_on(&mut self) -> Result<(), Error> {
        loop {
            while let Some((cut, sync)) = self.cuts.front() {
                let sync = *sync && self.mode == Mode::Live;
                self.carry_out(cut.clone(), sync).await?;
                self.cuts.pop_front();
            }
            let Some(step) = self.steps.pop_front() else { return Ok(()) };
            self.advance(step);
        }
    }

    /// Whether everything handed over was written (or waits in an open fragment).
    #[must_use]
    pub fn is_caught_up(&self) -> bool {
        self.steps.is_empty() && self.cuts.is_empty()
    }

    /// Whether packets wait in an open fragment, in memory only.
    #[must_use]
    pub fn has_tail(&self) -> bool {
        self.cutter.has_tail()
    }

    /// Media time taken so far.
    #[must_use]
    pub fn media(&self) -> Ticks {
        self.cutter.end()
    }

    /// The wall clock at the end of what was taken; `None` before the first packet.
    #[must_use]
    pub fn wall(&self) -> Option<WallMicros> {
        self.kept.map(|kept| kept.wall)
    }

    /// Media time up to which everything is written.
    #[must_use]
    pub fn written(&self) -> Ticks {
        self.written
    }

    /// Whether every sealed chunk is in the store and rowed.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.uploads.is_drained()
    }

    /// The chunks' way to the store.
    #[must_use]
    pub fn uploads(&mut self) -> &mut Uploader {
        &mut self.uploads
    }

    /// How far the chunks are on their way to the store.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.uploads.progress()
    }

    /// Seals the tail and waits until every chunk is in the store and rowed. The caller ends the
    /// recording's row after that.
    ///
    /// # Errors
    /// Spool, store or database; what is in the spool stays.
    pub async fn finish(mut self) -> Result<(), Error> {
        self.seal().await?;
        self.uploads.wait(0).await.map_err(Error::Upload)?;
        self.close().await
    }

    /// Removes the recording's empty directory.
    ///
    /// # Errors
    /// Something is left in it.
    pub async fn close(self) -> Result<(), Error> {
        Ok(self.spool.remove_dir().await?)
    }

    async fn carry_out(&mut self, cut: Cut, sync: bool) -> Result<(), Error> {
        match cut {
            Cut::Fragment { chunk, fragment, gaps } => {
                let bytes = cmaf::write_fragment(&fragment);
                self.spool.append(chunk, bytes, gaps, sync).await?;
                self.written = fragment.span().end;
            }
            Cut::Note { chunk, gap } => self.spool.note(chunk, vec![gap]).await?,
            Cut::Seal { chunk } => {
                self.spool.seal().await?;
                self.uploads.seal(Sealed { below: chunk + 1, until: self.written });
                if self.mode == Mode::Import {
                    self.uploads.wait(IMPORT_AHEAD).await.map_err(Error::Upload)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
