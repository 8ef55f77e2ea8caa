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
//! - On PostgreSQL, where transactions run side by side, each locks what it depends on before it
//!   reads it: see `engine`.
//! - [`Change`]s are sent after the commit: within this process, and on PostgreSQL to other
//!   processes too. Other processes may write to the same file, and notifications get lost, so a
//!   listener also looks at the rows from time to time.

mod code;
#[macro_use]
mod engine;
mod batches;
mod chunks;
mod edits;
mod feed;
mod holds;
mod jobs;
mod late;
mod leases;
mod mend;
mod moving;
mod plans;
mod queue;
mod receipts;
mod recordings;
mod rooms;
mod segments;
mod speakers;
mod transcribers;
mod transcripts;
mod vocabulary;
mod windows;

#[cfg(test)]
mod conformance;

use tokio::sync::broadcast;

use crate::id::{RecordingId, RoomId};
use crate::recording;

pub use chunks::NewChunk;
pub use engine::schema::Migrated;
pub use holds::{Held, Holder};
pub use jobs::Filter as JobFilter;
pub use late::Late;
pub use leases::Claimant;
pub use mend::Mend;
pub use moving::Whole;
pub use receipts::Wanted;
pub use recordings::{Filter, NewRecording};
pub use windows::NewWords;

/// What this module's methods return.
pub type Result<T> = std::result::Result<T, Error>;

/// A handle on the database. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Db {
    pools: engine::Pools,
    feed: feed::Feed,
}

/// Something that was changed and is committed: through this process' handles of one [`Db`] or, on
/// PostgreSQL, through anybody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Change {
    /// A room was made or edited.
    Room(RoomId),
    /// A recording, its chunks, gaps, words, edits or speakers changed.
    Recording(RecordingId),
    /// A job was made, claimed, moved on or ended.
    Jobs,
    /// Others changed something while we could not hear of it: look at everything again.
    Unknown,
}

/// Why the database did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database could not be reached or made.
    #[error("the database {url} cannot be opened: {why}")]
    Open {
        /// Its address as given, but for the password.
        url: String,
        /// The reason in a few words for people.
        why: &'static str,
        /// The engine's error.
        source: sqlx::Error,
    },
    /// The schema could not be brought up to date.
    #[error("the schema of {url} cannot be brought up to date")]
    Migrate {
        /// The database's address as given, but for the password.
        url: String,
        /// What the migrator says.
        source: sqlx::migrate::MigrateError,
    },
    /// The schema is not the one that this program was made for.
    #[error("{}", schema_trouble(url, *found, *wanted))]
    Schema {
        /// The database's address as given, but for the password.
        url: String,
        /// The schema's version; `None`: there is no schema.
        found: Option<i64>,
        /// The version that this program was made for.
        wanted: i64,
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
    /// Something else stands where somebody read what they want to edit.
    #[error("what stands there now is {there:?}")]
    Changed {
        /// What stands there now; empty: nothing.
        there: String,
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

    /// Whether the same may well work in a moment: the connection broke, the server is restarting or
    /// has handed over to another, or it ended a transaction because of what others did at the same
    /// time. Whether a change that was being committed then was made is not known; doing it again is
    /// safe where the method says so.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Query { source, .. } if engine::is_transient(source))
    }
}

fn schema_trouble(url: &str, found: Option<i64>, wanted: i64) -> String {
    match found {
        None => format!("the database {url} has no schema yet: run `roomtape migrate`"),
        Some(found) if found < wanted => format!(
            "the schema of the database {url} is version {found} and {wanted} is wanted: run \
             `roomtape migrate`"
        ),
        Some(found) => format!(
            "the schema of the database {url} is version {found}, made by a newer roomtape than this \
             one, which knows {wanted}"
        ),
    }
}

impl Db {
    /// Changes made from now on: through this handle and its clones and, on PostgreSQL, by other
    /// processes. A receiver that is told it lagged looks at everything again, as it does upon
    /// [`Change::Unknown`].
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.feed.subscribe()
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
