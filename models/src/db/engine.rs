//! The engines a [`Db`] can stand on, and the macros through which every query is run.
//!
//! An engine is one variant of [`On`] and one arm of `on_each!`; nothing else knows which there
//! are.
//!
//! SQLite: several processes share the file, so it is in WAL mode, every commit is synced (a spool
//! file is deleted on the strength of a row) and writers queue. Within a process they queue for the
//! one writing connection, which is fair; between processes they wait for each other's short
//! transactions (`BEGIN IMMEDIATE` and a busy timeout). Readers have connections of their own,
//! never wait for writers and cannot write.

use std::path::Path;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{PgConnection, PgPool, Postgres, Sqlite, SqliteConnection, SqlitePool, Transaction};
use tokio::sync::broadcast;
use tokio::time::Instant;

use super::{CHANGES_KEPT, Change, Db, Error, Result};

static SQLITE_SCHEMA: Migrator = sqlx::migrate!("../migrations/sqlite");
static POSTGRES_SCHEMA: Migrator = sqlx::migrate!("../migrations/postgres");

/// How long one process waits for another's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(15);
/// How long to wait before a busy file is opened again.
const BUSY_RETRY: Duration = Duration::from_millis(20);
/// Reading connections: a page's requests at once; more only fight for the same file.
const READERS: u32 = 4;

/// Something an engine has one of: its pools, its transaction, its executor.
#[derive(Debug, Clone)]
pub(super) enum On<S, P> {
    Sqlite(S),
    Postgres(P),
}

/// Connections. On SQLite those that write are apart from those that read.
pub(super) type Pools = On<SqlitePools, PgPool>;

/// The one connection that writes, and those that read.
#[derive(Debug, Clone)]
pub(super) struct SqlitePools {
    write: SqlitePool,
    read: SqlitePool,
}

impl Pools {
    /// For queries outside a transaction.
    pub(super) fn executor(&self) -> On<&SqlitePool, &PgPool> {
        match self {
            Self::Sqlite(pools) => On::Sqlite(&pools.read),
            Self::Postgres(pool) => On::Postgres(pool),
        }
    }
}

/// A transaction that may write, and what to tell the listeners once it is committed. Dropped
/// without [`Tx::commit`], it never was.
#[derive(Debug)]
pub(super) struct Tx {
    inner: On<Transaction<'static, Sqlite>, Transaction<'static, Postgres>>,
    step: &'static str,
    notes: Vec<Change>,
    changes: broadcast::Sender<Change>,
}

impl Tx {
    pub(super) fn executor(&mut self) -> On<&mut SqliteConnection, &mut PgConnection> {
        match &mut self.inner {
            On::Sqlite(tx) => On::Sqlite(&mut **tx),
            On::Postgres(tx) => On::Postgres(&mut **tx),
        }
    }

    /// Has `change` sent after the commit, once.
    pub(super) fn note(&mut self, change: Change) {
        if !self.notes.contains(&change) {
            self.notes.push(change);
        }
    }

    pub(super) async fn commit(self) -> Result<()> {
        let Self { inner, step, notes, changes } = self;
        match inner {
            On::Sqlite(tx) => tx.commit().await,
            On::Postgres(tx) => tx.commit().await,
        }
        .map_err(|source| Error::Query { step, source })?;
        for change in notes {
            // No listener is not an error.
            let _ = changes.send(change);
        }
        Ok(())
    }
}

/// Runs a query with its binds by `$method` on whichever engine `$on` stands on. `$on_sqlite` and
/// `$on_postgres` are the same query but for what only one of them needs.
macro_rules! on_each {
    ($on:expr, $step:expr, $on_sqlite:expr, $on_postgres:expr, $method:ident $(, $bind:expr)*) => {
        match $on.executor() {
            $crate::db::engine::On::Sqlite(executor) => {
                $on_sqlite$(.bind($bind))*.$method(executor).await
            }
            $crate::db::engine::On::Postgres(executor) => {
                $on_postgres$(.bind($bind))*.$method(executor).await
            }
        }
        .map_err(|source| $crate::db::Error::query($step, source))
    };
}

/// All rows of a query: `all!(pools or tx, "step", "SQL", binds…)`.
macro_rules! all {
    ($on:expr, $step:expr, $sql:expr $(, $bind:expr)* $(,)?) => {
        on_each!(
            $on, $step, sqlx::query_as::<_, _>($sql), sqlx::query_as::<_, _>($sql),
            fetch_all $(, $bind)*
        )
    };
}

/// The first row of a query, if there is one.
macro_rules! one {
    ($on:expr, $step:expr, $sql:expr $(, $bind:expr)* $(,)?) => {
        on_each!(
            $on, $step, sqlx::query_as::<_, _>($sql), sqlx::query_as::<_, _>($sql),
            fetch_optional $(, $bind)*
        )
    };
}

/// [`one!`] that keeps the row from other writers until the transaction ends, waiting for whoever
/// has it. Not `FOR UPDATE`: rows that refer to this one may still be written meanwhile.
///
/// On SQLite the transaction holds the whole file anyway. `$sql` has to be a literal `SELECT`.
macro_rules! locked {
    ($tx:expr, $step:expr, $sql:literal $(, $bind:expr)* $(,)?) => {
        on_each!(
            $tx, $step, sqlx::query_as::<_, _>($sql),
            sqlx::query_as::<_, _>(concat!($sql, " FOR NO KEY UPDATE")),
            fetch_optional $(, $bind)*
        )
    };
}

/// [`locked!`] that passes over rows which other writers have, instead of waiting for them.
macro_rules! first_free {
    ($tx:expr, $step:expr, $sql:literal $(, $bind:expr)* $(,)?) => {
        on_each!(
            $tx, $step, sqlx::query_as::<_, _>($sql),
            sqlx::query_as::<_, _>(concat!($sql, " FOR NO KEY UPDATE SKIP LOCKED")),
            fetch_optional $(, $bind)*
        )
    };
}

/// Runs a statement and tells how many rows it touched.
macro_rules! run {
    ($on:expr, $step:expr, $sql:expr $(, $bind:expr)* $(,)?) => {
        match $on.executor() {
            $crate::db::engine::On::Sqlite(executor) => {
                let done = sqlx::query($sql)$(.bind($bind))*.execute(executor).await;
                done.map(|done| done.rows_affected())
            }
            $crate::db::engine::On::Postgres(executor) => {
                let done = sqlx::query($sql)$(.bind($bind))*.execute(executor).await;
                done.map(|done| done.rows_affected())
            }
        }
        .map_err(|source| $crate::db::Error::query($step, source))
    };
}

impl Db {
    /// Opens the database at `url`, makes it where there is none, and brings its schema up to date.
    ///
    /// `sqlite:/path/to/file.db` (what follows `sqlite:` is a path, taken literally) makes the file
    /// and the folders above it. Several processes may open the same file at once.
    ///
    /// # Errors
    /// [`Error::Open`] where the address or the file is unusable, [`Error::Migrate`] where the
    /// schema cannot be brought up to date (it was made by a newer version, for one).
    pub async fn open(url: &str) -> Result<Self> {
        let failed = |source| Error::Open { url: url.to_owned(), source };
        let Some(path) = url.strip_prefix("sqlite:").filter(|path| !path.is_empty()) else {
            let what = "an address of the form sqlite:/path/to/file.db is wanted";
            return Err(failed(sqlx::Error::Configuration(what.into())));
        };
        let path = Path::new(path.strip_prefix("//").unwrap_or(path));
        if let Some(folder) = path.parent() {
            tokio::fs::create_dir_all(folder).await.map_err(|e| failed(e.into()))?;
        }
        let pools = open_sqlite(path).await.map_err(failed)?;
        let db = Self { pools, changes: broadcast::Sender::new(CHANGES_KEPT) };
        db.migrate(url).await?;
        Ok(db)
    }

    /// Closes the connections. Clones of the handle are of no use afterwards.
    pub async fn close(&self) {
        match &self.pools {
            On::Sqlite(pools) => {
                pools.read.close().await;
                pools.write.close().await;
            }
            On::Postgres(pool) => pool.close().await,
        }
    }

    /// A transaction that may write; `step` names it in errors ("end the recording").
    pub(super) async fn begin(&self, step: &'static str) -> Result<Tx> {
        let inner = match &self.pools {
            On::Sqlite(pools) => pools.write.begin_with("BEGIN IMMEDIATE").await.map(On::Sqlite),
            On::Postgres(pool) => pool.begin().await.map(On::Postgres),
        }
        .map_err(|source| Error::Query { step, source })?;
        Ok(Tx { inner, step, notes: Vec::new(), changes: self.changes.clone() })
    }

    /// All in one transaction: the migrator takes no lock of its own on SQLite, and two processes
    /// may open a new file together.
    async fn migrate(&self, url: &str) -> Result<()> {
        let mut tx = self.begin("begin the migration").await?;
        match tx.executor() {
            On::Sqlite(connection) => SQLITE_SCHEMA.run_direct(None, connection, false).await,
            On::Postgres(connection) => POSTGRES_SCHEMA.run_direct(None, connection, false).await,
        }
        .map_err(|source: MigrateError| Error::Migrate { url: url.to_owned(), source })?;
        tx.commit().await
    }
}

async fn open_sqlite(path: &Path) -> std::result::Result<Pools, sqlx::Error> {
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
    Ok(On::Sqlite(SqlitePools { write, read }))
}

/// Opens the writing connection. Where several processes open a new file at once, one of them turns
/// it to WAL, and SQLite tells the others that it is busy without heeding the busy timeout.
async fn connect(options: &SqliteConnectOptions) -> std::result::Result<SqlitePool, sqlx::Error> {
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
fn is_busy(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.and_then(|code| code.parse::<u32>().ok()).is_some_and(|code| code & 0xff == 5)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn refusal(url: &str) -> Error {
        Db::open(url).await.expect_err("there is no database to be had here")
    }

    #[tokio::test]
    async fn an_address_that_is_no_database_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let text = folder.path().join("notes.txt");
        std::fs::write(&text, "not a database, but long enough to have a header\n".repeat(20))
            .unwrap();
        for url in [
            "".to_owned(),
            "sqlite:".to_owned(),
            "mysql://localhost/roomtape".to_owned(),
            format!("sqlite:{}", folder.path().display()),
            format!("sqlite:{}", text.display()),
            format!("sqlite:{}", text.join("below a file.db").display()),
        ] {
            let refused = refusal(&url).await;
            assert!(
                matches!(&refused, Error::Open { url: told, .. } if *told == url),
                "{refused:?}"
            );
        }
        let kept = std::fs::read_to_string(&text).unwrap();
        assert!(kept.starts_with("not a database"), "what lies there stays as it is");
    }

    #[tokio::test]
    async fn a_database_of_a_newer_version_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("room.db").display());
        let db = Db::open(&url).await.unwrap();
        let mut tx = db.begin("pretend to be newer").await.unwrap();
        run!(
            tx,
            "pretend to be newer",
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES (9999, 'from the future', TRUE, x'00', 0)",
        )
        .unwrap();
        tx.commit().await.unwrap();
        db.close().await;
        assert!(matches!(refusal(&url).await, Error::Migrate { .. }));
    }

    #[tokio::test]
    async fn readers_cannot_write_and_writers_sync() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("room.db").display());
        let db = Db::open(&url).await.unwrap();
        assert!(run!(db.pools, "write past the queue", "DELETE FROM rooms").is_err());
        let mut tx = db.begin("look").await.unwrap();
        let pragma = |rows: Option<(i64,)>| rows.unwrap().0;
        assert_eq!(pragma(one!(tx, "look", "PRAGMA synchronous").unwrap()), 2);
        assert_eq!(pragma(one!(tx, "look", "PRAGMA foreign_keys").unwrap()), 1);
        let mode: Option<(String,)> = one!(tx, "look", "PRAGMA journal_mode").unwrap();
        assert_eq!(mode.unwrap().0, "wal");
    }
}
