//! What is being done with a spool directory whose recording others have gone on with, so that a
//! crash in the middle is answered by doing the rest.
//!
//! The file is written whole before anything is put: the take of the new objects on the first line,
//! then number and take of each object that nobody needs any more afterwards.

use std::io::Write as _;
use std::path::{Path, PathBuf};

const NAME: &str = "landing";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Landing {
    pub(super) take: u32,
    /// Number and take.
    pub(super) replaces: Vec<(u32, u32)>,
}

impl Landing {
    pub(super) fn read(dir: &Path) -> std::io::Result<Option<Self>> {
        let text = match std::fs::read_to_string(path(dir)) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let parsed = Self::parse(&text);
        let what = || std::io::Error::new(std::io::ErrorKind::InvalidData, "it is not whole");
        parsed.map(Some).ok_or_else(what)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let take = lines.next()?.parse().ok()?;
        let pair = |line: &str| {
            let (seq, take) = line.split_once(' ')?;
            Some((seq.parse().ok()?, take.parse().ok()?))
        };
        Some(Self { take, replaces: lines.map(pair).collect::<Option<_>>()? })
    }

    /// Durable on return.
    pub(super) fn write(&self, dir: &Path) -> std::io::Result<()> {
        let temporary = path(dir).with_extension("new");
        let mut file = std::fs::File::create(&temporary)?;
        writeln!(file, "{}", self.take)?;
        for (seq, take) in &self.replaces {
            writeln!(file, "{seq} {take}")?;
        }
        file.sync_all()?;
        std::fs::rename(&temporary, path(dir))?;
        std::fs::File::open(dir)?.sync_all()
    }
}

fn path(dir: &Path) -> PathBuf {
    dir.join(NAME)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Landing::read(dir.path()).unwrap(), None);
        for replaces in [vec![], vec![(3, 1), (4, 2)]] {
            let landing = Landing { take: 5, replaces };
            landing.write(dir.path()).unwrap();
            assert_eq!(Landing::read(dir.path()).unwrap(), Some(landing));
        }
        std::fs::write(path(dir.path()), "5\n3").unwrap();
        assert!(Landing::read(dir.path()).is_err());
    }
}
