//! The chunk being written, on disk.
//!
//! ```text
//! <spool>/<recording-id>/00000007.m4s    fragments, as they will be in the store
//! <spool>/<recording-id>/00000007.gaps   what is known of the gaps among them
//! ```
//!
//! - A fragment is appended and synced before the next one is taken; when [`Writer::append`] has
//!   returned, a crash does not lose it. A new file's directory entry is synced too. Concealment
//!   and imports, which can be made again, may be appended without sync; [`Writer::seal`] syncs.
//! - Gaps cannot be told from the fragments alone: a source's own silence (DTX) has the same
//!   one-byte packets, and causes and pauses leave no trace. So each gap is a line of the sidecar,
//!   `start duration wall_us cause`, synced **before** the fragment in which it begins. A line that
//!   names media time which never followed is cut back ([`cut::clip`](crate::cut::clip)).
//! - [`mend`] makes what a crash left whole: the last chunk is cut after its last whole fragment,
//!   an empty one is removed, and so are lines for what is not there. A gap without length (a
//!   pause) before a chunk that was never begun stays: it belongs to the next fragment.
//! - Sizes and offsets are all that tells a whole fragment. Where a power cut leaves a file longer
//!   than what reached the disk, the one fragment that was not synced may pass with zeros in it.
//! - Chunk and sidecar are removed when the chunk is in the store and rowed, and only then.
//! - The directory is locked (`flock`) by the process that writes there; the lock goes with it.
//!
//! All of this blocks. Async callers go through [`Writer`], which works on the blocking pool.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use archive::cmaf::{self, Fragment};
use models::{Gap, GapCause, RecordingId, Ticks};

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

/// The folder of a recording's files.
#[must_use]
pub fn dir(spool: &Path, recording: RecordingId) -> PathBuf {
    spool.join(recording.to_string())
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

/// What [`mend`] found.
#[derive(Debug, Default)]
pub struct Left {
    /// The chunks there, in order.
    pub chunks: Vec<u32>,
    /// The last fragment of the last of them.
    pub last: Option<Fragment>,
    /// Gaps without length that belong before a chunk to come.
    pub pauses: Vec<Gap>,
    /// Bytes cut off the last chunk.
    pub torn_bytes: u64,
}

/// Makes whole what a crash left.
///
/// # Errors
/// A file could not be read, cut or removed. Nothing that was whole has been touched.
pub fn mend(held: &Held) -> Result<Left> {
    let dir = &held.path;
    for seq in list(dir, "new")? {
        let path = chunk_path(dir, seq).with_extension("new");
        std::fs::remove_file(&path).map_err(failed("remove", &path))?;
    }
    let mut left = Left { chunks: list(dir, "m4s")?, ..Left::default() };
    while let Some(&seq) = left.chunks.last() {
        let path = chunk_path(dir, seq);
        let bytes = std::fs::read(&path).map_err(failed("read", &path))?;
        let found = cmaf::recover(&bytes);
        left.torn_bytes += (bytes.len() - found.whole_bytes) as u64;
        left.last = found.fragments.last().cloned();
        if left.last.is_some() {
            let file = OpenOptions::new().write(true).open(&path);
            let cut = file.and_then(|file| {
                file.set_len(found.whole_bytes as u64)?;
                file.sync_all()
            });
            cut.map_err(failed("cut the torn tail of", &path))?;
            break;
        }
        std::fs::remove_file(&path).map_err(failed("remove", &path))?;
        left.chunks.pop();
    }
    for seq in list(dir, "gaps")? {
        if left.chunks.last().is_none_or(|last| seq >= *last) {
            mend_gaps(dir, seq, &mut left)?;
        }
    }
    held.sync()?;
    Ok(left)
}

/// Takes out of a sidecar what names media time that is not there.
fn mend_gaps(dir: &Path, seq: u32, left: &mut Left) -> Result<()> {
    let path = gaps_path(dir, seq);
    let begun = left.chunks.last() == Some(&seq);
    let end = left.last.as_ref().filter(|_| begun).map(|last| last.span().end);
    let mut gaps = gaps(dir, seq)?;
    gaps.retain(|gap| end.map_or(gap.duration == Ticks::ZERO, |end| gap.start < end));
    if !begun {
        left.pauses.extend(&gaps);
    }
    if gaps.is_empty() {
        return std::fs::remove_file(&path).map_err(failed("remove", &path));
    }
    let temp = path.with_extension("new");
    let write = || {
        let mut file = File::create(&temp)?;
        gaps.iter().try_for_each(|gap| file.write_all(line(gap).as_bytes()))?;
        file.sync_all()?;
        std::fs::rename(&temp, &path)
    };
    write().map_err(failed("mend", &path))
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

/// The gaps noted for a chunk in order, as far as their lines are whole.
///
/// # Errors
/// They are there but could not be read.
pub fn gaps(dir: &Path, seq: u32) -> Result<Vec<Gap>> {
    let path = gaps_path(dir, seq);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed("read", &path)(error)),
    };
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let whole = lines.map_while(|line| parse(line.strip_suffix(b"\n")?));
    let mut gaps: Vec<Gap> = whole.collect();
    gaps.sort_by_key(|gap| (gap.start, gap.duration, gap.wall_us));
    gaps.dedup();
    Ok(gaps)
}

/// Removes a chunk that is in the store and rowed, and then its gaps.
///
/// # Errors
/// A file is still there.
pub fn remove(dir: &Path, seq: u32) -> Result<()> {
    for path in [chunk_path(dir, seq), gaps_path(dir, seq)] {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("remove", &path)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

const CAUSES: [(&str, GapCause); 5] = [
    ("loss", GapCause::Loss),
    ("source_away", GapCause::SourceAway),
    ("down", GapCause::Down),
    ("paused", GapCause::Paused),
    ("broken", GapCause::Broken),
];

fn line(gap: &Gap) -> String {
    let cause = CAUSES.iter().find(|(_, cause)| *cause == gap.cause).map_or("", |(name, _)| name);
    format!("{} {} {} {cause}\n", gap.start.0, gap.duration.0, gap.wall_us)
}

fn parse(line: &[u8]) -> Option<Gap> {
    let mut fields = std::str::from_utf8(line).ok()?.split(' ');
    let mut next = || fields.next();
    let start = Ticks(next()?.parse().ok()?);
    let duration = Ticks(next()?.parse().ok()?);
    let wall_us = next()?.parse().ok()?;
    let name = next()?;
    let (_, cause) = CAUSES.into_iter().find(|(known, _)| *known == name)?;
    fields.next().is_none().then_some(Gap { start, duration, wall_us, cause })
}

/// A file that only grows by whole appends: what a failed one left is cut off by the next.
#[derive(Debug)]
struct Appender {
    path: PathBuf,
    file: File,
    whole: u64,
    synced: bool,
}

impl Appender {
    /// Goes on at the file's end, or makes it.
    fn open(path: PathBuf) -> Result<Self> {
        let opened = OpenOptions::new().create(true).write(true).truncate(false).open(&path);
        let sized = opened.and_then(|file| Ok((file.metadata()?.len(), file)));
        let (whole, file) = sized.map_err(failed("open", &path))?;
        Ok(Self { path, file, whole, synced: true })
    }

    fn append(&mut self, bytes: &[u8], sync: bool) -> Result<()> {
        let mut write = || {
            self.file.set_len(self.whole)?;
            self.file.seek(SeekFrom::Start(self.whole))?;
            self.file.write_all(bytes)?;
            if sync { self.file.sync_data() } else { Ok(()) }
        };
        write().map_err(failed("append to", &self.path))?;
        self.whole += bytes.len() as u64;
        self.synced = sync;
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        if !self.synced {
            self.file.sync_data().map_err(failed("sync", &self.path))?;
            self.synced = true;
        }
        Ok(())
    }
}

/// The files being written, each with its chunk's number.
#[derive(Debug)]
struct Files {
    held: Held,
    chunk: Option<(u32, Appender)>,
    gaps: Option<(u32, Appender)>,
}

impl Files {
    fn append(&mut self, seq: u32, bytes: &[u8], gaps: &[Gap], sync: bool) -> Result<()> {
        self.note(seq, gaps)?;
        let path = chunk_path(&self.held.path, seq);
        appender(&mut self.chunk, seq, path, &self.held)?.append(bytes, sync)
    }

    fn note(&mut self, seq: u32, gaps: &[Gap]) -> Result<()> {
        if gaps.is_empty() {
            return Ok(());
        }
        let lines: String = gaps.iter().map(line).collect();
        let path = gaps_path(&self.held.path, seq);
        appender(&mut self.gaps, seq, path, &self.held)?.append(lines.as_bytes(), true)
    }

    fn seal(&mut self) -> Result<()> {
        if let Some((_, chunk)) = &mut self.chunk {
            chunk.sync()?;
        }
        self.chunk = None;
        Ok(())
    }
}

/// The file of chunk `seq`: the one open already, or opened now with its directory entry synced.
fn appender<'a>(
    slot: &'a mut Option<(u32, Appender)>,
    seq: u32,
    path: PathBuf,
    held: &Held,
) -> Result<&'a mut Appender> {
    if slot.as_ref().is_none_or(|(open, _)| *open != seq) {
        let file = Appender::open(path)?;
        held.sync()?;
        *slot = Some((seq, file));
    }
    let (_, file) = slot.as_mut().expect("it was just put there");
    Ok(file)
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
        Self { files: Arc::new(Mutex::new(Files { held, chunk: None, gaps: None })), path }
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
