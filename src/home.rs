//! The data folder: what stands where in it, and who may use it.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use archive::store::Store;
use models::Db;

use crate::config::Config;

/// An opened data folder.
#[derive(Clone)]
pub(crate) struct Home {
    /// The database.
    pub(crate) db: Db,
    /// The object store.
    pub(crate) store: Store,
    /// Chunks being written.
    pub(crate) spool: PathBuf,
    /// Whisper weights.
    pub(crate) weights: PathBuf,
}

/// Opens the data folder, making it where it is not there.
///
/// # Errors
/// A folder that cannot be made or written, or a database that cannot be opened.
pub(crate) async fn open(config: &Config) -> anyhow::Result<Home> {
    let data = &config.data;
    std::fs::create_dir_all(data)
        .with_context(|| format!("making the data folder {}", data.display()))?;
    let database = data.join("roomtape.db");
    let db = Db::open(&format!("sqlite:{}", database.display()))
        .await
        .with_context(|| format!("opening the database {}", database.display()))?;
    let objects = data.join("objects");
    let store = Store::disk(&objects)
        .with_context(|| format!("opening the object store {}", objects.display()))?;
    Ok(Home { db, store, spool: data.join("spool"), weights: weights_dir(data) })
}

/// Where weights are kept.
pub(crate) fn weights_dir(data: &Path) -> PathBuf {
    data.join("weights")
}

/// The right to be the one server of a data folder; given up when dropped, or when the process dies.
pub(crate) struct ServerLock {
    _file: File,
}

/// Takes the data folder for this server.
///
/// # Errors
/// Another server holds it.
pub(crate) fn lock(data: &Path) -> anyhow::Result<ServerLock> {
    std::fs::create_dir_all(data)
        .with_context(|| format!("making the data folder {}", data.display()))?;
    let path = data.join("server.lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("opening {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(ServerLock { _file: file }),
        Err(TryLockError::WouldBlock) => bail!(
            "another roomtape serves {}: stop it, or name another folder with --data",
            data.display()
        ),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("locking {}", path.display()))
        }
    }
}
