//! Watches the rows for what actors are to do.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use models::db::Change;
use models::{RecordingId, RoomId, WallMicros, db};
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
    let mut failures = 0;
    loop {
        match look(supervisor, &mut known).await {
            Ok(()) => failures = 0,
            Err(error) => {
                failures = (failures + 1).min(4);
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "the recordings' rows cannot be read");
            }
        }
        tokio::select! {
            () = supervisor.shared.stop.cancelled() => return,
            change = next(&mut changes) => {
                tokio::time::sleep(GATHER).await;
                match edited(change, &mut changes) {
                    Some(rooms) => rooms.into_iter().for_each(|room| {
                        supervisor.shared.rooms.nudge(room);
                    }),
                    None => supervisor.shared.rooms.nudge_all(),
                }
            }
            () = tokio::time::sleep(POLL * 2_u32.pow(failures)) => {}
        }
    }
}

/// Reads all open recordings and wakes the actors for which there is something new.
async fn look(supervisor: &Supervisor, known: &mut Known) -> Result<(), db::Error> {
    let place = &supervisor.shared.place;
    let rows = place.db.recordings_to_hold(place.worker.id, WallMicros::now()).await?;
    let mut open = Known::new();
    for (row, is_free) in rows {
        let room = row.room_id;
        // Another worker looks after it, unless the source comes here.
        if !is_free && !supervisor.shared.rooms.has(room) {
            continue;
        }
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
            Ok(Change::Unknown) | Err(RecvError::Lagged(_)) => return None,
            Ok(change) => return Some(change),
            // Nobody in this process can change anything any more; others may.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// The rooms that were edited, by this and the waiting changes; `None`: any may have been.
fn edited(
    first: Option<Change>,
    changes: &mut broadcast::Receiver<Change>,
) -> Option<HashSet<RoomId>> {
    let mut rooms = Some(HashSet::new());
    let mut change = first;
    loop {
        match (change, &mut rooms) {
            (None | Some(Change::Unknown), _) => rooms = None,
            (Some(Change::Room(room)), Some(rooms)) => {
                rooms.insert(room);
            }
            _ => {}
        }
        change = match changes.try_recv() {
            Ok(change) => Some(change),
            Err(TryRecvError::Lagged(_)) => None,
            Err(TryRecvError::Empty | TryRecvError::Closed) => return rooms,
        };
    }
}
