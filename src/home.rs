//! Where everything is kept: the database, the objects, and the folder on this machine.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use archive::store::Store;
use models::Db;

use crate::config::{Config, Place};

/// Database and store, opened, and the places on this machine.
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
    /// What this process counts of recording.
    pub(crate) meters: ingest::Meters,
}

/// Opens database and store. On this machine nothing is made but what of the two is kept here.
///
/// # Errors
/// One sentence that names the setting which cannot be used.
pub(crate) async fn open(config: &Config) -> anyhow::Result<Home> {
    let data = &config.data;
    let database = config.database.expose();
    let db = Db::open(database).await.context("the setting database cannot be used")?;
    let store = match &config.backup_store {
        None => open_store(&config.store, data).await?,
        Some(backup) => open_pair(&config.store, backup, data).await?,
    };
    let (spool, weights, meters) = (data.join("spool"), weights_dir(data), Default::default());
    Ok(Home { db, store, spool, weights, meters })
}

async fn open_store(place: &Place, data: &Path) -> anyhow::Result<Store> {
    let opened = Store::open(&named(place, data)).await;
    opened.with_context(|| unusable(place))
}

/// The backup by itself, where there is one, for whoever looks for what is damaged in the store.
///
/// # Errors
/// One sentence that names the setting which cannot be used.
pub(crate) async fn backup(config: &Config) -> anyhow::Result<Option<Store>> {
    let Some(backup) = &config.backup_store else { return Ok(None) };
    let opened = Store::open_even_away(&named(backup, &config.data)).await;
    opened.map(|(store, _)| Some(store)).with_context(|| unusable(backup))
}

/// A store and its backup. One of them may be away: that is what the other is for.
async fn open_pair(first: &Place, backup: &Place, data: &Path) -> anyhow::Result<Store> {
    let open = async |place: &Place| {
        let opened = Store::open_even_away(&named(place, data)).await;
        let (store, away) = opened.with_context(|| unusable(place))?;
        let away = away.map(|error| anyhow::Error::from(error).context(unusable(place)));
        if let Some(error) = &away {
            tracing::error!(error = format!("{error:#}"), "a store is away");
        }
        anyhow::Ok((store, away))
    };
    let ((first, first_away), (backup, backup_away)) = (open(first).await?, open(backup).await?);
    match (first_away, backup_away) {
        (Some(first), Some(_)) => Err(first.context("neither the store nor its backup is there")),
        _ => Ok(first.with_backup(backup)),
    }
}

fn unusable(place: &Place) -> String {
    format!("the setting {} cannot be used", place.setting)
}

/// A place of the settings as the archive wants it.
fn named(place: &Place, data: &Path) -> archive::store::Place {
    let url = place.url.as_ref();
    let url = url
        .map_or_else(|| data.join("objects").display().to_string(), |url| url.expose().to_owned());
    let expose = |secret: &crate::config::Secret| secret.expose().to_owned();
    archive::store::Place {
        url,
        key: place.key.as_ref().map(expose),
        secret: place.secret.as_ref().map(|secret| expose(secret).into()),
    }
}

/// Where weights are kept.
pub(crate) fn weights_dir(data: &Path) -> PathBuf {
    data.join("weights")
}

/// The right to be the one that records into a data folder's spool; given up when dropped, or when
/// the process dies.
pub(crate) struct ServerLock {
    _file: File,
}

/// Takes the data folder for this process, and makes sure that its spool can be written.
///
/// # Errors
/// Another process holds it, or nothing can be written there.
pub(crate) fn lock(data: &Path) -> anyhow::Result<ServerLock> {
    let unusable =
        || format!("the setting data cannot be used: nothing can be written in {}", data.display());
    std::fs::create_dir_all(data).with_context(unusable)?;
    let path = data.join("server.lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(unusable)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => bail!(
            "another roomtape serves {}: stop it, or name another folder with --data",
            data.display()
        ),
        Err(TryLockError::Error(error)) => {
            return Err(error).with_context(|| format!("locking {}", path.display()));
        }
    }
    let spool = data.join("spool");
    let written = std::fs::create_dir_all(&spool).and_then(|()| tempfile::tempfile_in(&spool));
    written.with_context(|| {
        format!("the setting data cannot be used: the spool {} cannot be written", spool.display())
    })?;
    Ok(ServerLock { _file: file })
}
