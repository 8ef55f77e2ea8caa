//! What the room's rows ask for, and the end: of the recording, of the actor.

use models::recording::{EndReason, Request};
use models::room::RecordingPolicy;
use models::{Grip, Hold, Recording, Room, WallMicros, db};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::{Actor, Error, LOOK, Open, STOP_WITHIN, TakenUp, wait_after};

/// What the rows said.
pub(super) struct Seen {
    room: Room,
    /// Of the recording that was open then: by which right it was written, whether that still
    /// counts, and its row.
    open: Option<(Hold, bool, Recording)>,
}

/// The rows are being read.
pub(super) type Looking = AbortOnDropHandle<Result<Box<Seen>, db::Error>>;

/// Waits until the rows were read.
pub(super) async fn looked(looking: &mut Option<Looking>) -> Result<Box<Seen>, db::Error> {
    let Some(task) = looking else { return std::future::pending().await };
    let seen = task.await;
    *looking = None;
    // It does not panic; where the runtime ends nothing is read any more.
    match seen {
        Ok(seen) => seen,
        Err(_) => std::future::pending().await,
    }
}

impl Actor {
    /// Has the room's rows read, unless they could not be a moment ago.
    pub(super) fn look(&mut self) {
        if self.looking.is_some() {
            self.look_again = true;
        } else if self.blind == 0 {
            self.read();
        }
    }

    /// Begins to read the room's rows.
    pub(super) fn read(&mut self) {
        self.look_again = false;
        let (db, room) = (self.shared.place.db.clone(), self.room.id);
        let open = self.open.as_ref().map(Open::hold_on_it);
        let read = async move {
            let room = db.room(room).await?;
            let open = match open {
                Some(hold) => {
                    let held = db.is_held(&hold).await?;
                    Some((hold, held, db.recording(hold.recording_id).await?))
                }
                None => None,
            };
            Ok(Box::new(Seen { room, open }))
        };
        self.looking = Some(AbortOnDropHandle::new(tokio::spawn(read)));
    }

    /// Does what the room's rows ask for.
    pub(super) async fn see(&mut self, seen: Result<Box<Seen>, db::Error>) {
        let done = match seen {
            Ok(seen) => self.try_see(*seen).await,
            Err(error) => Err(error.into()),
        };
        match done {
            Ok(()) => (self.blind, self.look_at) = (0, Instant::now() + LOOK),
            Err(error) => {
                self.blind += 1;
                self.look_at = Instant::now() + wait_after(self.blind);
                let (error, times) = (&error as &dyn std::error::Error, self.blind);
                let room = &self.room.slug;
                tracing::error!(room, times, error, "a request waits to be carried out");
            }
        }
        if std::mem::take(&mut self.look_again) {
            self.look();
        }
    }

    async fn try_see(&mut self, seen: Seen) -> Result<(), Error> {
        self.room = seen.room;
        let now = self.open.as_ref().map(Open::hold_on_it);
        let same = seen.open.filter(|(hold, _, _)| now == Some(*hold));
        let mut row = None;
        match same {
            Some((_, true, recording)) => row = Some(recording),
            Some((_, false, _)) => self.lose().await,
            None => {}
        }
        if self.open.is_none() {
            let grip = if self.source.is_some() { Grip::Firm } else { Grip::Loose };
            match self.take_up(grip).await? {
                TakenUp::Nothing => {}
                TakenUp::Ours => {
                    self.work().await;
                    row = self.open.as_ref().map(|open| open.row().clone());
                }
                TakenUp::Theirs(_) => self.turn_away(),
            }
        }
        if let Some(row) = row {
            self.follow(row).await?;
        }
        if self.room.policy == RecordingPolicy::Never {
            self.source_gone().await;
            self.end(EndReason::Host, self.now()).await;
        }
        Ok(())
    }

    /// Does what the open recording's row asks for.
    async fn follow(&mut self, row: Recording) -> Result<(), Error> {
        if !row.state.is_open() {
            tracing::error!(recording = %row.id, "an open recording was ended by someone else");
            self.open = None;
            return Ok(());
        }
        let request = row.request;
        let now = self.now();
        if request == Some(Request::Pause) {
            self.take_waiting().await;
        }
        let (place, has_source) = (&self.shared.place, self.source.is_some());
        let Some(open) = self.open.as_mut().filter(|open| open.ending.is_none()) else {
            return Ok(());
        };
        match request {
            Some(Request::Pause) => open.pause(place, now).await,
            Some(Request::Resume) => open.resume(place, now, has_source).await,
            Some(Request::End) => {
                self.end(EndReason::Host, now).await;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl Actor {
    /// Ends the open recording: everything received is kept first, and the row is changed once all
    /// of it is in the store.
    pub(super) async fn end(&mut self, reason: EndReason, at: WallMicros) {
        self.take_waiting().await;
        let Some(open) = self.open.as_mut().filter(|open| open.ending.is_none()) else { return };
        open.ending = Some((reason, at));
        if let (Some(source), EndReason::Host) = (&mut self.source, reason) {
            source.may_start = false;
        }
        self.work().await;
    }

    /// Writes and seals what was received, and lets the store have it. The recording stays open.
    pub(super) async fn stop(mut self) {
        self.take_waiting().await;
        self.source = None;
        self.work().await;
        let place = &self.shared.place;
        let Some(open) = &mut self.open else { return };
        let sealed = open.seal().await;
        let uploaded = tokio::time::timeout(STOP_WITHIN, open.uploaded()).await.is_ok();
        let concluded = match open.ending {
            Some(_) if uploaded => open.conclude(place).await.map(drop),
            _ => Ok(()),
        };
        // Over, it is nobody's; else whoever gets the source goes on.
        let given_up = match concluded {
            Ok(()) => open.hold(place, Grip::None).await,
            failed => failed,
        };
        let room = &self.room.slug;
        if let Err(error) = sealed.and(given_up) {
            let error = &error as &dyn std::error::Error;
            tracing::error!(room, error, "the recording could not be sealed");
        }
        if !uploaded {
            tracing::warn!(room, "chunks wait in the spool for the next start");
        }
    }
}
