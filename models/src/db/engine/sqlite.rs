//! SQLite: several processes share the file, so it is in WAL mode, every commit is synced (a spool
//! file is deleted on the strength of a row) and writers queue. Within a process they queue for the
//! one writing connection, which is fair; between processes they wait for each other's short
//! transactions (`BEGIN IMMEDIATE` and a busy timeout). Readers have connections of their own,
//! never wait for writers and cannot write.

use std::path::Path;
use std::time::Duration;

use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use tokio::time::Instant;

/// How long one process waits for another's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(15);
/// How long to wait before a busy file is opened again.
const BUSY_RETRY: Duration = Duration::from_millis(20);
/// Reading connections: a page's requests at once; more only fight for the same file.
const READERS: u32 = 4;

/// The one connection that writes, and those that read.
#[derive(Debug, Clone)]
pub(in crate::db) struct Pools {
    pub(in crate::db) write: SqlitePool,
    pub(in crate::db) read: SqlitePool,
}

impl Pools {
    /// Opens the file, and makes it and the folders above it where they are not there.
    pub(super) async fn open(path: &Path) -> Result<Self, sqlx::Error> {
        if let Some(folder) = path.parent() {
            tokio::fs::create_dir_all(folder).await?;
        }
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .busy_timeout(BUSY_TIMEOUT)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true);
        let write = connect(&options).await?;
        let read = SqlitePoolOptions::new()
            .max_connections(READERS)
            .connect_lazy_with(options.create_if_missing(false).pragma("query_only", "ON"));
        Ok(Self { write, read })
    }

    pub(super) async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }
}

/// Opens the writing connection. Where several processes open a new file at once, one of them turns
/// it to WAL, and SQLite tells the others that it is busy without heeding the busy timeout.
async fn connect(options: &SqliteConnectOptions) -> Result<SqlitePool, sqlx::Error> {
    let deadline = Instant::now() + BUSY_TIMEOUT;
    loop {
        let opened = SqlitePoolOptions::new().max_connections(1).connect_with(options.clone());
        match opened.await {
            Err(error) if is_busy(&error) && Instant::now() < deadline => {
                tokio::time::sleep(BUSY_RETRY).await;
            }
            done => return done,
        }
    }
}

/// `SQLITE_BUSY` in any of its extended forms.
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.and_then(|code| code.parse::<u32>().ok()).is_some_and(|code| code & 0xff == 5)
}
