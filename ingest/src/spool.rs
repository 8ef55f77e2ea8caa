//! The chunk being written, on disk.
//!
//! ```text
//! <spool>/<recording-id>[-<take>]/00000007.m4s    fragments; the store gets them joined to one
//! <spool>/<recording-id>[-<take>]/00000007.gaps   what is known of the gaps among them
//! ```
//!
//! - A fragment is appended and synced before the next one is taken; when [`Writer::append`] has
//!   returned, a crash does not lose it. A new file's directory entry is synced too. Concealment
//!   and imports, which can be made again, may be appended without sync; [`Writer::seal`] syncs.
//! - Gaps cannot be told from the fragments alone: a source's own silence (DTX) has the same
//!   one-byte packets, and causes and pauses leave no trace. So each gap is a line of the sidecar,
//!   `start duration wall_us cause`, synced **before** the fragment in which it begins. A line that
//!   names media time which never followed is cut back ([`cut::clip`](crate::cut::clip)).
//! - [`mend()`] makes what a crash left whole: the last chunk is cut after its last whole fragment,
//!   an empty one is removed, and so are lines for what is not there. A gap without length (a
//!   pause) before a chunk that was never begun stays: it belongs to the next fragment.
//! - Sizes and offsets are all that tells a whole fragment. Where a power cut leaves a file longer
//!   than what reached the disk, the one fragment that was not synced may pass with zeros in it.
//! - Chunk and sidecar are removed when the chunk is in the store and rowed, and only then.
//! - The directory is locked (`flock`) by the process that writes there; the lock goes with it.
//!
//! All of this blocks. Async callers go through [`Writer`], which works on the blocking pool.

mod files;
mod mend;
mod notes;

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use models::{Gap, RecordingId};

use files::Files;
pub use mend::{Left, mend};
pub use notes::gaps;

/// What failed, and why.
#[derive(Debug, thiserror::Error)]
#[error("could not {step} {}", path.display())]
pub struct Error {
    step: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl Error {
    /// Whether another process (or another writer of this one) holds the directory.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.source.kind() == io::ErrorKind::WouldBlock
    }
}

type Result<T> = std::result::Result<T, Error>;

fn failed(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error { step, path: path.to_owned(), source }
}

/// The folder of what is written of a recording under one take.
#[must_use]
pub fn dir(spool: &Path, recording: RecordingId, take: u32) -> PathBuf {
    match take {
        0 => spool.join(recording.to_string()),
        take => spool.join(format!("{recording}-{take}")),
    }
}

/// Whose folder a name in the spool is.
#[must_use]
pub fn parse_dir(name: &str) -> Option<(RecordingId, u32)> {
    // A UUID has 36 characters and hyphens of its own.
    let (id, take) = name.split_at_checked(36)?;
    let take = match take {
        "" => 0,
        take => take.strip_prefix('-')?.parse().ok().filter(|take| *take > 0)?,
    };
    let id = id.parse().ok()?;
    (dir(Path::new(""), id, take) == Path::new(name)).then_some((id, take))
}

/// The file of a chunk.
#[must_use]
pub fn chunk_path(dir: &Path, seq: u32) -> PathBuf {
    dir.join(format!("{seq:08}.m4s"))
}

/// The file of a chunk's gaps.
#[must_use]
pub fn gaps_path(dir: &Path, seq: u32) -> PathBuf {
    dir.join(format!("{seq:08}.gaps"))
}

/// A recording's directory, held against every other process.
#[derive(Debug)]
pub struct Held {
    path: PathBuf,
    file: File,
}

impl Held {
    /// Makes the directory where it is not there, and holds it.
    ///
    /// # Errors
    /// [`Error::is_locked`] where it is held already.
    pub fn new(path: PathBuf) -> Result<Self> {
        std::fs::create_dir_all(&path).map_err(failed("make", &path))?;
        if let Some(parent) = path.parent() {
            let sync = File::open(parent).and_then(|parent| parent.sync_all());
            sync.map_err(failed("sync", parent))?;
        }
        Self::existing(path)
    }

    /// Holds a directory that is there.
    ///
    /// # Errors
    /// [`Error::is_locked`] where it is held already.
    pub fn existing(path: PathBuf) -> Result<Self> {
        let file = File::open(&path).map_err(failed("open", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { path, file }),
            Err(TryLockError::WouldBlock) => {
                Err(failed("lock", &path)(io::ErrorKind::WouldBlock.into()))
            }
            Err(TryLockError::Error(error)) => Err(failed("lock", &path)(error)),
        }
    }

    fn sync(&self) -> Result<()> {
        self.file.sync_all().map_err(failed("sync", &self.path))
    }
}

/// Numbers of the files with an extension, in order.
///
/// # Errors
/// The directory could not be read.
pub fn list(dir: &Path, extension: &str) -> Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed("list", dir))? {
        let name = entry.map_err(failed("list", dir))?.file_name();
        let parts = name.to_str().and_then(|name| name.split_once('.'));
        let number = parts.filter(|(_, found)| *found == extension);
        numbers.extend(number.and_then(|(number, _)| number.parse::<u32>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// The bytes of a chunk; `None` where there is no such file.
///
/// # Errors
/// It is there but could not be read.
pub fn read(dir: &Path, seq: u32) -> Result<Option<Vec<u8>>> {
    let path = chunk_path(dir, seq);
    match std::fs::read(&path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", &path)(error)),
    }
}

/// Removes a chunk that is in the store and rowed. Its gaps go first: they are in the row, and
/// without their chunk they would be taken for those of the next.
///
/// # Errors
/// A file is still there.
pub fn remove(dir: &Path, seq: u32) -> Result<()> {
    for path in [gaps_path(dir, seq), chunk_path(dir, seq)] {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("remove", &path)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Writes one recording's chunks from async code, on the blocking pool, so that a slow disk holds
/// up nobody but its own room.
#[derive(Debug, Clone)]
pub struct Writer {
    files: Arc<Mutex<Files>>,
    path: PathBuf,
}

impl Writer {
    /// A writer in a directory that was mended.
    #[must_use]
    pub fn new(held: Held) -> Self {
        let path = held.path.clone();
        Self { files: Arc::new(Mutex::new(Files::new(held))), path }
    }

    /// The recording's directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.path
    }

    /// Appends a fragment to a chunk after noting its gaps. Durable on return where `sync`.
    ///
    /// # Errors
    /// The fragment is not there, but may be appended again: what was half written is cut off then.
    /// Gaps may be noted twice by that; told twice they are the same gap.
    pub async fn append(&self, seq: u32, bytes: Vec<u8>, gaps: Vec<Gap>, sync: bool) -> Result<()> {
        self.blocking(move |files| files.append(seq, &bytes, &gaps, sync)).await
    }

    /// Notes gaps without length before a chunk that is not begun.
    ///
    /// # Errors
    /// See [`Writer::append`].
    pub async fn note(&self, seq: u32, gaps: Vec<Gap>) -> Result<()> {
        self.blocking(move |files| files.note(seq, &gaps)).await
    }

    /// Makes the chunk durable as it is and closes it.
    ///
    /// # Errors
    /// It may not be durable; try again.
    pub async fn seal(&self) -> Result<()> {
        self.blocking(Files::seal).await
    }

    /// Removes the directory, where nothing is left in it.
    ///
    /// # Errors
    /// Something is left in it.
    pub async fn remove_dir(&self) -> Result<()> {
        let remove = |files: &mut Files| {
            std::fs::remove_dir(&files.held.path).map_err(failed("remove", &files.held.path))
        };
        self.blocking(remove).await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Files) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let files = Arc::clone(&self.files);
        let locked = move || work(&mut files.lock().unwrap_or_else(PoisonError::into_inner));
        let done = tokio::task::spawn_blocking(locked).await;
        done.unwrap_or_else(|stopped| {
            Err(failed("write in", &self.path)(io::Error::other(stopped)))
        })
    }
}

#[cfg(test)]
mod tests;
