//! Live audio in: taps, the media timeline, and one recording's way from packet to archive.
//!
//! ```text
//! tap ──Feed──► supervise (one actor a room) ─► record ─► cut ─► spool ─► upload ─► store + rows
//! import ──────────────────────────────────────────┘
//! ```
//!
//! Invariants: a room that must not be recorded is never written, the spool included; every
//! fragment (at most 1 s) is on disk before the next one is cut; a spool file goes only after the
//! store's copy is verified and its row is there; chunks are rowed in order without a hole; media
//! time only runs on, and whatever of it carries no audio is a marked gap.
//!
//! Deliberately unknown here: words, listeners, HTTP beyond what an Icecast source speaks, and SQL.

pub mod cut;
pub mod decode;
pub mod encode;
pub mod import;
pub mod ogg;
pub mod record;
pub mod recover;
pub mod resample;
pub mod spool;
pub mod supervise;
pub mod tap;
pub mod timeline;
pub mod upload;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

pub use record::{Mode, Place, Recorder};
pub use supervise::{Feed, Refused, Supervisor};
pub use tap::{Event, Source};

/// How ingest is to run.
#[derive(Debug, Clone)]
pub struct Config {
    /// Folder of the chunks being written. Must be on a local disk and belong to one process.
    pub spool_dir: PathBuf,
    /// Address on which rooms' RTP ports are bound.
    pub rtp_bind: IpAddr,
    /// Where Icecast sources connect; `None`: no Icecast tap. Port 0 takes any free one.
    pub icecast_listen: Option<SocketAddr>,
}

/// What was bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// Where Icecast sources connect, where asked for.
    pub icecast: Option<SocketAddr>,
}
