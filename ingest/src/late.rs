//! What no recorder takes up: audio in the spool of recordings that others went on with, that are
//! over, or that were imports of a process that died.
//!
//! A worker that died, or was cut off for so long that another took its recording, has the last
//! seconds in its spool. Whoever went on has filled that time with concealment, in chunks of its
//! own. [`sweep`] puts the audio in their place (`recut`), or at the end of a recording that is
//! over; where nobody has written on yet it waits. Files that the store has are removed, and nothing
//! else is.

mod home;
mod notes;
mod recut;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use models::recording::{EndReason, State};
use models::{Grip, Recording, RecordingId, WallMicros, db};
use tokio_util::sync::CancellationToken;

use crate::place::{self, Place};
use crate::spool::{self, Held};
use crate::{cut, upload};

/// How often the spool is looked through.
const EVERY: Duration = Duration::from_secs(5);
/// An import that nobody holds may be about to be held: rows younger than this are left alone.
const IMPORT_BEGINS_WITHIN_US: i64 = 60_000_000;

/// Why something in the spool could not be brought home. It stays where it is.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A directory cannot be made, listed or removed.
    #[error("could not work in the spool at {}", path.display())]
    Open {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A recording's files could not be looked at.
    #[error("could not look through the spool")]
    Spool(#[from] spool::Error),
    /// A chunk could not be read or put.
    #[error("could not bring a chunk from the spool to the store")]
    Ship(#[from] upload::Error),
    /// An object that nobody needs any more could not be removed.
    #[error("could not remove an object that has been replaced")]
    Remove(#[from] archive::store::Error),
    /// The rows could not be read or changed.
    #[error("could not compare the spool with the rows")]
    Rows(#[from] db::Error),
    /// The runtime stopped the work.
    #[error("looking through the spool was stopped")]
    Stopped(#[source] tokio::task::JoinError),
}

/// What a look through the spool found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Swept {
    /// Imports that had died.
    pub failed_imports: Vec<RecordingId>,
    /// Recordings whose audio is all in the store; their directories are gone.
    pub home: Vec<RecordingId>,
    /// Recordings that others hold and have not written on yet.
    pub waiting: Vec<RecordingId>,
    /// What is kept although no recording that is open needs it, and why.
    pub kept: Vec<(PathBuf, String)>,
}

/// What became of one directory.
enum Found {
    /// Somebody writes there, or will.
    InUse,
    Home(RecordingId),
    Waiting(RecordingId),
    Unknown(String),
}

/// Looks through the spool from time to time until `stop`.
pub(crate) async fn watch(place: &Place, stop: &CancellationToken) {
    let mut told = HashSet::new();
    loop {
        match sweep(place, WallMicros::now()).await {
            Ok(swept) => tell(swept, &mut told),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "the spool was not looked through; trying again");
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

fn tell(swept: Swept, told: &mut HashSet<PathBuf>) {
    for recording in swept.home {
        tracing::info!(%recording, "audio left in the spool is all in the store");
    }
    for (path, why) in swept.kept {
        if told.insert(path.clone()) {
            tracing::error!(path = %path.display(), why, "audio in the spool cannot be placed");
        }
    }
}

/// Looks through the rows and the spool once.
///
/// # Errors
/// See [`Error`]. What was done so far is right; it can be done again.
pub async fn sweep(place: &Place, now: WallMicros) -> Result<Swept, Error> {
    let mut swept = Swept::default();
    for row in place.db.unfinished_recordings().await? {
        if row.state == State::Importing && fail_import(place, &row, now).await? {
            swept.failed_imports.push(row.id);
        }
    }
    let spool_dir = place.spool_dir.clone();
    for path in blocking(move || directories(&spool_dir)).await? {
        match home::bring(place, &path).await {
            Ok(Found::InUse) => {}
            Ok(Found::Home(id)) => swept.home.push(id),
            Ok(Found::Waiting(id)) => swept.waiting.push(id),
            Ok(Found::Unknown(why)) => swept.kept.push((path, why)),
            // The others must not wait for this one.
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(path = %path.display(), error, "audio waits in the spool");
            }
        }
    }
    Ok(swept)
}

/// Ends an import that nobody works on any more: its file can be imported again. Whether it did.
async fn fail_import(place: &Place, row: &Recording, now: WallMicros) -> Result<bool, Error> {
    let is_young = now.micros_since(row.created_at) < IMPORT_BEGINS_WITHIN_US;
    let is_alive = match place.db.holder(row.id).await? {
        Some(holder) => holder.lease_until > now,
        None => is_young,
    };
    if is_alive {
        return Ok(false);
    }
    let Some(holding) = place.db.hold(row.id, &place.worker, Grip::Firm, now).await? else {
        return Ok(false);
    };
    place.db.end_recording(holding.hold, EndReason::Unreadable, now).await?;
    tracing::warn!(recording = %row.id, "an import had died and has failed");
    Ok(true)
}

/// The spool's entries, but for the worker's identity.
fn directories(spool_dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let open = |source| Error::Open { path: spool_dir.to_owned(), source };
    std::fs::create_dir_all(spool_dir).map_err(open)?;
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(spool_dir).map_err(open)? {
        paths.push(entry.map_err(open)?.path());
    }
    paths.retain(|path| !place::is_identity(path));
    paths.sort();
    Ok(paths)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(Error::Stopped)?
}

#[cfg(test)]
mod tests;
