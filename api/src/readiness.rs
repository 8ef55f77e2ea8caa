//! Whether a process can do its work: its own state, the database and the object store.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use archive::Store;
use axum::Router;
use axum::extract::FromRef;
use axum::middleware::from_fn;
use models::Db;
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};

use crate::error::{Code, Error};
use crate::state::App;
use crate::{problem, routes};

/// How long a part may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long an answer stands, so that nobody can make us ask the database and the store more often.
const STANDS: Duration = Duration::from_secs(1);

/// Where a process stands, as it says itself. Clones speak for the same process.
#[derive(Debug, Clone)]
pub struct Pulse(Arc<watch::Sender<Own>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Own {
    Starting,
    Ready,
    Draining,
}

impl Default for Pulse {
    /// One of a process that has nothing to do before it is ready.
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Own::Ready)))
    }
}

impl Pulse {
    /// One of a process that is not ready yet.
    #[must_use]
    pub fn starting() -> Self {
        Self(Arc::new(watch::Sender::new(Own::Starting)))
    }

    /// The process is ready, unless it is about to end already.
    pub fn ready(&self) {
        self.0.send_if_modified(|own| {
            let was_starting = *own == Own::Starting;
            if was_starting {
                *own = Own::Ready;
            }
            was_starting
        });
    }

    /// The process is about to end: it finishes what it has and wants nothing new.
    pub fn draining(&self) {
        self.0.send_replace(Own::Draining);
    }
}

/// Which of the parts answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parts {
    pub(crate) database: bool,
    pub(crate) store: bool,
}

/// What [`health_router`] asks. Cheap to clone.
#[derive(Clone)]
pub struct Probe {
    shared: Arc<Shared>,
}

struct Shared {
    needs_store: bool,
    db: Db,
    store: Store,
    pulse: Pulse,
    last: Mutex<Option<(Instant, Parts)>>,
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probe").field("own", &self.own()).finish_non_exhaustive()
    }
}

impl FromRef<App> for Probe {
    fn from_ref(app: &App) -> Self {
        app.probe.clone()
    }
}

impl Probe {
    /// Asks these.
    #[must_use]
    pub fn new(db: Db, store: Store, pulse: Pulse) -> Self {
        Self::with(true, db, store, pulse)
    }

    /// The same for one that does its work without the store too, as ingest does: it keeps what it
    /// hears on its disk until the store is back. Were it not ready then, no worker would be, and
    /// every source would be turned away.
    #[must_use]
    pub fn without_store(db: Db, store: Store, pulse: Pulse) -> Self {
        Self::with(false, db, store, pulse)
    }

    fn with(needs_store: bool, db: Db, store: Store, pulse: Pulse) -> Self {
        let last = Mutex::default();
        Self { shared: Arc::new(Shared { needs_store, db, store, pulse, last }) }
    }

    pub(crate) fn needs_store(&self) -> bool {
        self.shared.needs_store
    }

    pub(crate) fn own(&self) -> Own {
        *self.shared.pulse.0.borrow()
    }

    /// Asks the parts, where the last answer is too old; one asker at a time.
    pub(crate) async fn look(&self) -> Parts {
        let Shared { db, store, .. } = &*self.shared;
        let mut last = self.shared.last.lock().await;
        let before = match *last {
            Some((at, parts)) if at.elapsed() < STANDS => return parts,
            known => known.map_or(Parts { database: true, store: true }, |(_, parts)| parts),
        };
        let (database, store) = tokio::join!(answer(db.ping()), answer(store.check()));
        note("database", before.database, &database);
        note("store", before.store, &store);
        let parts = Parts { database: database.is_ok(), store: store.is_ok() };
        *last = Some((Instant::now(), parts));
        parts
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn answer<E>(check: impl Future<Output = Result<(), E>>) -> Result<(), Failure>
where
    E: std::error::Error + Send + Sync + 'static,
{
    Ok(tokio::time::timeout(PATIENCE, check).await??)
}

/// Logs a part that went away or came back, once.
fn note(part: &'static str, before: bool, now: &Result<(), Failure>) {
    match now {
        Err(error) if before => {
            let error: &(dyn std::error::Error + 'static) = &**error;
            tracing::warn!(part, error, "a part does not answer");
        }
        Ok(()) if !before => tracing::info!(part, "a part answers again"),
        _ => {}
    }
}

/// `/healthz` and `/readyz` of a role that has no pages, to be given to [`crate::serve`]; and
/// `/metrics`, where it counts anything. Whoever reaches the address may ask.
pub fn health_router(probe: Probe, metrics: Option<crate::Metrics>) -> Router {
    let (mut signs, _) = routes::health::signs().split_for_parts();
    if let Some(metrics) = metrics {
        let say = async move || routes::health::figures(&metrics);
        signs = signs.route("/metrics", axum::routing::get(say));
    }
    signs
        .fallback(async || Error::new(Code::NotFound, "The server has nothing at this address."))
        .layer(from_fn(problem::render))
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
        .with_state(probe)
}
