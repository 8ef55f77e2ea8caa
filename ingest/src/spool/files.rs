//! The files being written. All of this blocks.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use models::Gap;

use super::check::Belongs;
use super::disk::{Disk, Open};
use super::{Held, Result, chunk_path, failed, gaps_path, notes};

/// A file that only grows by whole appends: what a failed one left is cut off by the next.
///
/// After a sync has failed nobody knows what of the file is on disk, and the next sync's success
/// would not tell either. So all of it is kept in memory (a chunk is seconds long: tens of
/// kilobytes) and then written anew, into a file that takes this one's name.
#[derive(Debug)]
pub(super) struct Appender {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    file: Box<dyn Open>,
    pub(super) whole: Vec<u8>,
    on_disk: OnDisk,
}

/// What is known of a file's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OnDisk {
    /// They are on disk.
    Synced,
    /// They were written.
    Written,
    /// Nothing: they are to be written anew.
    Unknown,
}

impl Appender {
    /// Goes on at the file's end, or makes it.
    pub(super) fn open(disk: Arc<dyn Disk>, path: PathBuf) -> Result<Self> {
        let whole = match disk.read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            read => read.map_err(failed("read", &path))?,
        };
        let file = disk.open(&path).map_err(failed("open", &path))?;
        Ok(Self { disk, path, file, whole, on_disk: OnDisk::Synced })
    }

    pub(super) fn append(&mut self, bytes: &[u8], sync: bool) -> Result<()> {
        let from = self.whole.len();
        self.whole.extend(bytes);
        let written = match self.on_disk {
            OnDisk::Unknown => self.write_anew(),
            _ => self.write_on(from).and_then(|()| if sync { self.sync_file() } else { Ok(()) }),
        };
        if written.is_err() {
            self.whole.truncate(from);
        }
        written.map_err(failed("append to", &self.path))
    }

    fn sync(&mut self) -> Result<()> {
        let synced = match self.on_disk {
            OnDisk::Synced => Ok(()),
            OnDisk::Written => self.sync_file(),
            OnDisk::Unknown => self.write_anew(),
        };
        synced.map_err(failed("sync", &self.path))
    }

    /// Writes what is new from `from` on.
    fn write_on(&mut self, from: usize) -> io::Result<()> {
        let at = from as u64;
        let written = self
            .file
            .set_len(at)
            .and_then(|()| write_all(&mut *self.file, at, &self.whole[from..]));
        match &written {
            Ok(()) => self.on_disk = OnDisk::Written,
            // Nothing is wrong with the file where there is only no room for more.
            Err(error) if is_full(error) => {}
            Err(_) => self.on_disk = OnDisk::Unknown,
        }
        written
    }

    fn sync_file(&mut self) -> io::Result<()> {
        let synced = self.file.sync();
        self.on_disk = if synced.is_ok() { OnDisk::Synced } else { OnDisk::Unknown };
        synced
    }

    /// Puts a new file in the place of this one.
    fn write_anew(&mut self) -> io::Result<()> {
        self.file = replace(&*self.disk, &self.path, &self.whole)?;
        self.on_disk = OnDisk::Synced;
        Ok(())
    }

    /// Takes back a file that was only just made.
    fn take_back(self) {
        if self.whole.is_empty() {
            // Where this fails too, the next try finds it as it is.
            let _ = self.disk.remove(&self.path);
        }
    }
}

/// Whether an error says that there is no room.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Writes a file of these bytes in the place of the one at `path`. Durable on return.
pub(super) fn replace(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<Box<dyn Open>> {
    let temporary = path.with_extension("new");
    match disk.remove(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = disk.open(&temporary)?;
    write_all(&mut *file, 0, bytes)?;
    file.sync()?;
    disk.rename(&temporary, path)?;
    disk.sync_dir(path.parent().unwrap_or(Path::new(".")))?;
    Ok(file)
}

fn write_all(file: &mut dyn Open, mut at: u64, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write_at(at, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => (at, bytes) = (at + written as u64, &bytes[written..]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The files being written, each with its chunk's number.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) held: Held,
    chunk: Option<(u32, Appender)>,
    gaps: Option<(u32, Appender)>,
}

impl Files {
    pub(super) fn new(held: Held) -> Self {
        Self { held, chunk: None, gaps: None }
    }

    pub(super) fn append(
        &mut self,
        seq: u32,
        fragment: &[u8],
        gaps: &[Gap],
        sync: bool,
    ) -> Result<()> {
        self.note(seq, gaps)?;
        let path = chunk_path(&self.held.path, seq);
        let bytes = Belongs::to(&path).checked(fragment);
        appender(&mut self.chunk, seq, path, &self.held)?.append(&bytes, sync)
    }

    pub(super) fn note(&mut self, seq: u32, gaps: &[Gap]) -> Result<()> {
        if gaps.is_empty() {
            return Ok(());
        }
        let path = gaps_path(&self.held.path, seq);
        let belongs = Belongs::to(&path);
        let lines: String = gaps.iter().map(|gap| notes::line(gap, &belongs)).collect();
        let sidecar = appender(&mut self.gaps, seq, path, &self.held)?;
        // Noted before a fragment that could not be written, they are there already.
        if sidecar.whole.ends_with(lines.as_bytes()) {
            return sidecar.sync();
        }
        sidecar.append(lines.as_bytes(), true)
    }

    pub(super) fn seal(&mut self) -> Result<()> {
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
        let file = Appender::open(Arc::clone(&held.disk), path)?;
        if let Err(error) = held.sync() {
            // A name whose sync has failed is made anew, too.
            file.take_back();
            return Err(error);
        }
        *slot = Some((seq, file));
    }
    let (_, file) = slot.as_mut().expect("it was just put there");
    Ok(file)
}
