//! Sound that clients fetch from the object store itself, where the operator allows it.
//!
//! An answer of 307 names a presigned address, good for a limited time. Whether the asker may hear
//! the recording has been decided before. Clients may keep the answer for half of that time, so
//! that what it names is still good when they follow it.
//!
//! A download of a whole recording that has ended is an object too: it is made once, from its chunks,
//! named by what it is made of, and found again by everyone who asks after that.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use archive::concat::Layout;
use archive::key::Export;
use archive::{Key, Store};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use models::RecordingId;
use models::room::Audience;
use tokio::sync::{Semaphore, watch};

use crate::error::Error;
use crate::respond::{cache, open_to, scope};
use crate::routes::media::pieces;

/// How many downloads are made at a time; each takes some tens of megabytes of memory.
const AT_ONCE: usize = 2;
/// Chunks read ahead while one is made.
const AHEAD: usize = 8;
/// How long an asker waits for one to be made. A recording of three hours takes about this long;
/// whoever asks for a longer one is given it piece by piece meanwhile.
const WAIT: Duration = Duration::from_secs(8);

/// Sends askers to the object store. Cloning it is cheap.
#[derive(Clone)]
pub(crate) struct Elsewhere {
    store: Store,
    ttl: Duration,
    making: Arc<Mutex<HashMap<Key, watch::Receiver<()>>>>,
    places: Arc<Semaphore>,
}

impl Elsewhere {
    /// Addresses are good for `ttl`.
    pub(crate) fn new(store: Store, ttl: Duration) -> Self {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        Self { store, ttl, making: Arc::default(), places }
    }

    /// The answer that sends the asker to an object; `None` where the store cannot give it out.
    pub(crate) async fn object(
        &self,
        key: &Key,
        audience: Audience,
        disposition: Option<&HeaderValue>,
    ) -> Result<Option<Response>, Error> {
        let name = disposition.and_then(|name| name.to_str().ok());
        let Some(address) = self.store.presign(key, self.ttl, name).await? else { return Ok(None) };
        let location = HeaderValue::from_str(&address).map_err(Error::internal)?;
        let seconds = self.ttl.as_secs() / 2;
        let kept = cache(scope(audience), &format!("max-age={seconds}"));
        let headers = [(header::LOCATION, location), (header::CACHE_CONTROL, kept)];
        let mut response = (StatusCode::TEMPORARY_REDIRECT, headers).into_response();
        open_to(audience, response.headers_mut());
        Ok(Some(response))
    }

    /// The object that holds the whole of a recording which has ended; `None` where it will be there
    /// only later.
    pub(crate) async fn whole(
        &self,
        id: RecordingId,
        layout: &Layout,
    ) -> Result<Option<Key>, Error> {
        let key = Key::Export(id, layout.digest(), Export::Mp4);
        if self.store.origin().is_none() {
            return Ok(None);
        }
        if self.store.head(&key).await? == Some(layout.len()) {
            return Ok(Some(key));
        }
        let Some(mut made) = self.make(key, id, layout) else { return Ok(None) };
        // It ends when the maker is done, well or not.
        let done = async { while made.changed().await.is_ok() {} };
        if tokio::time::timeout(WAIT, done).await.is_err() {
            return Ok(None);
        }
        Ok((self.store.head(&key).await? == Some(layout.len())).then_some(key))
    }

    /// Starts making it, unless somebody does already; `None` where too many others are being made.
    fn make(&self, key: Key, id: RecordingId, layout: &Layout) -> Option<watch::Receiver<()>> {
        let mut making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = making.get(&key) {
            return Some(made.clone());
        }
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let (done, made) = watch::channel(());
        making.insert(key, made.clone());
        let (this, whole) = (self.clone(), layout.pieces(0..layout.len()));
        tokio::spawn(async move {
            let bytes = pieces(this.store.clone(), id, whole, AHEAD);
            if let Err(error) = this.store.put_large(&key, bytes).await {
                let error: &(dyn std::error::Error + 'static) = &error;
                tracing::warn!(%key, error, "a download could not be made");
            }
            this.making.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
            drop((place, done));
        });
        Some(made)
    }
}
