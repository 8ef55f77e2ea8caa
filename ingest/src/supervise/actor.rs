//! One room's actor: its source, its open recording, and what happens when.
//!
//! The actor does one thing at a time: a batch, a source at the door, what the rows say, something
//! that is due. Work that fails for want of disk or database is kept and tried again
//! ([`Actor::work`]); meanwhile the source is not listened to, so that the feed's bound holds it
//! back, but requests and the clock are still attended to.
//!
//! Audio of an open recording needs the disk alone. The rows are read, and the grip on the recording
//! is changed, beside it and with waits that double, so that a database that is away holds up
//! neither. Where the disk is full, audio is dropped and what follows it comes behind a gap.

use std::sync::Arc;
use std::time::Duration;

use models::db::{self, NewRecording};
use models::recording::{EndReason, State};
use models::room::RecordingPolicy;
use models::{Grip, Room, WallMicros, steady};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::registry::Seat;
use super::{Attach, Batch, Shared};
use crate::record;
use crate::tap::{Event, Source};

mod holding;
mod open;
mod requests;
mod room;
mod sources;

use holding::{TakenUp, gripped};
use open::{Open, drained};
use requests::{Looking, Seen, looked};

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
    #[error("another worker holds the recording")]
    Elsewhere,
}

impl Error {
    /// Whether somebody else has taken hold of the recording.
    fn is_lost(&self) -> bool {
        match self {
            Self::Record(error) => error.is_lost(),
            Self::Row(error) => matches!(error, db::Error::LeaseLost),
            Self::Elsewhere => false,
        }
    }

    /// Whether there is no room on the disk.
    fn is_full(&self) -> bool {
        matches!(self, Self::Record(error) if error.is_full())
    }
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
    /// The rows are being read.
    looking: Option<Looking>,
    /// There may be something new in them since that began.
    look_again: bool,
    /// How often in a row they could not be read.
    blind: u32,
    /// When the source left.
    left: Instant,
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
    Seen(Result<Box<Seen>, db::Error>),
    Gripped(Result<(), db::Error>),
    Heard(Option<Batch>),
    Drained,
    Due,
}

impl Actor {
    pub(super) fn new(shared: Arc<Shared>, room: Room, seat: Seat) -> Self {
        let now = Instant::now();
        let (source, open, held, stalled) = (None, None, None, None);
        let (heard, look_at, left) = (now, now, now);
        let (looking, look_again, blind) = (None, false, 0);
        Self {
            shared,
            room,
            seat,
            source,
            open,
            heard,
            held,
            stalled,
            look_at,
            looking,
            look_again,
            blind,
            left,
        }
    }

    pub(super) async fn run(mut self) {
        self.look();
        while !self.may_leave() {
            match self.next().await {
                Happened::Stop => return self.stop().await,
                Happened::AtTheDoor(attach) => self.attach(attach).await,
                Happened::Rows => self.look(),
                Happened::Seen(seen) => self.see(seen).await,
                Happened::Gripped(done) => self.gripped(done).await,
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
        idle && self.looking.is_none() && self.shared.rooms.leave(self.room.id, &self.seat.inbox)
    }

    async fn next(&mut self) -> Happened {
        let (due, listens, works) = (self.due(), self.listens(), self.stalled.is_none());
        let Self { shared, seat, source, open, looking, .. } = self;
        // Only one of them is waited for, and each is about the open recording.
        let (gripping, ending) = match open {
            Some(open) if open.is_gripping() => (Some(open), None),
            open => (None, open.as_mut()),
        };
        tokio::select! {
            biased;
            () = shared.stop.cancelled() => Happened::Stop,
            Some(attach) = seat.inbox.recv() => Happened::AtTheDoor(attach),
            () = seat.nudge.notified() => Happened::Rows,
            seen = looked(looking) => Happened::Seen(seen),
            done = gripped(gripping) => Happened::Gripped(done),
            batch = receive(source), if listens => Happened::Heard(batch),
            () = drained(ending), if works => Happened::Drained,
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
        let silent = self.falls_silent().filter(|_| retry.is_none());
        let open = self.open.as_ref();
        let beside = [open.and_then(Open::grip_due), open.and_then(Open::full_until)];
        let own = [retry, self.sync_due().filter(|_| retry.is_none()), self.grace_ends(), silent];
        // Where they are being read already there is nothing to wait for.
        let look = (self.looking.is_none()).then_some(self.look_at);
        let all = own.into_iter().chain(beside).chain([look]).flatten();
        all.min().unwrap_or_else(|| Instant::now() + LOOK)
    }

    /// When what waits in an open fragment is to be written.
    fn sync_due(&self) -> Option<Instant> {
        let open = self.open.as_ref().filter(|open| open.full_until().is_none());
        let since = open.and_then(|open| open.tail_since);
        since.map(|since| since + self.shared.limits.sync_within)
    }

    /// When silence will have ended the recording. Our own failures are not the source's silence.
    fn grace_ends(&self) -> Option<Instant> {
        let counts = self.open.is_some() && self.listens();
        counts.then(|| self.heard + Duration::from_millis(self.room.grace_ms))
    }

    /// The open recording's clock, which does not step; without one, the system's.
    fn now(&self) -> WallMicros {
        self.open.as_ref().map_or_else(WallMicros::now, Open::now)
    }

    async fn attend(&mut self) {
        let now = Instant::now();
        let stalled = self.stalled.as_ref().map(|stalled| stalled.until);
        let full = self.open.as_ref().and_then(Open::full_until);
        if [stalled, full].into_iter().flatten().any(|until| until <= now) {
            self.work().await;
        }
        if let Some(open) = &mut self.open {
            open.regrip(&self.shared.place);
        }
        if self.sync_due().is_some_and(|at| at <= now) {
            self.flush().await;
        }
        if self.falls_silent().is_some_and(|at| at <= now) {
            self.loosen().await;
        }
        let waiting = self.source.as_ref().is_some_and(|source| !source.batches.is_empty());
        if !waiting && self.grace_ends().is_some_and(|end| end <= now) {
            let at = self.open.as_ref().and_then(Open::wall).unwrap_or_else(|| self.now());
            self.end(EndReason::SourceAway, at).await;
        }
        if self.look_at <= now && self.looking.is_none() {
            self.read();
        }
    }
}

/// Work that may fail and is tried again.
impl Actor {
    /// Does all that is to be done now.
    async fn work(&mut self) {
        let done = self.try_work().await;
        self.note(done).await;
    }

    /// Makes durable what waits in the open fragment, unless work waits that comes before.
    async fn flush(&mut self) {
        let Some(open) = self.open.as_mut().filter(|_| self.stalled.is_none()) else { return };
        let done = open.flush().await;
        self.note(done).await;
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
        let Some(Held { batch, may_start, .. }) = &self.held else { return Ok(()) };
        let starts = self.room.policy == RecordingPolicy::Auto && *may_start && has_audio(batch);
        if self.open.is_none() && starts {
            match self.take_up(Grip::Firm).await? {
                TakenUp::Nothing if self.has_no_room() => {
                    self.refuse_for_space();
                    return Ok(());
                }
                TakenUp::Nothing => self.begin().await?,
                TakenUp::Ours => {}
                TakenUp::Theirs(_) => return Err(Error::Elsewhere),
            }
        }
        let Some(Held { batch, source, .. }) = &self.held else { return Ok(()) };
        let place = &self.shared.place;
        let live = self.open.as_mut().filter(|open| open.state() == State::Live);
        if let Some(open) = live {
            if has_audio(batch) {
                open.want(place, Grip::Firm);
            }
            open.prepare(place, source, batch).await?;
            if let Some(Held { batch, .. }) = self.held.take() {
                return open.keep(batch).await;
            }
        }
        self.held = None;
        Ok(())
    }

    /// Makes a recording for a source that came by itself.
    async fn begin(&mut self) -> Result<(), Error> {
        let Some(Held { batch, source, .. }) = &self.held else { return Ok(()) };
        let new = NewRecording {
            room_id: self.room.id,
            title: self.room.title.clone(),
            origin: source.origin,
            state: State::Live,
            channels: source.channels,
            source: source.description.clone(),
            created_at: batch.arrived.plus_micros(steady::set_by()),
        };
        let place = &self.shared.place;
        let recording = place.db.create_recording(&new).await?;
        tracing::info!(room = self.room.slug, recording = %recording.id, "recording begun");
        // Where this fails the recording is there to be taken up.
        let now = WallMicros::now();
        let held = place.db.hold(recording.id, &place.worker, Grip::Firm, now).await?;
        self.open = Some(Open::new(place, held.ok_or(Error::Elsewhere)?, Grip::Firm));
        Ok(())
    }

    /// Notes how work went: what failed is tried again after a while. What another worker has taken
    /// is no longer ours to try.
    async fn note(&mut self, done: Result<(), Error>) {
        let Err(error) = done else {
            if self.stalled.take().is_some() {
                tracing::warn!(room = self.room.slug, "audio is kept again");
            }
            self.has_room_again();
            return;
        };
        if error.is_full() && self.open.is_some() {
            return self.ran_full(&error);
        }
        if error.is_lost() {
            self.lose().await;
        }
        if matches!(error, Error::Elsewhere) {
            self.turn_away();
            self.stalled = None;
            return;
        }
        let failures = self.stalled.as_ref().map_or(0, |stalled| stalled.failures) + 1;
        let error = &error as &dyn std::error::Error;
        tracing::error!(room = self.room.slug, failures, error, "audio waits to be kept");
        self.stalled = Some(Stalled { until: Instant::now() + wait_after(failures), failures });
    }
}

/// How long to wait after so many failures in a row.
fn wait_after(failures: u32) -> Duration {
    (WAIT_FIRST * 2_u32.saturating_pow(failures.saturating_sub(1).min(16))).min(WAIT_MOST)
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
