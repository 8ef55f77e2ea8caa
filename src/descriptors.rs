//! File descriptors: a connection is one, and systems give a process few of them until it asks.

use anyhow::bail;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors kept for what is not a stranger's connection: databases, stores, spools, rooms' ports.
const OURS: u64 = 512;

/// Asks for as many as the system lets the process have. Programs that still use `select`, which more
/// than 1,024 would break, are why it does not give them by itself; we use none.
pub(crate) fn raise() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
}

/// How many connections may be open at each of the two addresses that take strangers', where
/// `wanted` were asked for.
///
/// # Errors
/// None were asked for.
pub(crate) fn places(wanted: u32) -> anyhow::Result<usize> {
    if wanted == 0 {
        bail!("connections must be 1 at least: it is how many may be open at once");
    }
    let Some(all) = getrlimit(Resource::Nofile).current else { return Ok(wanted as usize) };
    // Where there are very few, strangers still get a half.
    let fit = (all.saturating_sub(OURS).max(all / 2) / 2).max(1);
    Ok(usize::try_from(fit).unwrap_or(usize::MAX).min(wanted as usize))
}
