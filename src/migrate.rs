//! `roomtape migrate`: brings the database's schema up to date.

use anyhow::Context as _;
use models::Db;

use crate::config::Config;
use crate::log;

/// Brings it up to date and says what was done. Several may run at once: one does the work.
///
/// # Errors
/// The database cannot be reached, or its schema is of a newer version.
pub(crate) async fn run(config: &Config) -> anyhow::Result<()> {
    let migrated = Db::migrate(config.database.expose()).await;
    let migrated = migrated.context("the setting database cannot be used")?;
    let (database, to) = (&config.database, migrated.to);
    log::print(&match migrated.from {
        Some(from) if from == to => {
            format!("the schema of {database} is up to date (version {to})")
        }
        Some(from) => format!("the schema of {database} is at version {to} now, not {from}"),
        None => format!("{database} has the schema now (version {to})"),
    });
    Ok(())
}
