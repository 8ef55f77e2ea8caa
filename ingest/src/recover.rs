//! What a crash left behind that no room's actor takes up.
//!
//! Live and paused recordings are the actors' ([`Recorder::open`](crate::Recorder::open) mends
//! their spool). At the start of ingest, this looks at the rest of the spool and of the rows:
//! - an import whose process is gone (its spool directory is not locked any more) failed; its file
//!   can be imported again, so that its spool goes;
//! - a recording that is over has left files where a crash came between its last row and their
//!   removal; they go where the row has the same chunk;
//! - anything else is kept and reported: a directory without a row, a chunk that differs from its
//!   row. Nothing that is not in the store is ever deleted here.

use std::path::{Path, PathBuf};

use archive::cmaf;
use models::recording::{EndReason, State};
use models::{RecordingId, WallMicros, db};
use sha2::{Digest as _, Sha256};

use crate::record::Place;
use crate::spool::{self, Held};
use crate::upload;

/// An import that has no spool directory yet may be about to make it: rows younger than this are
/// left alone.
const IMPORT_BEGINS_WITHIN_US: i64 = 60_000_000;

/// Why the spool could not be looked through.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The spool directory cannot be made or listed.
    #[error("could not open the spool in {}", path.display())]
    Open {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A recording's files could not be looked at.
    #[error("could not look through the spool")]
    Spool(#[from] spool::Error),
    /// The rows could not be read or changed.
    #[error("could not compare the spool with the rows")]
    Rows(#[from] db::Error),
    /// The runtime stopped the work.
    #[error("looking through the spool was stopped")]
    Stopped(#[source] tokio::task::JoinError),
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Swept {
    /// Imports that had died.
    pub failed_imports: Vec<RecordingId>,
    /// Recordings that were over and had left files, which are gone now.
    pub cleared: Vec<RecordingId>,
    /// Directories that were kept although no recording that is open needs them.
    pub kept: Vec<PathBuf>,
}

/// Looks through the spool and the rows once.
///
/// # Errors
/// See [`Error`]. What was done so far is right; it can be done again.
pub async fn sweep(place: &Place, now: WallMicros) -> Result<Swept, Error> {
    let mut swept = Swept::default();
    for row in place.db.unfinished_recordings().await? {
        let is_young = now.micros_since(row.created_at) < IMPORT_BEGINS_WITHIN_US;
        if row.state == State::Importing && is_dead(place, row.id, is_young).await? {
            place.db.end_recording(row.id, EndReason::Unreadable, now).await?;
            tracing::warn!(recording = %row.id, "an import had died and has failed");
            swept.failed_imports.push(row.id);
        }
    }
    let spool_dir = place.spool_dir.clone();
    for path in blocking(move || directories(&spool_dir)).await? {
        match clear(place, &path).await? {
            Found::Open => {}
            Found::Over(id) => swept.cleared.push(id),
            Found::Unknown => swept.kept.push(path),
        }
    }
    Ok(swept)
}

/// Whether nobody works on an import; its spool is removed then.
async fn is_dead(place: &Place, id: RecordingId, is_young: bool) -> Result<bool, Error> {
    let dir = spool::dir(&place.spool_dir, id);
    blocking(move || {
        if !dir.exists() {
            return Ok(!is_young);
        }
        match Held::existing(dir.clone()) {
            Err(error) if error.is_locked() => Ok(false),
            Err(error) => Err(error.into()),
            Ok(_held) => {
                let removed = std::fs::remove_dir_all(&dir);
                removed.map(|()| true).map_err(|source| Error::Open { path: dir, source })
            }
        }
    })
    .await
}

/// The spool's directories.
fn directories(spool_dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let open = |source| Error::Open { path: spool_dir.to_owned(), source };
    std::fs::create_dir_all(spool_dir).map_err(open)?;
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(spool_dir).map_err(open)? {
        paths.push(entry.map_err(open)?.path());
    }
    paths.sort();
    Ok(paths)
}

enum Found {
    /// An open recording's.
    Open,
    /// A recording's that is over: all of it was in the store and has been removed.
    Over(RecordingId),
    /// Nobody's, or more than the store has.
    Unknown,
}

/// Looks at one directory of the spool.
async fn clear(place: &Place, path: &Path) -> Result<Found, Error> {
    let name = path.file_name().and_then(|name| name.to_str());
    let Some(id) = name.and_then(|name| name.parse::<RecordingId>().ok()) else {
        tracing::error!(path = %path.display(), "something in the spool is not a recording's");
        return Ok(Found::Unknown);
    };
    match place.db.recording(id).await {
        Err(db::Error::NotFound { .. }) => {
            tracing::error!(path = %path.display(), "the spool has audio of an unknown recording");
            return Ok(Found::Unknown);
        }
        Err(error) => return Err(error.into()),
        Ok(row) if row.state.is_open() => return Ok(Found::Open),
        Ok(_) => {}
    }
    let dir = path.to_owned();
    for seq in blocking(move || Ok(spool::list(&dir, "m4s")?)).await? {
        let row = match place.db.chunk(id, seq).await {
            Ok(row) => Some(row),
            Err(db::Error::NotFound { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let (dir, sha256) = (path.to_owned(), row.map(|row| row.sha256));
        let removed = blocking(move || {
            let bytes = spool::read(&dir, seq)?.unwrap_or_default();
            let object = upload::object(&cmaf::recover(&bytes).fragments);
            let same = sha256 == Some(Sha256::digest(&object).into());
            if same {
                spool::remove(&dir, seq)?;
            }
            Ok(same)
        });
        if !removed.await? {
            let recording = tracing::field::display(id);
            tracing::error!(recording, chunk = seq, "audio of an ended recording is not kept");
            return Ok(Found::Unknown);
        }
    }
    let dir = path.to_owned();
    blocking(move || {
        for seq in spool::list(&dir, "gaps")? {
            spool::remove(&dir, seq)?;
        }
        std::fs::remove_dir(&dir).map_err(|source| Error::Open { path: dir, source })
    })
    .await?;
    Ok(Found::Over(id))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(Error::Stopped)?
}

#[cfg(test)]
mod tests;
