//! The sidecar of a chunk: what is known of the gaps in it, a line each.

use std::io;
use std::path::Path;

use models::{Gap, GapCause, Ticks};

use super::check::Belongs;
use super::disk::{Disk, Real};
use super::{Result, failed, gaps_path};

/// The gaps noted for a chunk in order, as far as their lines are whole.
///
/// # Errors
/// They are there but could not be read.
pub fn gaps(dir: &Path, seq: u32) -> Result<Vec<Gap>> {
    gaps_on(&Real, dir, seq)
}

pub(super) fn gaps_on(disk: &dyn Disk, dir: &Path, seq: u32) -> Result<Vec<Gap>> {
    Ok(sorted(lines(disk, dir, seq)?.into_iter().map(|(gap, _)| gap).collect()))
}

/// Gaps in order, each once: it may have been noted again.
pub(super) fn sorted(mut gaps: Vec<Gap>) -> Vec<Gap> {
    gaps.sort_by_key(|gap| (gap.start, gap.duration, gap.wall_us));
    gaps.dedup();
    gaps
}

/// The whole lines of a sidecar as they stand there, each with the place at which it ends.
pub(super) fn lines(disk: &dyn Disk, dir: &Path, seq: u32) -> Result<Vec<(Gap, u64)>> {
    let path = gaps_path(dir, seq);
    match disk.read(&path) {
        Ok(bytes) => Ok(parse(&bytes, &Belongs::to(&path))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(failed("read", &path)(error)),
    }
}

pub(super) const CAUSES: [(&str, GapCause); 6] = [
    ("loss", GapCause::Loss),
    ("source_away", GapCause::SourceAway),
    ("down", GapCause::Down),
    ("paused", GapCause::Paused),
    ("broken", GapCause::Broken),
    ("no_space", GapCause::NoSpace),
];

/// A gap as its line.
pub(super) fn line(gap: &Gap, belongs: &Belongs) -> String {
    let cause = CAUSES.iter().find(|(_, cause)| *cause == gap.cause).map_or("", |(name, _)| name);
    let said = format!("{} {} {} {cause}", gap.start.0, gap.duration.0, gap.wall_us);
    format!("{said} {}\n", belongs.word(&said))
}

/// The whole lines of a file. In one that was written without checks, nothing is believed behind the
/// first line that is none.
pub(super) fn parse(bytes: &[u8], belongs: &Belongs) -> Vec<(Gap, u64)> {
    let (mut found, mut end, mut checked) = (Vec::new(), 0, false);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        end += line.len() as u64;
        let text = line.strip_suffix(b"\n").and_then(|line| std::str::from_utf8(line).ok());
        match text.and_then(|text| parse_line(text, belongs)) {
            Some((gap, has_check)) if has_check || !checked => {
                checked |= has_check;
                found.push((gap, end));
            }
            _ if checked || found.is_empty() => {}
            _ => break,
        }
    }
    found
}

/// A line, without its end, as its gap; and whether it has proved itself.
fn parse_line(line: &str, belongs: &Belongs) -> Option<(Gap, bool)> {
    let mut fields = line.split(' ');
    let mut next = || fields.next();
    let start = Ticks(next()?.parse().ok()?);
    let duration = Ticks(next()?.parse().ok()?);
    let wall_us = next()?.parse().ok()?;
    let name = next()?;
    let (_, cause) = CAUSES.into_iter().find(|(known, _)| *known == name)?;
    let gap = Gap { start, duration, wall_us, cause };
    let Some(word) = next() else { return Some((gap, false)) };
    let said = line.strip_suffix(word)?.strip_suffix(' ')?;
    (fields.next().is_none() && belongs.word(said) == word).then_some((gap, true))
}
