//! A store with a backup for when it is away.
//!
//! **Puts.** The first store is asked, with all its retries. Where it is away ([`Error::is_away`]:
//! it cannot be reached or cannot do its work; a refusal is no absence), the object is put into the
//! backup, verified there. For a while after that, puts go to the backup at once and do not wait
//! for the first store's retries again; then one of them looks whether it is back. Where the backup
//! fails too, the first store is tried all the same.
//!
//! **Reads** look in both, so that it does not matter where an object is; one that is absent must be
//! absent from both. A list is that of both together, and needs both.
//!
//! **An object never changes**: a put also compares with what the backup has, unless this process
//! knows that it is empty. While the first store is away, what it has cannot be compared; should it
//! have other bytes, draining finds that out, leaves both as they are and says so each time.
//!
//! **Draining** puts each object into the first store, where it is verified, and then removes it
//! from the backup. It is safe to do it twice at the same time. An object that is deleted by one
//! process in the moment in which another drains it may come back, as an orphan.

mod breaker;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use models::RecordingId;

use super::Store;
use super::error::Error;
use crate::key::Key;
use breaker::{Breaker, Way};

/// Objects on their way home at a time.
const AT_ONCE: usize = 8;
/// How long the first store may take to show that it is back.
const LOOK_WITHIN: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Backed {
    first: Store,
    backup: Store,
    breaker: Breaker,
    /// Whether anything may lie in the backup. Only a drain that left nothing there says no.
    may_hold: AtomicBool,
}

impl Backed {
    pub(super) fn new(first: Store, backup: Store) -> Self {
        Self { first, backup, breaker: Breaker::default(), may_hold: AtomicBool::new(true) }
    }

    pub(super) fn first(&self) -> &Store {
        &self.first
    }

    pub(super) async fn put(&self, key: &Key, bytes: Bytes) -> Result<(), Error> {
        if self.is_in_backup(key, &bytes).await? {
            return Ok(());
        }
        if self.may_try_first().await {
            match self.put_first(key, &bytes).await {
                Err(error) if error.is_away() => {
                    takes_over(&error);
                    return self.put_backup(key, &bytes).await.map_err(|backup| Error::Neither {
                        backup: Box::new(backup),
                        source: Box::new(error),
                    });
                }
                done => return done,
            }
        }
        match self.put_backup(key, &bytes).await {
            // There is nothing to lose by asking the first once more.
            Err(backup) if backup.is_away() => self.put_first(key, &bytes).await.map_err(|first| {
                Error::Neither { backup: Box::new(backup), source: Box::new(first) }
            }),
            done => done,
        }
    }

    /// Whether the backup has the object, with these bytes.
    async fn is_in_backup(&self, key: &Key, bytes: &Bytes) -> Result<bool, Error> {
        if !self.may_hold.load(Ordering::Acquire) {
            return Ok(false);
        }
        match self.backup.get(key, None).await {
            Ok(there) if there == *bytes => Ok(true),
            Ok(there) => {
                let (there, given) = (there.len(), bytes.len());
                Err(Error::Different { key: *key, there, given })
            }
            // While the backup is away the first store must do without it.
            Err(_) => Ok(false),
        }
    }

    async fn put_first(&self, key: &Key, bytes: &Bytes) -> Result<(), Error> {
        let done = self.first.put(key, bytes.clone()).await;
        match &done {
            Err(error) if error.is_away() => self.breaker.failed(Instant::now()),
            _ => self.breaker.worked(),
        }
        done
    }

    async fn put_backup(&self, key: &Key, bytes: &Bytes) -> Result<(), Error> {
        // Before it is there, so that nobody can believe the backup empty when it is.
        self.may_hold.store(true, Ordering::Release);
        self.backup.put(key, bytes.clone()).await
    }

    /// Whether to ask the first store. Where it was away, one of those who ask finds out whether it
    /// is back.
    async fn may_try_first(&self) -> bool {
        match self.breaker.way(Instant::now()) {
            Way::Open => true,
            Way::Closed => false,
            Way::Look(looking) => {
                let looked = tokio::time::timeout(LOOK_WITHIN, self.first.check()).await;
                // A refusal is an answer.
                let back = looked.is_ok_and(|done| !done.is_err_and(|error| error.is_away()));
                looking.found(back);
                back
            }
        }
    }

    pub(super) async fn get(&self, key: &Key, range: Option<Range<u64>>) -> Result<Bytes, Error> {
        // One that is away answers late: what the backup has need not wait for it.
        if self.breaker.is_closed() {
            match self.backup.get(key, range.clone()).await {
                Err(Error::Missing(_)) => {}
                Err(error) if error.is_away() => {}
                done => return done,
            }
            return self.first.get(key, range).await;
        }
        let first = match self.first.get(key, range.clone()).await {
            Err(error) if error.is_away() || matches!(error, Error::Missing(_)) => error,
            done => return done,
        };
        match self.backup.get(key, range.clone()).await {
            Err(Error::Missing(_)) if first.is_away() => Err(first),
            // Drained between the two questions, perhaps.
            Err(Error::Missing(_)) => self.first.get(key, range).await,
            Err(backup) => Err(neither(backup, first)),
            done => done,
        }
    }

    pub(super) async fn head(&self, key: &Key) -> Result<Option<u64>, Error> {
        let first = self.first.head(key).await;
        match first {
            Ok(Some(size)) => return Ok(Some(size)),
            Err(error) if !error.is_away() => return Err(error),
            _ => {}
        }
        match (self.backup.head(key).await, first) {
            (Ok(Some(size)), _) => Ok(Some(size)),
            (Ok(None), Ok(_)) => self.first.head(key).await,
            (Ok(None), Err(first)) => Err(first),
            (Err(backup), Ok(_)) => Err(backup),
            (Err(backup), Err(first)) => Err(neither(backup, first)),
        }
    }

    pub(super) async fn list(&self, prefix: &str) -> Result<Vec<(String, u64)>, Error> {
        // The backup first: what is drained meanwhile is then found at home.
        let mut found: BTreeMap<_, _> = self.backup.list(prefix).await?.into_iter().collect();
        found.extend(self.first.list(prefix).await?);
        Ok(found.into_iter().collect())
    }

    pub(super) async fn recordings(&self) -> Result<Vec<RecordingId>, Error> {
        // The backup first, as above.
        let mut found: BTreeSet<_> = self.backup.recordings().await?.into_iter().collect();
        found.extend(self.first.recordings().await?);
        Ok(found.into_iter().collect())
    }

    pub(super) async fn delete(&self, key: &Key) -> Result<(), Error> {
        // The backup first: nothing is left then that a later drain could bring back.
        self.backup.delete(key).await?;
        self.first.delete(key).await
    }

    pub(super) async fn presign(
        &self,
        key: &Key,
        ttl: Duration,
        disposition: Option<&str>,
    ) -> Result<Option<String>, Error> {
        // An address of what is not there would only fail later, at somebody who cannot look here.
        if self.breaker.is_closed() {
            return Ok(None);
        }
        match self.first.head(key).await {
            Ok(Some(_)) => self.first.presign(key, ttl, disposition).await,
            Ok(None) => Ok(None),
            Err(error) if error.is_away() => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn check(&self) -> Result<(), Error> {
        let first = match self.first.check().await {
            Err(error) if error.is_away() => error,
            done => return done,
        };
        self.backup.check().await.map_err(|backup| neither(backup, first))
    }

    pub(super) async fn drain(&self) -> Result<usize, Error> {
        let mut moved = 0;
        let mut failed = None;
        let found = self.backup.list("").await?;
        let keys: Vec<Key> = found.iter().filter_map(|(path, _)| Key::parse(path)).collect();
        let mut moving = stream::iter(keys).map(|key| self.bring_home(key)).buffered(AT_ONCE);
        while let Some(done) = moving.next().await {
            match done {
                Ok(()) => moved += 1,
                Err(error @ Error::Different { .. }) => {
                    differ(&error);
                    failed = failed.or(Some(error));
                }
                Err(error) => return Err(error),
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        self.believe_empty().await?;
        Ok(moved)
    }

    /// Says that the backup is empty, unless somebody has put into it while we looked.
    async fn believe_empty(&self) -> Result<(), Error> {
        self.may_hold.store(false, Ordering::Release);
        if !self.backup.list("").await?.is_empty() {
            self.may_hold.store(true, Ordering::Release);
        }
        Ok(())
    }

    async fn bring_home(&self, key: Key) -> Result<(), Error> {
        let bytes = match self.backup.get(&key, None).await {
            // Another process was faster.
            Err(Error::Missing(_)) => return Ok(()),
            bytes => bytes?,
        };
        self.put_first(&key, &bytes).await?;
        self.backup.delete(&key).await
    }

    pub(super) async fn keep_draining(&self, pause: Duration) {
        loop {
            match self.drain().await {
                Ok(0) => {}
                Ok(moved) => tracing::info!(moved, "what lay in the backup is home"),
                Err(error) => not_drained(&error),
            }
            tokio::time::sleep(pause).await;
        }
    }
}

fn neither(backup: Error, first: Error) -> Error {
    Error::Neither { backup: Box::new(backup), source: Box::new(first) }
}

// Logged apart, because what a log record borrows must not be held across a wait.

fn takes_over(error: &Error) {
    let error: &(dyn std::error::Error + 'static) = error;
    tracing::warn!(error, "the store is away and its backup takes over");
}

fn differ(error: &Error) {
    let error: &(dyn std::error::Error + 'static) = error;
    tracing::error!(error, "store and backup have different objects of one name");
}

fn not_drained(error: &Error) {
    let error: &(dyn std::error::Error + 'static) = error;
    tracing::warn!(error, "the backup could not be drained; trying again later");
}
