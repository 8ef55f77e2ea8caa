//! A room's open recording: its row, its writer, and the time without audio.

use models::db::Held as Holding;
use models::recording::{EndReason, Origin, State};
use models::{Gap, GapCause, Grip, Hold, Recording, RecordingId, Ticks, WallMicros, steady};
use tokio::time::Instant;

use super::holding::Gripping;
use super::{Error, wait_after};
use crate::meters::OpenOne;
use crate::place::Place;
use crate::record::{self, Mode, Recorder};
use crate::supervise::Batch;
use crate::tap::{Event, Source};

/// A recording that is live or paused.
pub(super) struct Open {
    /// The right to write it, and the recording.
    holding: Holding,
    /// How firmly it is held, and is to be.
    pub(super) grip: Gripping,
    /// Why and when it ended; it is over when all of it is in the store.
    pub(super) ending: Option<(EndReason, WallMicros)>,
    /// Since when packets wait in an open fragment.
    pub(super) tail_since: Option<Instant>,
    /// `None` until the recording's source is known, and while its spool cannot be opened.
    recorder: Option<Recorder>,
    /// Media time up to which everything was written when `tail_since` was set.
    written: Ticks,
    /// Why there was no audio from the end of what is kept until the next packet.
    away: Option<GapCause>,
    /// How far the system clock had been set when it was opened: a recording has one clock, whatever
    /// is done to the system's while it lasts.
    set_by_us: i64,
    /// Until when audio was dropped for want of room.
    missed_until: Option<WallMicros>,
    full: Option<Full>,
    _counted: OpenOne,
}

/// Writing failed for want of room, and is tried again.
struct Full {
    until: Instant,
    failures: u32,
}

impl Open {
    pub(super) fn new(place: &Place, holding: Holding, grip: Grip) -> Self {
        Self {
            holding,
            grip: Gripping::new(grip),
            ending: None,
            tail_since: None,
            recorder: None,
            written: Ticks::ZERO,
            away: None,
            set_by_us: steady::set_by(),
            missed_until: None,
            full: None,
            _counted: place.meters.open_one(),
        }
    }

    /// What the recording's clock says.
    pub(super) fn now(&self) -> WallMicros {
        self.at(WallMicros::steady())
    }

    /// A time of this process' clock on the recording's.
    fn at(&self, steady: WallMicros) -> WallMicros {
        steady.plus_micros(self.set_by_us)
    }

    pub(super) fn id(&self) -> RecordingId {
        self.holding.recording.id
    }

    pub(super) fn state(&self) -> State {
        self.holding.recording.state
    }

    fn recording(&mut self) -> &mut Recording {
        &mut self.holding.recording
    }

    pub(super) fn hold_on_it(&self) -> Hold {
        self.holding.hold
    }

    pub(super) fn row(&self) -> &Recording {
        &self.holding.recording
    }

    /// The wall clock at the end of what is kept.
    pub(super) fn wall(&self) -> Option<WallMicros> {
        self.recorder.as_ref().and_then(Recorder::wall)
    }

    /// Opens the writer, or lets it do what a failure left undone.
    pub(super) async fn catch_up(&mut self, place: &Place) -> Result<(), Error> {
        match &mut self.recorder {
            Some(recorder) => recorder.catch_up().await?,
            None if self.holding.recording.origin == Origin::Pending => {}
            None => {
                let recorder = Recorder::open(place, &self.holding, Mode::Live).await?;
                self.away = recorder.wall().map(|_| GapCause::Down);
                self.recorder = Some(recorder);
            }
        }
        Ok(())
    }

    /// Makes the recording ready for its source's audio.
    pub(super) async fn prepare(
        &mut self,
        place: &Place,
        source: &Source,
        batch: &Batch,
    ) -> Result<(), Error> {
        if self.holding.recording.origin == Origin::Pending {
            let Source { origin, channels, description } = source;
            let hold = self.holding.hold;
            place.db.set_source(hold, *origin, *channels, description, None).await?;
            let recording = self.recording();
            recording.origin = *origin;
            recording.channels = *channels;
            recording.source.clone_from(description);
        }
        if self.recorder.is_none() {
            self.catch_up(place).await?;
        }
        let heard = batch.events.iter().position(is_packet);
        if let Some(first) = heard.filter(|_| self.holding.recording.started_at.is_none()) {
            // Whoever goes on where we died before a chunk was complete has to know how much there
            // was.
            let first = begins(&batch.events[first..], self.at(batch.arrived));
            let Recording { origin, channels, source, .. } = &self.holding.recording;
            let hold = self.holding.hold;
            place.db.set_source(hold, *origin, *channels, source, Some(first)).await?;
            self.recording().started_at = Some(first);
        }
        Ok(())
    }

    /// Keeps a batch, after the time without audio that it ends.
    pub(super) async fn keep(&mut self, batch: Batch) -> Result<(), Error> {
        let Batch { mut events, arrived, .. } = batch;
        let arrived = self.at(arrived);
        let Some(recorder) = &mut self.recorder else { return Ok(()) };
        if self.away.is_some() || recorder.wall().is_none() {
            // Whatever was lost before the first packet is part of the time away.
            let Some(first) = events.iter().position(is_packet) else { return Ok(()) };
            events.drain(..first);
        }
        let first = begins(&events, arrived);
        let filled = match self.away.take() {
            Some(cause) => recorder.away(cause, first).await,
            None => Ok(()),
        };
        self.missed_until = None;
        // Where filling failed, it is queued before the batch, and writing tries both.
        let written = if events.is_empty() { filled } else { recorder.write(events, first).await };
        self.watch_tail();
        Ok(written?)
    }

    /// Notes that audio which ended at `until` was dropped for want of room. Whether it is the first.
    pub(super) fn miss(&mut self, until: WallMicros) -> bool {
        let until = self.at(until);
        let first = self.missed_until.is_none();
        if self.wall().is_some() {
            self.away.get_or_insert(GapCause::NoSpace);
        }
        self.missed_until = self.missed_until.max(Some(until));
        first
    }

    /// Writing failed for want of room: it is tried again after a while.
    pub(super) fn ran_full(&mut self, now: Instant) {
        let failures = self.full.as_ref().map_or(0, |full| full.failures) + 1;
        self.full = Some(Full { until: now + wait_after(failures), failures });
    }

    /// When writing is tried again that failed for want of room.
    pub(super) fn full_until(&self) -> Option<Instant> {
        self.full.as_ref().map(|full| full.until)
    }

    /// Writing succeeded. Whether it had not before.
    pub(super) fn has_room(&mut self) -> bool {
        self.full.take().is_some()
    }

    /// Its source left: until the next packet there is none.
    pub(super) fn source_left(&mut self) {
        if self.wall().is_some() {
            self.away.get_or_insert(GapCause::SourceAway);
        }
    }

    /// Makes durable what waits in the open fragment.
    pub(super) async fn flush(&mut self) -> Result<(), Error> {
        self.with(Recorder::flush).await
    }

    /// Lets it go to whoever has taken hold of it. What we have of it stays in the spool.
    pub(super) async fn abandon(self) {
        let id = self.id();
        if let Some(recorder) = self.recorder
            && let Err(error) = recorder.abandon().await
        {
            let error = &error as &dyn std::error::Error;
            tracing::error!(recording = %id, error, "the last audio of a recording was not kept");
        }
    }

    /// Makes everything durable and a complete chunk.
    pub(super) async fn seal(&mut self) -> Result<(), Error> {
        self.with(Recorder::seal).await
    }

    /// Waits until every sealed chunk is in the store and rowed.
    pub(super) async fn uploaded(&mut self) {
        if let Some(recorder) = &mut self.recorder {
            // A live recording's uploads never give up; where they died, the next start goes on.
            if recorder.uploads().wait(0).await.is_err() {
                tracing::error!(recording = %self.id(), "the uploads of a recording died");
                std::future::pending().await
            }
        }
    }

    /// Stops writing. What was said before is on its way to the store.
    pub(super) async fn pause(&mut self, place: &Place, now: WallMicros) -> Result<(), Error> {
        self.catch_up(place).await?;
        self.seal().await?;
        place.db.set_state(self.holding.hold, State::Paused, now).await?;
        self.recording().state = State::Paused;
        tracing::info!(recording = %self.id(), "recording paused");
        Ok(())
    }

    /// Writes again. The pause takes all time without audio since the end of what is kept.
    pub(super) async fn resume(
        &mut self,
        place: &Place,
        now: WallMicros,
        has_source: bool,
    ) -> Result<(), Error> {
        self.catch_up(place).await?;
        if self.state() == State::Paused
            && let Some(recorder) = &mut self.recorder
        {
            // Durable before the row says so: a crash between must not make the pause time down.
            recorder.resume(now).await?;
            self.away = recorder.wall().map(|_| GapCause::SourceAway).filter(|_| !has_source);
        }
        place.db.set_state(self.holding.hold, State::Live, now).await?;
        self.recording().state = State::Live;
        tracing::info!(recording = %self.id(), "recording resumed");
        Ok(())
    }

    /// Ends the recording's row, where everything is in the store. Whether it did.
    pub(super) async fn conclude(&mut self, place: &Place) -> Result<bool, Error> {
        let (Some((reason, at)), hold) = (self.ending, self.holding.hold) else { return Ok(false) };
        if let (Some(GapCause::NoSpace), Some(until)) = (self.away, self.missed_until.take())
            && let Some(recorder) = &mut self.recorder
        {
            // It goes on to where it ended, though the end was not kept.
            recorder.away(GapCause::NoSpace, until).await?;
        }
        self.seal().await?;
        if let Some(recorder) = &self.recorder {
            if !recorder.is_drained() {
                return Ok(false);
            }
            let paused = recorder.wall().filter(|_| self.state() == State::Paused);
            if let Some(wall) = paused {
                let (start, wall_us) = (recorder.media(), at.micros_since(wall).max(0));
                let gap = Gap { start, duration: Ticks::ZERO, wall_us, cause: GapCause::Paused };
                place.db.add_gaps(hold, &[gap]).await?;
            }
        }
        place.db.end_recording(hold, reason, at).await?;
        let id = self.id();
        tracing::info!(recording = %id, ?reason, "recording ended");
        if let Some(recorder) = self.recorder.take()
            && let Err(error) = recorder.close().await
        {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(recording = %id, error, "the spool directory of a recording stays");
        }
        Ok(true)
    }

    async fn with(
        &mut self,
        work: impl AsyncFnOnce(&mut Recorder) -> Result<(), record::Error>,
    ) -> Result<(), Error> {
        let Some(recorder) = &mut self.recorder else { return Ok(()) };
        let done = work(recorder).await;
        self.watch_tail();
        Ok(done?)
    }

    /// Sees since when packets wait in memory.
    fn watch_tail(&mut self) {
        let Some(recorder) = &self.recorder else { return };
        let written = recorder.written();
        if !recorder.has_tail() {
            self.tail_since = None;
        } else if self.tail_since.is_none() || written != self.written {
            self.tail_since = Some(Instant::now());
        }
        self.written = written;
    }
}

/// The wall-clock time at which events began that were complete at `arrived`.
fn begins(events: &[Event], arrived: WallMicros) -> WallMicros {
    let length: Ticks = events.iter().map(Event::duration).sum();
    WallMicros(arrived.0.saturating_sub(length.as_micros()))
}

fn is_packet(event: &Event) -> bool {
    matches!(event, Event::Packet(_))
}

/// Waits until an ending recording is in the store to its last chunk.
pub(super) async fn drained(open: Option<&mut Open>) {
    match open {
        Some(open) if open.ending.is_some() => open.uploaded().await,
        _ => std::future::pending().await,
    }
}
