//! Objects as files.
//!
//! An object is written to a new file below `.tmp/` in the same folder, synced, and renamed to its
//! name without replacing what is there; then its folder is synced. A crash leaves at most a file
//! in `.tmp/`, which the next open removes. A writer holds a lock on its temporary file, so that
//! another process opening the same store (the transcription worker does) leaves it alone.
//!
//! Files are readable by their owner only, because a room may not be for everyone.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use models::RecordingId;
use tempfile::NamedTempFile;

use super::Published;
use super::error::Error;
use crate::key::Key;

/// Where files are written before they have a name; never listed.
const TEMPORARY: &str = ".tmp";
/// Bytes read at a time where the whole would be too much.
const PIECE: usize = 1024 * 1024;

#[derive(Debug)]
pub(super) struct Disk {
    dir: PathBuf,
}

impl Disk {
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir.join(TEMPORARY))?;
        let disk = Self { dir: dir.to_owned() };
        disk.remove_leftovers()?;
        sync_dir(&disk.dir)?;
        Ok(disk)
    }

    /// Removes temporary files that nobody is writing.
    fn remove_leftovers(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.dir.join(TEMPORARY))? {
            let path = entry?.path();
            let file = match File::open(&path) {
                Ok(file) => file,
                // Its writer has just renamed it.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            match file.try_lock() {
                Ok(()) => {
                    tracing::info!(path = %path.display(), "leftover temporary file removed");
                    ignore_missing(fs::remove_file(&path))?;
                }
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Ok(())
    }

    pub(super) fn publish(&self, key: &Key, bytes: &[u8]) -> Result<Published, Error> {
        let path = self.dir.join(key.path());
        let folder = path.parent().unwrap_or(&self.dir);
        let published = if path.exists() {
            Published::There
        } else {
            make_dirs(folder).map_err(step("make the folder of", key))?;
            let mut file = self.temporary().map_err(step("make a temporary file for", key))?;
            file.write_all(bytes).map_err(step("write", key))?;
            name(file, &path, key)?
        };
        // Also for one that was there: a crash may have come between its rename and this.
        sync_dir(folder).map_err(step("sync the folder of", key))?;
        Ok(published)
    }

    /// A file to be written and then given to [`Self::publish_file`].
    pub(super) fn begin(&self, key: &Key) -> Result<NamedTempFile, Error> {
        self.temporary().map_err(step("make a temporary file for", key))
    }

    /// Gives a written file its name.
    pub(super) fn publish_file(&self, key: &Key, file: NamedTempFile) -> Result<Published, Error> {
        let path = self.dir.join(key.path());
        let folder = path.parent().unwrap_or(&self.dir);
        make_dirs(folder).map_err(step("make the folder of", key))?;
        let published = name(file, &path, key)?;
        sync_dir(folder).map_err(step("sync the folder of", key))?;
        Ok(published)
    }

    /// Reads an object piece by piece; memory is that of one piece.
    pub(super) fn read(&self, key: &Key, mut heard: impl FnMut(&[u8])) -> Result<(), Error> {
        let mut file = File::open(self.dir.join(key.path())).map_err(step("open", key))?;
        let mut piece = vec![0; PIECE];
        loop {
            match file.read(&mut piece).map_err(step("read", key))? {
                0 => return Ok(()),
                length => heard(&piece[..length]),
            }
        }
    }

    /// Whether the folder can be read and written.
    pub(super) fn check(&self) -> io::Result<()> {
        NamedTempFile::with_prefix_in("check-", self.dir.join(TEMPORARY)).map(drop)
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// A new file that is locked until it is dropped.
    fn temporary(&self) -> io::Result<NamedTempFile> {
        loop {
            let file = NamedTempFile::with_prefix_in("put-", self.dir.join(TEMPORARY))?;
            file.as_file().lock()?;
            // Another process may have taken it for a leftover before it was locked.
            if file.path().exists() {
                return Ok(file);
            }
        }
    }

    pub(super) fn get(&self, key: &Key, range: Option<Range<u64>>) -> Result<Bytes, Error> {
        let mut file = match File::open(self.dir.join(key.path())) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(Error::Missing(*key)),
            Err(error) => return Err(step("open", key)(error)),
        };
        let size = file.metadata().map_err(step("ask the size of", key))?.len();
        let range = range.unwrap_or(0..size);
        let length = range.end.checked_sub(range.start).filter(|_| range.end <= size);
        let Some(length) = length.and_then(|length| usize::try_from(length).ok()) else {
            return Err(Error::Range { key: *key, range, size });
        };
        file.seek(SeekFrom::Start(range.start)).map_err(step("seek in", key))?;
        let mut bytes = vec![0; length];
        file.read_exact(&mut bytes).map_err(step("read", key))?;
        Ok(bytes.into())
    }

    pub(super) fn head(&self, key: &Key) -> Result<Option<u64>, Error> {
        match fs::metadata(self.dir.join(key.path())) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(step("ask the size of", key)(error)),
        }
    }

    pub(super) fn list(&self, prefix: &str) -> Result<Vec<(String, u64)>, Error> {
        let mut found = Vec::new();
        self.walk("", prefix, &mut found).map_err(step("list", prefix))?;
        found.sort_unstable();
        Ok(found)
    }

    pub(super) fn recordings(&self) -> Result<Vec<RecordingId>, Error> {
        let folder = Key::RECORDINGS;
        let entries = match fs::read_dir(self.dir.join(folder)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(step("list", folder))?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let name = entry.map_err(step("list", folder))?.file_name();
            found.extend(name.to_str().and_then(|name| name.parse::<RecordingId>().ok()));
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Adds what lies below `folder` ("" or a path that ends in a slash) and begins with `prefix`.
    /// Only names that were found are descended into, so that a prefix cannot lead outside.
    fn walk(&self, folder: &str, prefix: &str, found: &mut Vec<(String, u64)>) -> io::Result<()> {
        let entries = match fs::read_dir(self.dir.join(folder)) {
            // Removed while we were on the way.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            // Keys are plain text: other names are not objects.
            let Some(name) = name.to_str().filter(|name| *name != TEMPORARY) else { continue };
            let mut path = format!("{folder}{name}");
            if entry.file_type()?.is_dir() {
                path.push('/');
                if path.starts_with(prefix) || prefix.starts_with(&path) {
                    self.walk(&path, prefix, found)?;
                }
            } else if path.starts_with(prefix) {
                match entry.metadata() {
                    Ok(metadata) => found.push((path, metadata.len())),
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    pub(super) fn delete(&self, key: &Key) -> Result<(), Error> {
        let path = self.dir.join(key.path());
        ignore_missing(fs::remove_file(&path)).map_err(step("remove", key))?;
        let folder = path.parent().unwrap_or(&self.dir);
        ignore_missing(sync_dir(folder)).map_err(step("sync the folder of", key))
    }
}

/// Syncs a written file and gives it its name, unless that is taken.
fn name(file: NamedTempFile, path: &Path, key: &Key) -> Result<Published, Error> {
    file.as_file().sync_all().map_err(step("sync", key))?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(Published::New),
        // Someone else was faster; what he wrote is compared.
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => Ok(Published::There),
        Err(error) => Err(step("rename", key)(error.error)),
    }
}

pub(super) fn step(step: &'static str, what: impl ToString) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io { step, what: what.to_string(), source }
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Makes a folder and those above it, each durable before anything is put into it.
fn make_dirs(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let Some(parent) = folder.parent() else { return Ok(()) };
    make_dirs(parent)?;
    match fs::create_dir(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    sync_dir(parent)
}

/// Makes renames and removals in a folder durable.
#[cfg(unix)]
fn sync_dir(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Other systems do not open folders, and order their metadata themselves.
#[cfg(not(unix))]
fn sync_dir(_: &Path) -> io::Result<()> {
    Ok(())
}
