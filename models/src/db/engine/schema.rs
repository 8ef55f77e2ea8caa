//! The schema: both engines' migrations have the same numbers and names, and make the same tables.

use sqlx::PgConnection;
use sqlx::SqliteConnection;
use sqlx::migrate::{Migrate as _, MigrateError, Migrator};

use super::address::shown;
use super::{On, address, postgres};
use crate::db::{Db, Error, Result, engine};

pub(super) static SQLITE: Migrator = sqlx::migrate!("../migrations/sqlite");
pub(super) static POSTGRES: Migrator = sqlx::migrate!("../migrations/postgres");
/// Where the migrator notes what it has done.
const DONE: &str = "_sqlx_migrations";

/// What [`Db::migrate`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migrated {
    /// The schema's version before; `None`: there was no schema.
    pub from: Option<i64>,
    /// Its version now.
    pub to: i64,
}

impl Db {
    /// Brings the schema of the database at `url` up to date. Several may do so at once: one works,
    /// the others wait and then find it done.
    ///
    /// On PostgreSQL this is the only way: [`Db::open`] leaves the schema alone there, because other
    /// processes may be using it. Processes that run meanwhile should be restarted afterwards.
    ///
    /// # Errors
    /// [`Error::Open`] where there is no database to be reached, [`Error::Schema`] where its schema
    /// is newer than this program, [`Error::Migrate`] where a migration fails; it has then changed
    /// nothing.
    pub async fn migrate(url: &str) -> Result<Migrated> {
        match address::parse(url)? {
            On::Sqlite(path) => {
                let pools = engine::open_sqlite(url, path).await?;
                let done = sqlite(url, &pools).await;
                pools.close().await;
                done
            }
            On::Postgres(options) => {
                // Building an index on a large table takes as long as it takes.
                let patient = options.options([("statement_timeout", "0"), ("lock_timeout", "0")]);
                let connection = postgres::connect(&patient).await;
                let mut connection = connection
                    .map_err(|source| address::refused(url, postgres::why(&source), source))?;
                run_postgres(url, &mut connection).await
            }
        }
    }
}

/// All in one transaction: the migrator takes no lock of its own on SQLite, and two processes may
/// open a new file together.
pub(super) async fn sqlite(url: &str, pools: &engine::sqlite::Pools) -> Result<Migrated> {
    let step = "begin the migration";
    let query = |source| Error::Query { step, source };
    let mut tx = pools.write.begin_with("BEGIN IMMEDIATE").await.map_err(query)?;
    let connection: &mut SqliteConnection = &mut tx;
    let failed = |source| Error::Migrate { url: shown(url), source };
    connection.ensure_migrations_table(DONE).await.map_err(failed)?;
    let done = connection.list_applied_migrations(DONE).await.map_err(failed)?;
    let from = done.last().map(|last| last.version);
    refuse_newer(url, from, &SQLITE)?;
    SQLITE.run_direct(None, connection, false).await.map_err(failed)?;
    tx.commit().await.map_err(query)?;
    Ok(Migrated { from, to: newest(&SQLITE) })
}

async fn run_postgres(url: &str, connection: &mut PgConnection) -> Result<Migrated> {
    let failed = |source| Error::Migrate { url: shown(url), source };
    // The migrator takes this lock again, which its holder may. Without it here, two that migrate at
    // once would both say that they did it.
    connection.lock().await.map_err(failed)?;
    let from = postgres_version(connection).await.map_err(failed)?;
    refuse_newer(url, from, &POSTGRES)?;
    POSTGRES.run_direct(None, connection, false).await.map_err(failed)?;
    connection.unlock().await.map_err(failed)?;
    Ok(Migrated { from, to: newest(&POSTGRES) })
}

/// Refuses a schema that is not exactly the one this program was made for.
pub(super) async fn check_postgres(url: &str, connection: &mut PgConnection) -> Result<()> {
    let failed = |source| Error::Migrate { url: shown(url), source };
    let found = postgres_version(connection).await.map_err(failed)?;
    let wanted = newest(&POSTGRES);
    if found == Some(wanted) {
        return Ok(());
    }
    Err(Error::Schema { url: shown(url), found, wanted })
}

/// The newest migration that was done; `None`: none ever was.
async fn postgres_version(
    connection: &mut PgConnection,
) -> std::result::Result<Option<i64>, MigrateError> {
    match connection.list_applied_migrations(DONE).await {
        Ok(done) => Ok(done.last().map(|last| last.version)),
        Err(MigrateError::Execute(error)) if is_no_such_table(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_no_such_table(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).as_deref() == Some("42P01")
}

fn refuse_newer(url: &str, found: Option<i64>, migrations: &Migrator) -> Result<()> {
    let wanted = newest(migrations);
    if found.is_some_and(|found| found > wanted) {
        return Err(Error::Schema { url: shown(url), found, wanted });
    }
    Ok(())
}

fn newest(migrations: &Migrator) -> i64 {
    migrations.iter().map(|migration| migration.version).max().unwrap_or(0)
}
