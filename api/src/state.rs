//! What every handler has at hand.

use std::sync::Arc;
use std::time::Duration;

use archive::store::Store;
use axum::http::HeaderValue;
use models::room::Viewer;
use models::{Db, Recording, RecordingId, Room, db};

use crate::Config;
use crate::auth::Token;
use crate::elsewhere::Elsewhere;
use crate::error::Error;
use crate::headers;
use crate::readiness::Probe;

/// Database, objects and settings; cheap to clone.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) db: Db,
    pub(crate) store: Store,
    pub(crate) token: Option<Token>,
    pub(crate) probe: Probe,
    pub(crate) metrics: Option<crate::Metrics>,
    pub(crate) allowed_hosts: Arc<[String]>,
    /// Sends clients to the object store, where that is allowed.
    pub(crate) elsewhere: Option<Elsewhere>,
    /// What a page may load.
    pub(crate) page_policy: HeaderValue,
    /// The OpenAPI document.
    pub(crate) openapi: Arc<str>,
    /// How long an answer waits for ingest to do what was asked.
    pub(crate) wait: Duration,
}

/// See [`App::wait`].
const WAIT: Duration = Duration::from_secs(5);

impl App {
    pub(crate) fn new(db: Db, store: Store, config: Config, openapi: String) -> Self {
        let token = config.operator_token.as_deref().map(Token::new);
        let probe = Probe::new(db.clone(), store.clone(), config.pulse);
        let elsewhere = config.presign.map(|ttl| Elsewhere::new(store.clone(), ttl));
        let origin = elsewhere.as_ref().and(store.origin());
        Self {
            db,
            page_policy: headers::page_policy(origin),
            elsewhere,
            store,
            token,
            probe,
            metrics: config.metrics,
            allowed_hosts: config.allowed_hosts.into(),
            openapi: openapi.into(),
            wait: WAIT,
        }
    }

    /// A recording and its room, if `viewer` may hear it. Every route of a recording asks here.
    ///
    /// # Errors
    /// 404 for a recording that does not exist and, the same, for one that is not for `viewer`.
    pub(crate) async fn recording(
        &self,
        id: RecordingId,
        viewer: Viewer,
    ) -> Result<(Recording, Room), Error> {
        let recording = self.db.recording(id).await.map_err(|error| match error {
            db::Error::NotFound { .. } => Error::unknown_recording(),
            other => other.into(),
        })?;
        let room = self.db.room(recording.room_id).await?;
        if !room.audience.admits(viewer) {
            return Err(Error::unknown_recording());
        }
        Ok((recording, room))
    }

    /// A room by its slug, if `viewer` may see it.
    ///
    /// # Errors
    /// 404 for a room that does not exist and, the same, for one that is not for `viewer`.
    pub(crate) async fn room(&self, slug: &str, viewer: Viewer) -> Result<Room, Error> {
        match self.db.room_by_slug(slug).await {
            Ok(room) if room.audience.admits(viewer) => Ok(room),
            Ok(_) | Err(db::Error::NotFound { .. }) => Err(Error::unknown_room()),
            Err(other) => Err(other.into()),
        }
    }
}
