//! What a crash left, made whole. Nothing here needs room on the disk but in one case that no crash
//! makes: a spool that has filled the disk must be able to drain.

use std::path::Path;

use archive::cmaf::Fragment;
use models::{Gap, Ticks};

use super::check::Belongs;
use super::files::replace;
use super::{Held, Result, chunk_path, failed, gaps_path, list_on, notes};

/// What [`mend`] found.
#[derive(Debug, Default)]
pub struct Left {
    /// The chunks there, in order.
    pub chunks: Vec<u32>,
    /// The last fragment of the last of them.
    pub last: Option<Fragment>,
    /// Gaps without length that belong before a chunk to come, with its number. Where a chunk of
    /// that number is in the store already, they are its own and told there.
    pub pauses: Vec<(u32, Gap)>,
    /// Bytes cut off the last chunk.
    pub torn_bytes: u64,
}

/// Makes whole what a crash left.
///
/// # Errors
/// A file could not be read, cut or removed. Nothing that was whole has been touched.
pub fn mend(held: &Held) -> Result<Left> {
    let Held { disk, path: dir, .. } = held;
    for seq in list_on(&**disk, dir, "new")? {
        let path = chunk_path(dir, seq).with_extension("new");
        disk.remove(&path).map_err(failed("remove", &path))?;
    }
    let mut left = Left { chunks: list_on(&**disk, dir, "m4s")?, ..Left::default() };
    while let Some(&seq) = left.chunks.last() {
        let path = chunk_path(dir, seq);
        let bytes = disk.read(&path).map_err(failed("read", &path))?;
        let found = Belongs::to(&path).scan(&bytes);
        left.torn_bytes += bytes.len() as u64 - found.end;
        left.last = found.fragments.last().cloned();
        if left.last.is_some() {
            cut(held, &path, found.end)?;
            break;
        }
        disk.remove(&path).map_err(failed("remove", &path))?;
        left.chunks.pop();
    }
    for seq in list_on(&**disk, dir, "gaps")? {
        let last = left.chunks.last();
        if last.is_none_or(|last| seq >= *last) {
            mend_gaps(held, seq, &mut left)?;
        } else if !left.chunks.contains(&seq) {
            let path = gaps_path(dir, seq);
            disk.remove(&path).map_err(failed("remove", &path))?;
        }
    }
    held.sync()?;
    Ok(left)
}

fn cut(held: &Held, path: &Path, length: u64) -> Result<()> {
    let file = held.disk.open(path);
    let cut = file.and_then(|mut file| {
        file.set_len(length)?;
        file.sync()
    });
    cut.map_err(failed("cut the torn tail of", path))
}

/// Takes out of a sidecar what names media time that is not there.
fn mend_gaps(held: &Held, seq: u32, left: &mut Left) -> Result<()> {
    let (disk, path) = (&*held.disk, gaps_path(&held.path, seq));
    let begun = left.chunks.last() == Some(&seq);
    let end = left.last.as_ref().filter(|_| begun).map(|last| last.span().end);
    let stays = |gap: &Gap| end.map_or(gap.duration == Ticks::ZERO, |end| gap.start < end);
    let lines = notes::lines(disk, &held.path, seq)?;
    let kept: Vec<(Gap, u64)> = lines.iter().copied().filter(|(gap, _)| stays(gap)).collect();
    let Some((_, end)) = kept.last() else {
        return disk.remove(&path).map_err(failed("remove", &path));
    };
    if !begun {
        let pauses = notes::sorted(kept.iter().map(|(gap, _)| *gap).collect());
        left.pauses.extend(pauses.into_iter().map(|gap| (seq, gap)));
    }
    // What a crash leaves stands at the end: there it is cut off.
    if lines[..kept.len()] == kept[..] {
        return cut(held, &path, *end);
    }
    let belongs = Belongs::to(&path);
    let text: String = kept.iter().map(|(gap, _)| notes::line(gap, &belongs)).collect();
    replace(disk, &path, text.as_bytes()).map(drop).map_err(failed("mend", &path))
}
