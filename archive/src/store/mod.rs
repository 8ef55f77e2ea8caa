//! Where objects are kept: five methods over a place.
//!
//! What every place must do (the conformance suite says it in code):
//! - an object is whole or absent, also for whoever reads or lists while it is being put, and also
//!   after a crash at any moment;
//! - when [`Store::put`] returns, the object is durable and has been read back;
//! - an object never changes: the same bytes again are welcome, other bytes are an error.
//!
//! Objects are seconds of audio (tens of kilobytes), so that they are handed over whole.

mod disk;

#[cfg(test)]
mod conformance;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::key::Key;
use disk::Disk;

/// A place for objects. Cloning it is cheap and gives the same place.
#[derive(Debug, Clone)]
pub struct Store {
    disk: Arc<Disk>,
}

/// Why a store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder of a disk store cannot be made or read.
    #[error("open the store in {}", dir.display())]
    Open {
        /// The folder.
        dir: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A step of reading or writing an object failed.
    #[error("{step} {what}")]
    Io {
        /// The step, as a verb.
        step: &'static str,
        /// The object, or the prefix that was listed.
        what: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// There is no such object.
    #[error("there is no object {0}")]
    Missing(Key),
    /// The range does not lie inside the object.
    #[error("bytes {} to {} of {key} were asked for, which has {size}", range.start, range.end)]
    Range {
        /// The object.
        key: Key,
        /// What was asked for.
        range: Range<u64>,
        /// The object's size.
        size: u64,
    },
    /// An object of this name with other bytes is there already. It has been left as it is.
    #[error("{key} is there already with other bytes ({there} bytes there, {given} given)")]
    Different {
        /// The object.
        key: Key,
        /// Its size.
        there: usize,
        /// How many bytes were to be put.
        given: usize,
    },
    /// What was read back is not what was written. The object has been taken away again.
    #[error("{key} was written but other bytes were read back ({back} bytes back, {given} given)")]
    Verify {
        /// The object.
        key: Key,
        /// How many bytes came back.
        back: usize,
        /// How many bytes were put.
        given: usize,
    },
    /// The runtime stopped before the work was done.
    #[error("the runtime stopped the work on {what}")]
    Stopped {
        /// The object or prefix.
        what: String,
        /// What the runtime says.
        source: tokio::task::JoinError,
    },
}

/// Whether a put made the object or met it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Published {
    New,
    There,
}

impl Store {
    /// Objects as files below `dir`, which is made where it is not there. Temporary files that a
    /// crash left there are removed; those of a running process are not touched.
    ///
    /// # Errors
    /// [`Error::Open`].
    pub fn disk(dir: impl AsRef<Path>) -> Result<Self, Error> {
        let dir = dir.as_ref();
        let open = |source| Error::Open { dir: dir.to_owned(), source };
        Ok(Self { disk: Arc::new(Disk::open(dir).map_err(open)?) })
    }

    /// Keeps an object. When this returns, it is durable and has been read back and compared.
    ///
    /// Where it is there already with the same bytes, all is well, so that an upload may be tried
    /// again.
    ///
    /// # Errors
    /// [`Error::Different`] where other bytes are there, [`Error::Verify`] where it does not read
    /// back, [`Error::Io`] with the step that failed.
    pub async fn put(&self, key: &Key, bytes: Bytes) -> Result<(), Error> {
        let key = *key;
        self.blocking(key.path(), move |disk| {
            let published = disk.publish(&key, &bytes)?;
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
        })
        .await
    }

    /// An object, or the bytes of it that lie in `range`.
    ///
    /// # Errors
    /// [`Error::Missing`]; [`Error::Range`] where the range is reversed or goes past the end;
    /// [`Error::Io`].
    pub async fn get(&self, key: &Key, range: Option<Range<u64>>) -> Result<Bytes, Error> {
        let key = *key;
        self.blocking(key.path(), move |disk| disk.get(&key, range)).await
    }

    /// The size of an object, or `None` where it is not there.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub async fn head(&self, key: &Key) -> Result<Option<u64>, Error> {
        let key = *key;
        self.blocking(key.path(), move |disk| disk.head(&key)).await
    }

    /// Paths and sizes of all objects whose path begins with `prefix`, sorted by path. See
    /// [`Key::prefix`] and [`Key::parse`].
    ///
    /// # Errors
    /// [`Error::Io`].
    pub async fn list(&self, prefix: &str) -> Result<Vec<(String, u64)>, Error> {
        let prefix = prefix.to_owned();
        self.blocking(prefix.clone(), move |disk| disk.list(&prefix)).await
    }

    /// Removes an object for good. One that is not there is no error.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub async fn delete(&self, key: &Key) -> Result<(), Error> {
        let key = *key;
        self.blocking(key.path(), move |disk| disk.delete(&key)).await
    }

    /// File work blocks: it is done on the runtime's threads for that.
    async fn blocking<T: Send + 'static>(
        &self,
        what: String,
        work: impl FnOnce(&Disk) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let disk = Arc::clone(&self.disk);
        match tokio::task::spawn_blocking(move || work(&disk)).await {
            Ok(done) => done,
            Err(source) => Err(Error::Stopped { what, source }),
        }
    }
}
