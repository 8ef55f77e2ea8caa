//! The rows: the only place that names `sqlx`.
//!
//! [`Db`] is one concrete type; which engine it speaks to is inside (`engine`). Each query has one
//! body, written in SQL that both SQLite and PostgreSQL understand, with `$1` placeholders. Methods
//! are grouped by subject, one file each.
//!
//! Rules every method keeps:
//! - A hand-over between stages (a chunk is kept, a recording ends, a window is done) is one short
//!   transaction that changes state and makes or wakes the next job.
//! - What may be repeated after a crash is idempotent: [`Db::add_chunk`], [`Db::add_gaps`],
//!   [`Db::enqueue`], [`Db::set_state`], [`Db::end_recording`].
//! - Each write a job makes carries its [`Lease`](crate::job::Lease) and is refused with
//!   [`Error::LeaseLost`] once the job was taken over, cancelled or ended.
//! - [`Change`]s are sent after the commit and within this process only. Other processes may write
//!   to the same file, so a listener also looks at the rows from time to time.

mod code;
#[macro_use]
mod engine;
mod chunks;
mod jobs;
mod leases;
mod recordings;
mod rooms;
mod segments;
mod speakers;
mod transcripts;

#[cfg(test)]
mod conformance;

use tokio::sync::broadcast;

use crate::id::{RecordingId, RoomId};
use crate::recording;

pub use recordings::{Filter, NewRecording};

/// What this module's methods return.
pub type Result<T> = std::result::Result<T, Error>;

/// How many changes a slow listener may fall behind before it is told that it missed some.
const CHANGES_KEPT: usize = 1024;

/// A handle on the database. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Db {
    pools: engine::Pools,
    changes: broadcast::Sender<Change>,
}

/// Something that was changed through this process' handles of one [`Db`] and is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Change {
    /// A room was made or edited.
    Room(RoomId),
    /// A recording, its chunks, gaps, words or speakers changed.
    Recording(RecordingId),
    /// A job was made, claimed, moved on or ended.
    Jobs,
}

/// Why the database did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database could not be reached or made.
    #[error("the database {url} cannot be opened")]
    Open {
        /// Its address as given.
        url: String,
        /// The engine's error.
        source: sqlx::Error,
    },
    /// The schema could not be brought up to date.
    #[error("the schema of {url} cannot be brought up to date")]
    Migrate {
        /// The database's address as given.
        url: String,
        /// What the migrator says.
        source: sqlx::migrate::MigrateError,
    },
    /// A query failed.
    #[error("the database failed to {step}")]
    Query {
        /// What it was to do.
        step: &'static str,
        /// The engine's error.
        source: sqlx::Error,
    },
    /// There is no such row.
    #[error("there is no such {what}")]
    NotFound {
        /// What was looked for.
        what: &'static str,
    },
    /// It goes against what is already there.
    #[error("{what}")]
    Conflict {
        /// What it goes against, as a clause for people.
        what: String,
    },
    /// A recording may not go from its state to that one.
    #[error("a recording that is {from:?} cannot become {to:?}")]
    Illegal {
        /// Where it stands.
        from: recording::State,
        /// What was asked for.
        to: recording::State,
    },
    /// The job is no longer the caller's: its lease was taken over, or it was cancelled or ended.
    #[error("the job is no longer ours")]
    LeaseLost,
    /// A row holds what no version of this program wrote.
    #[error("the database holds something unreadable: {what}")]
    Corrupt {
        /// What, and where.
        what: String,
    },
}

impl Error {
    fn conflict(what: impl Into<String>) -> Self {
        Self::Conflict { what: what.into() }
    }

    /// A failed query. What another transaction made first is a conflict on every engine.
    fn query(step: &'static str, source: sqlx::Error) -> Self {
        match source.as_database_error() {
            Some(refusal) if refusal.is_unique_violation() => {
                Self::conflict(format!("cannot {step}: there is another one already"))
            }
            _ => Self::Query { step, source },
        }
    }
}

impl Db {
    /// Changes made through this handle and its clones from now on. A receiver that is told it
    /// lagged looks at everything again.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    /// Asks the database for a sign of life.
    ///
    /// # Errors
    /// [`Error::Query`] where it gives none.
    pub async fn ping(&self) -> Result<()> {
        let alive: Option<(i64,)> = one!(self.pools, "answer", "SELECT CAST(1 AS BIGINT)")?;
        alive.map(drop).ok_or(Error::NotFound { what: "answer" })
    }
}
