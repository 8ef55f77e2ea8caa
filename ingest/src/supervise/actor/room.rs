//! A disk that is full: what cannot be written is dropped, and said to be missing.

use models::GapCause;
use tokio::time::Instant;

use super::{Actor, Batch, Error};
use crate::space::Level;

impl Actor {
    /// Whether there is no room for a recording that is not begun.
    pub(super) fn has_no_room(&self) -> bool {
        self.shared.place.space.level() > Level::Enough
    }

    /// Turns the source away, whose recording cannot begin. It may come back.
    pub(super) fn refuse_for_space(&mut self) {
        self.held = None;
        self.shared.place.meters.refused_for_space();
        if self.source.take().is_some() {
            tracing::warn!(room = self.room.slug, "no room for a new recording: source closed");
        }
    }

    /// Drops a batch where there is no room for it. Whether there was none.
    pub(super) async fn drop_for_space(&mut self, batch: &Batch) -> bool {
        let is_out = self.shared.place.space.level() == Level::Out;
        let Some(open) = &mut self.open else { return false };
        if !is_out && open.full_until().is_none() {
            return false;
        }
        let failed = open.full_until().is_some();
        if open.miss(batch.arrived) {
            tracing::error!(room = self.room.slug, "disk full: audio is dropped");
            if !failed {
                // What was taken before is for the reserve.
                self.flush().await;
            }
        }
        true
    }

    /// Writing failed for want of room.
    pub(super) fn ran_full(&mut self, error: &Error) {
        let Some(open) = &mut self.open else { return };
        let error = error as &dyn std::error::Error;
        tracing::error!(room = self.room.slug, error, "disk full: audio waits to be kept");
        open.ran_full(Instant::now());
        // It has a time of its own, and the source is listened to meanwhile.
        self.stalled = None;
        // What was taken and not handed over yet is dropped like all that comes now.
        if let Some(held) = self.held.take() {
            open.miss(held.batch.arrived);
        }
    }

    /// Writing succeeded.
    pub(super) fn has_room_again(&mut self) {
        if let Some(open) = &mut self.open
            && open.has_room()
        {
            let cause = GapCause::NoSpace;
            tracing::warn!(room = self.room.slug, ?cause, "there is room again: audio is kept");
        }
    }
}
