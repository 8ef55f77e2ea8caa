//! One room's actor: its source, its open recording, and what happens when.
//!
//! The actor does one thing at a time: a batch, a source at the door, a look at the rows, something
//! that is due. Work that fails for want of disk or database is kept and tried again
//! ([`Actor::work`]); meanwhile the source is not listened to, so that the feed's bound holds it
//! back, but requests and the clock are still attended to.

use std::sync::Arc;
use std::time::Duration;

use models::db::{self, NewRecording};
use models::recording::{EndReason, State};
use models::room::RecordingPolicy;
use models::{Recording, Room, WallMicros};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::registry::Seat;
use super::{Attach, Batch, Shared};
use crate::record::{self, Place};
use crate::tap::{Event, Source};

mod open;
mod requests;
mod sources;

use open::{Open, drained};

/// How often an actor looks at its rows without being told.
const LOOK: Duration = Duration::from_secs(10);
/// First wait after a failure; doubled each time.
const WAIT_FIRST: Duration = Duration::from_millis(250);
/// Longest wait between tries.
const WAIT_MOST: Duration = Duration::from_secs(5);
/// How long a shutdown waits for the store. What is not there then goes with the next start.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// Why a piece of work is to be tried again.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("audio cannot be kept")]
    Record(#[from] record::Error),
    #[error("the recording's row cannot be read or changed")]
    Row(#[from] db::Error),
}

/// One room.
pub(super) struct Actor {
    shared: Arc<Shared>,
    room: Room,
    seat: Seat,
    source: Option<Attached>,
    open: Option<Open>,
    /// When the open recording last had audio, or a source that came, or was opened here.
    heard: Instant,
    /// A batch that was taken from the feed and is not kept yet.
    held: Option<Held>,
    stalled: Option<Stalled>,
    look_at: Instant,
}

/// The room's source.
struct Attached {
    info: Arc<Source>,
    batches: mpsc::Receiver<Batch>,
    heard: Instant,
    /// Whether its audio may begin a recording: not after the host ended one that it was part of.
    may_start: bool,
}

/// A batch, and what is to be known of its source, which may be gone by the time it is kept.
struct Held {
    batch: Batch,
    source: Arc<Source>,
    may_start: bool,
}

/// Work failed and is tried again.
struct Stalled {
    until: Instant,
    failures: u32,
}

/// What an actor wakes up for.
enum Happened {
    Stop,
    AtTheDoor(Attach),
    Rows,
    Heard(Option<Batch>),
    Drained,
    Due,
}

impl Actor {
    pub(super) fn new(shared: Arc<Shared>, room: Room, seat: Seat) -> Self {
        let now = Instant::now();
        let (source, open, held, stalled) = (None, None, None, None);
        Self { shared, room, seat, source, open, heard: now, held, stalled, look_at: now }
    }

    pub(super) async fn run(mut self) {
        self.look().await;
        while !self.may_leave() {
            match self.next().await {
                Happened::Stop => return self.stop().await,
                Happened::AtTheDoor(attach) => self.attach(attach).await,
                Happened::Rows => self.look().await,
                Happened::Heard(Some(batch)) => self.hear(batch).await,
                Happened::Heard(None) => self.source_gone().await,
                Happened::Drained => self.work().await,
                Happened::Due => self.attend().await,
            }
        }
    }

    /// Whether nothing is left to do; the actor is off the list then.
    fn may_leave(&self) -> bool {
        let idle = self.source.is_none() && self.open.is_none() && self.held.is_none();
        idle && self.shared.rooms.leave(self.room.id, &self.seat.inbox)
    }

    async fn next(&mut self) -> Happened {
        let (due, listens, works) = (self.due(), self.listens(), self.stalled.is_none());
        let Self { shared, seat, source, open, .. } = self;
        tokio::select! {
            biased;
            () = shared.stop.cancelled() => Happened::Stop,
            Some(attach) = seat.inbox.recv() => Happened::AtTheDoor(attach),
            () = seat.nudge.notified() => Happened::Rows,
            batch = receive(source), if listens => Happened::Heard(batch),
            () = drained(open), if works => Happened::Drained,
            () = tokio::time::sleep_until(due) => Happened::Due,
        }
    }

    /// Nothing is taken from the feed while something taken before is not kept, or while a
    /// recording is being ended: what comes then is for the next one.
    fn listens(&self) -> bool {
        let ending = self.open.as_ref().is_some_and(|open| open.ending.is_some());
        self.stalled.is_none() && !ending
    }

    /// When the next thing is due.
    fn due(&self) -> Instant {
        let retry = self.stalled.as_ref().map(|stalled| stalled.until);
        [retry, self.sync_due().filter(|_| retry.is_none()), self.grace_ends()]
            .into_iter()
            .flatten()
            .fold(self.look_at, Instant::min)
    }

    /// When what waits in an open fragment is to be written.
    fn sync_due(&self) -> Option<Instant> {
        let since = self.open.as_ref().and_then(|open| open.tail_since);
        since.map(|since| since + self.shared.limits.sync_within)
    }

    /// When silence will have ended the recording. Our own failures are not the source's silence.
    fn grace_ends(&self) -> Option<Instant> {
        let counts = self.open.is_some() && self.listens();
        counts.then(|| self.heard + Duration::from_millis(self.room.grace_ms))
    }

    async fn attend(&mut self) {
        let now = Instant::now();
        if self.stalled.as_ref().is_some_and(|stalled| stalled.until <= now) {
            self.work().await;
        }
        if self.sync_due().is_some_and(|at| at <= now) {
            self.flush().await;
        }
        let waiting = self.source.as_ref().is_some_and(|source| !source.batches.is_empty());
        if !waiting && self.grace_ends().is_some_and(|end| end <= now) {
            let at = self.open.as_ref().and_then(Open::wall).unwrap_or_else(WallMicros::now);
            self.end(EndReason::SourceAway, at).await;
        }
        if self.look_at <= now {
            self.look().await;
        }
    }
}

/// Work that may fail and is tried again.
impl Actor {
    /// Does all that is to be done now.
    async fn work(&mut self) {
        let done = self.try_work().await;
        self.note(done);
    }

    /// Makes durable what waits in the open fragment, unless work waits that comes before.
    async fn flush(&mut self) {
        let Some(open) = self.open.as_mut().filter(|_| self.stalled.is_none()) else { return };
        let done = open.flush().await;
        self.note(done);
    }

    async fn try_work(&mut self) -> Result<(), Error> {
        if let Some(open) = &mut self.open {
            open.catch_up(&self.shared.place).await?;
        }
        self.keep().await?;
        let concluded = match &mut self.open {
            Some(open) if open.ending.is_some() => open.conclude(&self.shared.place).await?,
            _ => false,
        };
        if concluded {
            self.open = None;
            self.heard = Instant::now();
        }
        Ok(())
    }

    /// Keeps, or discards, the batch that is held.
    async fn keep(&mut self) -> Result<(), Error> {
        let Some(Held { batch, source, may_start }) = &self.held else { return Ok(()) };
        let starts = self.room.policy == RecordingPolicy::Auto && *may_start && has_audio(batch);
        let place = &self.shared.place;
        if self.open.is_none() && starts {
            let recording = begin(place, &self.room, source, batch.arrived).await?;
            self.open = Some(Open::new(recording));
        }
        let live = self.open.as_mut().filter(|open| open.recording.state == State::Live);
        if let Some(open) = live {
            open.prepare(place, source).await?;
            if let Some(Held { batch, .. }) = self.held.take() {
                return open.keep(batch).await;
            }
        }
        self.held = None;
        Ok(())
    }

    /// Notes how work went: what failed is tried again after a while.
    fn note(&mut self, done: Result<(), Error>) {
        let Err(error) = done else {
            if self.stalled.take().is_some() {
                tracing::warn!(room = self.room.slug, "audio is kept again");
            }
            return;
        };
        let failures = self.stalled.as_ref().map_or(0, |stalled| stalled.failures) + 1;
        let error = &error as &dyn std::error::Error;
        tracing::error!(room = self.room.slug, failures, error, "audio waits to be kept");
        let wait = WAIT_FIRST * 2_u32.saturating_pow((failures - 1).min(16));
        self.stalled = Some(Stalled { until: Instant::now() + wait.min(WAIT_MOST), failures });
    }
}

/// Makes a recording's row for a source that came by itself.
async fn begin(
    place: &Place,
    room: &Room,
    source: &Source,
    now: WallMicros,
) -> Result<Recording, Error> {
    let new = NewRecording {
        room_id: room.id,
        title: room.title.clone(),
        origin: source.origin,
        state: State::Live,
        channels: source.channels,
        source: source.description.clone(),
        created_at: now,
    };
    let recording = place.db.create_recording(&new).await?;
    tracing::info!(room = room.slug, recording = %recording.id, "recording begun");
    Ok(recording)
}

fn has_audio(batch: &Batch) -> bool {
    batch.events.iter().any(|event| matches!(event, Event::Packet(_)))
}

/// The source's next batch; `None`: it is gone.
async fn receive(source: &mut Option<Attached>) -> Option<Batch> {
    match source {
        Some(source) => source.batches.recv().await,
        None => std::future::pending().await,
    }
}
