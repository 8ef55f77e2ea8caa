//! The engines a [`Db`] can stand on, and the macros through which every query is run.
//!
//! An engine is one variant of [`On`] and one arm of `on_each!`; nothing else knows which there
//! are.

mod address;
mod postgres;
pub(super) mod schema;
pub(super) mod sqlite;

use std::path::Path;

use futures_util::{Stream, TryStreamExt as _};
use sqlx::postgres::PgDatabaseError;
use sqlx::{PgConnection, PgPool, Postgres, Sqlite, SqliteConnection, SqlitePool, Transaction};

use super::feed::Feed;
use super::{Change, Db, Error, Result};

pub(super) use postgres::pool_of_one;

/// Something an engine has one of: its pools, its transaction, its executor.
#[derive(Debug, Clone)]
pub(super) enum On<S, P> {
    Sqlite(S),
    Postgres(P),
}

/// Connections. On SQLite those that write are apart from those that read.
pub(super) type Pools = On<sqlite::Pools, PgPool>;

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
    feed: Feed,
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

    /// Waits for every other transaction that said the same `number`, and keeps later ones waiting
    /// until this one ends. On SQLite there is no other.
    pub(super) async fn alone(&mut self, step: &'static str, number: i64) -> Result<()> {
        if let On::Postgres(connection) = self.executor() {
            let query = sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(number);
            query.execute(connection).await.map_err(|source| Error::query(step, source))?;
        }
        Ok(())
    }

    pub(super) async fn commit(self) -> Result<()> {
        let Self { inner, step, notes, feed } = self;
        match inner {
            On::Sqlite(tx) => tx.commit().await,
            On::Postgres(tx) => tx.commit().await,
        }
        .map_err(|source| Error::Query { step, source })?;
        feed.send(notes);
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

/// Hands one row of a query after the other to `$take`, so that they are never all in memory.
macro_rules! each {
    ($on:expr, $step:expr, $sql:expr $(, $bind:expr)*; $take:expr) => {
        match $on.executor() {
            $crate::db::engine::On::Sqlite(executor) => {
                let rows = sqlx::query_as::<_, _>($sql)$(.bind($bind))*.fetch(executor);
                $crate::db::engine::each_row($step, rows, $take).await
            }
            $crate::db::engine::On::Postgres(executor) => {
                let rows = sqlx::query_as::<_, _>($sql)$(.bind($bind))*.fetch(executor);
                $crate::db::engine::each_row($step, rows, $take).await
            }
        }
    };
}

/// The rest of `each!`, which is the same on every engine.
pub(super) async fn each_row<R>(
    step: &'static str,
    mut rows: impl Stream<Item = sqlx::Result<R>> + Unpin,
    mut take: impl FnMut(R) -> Result<()>,
) -> Result<()> {
    while let Some(row) = rows.try_next().await.map_err(|source| Error::query(step, source))? {
        take(row)?;
    }
    Ok(())
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

/// Whether the same may well work in a moment.
pub(super) fn is_transient(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut => true,
        sqlx::Error::Database(refusal)
            if refusal.try_downcast_ref::<PgDatabaseError>().is_some() =>
        {
            refusal.code().is_some_and(|code| postgres::will_pass(&code))
        }
        sqlx::Error::Database(_) => sqlite::is_busy(error),
        _ => false,
    }
}

impl Db {
    /// Opens the database at `url`.
    ///
    /// `sqlite:/path/to/file.db` (what follows `sqlite:` is a path, taken literally) makes the file
    /// and the folders above it, and brings its schema up to date. Several processes may open the
    /// same file at once.
    ///
    /// `postgres://user:password@host:port/database` connects, within ten seconds or not at all, and
    /// leaves the schema as it is: see [`Db::migrate`]. Behind a `?` may stand `sslmode`,
    /// `sslrootcert` and others of PostgreSQL's connection parameters; what is not said comes from
    /// the environment (`PGHOST`, `PGPASSWORD`, …) and `~/.pgpass`.
    ///
    /// # Errors
    /// [`Error::Open`] where the address, the file or the server is unusable; [`Error::Schema`] where
    /// the schema is newer than this program or, on PostgreSQL, older; [`Error::Migrate`] where a
    /// file's cannot be brought up to date.
    pub async fn open(url: &str) -> Result<Self> {
        match address::parse(url)? {
            On::Sqlite(path) => {
                let pools = open_sqlite(url, path).await?;
                schema::sqlite(url, &pools).await?;
                Ok(Self { pools: On::Sqlite(pools), feed: Feed::here_only() })
            }
            On::Postgres(options) => {
                let failed = |source| address::refused(url, postgres::why(&source), source);
                let mut first = postgres::connect(&options).await.map_err(failed)?;
                schema::check_postgres(url, &mut first).await?;
                let pool = postgres::pool(options.clone());
                let feed = Feed::with_others(&pool, options).await.map_err(failed)?;
                Ok(Self { pools: On::Postgres(pool), feed })
            }
        }
    }

    /// What it stands on: `sqlite` or `postgres`.
    #[must_use]
    pub fn engine(&self) -> &'static str {
        match self.pools {
            On::Sqlite(_) => "sqlite",
            On::Postgres(_) => "postgres",
        }
    }

    /// Closes the connections. Clones of the handle are of no use afterwards.
    pub async fn close(&self) {
        match &self.pools {
            On::Sqlite(pools) => pools.close().await,
            On::Postgres(pool) => {
                self.feed.close(pool).await;
                pool.close().await;
            }
        }
    }

    /// A transaction that may write; `step` names it in errors ("end the recording").
    pub(super) async fn begin(&self, step: &'static str) -> Result<Tx> {
        let inner = match &self.pools {
            On::Sqlite(pools) => pools.write.begin_with("BEGIN IMMEDIATE").await.map(On::Sqlite),
            On::Postgres(pool) => pool.begin().await.map(On::Postgres),
        }
        .map_err(|source| Error::Query { step, source })?;
        Ok(Tx { inner, step, notes: Vec::new(), feed: self.feed.clone() })
    }
}

async fn open_sqlite(url: &str, path: &Path) -> Result<sqlite::Pools> {
    let why = "the file cannot be made, read or written, or is no database";
    sqlite::Pools::open(path).await.map_err(|source| address::refused(url, why, source))
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
        let refused = refusal(&url).await;
        assert!(matches!(refused, Error::Schema { found: Some(9999), .. }), "{refused:?}");
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
