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
use tokio_util::task::AbortOnDropHandle;

use super::{Actor, Error, Open, wait_after};
use crate::place::Place;

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

/// How firmly a recording is held, and what is being done about it.
pub(super) struct Gripping {
    /// What the rows say.
    now: Grip,
    /// What they are to say.
    wanted: Grip,
    /// They are being told, and what.
    task: Option<(Grip, AbortOnDropHandle<Result<(), db::Error>>)>,
    failures: u32,
    /// When to try again.
    again_at: Option<Instant>,
}

impl Gripping {
    pub(super) fn new(now: Grip) -> Self {
        Self { now, wanted: now, task: None, failures: 0, again_at: None }
    }
}

impl Open {
    /// How firmly it is to be held.
    pub(super) fn grip(&self) -> Grip {
        self.grip.wanted
    }

    pub(super) fn is_gripping(&self) -> bool {
        self.grip.task.is_some()
    }

    /// When to tell the rows again.
    pub(super) fn grip_due(&self) -> Option<Instant> {
        let is_due = self.grip.now != self.grip.wanted && !self.is_gripping();
        self.grip.again_at.filter(|_| is_due)
    }

    /// Has it held as firmly as `grip` says, as soon as the rows can be told.
    pub(super) fn want(&mut self, place: &Place, grip: Grip) {
        self.grip.wanted = grip;
        self.regrip(place);
    }

    /// Tells the rows how firmly it is to be held, where they do not know and it is time.
    pub(super) fn regrip(&mut self, place: &Place) {
        let Gripping { now, wanted, again_at, .. } = self.grip;
        let waits = again_at.is_some_and(|at| at > Instant::now());
        if now == wanted || waits || self.is_gripping() {
            return;
        }
        let (db, hold) = (place.db.clone(), self.hold_on_it());
        let task = tokio::spawn(async move { db.set_grip(&hold, wanted).await });
        self.grip.task = Some((wanted, AbortOnDropHandle::new(task)));
    }

    /// The rows were told, or could not be.
    fn gripped(&mut self, place: &Place, done: &Result<(), db::Error>) {
        let Some((told, _)) = self.grip.task.take() else { return };
        if done.is_ok() {
            self.grip = Gripping { wanted: self.grip.wanted, ..Gripping::new(told) };
        } else {
            self.grip.failures += 1;
            self.grip.again_at = Some(Instant::now() + wait_after(self.grip.failures));
        }
        self.regrip(place);
    }

    /// Holds it as firmly as `grip` says before going on. Before it is let go all that is kept of it
    /// is made a complete chunk, so that whoever goes on finds it in the store.
    pub(super) async fn hold(&mut self, place: &Place, grip: Grip) -> Result<(), Error> {
        if let Some((told, task)) = self.grip.task.take()
            && let Ok(Ok(())) = task.await
        {
            self.grip.now = told;
        }
        if self.grip.now == grip {
            self.grip.wanted = grip;
            return Ok(());
        }
        if grip != Grip::Firm {
            self.seal().await?;
        }
        place.db.set_grip(&self.hold_on_it(), grip).await?;
        self.grip = Gripping::new(grip);
        Ok(())
    }
}

/// Waits until the rows were told how firmly the recording is held.
pub(super) async fn gripped(open: Option<&mut Open>) -> Result<(), db::Error> {
    match open.and_then(|open| open.grip.task.as_mut()) {
        // One that broke off has told nothing, nor can we: the recording is taken up anew.
        Some((_, task)) => task.await.unwrap_or(Err(db::Error::LeaseLost)),
        None => std::future::pending().await,
    }
}

impl Actor {
    /// Takes in whether the rows could be told how firmly the recording is held.
    pub(super) async fn gripped(&mut self, done: Result<(), db::Error>) {
        let Some(open) = &mut self.open else { return };
        open.gripped(&self.shared.place, &done);
        match done {
            Ok(()) => {}
            Err(db::Error::LeaseLost) => self.lose().await,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(room = self.room.slug, error, "the grip is not noted yet");
            }
        }
    }

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
                self.open = Some(Open::new(place, holding, grip));
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
        let sealed = open.seal().await;
        if sealed.is_ok() {
            open.want(&self.shared.place, Grip::Loose);
        }
        self.note(sealed).await;
    }

    /// Turns the source away: the room is recorded elsewhere, from another one.
    pub(super) fn turn_away(&mut self) {
        if self.source.take().is_some() {
            tracing::warn!(room = self.room.slug, "another worker records the room: source closed");
        }
        self.held = None;
    }
}
