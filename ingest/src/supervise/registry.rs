//! Which rooms have an actor.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use models::RoomId;
use tokio::sync::{Notify, mpsc};

use super::{Attach, INBOX};

/// The doors of all actors.
#[derive(Debug, Default)]
pub(super) struct Registry {
    doors: Mutex<HashMap<RoomId, Door>>,
}

/// How an actor is reached.
#[derive(Debug)]
struct Door {
    inbox: mpsc::Sender<Attach>,
    nudge: Arc<Notify>,
}

impl Door {
    /// Whether there is still someone behind it. An actor that panicked leaves a closed one.
    fn is_open(&self) -> bool {
        !self.inbox.is_closed()
    }
}

/// An actor's side of its door.
#[derive(Debug)]
pub(super) struct Seat {
    /// Sources that want to come in.
    pub(super) inbox: mpsc::Receiver<Attach>,
    /// The rows have something new.
    pub(super) nudge: Arc<Notify>,
}

impl Registry {
    /// The room's inbox. Where it has no actor, `start` is to begin one.
    pub(super) fn inbox(&self, id: RoomId, start: impl FnOnce(Seat)) -> mpsc::Sender<Attach> {
        let mut doors = self.doors();
        if let Some(door) = doors.get(&id).filter(|door| door.is_open()) {
            return door.inbox.clone();
        }
        let (sender, inbox) = mpsc::channel(INBOX);
        let nudge = Arc::new(Notify::new());
        start(Seat { inbox, nudge: Arc::clone(&nudge) });
        doors.insert(id, Door { inbox: sender.clone(), nudge });
        sender
    }

    /// Tells a room's actor that the rows have something new. Whether there is one.
    pub(super) fn nudge(&self, id: RoomId) -> bool {
        let doors = self.doors();
        let door = doors.get(&id).filter(|door| door.is_open());
        door.inspect(|door| door.nudge.notify_one()).is_some()
    }

    /// Tells every actor that the rows may have something new.
    pub(super) fn nudge_all(&self) {
        self.doors()
            .values()
            .filter(|door| door.is_open())
            .for_each(|door| door.nudge.notify_one());
    }

    /// Whether no room has an actor.
    pub(super) fn is_empty(&self) -> bool {
        self.doors().is_empty()
    }

    /// Whether a room has an actor.
    pub(super) fn has(&self, id: RoomId) -> bool {
        self.doors().get(&id).is_some_and(Door::is_open)
    }

    /// Takes an actor that has nothing left to do off the list, unless somebody is at its door.
    /// Whoever comes later finds no actor, or finds the inbox closed and asks again.
    pub(super) fn leave(&self, id: RoomId, inbox: &mpsc::Receiver<Attach>) -> bool {
        let mut doors = self.doors();
        let leaves = inbox.is_empty();
        if leaves {
            doors.remove(&id);
        }
        leaves
    }

    fn doors(&self) -> MutexGuard<'_, HashMap<RoomId, Door>> {
        self.doors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
