//! What the spool asks of a filesystem: little enough that tests can put one in its place that
//! tears, forgets and fails.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

/// A filesystem.
///
/// Nothing is promised to be on disk before it was synced: neither a file's bytes ([`Open::sync`])
/// nor a name that was made, changed or removed ([`Disk::sync_dir`]).
pub(super) trait Disk: fmt::Debug + Send + Sync {
    /// Makes a folder, where it is not there.
    fn make_dir(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty folder.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a folder durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// What lies in a folder.
    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>>;
    /// Opens a file for writing; makes it, where it is not there.
    fn open(&self, path: &Path) -> io::Result<Box<dyn Open>>;
    /// All bytes of a file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// Gives a file another name, in place of the file that has it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// A file open for writing.
pub(super) trait Open: fmt::Debug + Send {
    /// Cuts it off, or makes it longer with zeros.
    fn set_len(&mut self, length: u64) -> io::Result<()>;
    /// Writes from a place on, and says how many bytes.
    fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<usize>;
    /// Makes its bytes and its length durable. Where this fails, whatever was written since it last
    /// succeeded may be lost, and a later success says nothing of that.
    fn sync(&mut self) -> io::Result<()>;
}

/// The real one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Real;

impl Disk for Real {
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        std::fs::create_dir_all(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        std::fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect()
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Open>> {
        let file = OpenOptions::new().create(true).write(true).truncate(false).open(path)?;
        Ok(Box::new(file))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        std::fs::read(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }
}

impl Open for File {
    fn set_len(&mut self, length: u64) -> io::Result<()> {
        Self::set_len(self, length)
    }

    fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<usize> {
        self.seek(SeekFrom::Start(at))?;
        self.write(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        // Enough for the length too: what reading the bytes needs is synced with them.
        self.sync_data()
    }
}
