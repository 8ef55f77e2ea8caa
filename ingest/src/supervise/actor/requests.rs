//! What the room's rows ask for, and the end: of the recording, of the actor.

use models::recording::{EndReason, Request};
use models::room::RecordingPolicy;
use models::{Grip, Recording, WallMicros};
use tokio::time::Instant;

use super::{Actor, Error, LOOK, STOP_WITHIN, TakenUp, WAIT_FIRST};

impl Actor {
    /// Reads the room's rows and does what they ask for.
    pub(super) async fn look(&mut self) {
        self.look_at = Instant::now() + LOOK;
        if let Err(error) = self.try_look().await {
            let error = &error as &dyn std::error::Error;
            tracing::error!(room = self.room.slug, error, "a request waits to be carried out");
            self.look_at = Instant::now() + WAIT_FIRST;
        }
    }

    async fn try_look(&mut self) -> Result<(), Error> {
        self.room = self.shared.place.db.room(self.room.id).await?;
        if let Some(open) = &self.open
            && open.is_lost(&self.shared.place).await?
        {
            self.lose().await;
        }
        if self.open.is_none() {
            let grip = if self.source.is_some() { Grip::Firm } else { Grip::Loose };
            match self.take_up(grip).await? {
                TakenUp::Nothing => {}
                TakenUp::Ours => self.work().await,
                TakenUp::Theirs(_) => self.turn_away(),
            }
        }
        if let Some(open) = &self.open {
            let row = self.shared.place.db.recording(open.id()).await?;
            self.follow(row).await?;
        }
        if self.room.policy == RecordingPolicy::Never {
            self.source_gone().await;
            self.end(EndReason::Host, WallMicros::now()).await;
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
        let now = WallMicros::now();
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
