//! Where objects are kept: a folder, a bucket of an S3 store, or one of them with a backup.
//!
//! What every place must do (the conformance suite says it in code):
//! - an object is whole or absent, also for whoever reads or lists while it is being put, and also
//!   after a crash at any moment;
//! - when [`Store::put`] returns, the object is durable and has been verified in the place: read
//!   back, or its checksum there compared;
//! - an object never changes: the same bytes again are welcome, other bytes are an error.
//!
//! Objects are seconds of audio (tens of kilobytes), so that they are handed over whole. What is
//! larger is put as a stream ([`Store::put_large`]) and fetched from the place itself
//! ([`Store::presign`]).

mod error;
mod place;

mod backed;
mod disk;
mod large;
mod s3;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use models::RecordingId;

use crate::key::Key;
use backed::Backed;
use disk::Disk;
pub use error::{Cause, Error};
pub use place::{Place, Secret};
pub use s3::Address as S3Address;
use s3::S3;

/// A place for objects. Cloning it is cheap and gives the same place.
#[derive(Debug, Clone)]
pub struct Store(At);

#[derive(Debug, Clone)]
enum At {
    Disk(Arc<Disk>),
    S3(Arc<S3>),
    Backed(Arc<Backed>),
}

/// Whether a put made the object or met it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Published {
    New,
    There,
}

impl Store {
    /// The place that an operator has named. An S3 store is asked at once, so that a wrong bucket or
    /// key is known before anything is to be kept.
    ///
    /// # Errors
    /// [`Error::Address`] where it cannot be understood, [`Error::Open`] of a folder,
    /// [`Error::Unusable`] of an S3 store.
    pub async fn open(place: &Place) -> Result<Self, Error> {
        let store = Self::unasked(place).await?;
        if let At::S3(s3) = &store.0 {
            s3.check().await?;
        }
        Ok(store)
    }

    /// The place that an operator has named, also where it is away just now ([`Error::is_away`]):
    /// that is said in the second value. For a store that has a backup, or is one.
    ///
    /// # Errors
    /// As [`Self::open`], but for a store that is away.
    pub async fn open_even_away(place: &Place) -> Result<(Self, Option<Error>), Error> {
        let store = Self::unasked(place).await?;
        let At::S3(s3) = &store.0 else { return Ok((store, None)) };
        match s3.check().await {
            Ok(()) => Ok((store, None)),
            Err(error) if error.is_away() => Ok((store, Some(error))),
            Err(error) => Err(error),
        }
    }

    async fn unasked(place: &Place) -> Result<Self, Error> {
        match place::Address::parse(&place.url)? {
            place::Address::Disk(dir) => Self::disk(dir),
            place::Address::S3(address) => {
                let (key, secret) = (place.key.as_deref(), place.secret.as_ref());
                Ok(Self(At::S3(Arc::new(S3::new(&address, key, secret).await?))))
            }
        }
    }

    /// Objects as files below `dir`, which is made where it is not there. Temporary files that a
    /// crash left there are removed; those of a running process are not touched.
    ///
    /// # Errors
    /// [`Error::Open`].
    pub fn disk(dir: impl AsRef<Path>) -> Result<Self, Error> {
        let dir = dir.as_ref();
        let open = |source| Error::Open { dir: dir.to_owned(), source };
        Ok(Self(At::Disk(Arc::new(Disk::open(dir).map_err(open)?))))
    }

    /// This place with another that takes its puts while it is away. Reads look in both. Let
    /// [`Self::drain_backup`] run now and then.
    #[must_use]
    pub fn with_backup(self, backup: Self) -> Self {
        Self(At::Backed(Arc::new(Backed::new(self, backup))))
    }

    /// Keeps an object. When this returns, it is durable and has been verified.
    ///
    /// Where it is there already with the same bytes, all is well, so that an upload may be tried
    /// again.
    ///
    /// # Errors
    /// [`Error::Different`] where other bytes are there, [`Error::Verify`] where other bytes come
    /// back, [`Error::Io`] or [`Error::Remote`] with the step that failed.
    pub async fn put(&self, key: &Key, bytes: Bytes) -> Result<(), Error> {
        match &self.0 {
            At::Disk(disk) => {
                let key = *key;
                blocking(disk, key.path(), move |disk| put_on_disk(disk, key, &bytes)).await
            }
            At::S3(s3) => Box::pin(s3.put(key, bytes)).await,
            At::Backed(backed) => Box::pin(backed.put(key, bytes)).await,
        }
    }

    /// Keeps an object that is too large to be handed over whole, and gives its size. It appears when
    /// `bytes` has ended and has then been verified; where `bytes` or the place fails, nothing is
    /// left of it.
    ///
    /// What is there already under the name is left as it is, and `bytes` is not asked for anything:
    /// the names of large objects are digests of their content. A backup is not used: whatever is so
    /// large is made of objects that are kept, and can be made again.
    ///
    /// # Errors
    /// [`Error::Bytes`] where `bytes` fails; else as [`Self::put`].
    pub async fn put_large<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
        &self,
        key: &Key,
        bytes: impl Stream<Item = Result<Bytes, E>> + Send,
    ) -> Result<u64, Error> {
        self.put_stream(key, bytes.map_err(Into::into).boxed()).await
    }

    fn put_stream<'a>(
        &'a self,
        key: &'a Key,
        bytes: BoxStream<'a, Result<Bytes, error::Source>>,
    ) -> BoxFuture<'a, Result<u64, Error>> {
        match &self.0 {
            At::Disk(disk) => Box::pin(large::put(disk, *key, bytes)),
            At::S3(s3) => Box::pin(s3.put_large(key, bytes)),
            At::Backed(backed) => backed.first().put_stream(key, bytes),
        }
    }

    /// An object, or the bytes of it that lie in `range`.
    ///
    /// # Errors
    /// [`Error::Missing`]; [`Error::Range`] where the range is reversed or goes past the end;
    /// [`Error::Io`] or [`Error::Remote`].
    pub async fn get(&self, key: &Key, range: Option<Range<u64>>) -> Result<Bytes, Error> {
        match &self.0 {
            At::Disk(disk) => {
                let key = *key;
                blocking(disk, key.path(), move |disk| disk.get(&key, range)).await
            }
            At::S3(s3) => Box::pin(s3.get(key, range)).await,
            At::Backed(backed) => Box::pin(backed.get(key, range)).await,
        }
    }

    /// The size of an object, or `None` where it is not there.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Remote`].
    pub async fn head(&self, key: &Key) -> Result<Option<u64>, Error> {
        match &self.0 {
            At::Disk(disk) => {
                let key = *key;
                blocking(disk, key.path(), move |disk| disk.head(&key)).await
            }
            At::S3(s3) => Box::pin(s3.head(key)).await,
            At::Backed(backed) => Box::pin(backed.head(key)).await,
        }
    }

    /// Paths and sizes of all objects whose path begins with `prefix`, sorted by path. See
    /// [`Key::prefix`] and [`Key::parse`].
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Remote`].
    pub async fn list(&self, prefix: &str) -> Result<Vec<(String, u64)>, Error> {
        match &self.0 {
            At::Disk(disk) => {
                let prefix = prefix.to_owned();
                blocking(disk, prefix.clone(), move |disk| disk.list(&prefix)).await
            }
            At::S3(s3) => Box::pin(s3.list(prefix)).await,
            At::Backed(backed) => Box::pin(backed.list(prefix)).await,
        }
    }

    /// The recordings of which there are objects, in order.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Remote`].
    pub async fn recordings(&self) -> Result<Vec<RecordingId>, Error> {
        match &self.0 {
            At::Disk(disk) => blocking(disk, "recordings".into(), Disk::recordings).await,
            At::S3(s3) => Box::pin(s3.recordings()).await,
            At::Backed(backed) => Box::pin(backed.recordings()).await,
        }
    }

    /// Removes an object for good. One that is not there is no error.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Remote`].
    pub async fn delete(&self, key: &Key) -> Result<(), Error> {
        match &self.0 {
            At::Disk(disk) => {
                let key = *key;
                blocking(disk, key.path(), move |disk| disk.delete(&key)).await
            }
            At::S3(s3) => Box::pin(s3.delete(key)).await,
            At::Backed(backed) => Box::pin(backed.delete(key)).await,
        }
    }

    /// An address under which whoever has it can get the object for as long as `ttl` (seven days at
    /// most), with `disposition` as the answer's `Content-Disposition`. `None` where this place has
    /// no addresses, or does not have the object now. Whether the asker may have it is to be
    /// decided before.
    ///
    /// # Errors
    /// [`Error::Remote`] where it cannot be signed; of a store with a backup as [`Self::head`].
    pub async fn presign(
        &self,
        key: &Key,
        ttl: Duration,
        disposition: Option<&str>,
    ) -> Result<Option<String>, Error> {
        match &self.0 {
            At::Disk(_) => Ok(None),
            At::S3(s3) => Box::pin(s3.presign(key, ttl, disposition)).await.map(Some),
            At::Backed(backed) => Box::pin(backed.presign(key, ttl, disposition)).await,
        }
    }

    /// Scheme, host and port of what [`Self::presign`] gives, for pages that may only load from
    /// places they name.
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        match &self.0 {
            At::Disk(_) => None,
            At::S3(s3) => Some(s3.origin()),
            At::Backed(backed) => backed.first().origin(),
        }
    }

    /// Moves what lies in the backup home, each object verified there before it goes here, and says
    /// how many were moved. A store without a backup has nothing to move. Several processes may do
    /// it at the same time.
    ///
    /// # Errors
    /// What the first failure was. [`Error::Different`] does not stop the others from being moved.
    pub async fn drain_backup(&self) -> Result<usize, Error> {
        match &self.0 {
            At::Backed(backed) => Box::pin(backed.drain()).await,
            At::Disk(_) | At::S3(_) => Ok(0),
        }
    }

    /// Drains the backup now and every `pause`, for as long as it is polled. What fails is logged
    /// and tried again. Without a backup it returns at once.
    pub async fn keep_draining(&self, pause: Duration) {
        if let At::Backed(backed) = &self.0 {
            backed.keep_draining(pause).await;
        }
    }

    /// Whether objects can be kept and read now; with a backup, whether they can be kept in one of
    /// the two.
    ///
    /// # Errors
    /// [`Error::Open`] or [`Error::Unusable`] says why not.
    pub async fn check(&self) -> Result<(), Error> {
        match &self.0 {
            At::Disk(disk) => {
                let open = |dir: &Path, source| Error::Open { dir: dir.to_owned(), source };
                let check = move |disk: &Disk| disk.check().map_err(|e| open(disk.dir(), e));
                blocking(disk, "the check".into(), check).await
            }
            At::S3(s3) => Box::pin(s3.check()).await,
            At::Backed(backed) => Box::pin(backed.check()).await,
        }
    }
}

fn put_on_disk(disk: &Disk, key: Key, bytes: &Bytes) -> Result<(), Error> {
    let published = disk.publish(&key, bytes)?;
    let back = disk.get(&key, None)?;
    if back == bytes {
        return Ok(());
    }
    let (back, given) = (back.len(), bytes.len());
    if published == Published::There {
        return Err(Error::Different { key, there: back, given });
    }
    disk.delete(&key)?;
    Err(Error::Verify { key, back, given })
}

/// File work blocks: it is done on the runtime's threads for that.
async fn blocking<T: Send + 'static>(
    disk: &Arc<Disk>,
    what: String,
    work: impl FnOnce(&Disk) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let disk = Arc::clone(disk);
    match tokio::task::spawn_blocking(move || work(&disk)).await {
        Ok(done) => done,
        Err(source) => Err(Error::Stopped { what, source }),
    }
}
