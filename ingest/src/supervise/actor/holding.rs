//! Which of several workers writes the room's recording.
//!
//! The one with the room's source holds it firmly. One without a source holds it loosely: it ends
//! the recording when the grace time is over, and makes way for a worker to which the source comes
//! back. What a worker that was taken for dead wrote meanwhile stays in its spool and is brought
//! home from there ([`crate::late`]).

use std::time::Duration;

use models::db::{self, Holder};
use models::{Grip, WallMicros};
use tokio::time::Instant;

use super::{Actor, Error, Open};

/// How long after its source left a room is held firmly, so that the store has all of it when
/// another worker goes on.
const LET_GO_AFTER: Duration = Duration::from_millis(500);

/// What there is of the room's open recording.
pub(super) enum TakenUp {
    /// It has none.
    Nothing,
    /// It is ours now.
    Ours,
    /// Another worker has it.
    Theirs(Option<Holder>),
}

impl Actor {
    /// Takes hold of the room's open recording, if it has one and nobody else has it.
    pub(super) async fn take_up(&mut self, grip: Grip) -> Result<TakenUp, Error> {
        let place = &self.shared.place;
        let Some(row) = place.db.open_recording(self.room.id).await? else {
            return Ok(TakenUp::Nothing);
        };
        match place.db.hold(row.id, &place.worker, grip, WallMicros::now()).await {
            Ok(Some(holding)) => {
                let (room, recording) = (&self.room.slug, tracing::field::display(row.id));
                tracing::info!(room, recording, ?grip, "recording taken up");
                (self.heard, self.left) = (Instant::now(), Instant::now());
                self.open = Some(Open::new(holding, grip));
                Ok(TakenUp::Ours)
            }
            Ok(None) => Ok(TakenUp::Theirs(place.db.holder(row.id).await?)),
            // It ended in between.
            Err(db::Error::Conflict { .. }) => Ok(TakenUp::Nothing),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes sure that a source at the door may record here: whoever holds the room's recording
    /// elsewhere otherwise.
    pub(super) async fn make_room(&mut self) -> Result<Option<Holder>, Error> {
        if let Some(open) = &mut self.open {
            match open.hold(&self.shared.place, Grip::Firm).await {
                Err(error) if error.is_lost() => self.lose().await,
                // It is held; how firmly is put right with the first packet.
                _ => return Ok(None),
            }
        }
        match self.take_up(Grip::Firm).await? {
            TakenUp::Theirs(holder) => Ok(holder),
            TakenUp::Nothing | TakenUp::Ours => Ok(None),
        }
    }

    /// Another worker has taken hold: what we have of the recording stays in the spool and is
    /// brought home from there.
    pub(super) async fn lose(&mut self) {
        if let Some(open) = self.open.take() {
            let recording = tracing::field::display(open.id());
            tracing::warn!(room = self.room.slug, recording, "another worker took the recording");
            open.abandon().await;
            self.look_at = Instant::now();
        }
    }

    /// When the recording is to be held loosely, for want of a source that speaks.
    pub(super) fn falls_silent(&self) -> Option<Instant> {
        let open = self.open.as_ref().filter(|open| open.ending.is_none())?;
        let silent = match &self.source {
            Some(source) => source.heard + self.shared.limits.silent,
            None => self.left + LET_GO_AFTER,
        };
        (open.grip() == Grip::Firm).then_some(silent)
    }

    /// Makes way for a worker to which the source may come back.
    pub(super) async fn loosen(&mut self) {
        let Some(open) = self.open.as_mut().filter(|_| self.stalled.is_none()) else { return };
        let done = open.hold(&self.shared.place, Grip::Loose).await;
        self.note(done).await;
    }

    /// Turns the source away: the room is recorded elsewhere, from another one.
    pub(super) fn turn_away(&mut self) {
        if self.source.take().is_some() {
            tracing::warn!(room = self.room.slug, "another worker records the room: source closed");
        }
        self.held = None;
    }
}
