//! How committed changes become known: in this process by a broadcast, to other processes on the
//! same PostgreSQL by `NOTIFY`.
//!
//! Notifications go out after the commit, not in it: PostgreSQL lets only one transaction that has
//! notified commit at a time, its disk write included (docs/decisions/007). What a process did not
//! come round to telling is found by those who look from time to time, as on SQLite.
//!
//! A notification is the sender's identifier and then its changes, separated by spaces: `r` and `m`
//! with an identifier for a recording and a room, `j` for jobs. Anything else, from a newer version
//! for one, stands for changes unknown.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgListener};
use tokio::sync::{Notify, broadcast};
use tokio::task::AbortHandle;
use uuid::Uuid;

use super::Change;
use super::engine::pool_of_one;
use crate::id::{RecordingId, RoomId};

const CHANNEL: &str = "roomtape";
/// How many changes a slow listener may fall behind before it is told that it missed some.
const KEPT: usize = 1024;
/// How many changes may wait to be told to others (the server is away) before they become one
/// [`Change::Unknown`].
const WAITING: usize = 1024;
/// Changes are gathered for this long and told together. People do not notice it, and it makes a
/// hundred notifications a second of whatever a process does.
const GATHER: Duration = Duration::from_millis(10);
/// How many changes go into one notification, of 34 bytes each; PostgreSQL takes 8,000 bytes.
const TOGETHER: usize = 200;
/// After this long without a notification the connection is tried: one that was cut without a word
/// looks like one on which nothing happens.
const QUIET: Duration = Duration::from_secs(15);
/// How long that try may take.
const ANSWER: Duration = Duration::from_secs(10);
/// Before a connection is made again, or a notification is sent again.
const RETRY: Duration = Duration::from_secs(1);

/// Tells of changes: here, and on PostgreSQL to other processes.
#[derive(Debug, Clone)]
pub(super) struct Feed {
    here: broadcast::Sender<Change>,
    others: Option<Arc<Others>>,
}

/// Ends both tasks when the last handle goes.
#[derive(Debug)]
struct Others {
    outbox: Arc<Outbox>,
    listening: AbortHandle,
}

impl Drop for Others {
    fn drop(&mut self) {
        self.outbox.end();
        self.listening.abort();
    }
}

impl Feed {
    /// For an engine on which nobody else can be told.
    pub(super) fn here_only() -> Self {
        Self { here: broadcast::Sender::new(KEPT), others: None }
    }

    /// Listens from now on, and tells others over `pool`.
    pub(super) async fn with_others(
        pool: &PgPool,
        options: PgConnectOptions,
    ) -> Result<Self, sqlx::Error> {
        let here = broadcast::Sender::new(KEPT);
        let outbox = Arc::new(Outbox::new());
        let listener = listener(&options).await?;
        let listen = listen(listener, options, outbox.sender, here.clone());
        let listening = tokio::spawn(listen).abort_handle();
        tokio::spawn(tell(pool.clone(), Arc::clone(&outbox)));
        Ok(Self { here, others: Some(Arc::new(Others { outbox, listening })) })
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<Change> {
        self.here.subscribe()
    }

    /// Tells of what was committed.
    pub(super) fn send(&self, changes: Vec<Change>) {
        for change in &changes {
            // No listener is not an error.
            let _ = self.here.send(*change);
        }
        if let Some(others) = &self.others {
            others.outbox.put(changes);
        }
    }

    /// Ends it; what others were not told yet is told first, where that is possible now.
    pub(super) async fn close(&self, pool: &PgPool) {
        let Some(others) = &self.others else { return };
        others.listening.abort();
        others.outbox.end();
        for text in others.outbox.take() {
            let _ = notify(pool, &text).await;
        }
    }
}

/// What others have not been told yet.
#[derive(Debug)]
struct Outbox {
    sender: Uuid,
    waiting: Mutex<Waiting>,
    put: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    changes: HashSet<Change>,
    ended: bool,
}

impl Outbox {
    fn new() -> Self {
        Self { sender: Uuid::new_v4(), waiting: Mutex::default(), put: Notify::new() }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, changes: Vec<Change>) {
        let mut waiting = self.waiting();
        waiting.changes.extend(changes);
        if waiting.changes.len() > WAITING {
            waiting.changes = HashSet::from([Change::Unknown]);
        }
        drop(waiting);
        self.put.notify_one();
    }

    fn end(&self) {
        self.waiting().ended = true;
        self.put.notify_one();
    }

    fn has_ended(&self) -> bool {
        self.waiting().ended
    }

    /// What is waiting, as notifications.
    fn take(&self) -> Vec<String> {
        let changes = std::mem::take(&mut self.waiting().changes);
        if changes.contains(&Change::Unknown) {
            return vec![write(self.sender, &[Change::Unknown])];
        }
        let changes: Vec<_> = changes.into_iter().collect();
        changes.chunks(TOGETHER).map(|some| write(self.sender, some)).collect()
    }
}

/// Tells others of changes until there are no more.
async fn tell(pool: PgPool, outbox: Arc<Outbox>) {
    loop {
        outbox.put.notified().await;
        let ended = outbox.has_ended();
        if !ended {
            tokio::time::sleep(GATHER).await;
        }
        for text in outbox.take() {
            while let Err(error) = notify(&pool, &text).await {
                if outbox.has_ended() {
                    return;
                }
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "others cannot be told of changes; trying again"
                );
                tokio::time::sleep(RETRY).await;
            }
        }
        if ended {
            return;
        }
    }
}

async fn notify(pool: &PgPool, text: &str) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT pg_notify($1, $2)").bind(CHANNEL).bind(text).execute(pool).await.map(drop)
}

/// A listener with a connection of its own.
async fn listener(options: &PgConnectOptions) -> Result<PgListener, sqlx::Error> {
    let mut listener = PgListener::connect_with(&pool_of_one(options)).await?;
    // A connection that broke is made anew here, where everybody can be told to look.
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    Ok(listener)
}

/// Passes on what other processes tell, for ever.
async fn listen(
    mut listener: PgListener,
    options: PgConnectOptions,
    us: Uuid,
    here: broadcast::Sender<Change>,
) {
    loop {
        match heard(&mut listener).await {
            Ok(Some(text)) => {
                for change in read(&text, us) {
                    let _ = here.send(change);
                }
                continue;
            }
            Ok(None) => tracing::info!("the database's notifications broke off"),
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the database's notifications broke off"
                );
            }
        }
        listener = again(&options).await;
        // Nobody knows what was told meanwhile.
        let _ = here.send(Change::Unknown);
    }
}

/// The next notification; `None` where the connection is gone.
async fn heard(listener: &mut PgListener) -> Result<Option<String>, sqlx::Error> {
    loop {
        if let Ok(heard) = tokio::time::timeout(QUIET, listener.try_recv()).await {
            return heard.map(|heard| heard.map(|it| it.payload().to_owned()));
        }
        let alive = tokio::time::timeout(ANSWER, sqlx::query("SELECT 1").execute(&mut *listener));
        alive.await.map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))??;
    }
}

async fn again(options: &PgConnectOptions) -> PgListener {
    loop {
        match listener(options).await {
            Ok(listener) => return listener,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the database's notifications stay away; trying again"
                );
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

fn write(sender: Uuid, changes: &[Change]) -> String {
    let mut text = sender.simple().to_string();
    for change in changes {
        match change {
            Change::Room(id) => text.push_str(&format!(" m{}", id.0.simple())),
            Change::Recording(id) => text.push_str(&format!(" r{}", id.0.simple())),
            Change::Jobs => text.push_str(" j"),
            Change::Unknown => text.push_str(" *"),
        }
    }
    text
}

/// The changes that somebody else tells of; none where it is us.
fn read(text: &str, us: Uuid) -> Vec<Change> {
    let mut words = text.split(' ');
    if words.next().and_then(|sender| sender.parse().ok()) == Some(us) {
        return Vec::new();
    }
    let mut changes: Vec<_> = words.map(|word| change(word).unwrap_or(Change::Unknown)).collect();
    if changes.contains(&Change::Unknown) {
        changes = vec![Change::Unknown];
    }
    changes
}

fn change(word: &str) -> Option<Change> {
    let id = |text: &str| Uuid::try_parse(text).ok();
    match word.split_at_checked(1)? {
        ("r", text) => Some(Change::Recording(RecordingId(id(text)?))),
        ("m", text) => Some(Change::Room(RoomId(id(text)?))),
        ("j", "") => Some(Change::Jobs),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recordings(count: usize) -> Vec<Change> {
        (0..count).map(|_| Change::Recording(RecordingId::new())).collect()
    }

    fn taken(outbox: &Outbox) -> HashSet<Change> {
        let texts = outbox.take();
        assert!(texts.iter().all(|text| text.len() < 8000), "PostgreSQL would refuse");
        texts.iter().flat_map(|text| read(text, Uuid::nil())).collect()
    }

    #[test]
    fn what_is_told_is_what_is_heard() {
        let outbox = Outbox::new();
        let mut changes = recordings(500);
        changes.extend([Change::Jobs, Change::Room(RoomId::new())]);
        outbox.put(changes.clone());
        outbox.put(changes.clone());
        assert_eq!(taken(&outbox), changes.into_iter().collect());
        assert!(outbox.take().is_empty());
    }

    #[test]
    fn too_many_to_tell_are_unknown() {
        let outbox = Outbox::new();
        outbox.put(recordings(WAITING));
        assert_eq!(taken(&outbox).len(), WAITING);
        outbox.put(recordings(WAITING));
        outbox.put(vec![Change::Jobs]);
        assert_eq!(taken(&outbox), HashSet::from([Change::Unknown]));
    }

    #[test]
    fn our_own_words_are_not_news_and_strange_ones_may_be_anything() {
        let us = Uuid::new_v4();
        assert_eq!(read(&write(us, &[Change::Jobs]), us), []);
        assert_eq!(read(&write(Uuid::new_v4(), &[Change::Jobs]), us), [Change::Jobs]);
        for strange in ["", "what", &format!("{us:x} j"), "0 r12", "0 x", "0 j r", "0 é"] {
            let told = read(strange, Uuid::nil());
            assert!(told.iter().all(|c| matches!(c, Change::Unknown | Change::Jobs)), "{told:?}");
        }
        assert_eq!(read("0 j x", us), [Change::Unknown]);
    }
}
