//! What a crash left, made whole.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use archive::cmaf::{self, Fragment};
use models::{Gap, Ticks};

use super::{Held, Result, chunk_path, failed, gaps, gaps_path, list, notes};

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
        gaps.iter().try_for_each(|gap| file.write_all(notes::line(gap).as_bytes()))?;
        file.sync_all()?;
        std::fs::rename(&temp, &path)
    };
    write().map_err(failed("mend", &path))
}
