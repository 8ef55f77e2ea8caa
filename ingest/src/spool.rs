//! The chunk being written, on disk.
//!
//! ```text
//! <spool>/<recording-id>[-<take>]/00000007.m4s    fragments; the store gets them joined to one
//! <spool>/<recording-id>[-<take>]/00000007.gaps   what is known of the gaps among them
//! ```
//!
//! - A fragment is appended and synced before the next one is taken; when [`Writer::append`] has
//!   returned, neither a crash nor a power cut loses it. A new file's directory entry is synced too.
//!   Concealment and imports, which can be made again, may be appended without sync;
//!   [`Writer::seal`] syncs.
//! - Each fragment has a check before it (`check`: a `free` box, which players skip), so that
//!   what a power cut leaves of one that was not synced (zeros, half of it, a block that holds what
//!   lay there before) is not taken for sound. The store's copies are made of the packets anew and
//!   have no checks. Files whose first box is no check were written before there were any; their
//!   sizes and offsets are all that tells their whole fragments.
//! - Gaps cannot be told from the fragments alone: a source's own silence (DTX) has the same
//!   one-byte packets, and causes and pauses leave no trace. So each gap is a line of the sidecar,
//!   `start duration wall_us cause check`, synced **before** the fragment in which it begins. A line
//!   that names media time which never followed is cut back ([`cut::clip`](crate::cut::clip)).
//! - After a sync has failed, whatever was written since the last one may be gone, whatever the next
//!   one says: the file is written anew, beside the old one, and takes its name.
//! - [`mend()`] makes what a crash left whole: the last chunk is cut after its last whole fragment,
//!   an empty one is removed, and so are lines for what is not there. A gap without length (a
//!   pause) before a chunk that was never begun stays: it belongs to the next fragment. It needs no
//!   free space, may be cut off itself, and done twice does nothing more.
//! - Damage elsewhere (a bad sector, a lying disk) is found by [`load`]; the uploader keeps what is
//!   whole and marks the rest as a gap.
//! - Chunk and sidecar are removed when the chunk is in the store and rowed, and only then. A power
//!   cut may bring either back, or the sidecar alone; both are known by their number.
//! - The directory is locked (`flock`) by the process that writes there; the lock goes with it.
//!
//! Limits: a disk that says that it has synced and has not, loses what it likes (it is found, and is
//! a gap). Rewriting part of a sector is taken to leave the rest of it as it was. A version from
//! before the checks does not read what is spooled now: let the spool drain before going back.
//!
//! All of this blocks. Async callers go through [`Writer`], which works on the blocking pool.

mod check;
mod disk;
mod files;
mod mend;
mod notes;

use std::fs::{File, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use archive::cmaf::Fragment;
use models::{Gap, RecordingId};

use check::Belongs;
use disk::{Disk, Real};
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

    /// Whether there is no room on the disk.
    #[must_use]
    pub fn is_full(&self) -> bool {
        files::is_full(&self.source)
    }
}

/// What is read of a damaged file at a time: no less is bad.
const PIECE: usize = 4096;

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
    disk: Arc<dyn Disk>,
    path: PathBuf,
    /// Goes with it, and the lock with that.
    _lock: Option<File>,
}

impl Held {
    /// Makes the directory where it is not there, and holds it.
    ///
    /// # Errors
    /// [`Error::is_locked`] where it is held already.
    pub fn new(path: PathBuf) -> Result<Self> {
        make(&Real, &path)?;
        Self::existing(path)
    }

    /// Holds a directory that is there.
    ///
    /// # Errors
    /// [`Error::is_locked`] where it is held already.
    pub fn existing(path: PathBuf) -> Result<Self> {
        let file = File::open(&path).map_err(failed("open", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { disk: Arc::new(Real), path, _lock: Some(file) }),
            Err(TryLockError::WouldBlock) => {
                Err(failed("lock", &path)(io::ErrorKind::WouldBlock.into()))
            }
            Err(TryLockError::Error(error)) => Err(failed("lock", &path)(error)),
        }
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.path
    }

    fn sync(&self) -> Result<()> {
        self.disk.sync_dir(&self.path).map_err(failed("sync", &self.path))
    }
}

/// Makes a directory, where it is not there, durable.
fn make(disk: &dyn Disk, path: &Path) -> Result<()> {
    disk.make_dir(path).map_err(failed("make", path))?;
    let Some(parent) = path.parent() else { return Ok(()) };
    disk.sync_dir(parent).map_err(|error| {
        // A name whose sync has failed is made anew. Where something is in it, it was synced before.
        let _ = disk.remove_dir(path);
        failed("sync", parent)(error)
    })
}

/// Numbers of the files with an extension, in order.
///
/// # Errors
/// The directory could not be read.
pub fn list(dir: &Path, extension: &str) -> Result<Vec<u32>> {
    list_on(&Real, dir, extension)
}

fn list_on(disk: &dyn Disk, dir: &Path, extension: &str) -> Result<Vec<u32>> {
    let paths = disk.list(dir).map_err(failed("list", dir))?;
    let number = |path: &PathBuf| {
        let (number, found) = path.file_name()?.to_str()?.split_once('.')?;
        number.parse::<u32>().ok().filter(|_| found == extension)
    };
    let mut numbers: Vec<u32> = paths.iter().filter_map(number).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// A chunk as it lies in the spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spooled {
    /// Its whole fragments. Where the chunk is damaged there may be none, and time may be missing
    /// between them.
    pub fragments: Vec<Fragment>,
    /// Bytes that belong to no whole fragment.
    pub bad_bytes: u64,
}

impl Spooled {
    /// Whether all of it is there, as far as it tells itself.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let follow = |pair: &[Fragment]| pair[0].span().end == pair[1].start;
        self.bad_bytes == 0 && !self.fragments.is_empty() && self.fragments.windows(2).all(follow)
    }
}

/// Reads a chunk; `None` where there is no such file.
///
/// # Errors
/// It is there but could not be read.
pub fn load(dir: &Path, seq: u32) -> Result<Option<Spooled>> {
    load_on(&Real, dir, seq)
}

fn load_on(disk: &dyn Disk, dir: &Path, seq: u32) -> Result<Option<Spooled>> {
    let path = chunk_path(dir, seq);
    let bytes = match disk.read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(failed("read", &path))?,
    };
    Ok(Some(spooled(&path, &bytes)))
}

/// The same for a chunk that cannot be read as a whole: what cannot be read is as if it were zeros.
///
/// # Errors
/// It is there but could not be opened.
pub fn load_pieces(dir: &Path, seq: u32) -> Result<Option<Spooled>> {
    let path = chunk_path(dir, seq);
    let pieces = File::open(&path).and_then(|file| read_pieces(&file));
    match pieces {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        pieces => Ok(Some(spooled(&path, &pieces.map_err(failed("open", &path))?))),
    }
}

fn read_pieces(mut file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(file.metadata()?.len()).unwrap_or(0)];
    for (piece, at) in bytes.chunks_mut(PIECE).zip((0..).step_by(PIECE)) {
        let read = file.seek(SeekFrom::Start(at)).and_then(|_| file.read_exact(piece));
        if let Err(error) = read {
            tracing::warn!(at, %error, "a part of a spool file cannot be read");
            piece.fill(0);
        }
    }
    Ok(bytes)
}

fn spooled(path: &Path, bytes: &[u8]) -> Spooled {
    let found = Belongs::to(path).scan(bytes);
    Spooled { fragments: found.fragments, bad_bytes: found.bad }
}

/// Removes a chunk that is in the store and rowed. Its gaps go first: they are in the row, and
/// without their chunk they would be taken for those of the next.
///
/// # Errors
/// A file is still there.
pub fn remove(dir: &Path, seq: u32) -> Result<()> {
    remove_on(&Real, dir, seq)
}

fn remove_on(disk: &dyn Disk, dir: &Path, seq: u32) -> Result<()> {
    for path in [gaps_path(dir, seq), chunk_path(dir, seq)] {
        match disk.remove(&path) {
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

    /// Appends a fragment, as its bytes, to a chunk after noting its gaps. Durable on return where
    /// `sync`.
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
            let Held { disk, path, .. } = &files.held;
            disk.remove_dir(path).map_err(failed("remove", path))
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
