//! The sidecar of a chunk: what is known of the gaps in it, a line each.

use std::io;
use std::path::Path;

use models::{Gap, GapCause, Ticks};

use super::{Result, failed, gaps_path};

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

pub(super) const CAUSES: [(&str, GapCause); 5] = [
    ("loss", GapCause::Loss),
    ("source_away", GapCause::SourceAway),
    ("down", GapCause::Down),
    ("paused", GapCause::Paused),
    ("broken", GapCause::Broken),
];

/// A gap as its line.
pub(super) fn line(gap: &Gap) -> String {
    let cause = CAUSES.iter().find(|(_, cause)| *cause == gap.cause).map_or("", |(name, _)| name);
    format!("{} {} {} {cause}\n", gap.start.0, gap.duration.0, gap.wall_us)
}

/// A line, without its end, as its gap.
pub(super) fn parse(line: &[u8]) -> Option<Gap> {
    let mut fields = std::str::from_utf8(line).ok()?.split(' ');
    let mut next = || fields.next();
    let start = Ticks(next()?.parse().ok()?);
    let duration = Ticks(next()?.parse().ok()?);
    let wall_us = next()?.parse().ok()?;
    let name = next()?;
    let (_, cause) = CAUSES.into_iter().find(|(known, _)| *known == name)?;
    fields.next().is_none().then_some(Gap { start, duration, wall_us, cause })
}
