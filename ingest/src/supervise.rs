//! Which room is being recorded, from which source: one actor a room.
//!
//! Taps come in through [`Supervisor::attach`] and get a [`Feed`]. What hosts want comes in through
//! rows: a recording made for a room, a request noted on it. [`Supervisor::run`] watches both the
//! changes made in this process and, every second, the rows themselves, because other processes
//! write them too. A room that has a source or an open recording has an actor, which owns both; no
//! two actors share anything but the database, so that a slow disk or a stuck store in one room
//! costs no other room a packet.
//!
//! The rules (the actor's module has them in full):
//! - A room that must not be recorded has no way in, and nothing of it is written.
//! - One source a room. A new one takes over from one that has been silent for 5 s.
//! - In an automatic room the first packet of a source begins a recording, once the source was not
//!   there when the host ended one. In a manual room the host does.
//! - A source that leaves and comes back, or is silent, within the room's grace time goes on in the
//!   same recording; past it the recording ends. The time away is a gap filled with concealment.
//! - A disk that runs full takes no new recordings; running ones go on until the last reserve, and
//!   again when there is room ([`space`]).
//! - After a restart the grace time is counted anew: the time down was ours.

mod actor;
mod registry;
mod rows;

use std::sync::Arc;
use std::time::Duration;

use models::db::Holder;
use models::recording::Origin;
use models::room::RecordingPolicy;
use models::{Room, RoomId, WallMicros, db};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::place::{self, Place};
use crate::tap::{Event, Source};
use crate::{late, space};
use actor::Actor;
use registry::Registry;

/// Batches that a feed holds for its actor: 5 s of 20 ms packets sent one by one, which outlasts
/// the disk syncs of an ordinary bad moment; after that taps are held back.
const FEED_BATCHES: usize = 256;
/// How soon a room that another worker holds is asked for again.
const ASK_AGAIN: Duration = Duration::from_millis(200);
/// Sources that may stand at a room's door at once.
const INBOX: usize = 8;

/// Gives taps their way in, and keeps one actor for each room that has a source or an open
/// recording. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Supervisor {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    place: Place,
    rooms: Registry,
    actors: TaskTracker,
    stop: CancellationToken,
    limits: Limits,
}

/// How long is too long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// A source that has been silent for longer makes way for a new one.
    pub(crate) silent: Duration,
    /// What waits in an open fragment is written after this long, whether it is full or not: later
    /// than a steady source fills one, so that only what stalls is cut short.
    pub(crate) sync_within: Duration,
    /// How often the disk's free space is looked at.
    pub(crate) look_at_disk: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            silent: Duration::from_secs(5),
            sync_within: Duration::from_millis(750),
            look_at_disk: Duration::from_secs(1),
        }
    }
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
    /// Another worker records the room from another source (answer 403).
    #[error("the room is being recorded by {}", .0.name)]
    Elsewhere(Box<Holder>),
    /// The disk is too full for a new recording (answer 507).
    #[error("there is no room on the disk for a new recording")]
    NoRoomOnDisk,
    /// The room is gone (answer 404).
    #[error("there is no such room any more")]
    NoRoom,
    /// Ingest is shutting down (answer 503).
    #[error("recording is shutting down")]
    Stopping,
    /// The database cannot be used now (answer 503).
    #[error("could not {step}")]
    Storage {
        /// What failed.
        step: &'static str,
        /// Why.
        source: db::Error,
    },
}

/// The feed is closed: another source took over, the room must no longer be recorded, or ingest is
/// shutting down. The tap should end its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the room takes no more audio from this source")]
pub struct Closed;

/// A source's way into its room. Dropping it means that the source went away; what was sent before
/// is still written to its last packet.
#[derive(Debug)]
pub struct Feed {
    batches: mpsc::Sender<Batch>,
    room: RoomId,
    origin: Origin,
}

/// What a source sent in one go.
#[derive(Debug)]
struct Batch {
    events: Vec<Event>,
    arrived: WallMicros,
    /// What the source has turned out to be.
    source: Option<Source>,
}

/// A source at a room's door.
#[derive(Debug)]
struct Attach {
    source: Source,
    reply: oneshot::Sender<Result<mpsc::Sender<Batch>, Refused>>,
}

impl Supervisor {
    /// A supervisor whose actors end when `stop` is cancelled.
    #[must_use]
    pub fn new(place: Place, stop: CancellationToken) -> Self {
        Self::with_limits(place, stop, Limits::default())
    }

    pub(crate) fn with_limits(place: Place, stop: CancellationToken, limits: Limits) -> Self {
        let (rooms, actors) = (Registry::default(), TaskTracker::new());
        Self { shared: Arc::new(Shared { place, rooms, actors, stop, limits }) }
    }

    /// Watches the rows until the supervisor is stopped, and then until every actor has written
    /// and sealed what it was given. Recordings stay open: the next start goes on with them.
    pub async fn run(&self) {
        let work = async {
            let Shared { place, stop, limits, .. } = &*self.shared;
            let late = Box::pin(late::watch(place, stop));
            tokio::join!(rows::watch(self), late, space::watch(place, stop, limits.look_at_disk));
            self.shared.actors.close();
            self.shared.actors.wait().await;
        };
        tokio::select! {
            () = work => {}
            () = self.stay_alive() => {}
        }
    }

    /// Renews the worker's lease as long as there is a room to hold.
    async fn stay_alive(&self) {
        let Place { db, worker, .. } = &self.shared.place;
        let mut beat = place::beat();
        loop {
            beat.tick().await;
            if !self.shared.rooms.is_empty()
                && let Err(error) = db.keep_worker(worker, WallMicros::now()).await
            {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "the worker's lease was not renewed");
            }
        }
    }

    /// Lets a source in.
    ///
    /// The room's policy is read anew. In a manual room without an open recording the audio is
    /// discarded until the host starts one. A source that has been silent for more than 5 s makes
    /// way for a new one: its connection is taken for half-dead. Where another worker records the
    /// room, this waits until that shows whether it is alive.
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn attach(
        &self,
        room: &Room,
        source: Source,
        now: WallMicros,
    ) -> Result<Feed, Refused> {
        let origin = source.origin;
        let room = self.shared.place.db.room(room.id).await.map_err(|error| match error {
            db::Error::NotFound { .. } => Refused::NoRoom,
            source => Refused::Storage { step: "read the room", source },
        })?;
        if room.policy == RecordingPolicy::Never {
            return Err(Refused::NotRecordable);
        }
        let id = room.id;
        let mut first_seen: Option<WallMicros> = None;
        // An actor may leave in the moment in which it is asked; its successor answers.
        while !self.shared.stop.is_cancelled() {
            let (reply, answer) = oneshot::channel();
            let asked = Attach { source: source.clone(), reply };
            let inbox = self.shared.rooms.inbox(id, |seat| self.start(room.clone(), seat));
            if inbox.send(asked).await.is_ok()
                && let Ok(answer) = answer.await
            {
                let batches = match answer {
                    // A worker that has died is found out when it gives no sign of life.
                    Err(Refused::Elsewhere(holder))
                        if *first_seen.get_or_insert(holder.lease_until) >= holder.lease_until =>
                    {
                        tokio::time::sleep(ASK_AGAIN).await;
                        continue;
                    }
                    answer => answer?,
                };
                tracing::info!(room = room.slug, ?origin, at = now.0, "source attached");
                return Ok(Feed { batches, room: id, origin });
            }
        }
        Err(Refused::Stopping)
    }

    /// Tells a room's actor to look at its rows; starts one where there is none.
    async fn look(&self, id: RoomId) -> Result<(), db::Error> {
        if !self.shared.rooms.nudge(id) && !self.shared.stop.is_cancelled() {
            let room = self.shared.place.db.room(id).await?;
            self.shared.rooms.inbox(id, |seat| self.start(room, seat));
        }
        Ok(())
    }

    fn start(&self, room: Room, seat: registry::Seat) {
        let actor = Actor::new(Arc::clone(&self.shared), room, seat);
        self.shared.actors.spawn(actor.run());
    }
}

impl Feed {
    /// Hands on what arrived. `arrived` is the wall-clock time at the end of the batch's last
    /// event, by the clock that nobody can set ([`WallMicros::steady`]). Waits while the room's disk is behind, which is the back-pressure a tap may pass on.
    ///
    /// # Errors
    /// [`Closed`]: stop sending and drop the feed.
    pub async fn send(&self, events: Vec<Event>, arrived: WallMicros) -> Result<(), Closed> {
        self.batches.send(Batch { events, arrived, source: None }).await.map_err(|_| Closed)
    }

    /// Says what the source has turned out to be, where its first bytes had to be seen to know.
    /// Counts where it comes before the first event.
    ///
    /// # Errors
    /// [`Closed`]: stop sending and drop the feed.
    pub async fn introduce(&self, source: Source, now: WallMicros) -> Result<(), Closed> {
        let batch = Batch { events: Vec::new(), arrived: now, source: Some(source) };
        self.batches.send(batch).await.map_err(|_| Closed)
    }

    /// The source ended cleanly. Clients reconnect, so that the recording still waits out the
    /// room's grace time, as after a source that just went away.
    pub async fn finish(self) {
        tracing::info!(room = %self.room, origin = ?self.origin, "source ended");
    }
}

#[cfg(test)]
mod tests;
