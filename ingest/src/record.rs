//! One recording's writer: events in; fragments, chunks, objects and rows out.

use std::path::PathBuf;

use archive::store::Store;
use models::{Db, Recording, WallMicros};

use crate::tap::Event;

/// Where recordings are kept.
#[derive(Debug, Clone)]
pub struct Place {
    /// Their rows.
    pub db: Db,
    /// Their objects.
    pub store: Store,
    /// Their chunks being written.
    pub spool_dir: PathBuf,
}

/// How careful and how patient to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Audio that comes once: synced every fragment, the store is tried for ever.
    Live,
    /// Audio that can be read again: synced every chunk, held back while the store is behind, and
    /// given up after some tries.
    Import,
}

/// One recording's writer.
#[derive(Debug)]
pub struct Recorder {
    place: Place,
}

/// Why audio could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The spool.
    #[error("could not {step}")]
    Spool {
        /// What failed.
        step: &'static str,
        /// Why.
        source: std::io::Error,
    },
}

impl Recorder {
    /// Opens a recording's writer where its spool and its rows left off.
    ///
    /// # Errors
    /// Spool, store or database.
    pub async fn open(place: &Place, recording: &Recording, mode: Mode) -> Result<Self, Error> {
        let _ = (recording, mode);
        Ok(Self { place: place.clone() })
    }

    /// Takes events in order of media time. `first` is the wall-clock time of their first sample.
    ///
    /// # Errors
    /// The spool could not be written. Nothing is lost: what was not written is kept and written
    /// with the next call, before anything else.
    pub async fn write(&mut self, events: &[Event], first: WallMicros) -> Result<(), Error> {
        let _ = (events, first, &self.place);
        Ok(())
    }

    /// Seals the tail and waits until every chunk is in the store and rowed. The caller ends the
    /// recording's row after that.
    ///
    /// # Errors
    /// Spool, store or database; what is in the spool stays.
    pub async fn finish(self) -> Result<(), Error> {
        Ok(())
    }
}
