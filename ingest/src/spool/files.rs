//! The files being written. All of this blocks.

use std::fs::{File, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;

use models::Gap;

use super::{Held, Result, chunk_path, failed, gaps_path, notes};

/// A file that only grows by whole appends: what a failed one left is cut off by the next.
#[derive(Debug)]
pub(super) struct Appender {
    path: PathBuf,
    file: File,
    pub(super) whole: u64,
    synced: bool,
}

impl Appender {
    /// Goes on at the file's end, or makes it.
    pub(super) fn open(path: PathBuf) -> Result<Self> {
        let opened = OpenOptions::new().create(true).write(true).truncate(false).open(&path);
        let sized = opened.and_then(|file| Ok((file.metadata()?.len(), file)));
        let (whole, file) = sized.map_err(failed("open", &path))?;
        Ok(Self { path, file, whole, synced: true })
    }

    pub(super) fn append(&mut self, bytes: &[u8], sync: bool) -> Result<()> {
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
        bytes: &[u8],
        gaps: &[Gap],
        sync: bool,
    ) -> Result<()> {
        self.note(seq, gaps)?;
        let path = chunk_path(&self.held.path, seq);
        appender(&mut self.chunk, seq, path, &self.held)?.append(bytes, sync)
    }

    pub(super) fn note(&mut self, seq: u32, gaps: &[Gap]) -> Result<()> {
        if gaps.is_empty() {
            return Ok(());
        }
        let lines: String = gaps.iter().map(notes::line).collect();
        let path = gaps_path(&self.held.path, seq);
        appender(&mut self.gaps, seq, path, &self.held)?.append(lines.as_bytes(), true)
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
        let file = Appender::open(path)?;
        held.sync()?;
        *slot = Some((seq, file));
    }
    let (_, file) = slot.as_mut().expect("it was just put there");
    Ok(file)
}
