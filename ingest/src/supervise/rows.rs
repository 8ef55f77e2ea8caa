//! Watches the rows for what actors are to do.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use models::db::Change;
use models::recording::State;
use models::{RecordingId, RoomId, db};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use super::Supervisor;

/// How often the rows are read without being told of a change: what another process asked for is
/// noticed within this.
const POLL: Duration = Duration::from_secs(1);
/// Changes are gathered for this long and then looked at together, because a busy server makes
/// many (each chunk is one).
const GATHER: Duration = Duration::from_millis(20);

/// Which recording each room had when last looked at.
type Known = HashMap<RoomId, RecordingId>;

/// Tells actors of new recordings, requests and edited rooms until the supervisor is stopped.
pub(super) async fn watch(supervisor: &Supervisor) {
    let mut changes = supervisor.shared.place.db.changes();
    let mut known = Known::new();
    loop {
        if let Err(error) = look(supervisor, &mut known).await {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "the recordings' rows cannot be read");
        }
        tokio::select! {
            () = supervisor.shared.stop.cancelled() => return,
            change = next(&mut changes) => {
                tokio::time::sleep(GATHER).await;
                for room in edited(change, &mut changes) {
                    supervisor.shared.rooms.nudge(room);
                }
            }
            () = tokio::time::sleep(POLL) => {}
        }
    }
}

/// Reads all open recordings and wakes the actors for which there is something new.
async fn look(supervisor: &Supervisor, known: &mut Known) -> Result<(), db::Error> {
    let rows = supervisor.shared.place.db.unfinished_recordings().await?;
    let mut open = Known::new();
    for row in rows {
        if !matches!(row.state, State::Live | State::Paused) {
            continue;
        }
        let room = row.room_id;
        let is_new = known.get(&room) != Some(&row.id);
        if is_new || row.request.is_some() || !supervisor.shared.rooms.has(room) {
            supervisor.look(room).await?;
        }
        open.insert(room, row.id);
    }
    for room in known.keys().filter(|room| !open.contains_key(room)) {
        supervisor.shared.rooms.nudge(*room);
    }
    *known = open;
    Ok(())
}

/// Waits for a change that may concern an actor; `None`: some were missed.
async fn next(changes: &mut broadcast::Receiver<Change>) -> Option<Change> {
    loop {
        match changes.recv().await {
            Ok(Change::Jobs) => {}
            Ok(change) => return Some(change),
            Err(RecvError::Lagged(_)) => return None,
            // Nobody in this process can change anything any more; others may.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// The rooms that were edited, as far as this and the waiting changes tell.
fn edited(first: Option<Change>, changes: &mut broadcast::Receiver<Change>) -> HashSet<RoomId> {
    let mut rooms = HashSet::new();
    let mut change = first;
    loop {
        if let Some(Change::Room(room)) = change {
            rooms.insert(room);
        }
        change = match changes.try_recv() {
            Ok(change) => Some(change),
            Err(TryRecvError::Lagged(_)) => None,
            Err(TryRecvError::Empty | TryRecvError::Closed) => return rooms,
        };
    }
}
