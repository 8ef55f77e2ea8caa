//! The stored form: Opus in CMAF, that is fragmented MP4 (ISO/IEC 14496-12, 23000-19; the Opus
//! sample entry is that of "Encapsulation of Opus in ISO Base Media File Format").
//!
//! One track, number 1, timescale 48,000. A chunk is 1 to [`FRAGMENTS_PER_CHUNK`] fragments: as many
//! as it was made durable in while it was written, one once [`Fragment::join`] has sealed it. A
//! fragment is
//!
//! ```text
//! prft  version 1, flags 24 (captured at): NTP wall clock of the first sample, media time
//! moof  mfhd (sequence number), traf: tfhd (default-base-is-moof), tfdt (version 1: media time),
//!       trun (data offset; duration and size of every packet)
//! mdat  the packets, one after the other
//! ```
//!
//! and nothing else: a reader that meets anything else refuses it, so that what is accepted is
//! exactly what [`write_fragment`] writes. [`recover`] takes whole fragments from the front of a
//! file that ends anywhere, as a spool does after a crash.
//!
//! There is no edit list and `PreSkip` is 0: media time zero is the first sample that the first
//! packet decodes to, in every player alike.
//!
//! The boxes are written by hand: there are few of them, most are constant, and the reader has to
//! say at which byte a file is wrong without allocating more than the file's own size.

mod boxes;
mod init;
mod ntp;
mod read;
mod write;

#[cfg(test)]
mod tests;

use models::{Span, Ticks, WallMicros};

use crate::opus::Packet;

pub use boxes::{BoxName, Error};
pub use init::init_segment;
pub(crate) use init::{init_with_duration, segment_index};
pub use read::{Recovered, read_fragments, recover};
pub use write::write_fragment;

/// Most fragments in one chunk: what keeps [`fragment_seq`] unique.
pub const FRAGMENTS_PER_CHUNK: u32 = 64;

/// The latest media time that a file may name: beyond it, sums could overflow a signed database
/// column or a player.
const MAX_MEDIA_TIME: Ticks = Ticks(1 << 62);

/// About one second of packets with the wall-clock time at which they were heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    /// Its sequence number (`mfhd`), rising over the recording: see [`fragment_seq`].
    pub seq: u32,
    /// Media time of its first sample.
    pub start: Ticks,
    /// Wall-clock time of its first sample. Kept exactly from 1968-01-20 to 2104-02-26, the NTP
    /// eras that RFC 4330 (section 3) tells apart.
    pub wall: WallMicros,
    /// Its packets: at least one, each 1 tick to 120 ms long and at least one byte.
    pub packets: Vec<Packet>,
}

impl Fragment {
    /// How much media time its packets take.
    #[must_use]
    pub fn duration(&self) -> Ticks {
        self.packets.iter().map(|packet| packet.duration).sum()
    }

    /// The media time it covers.
    #[must_use]
    pub fn span(&self) -> Span {
        Span::new(self.start, self.start + self.duration())
    }

    /// One fragment of a chunk's fragments, which follow each other: what is written when the chunk
    /// is sealed. `None` where there are none.
    ///
    /// A file whose index ([`mod@crate::concat`]) has several fragments behind one reference plays, but
    /// ffmpeg (5.1, and what is built on it) seeks wrongly in it: after a jump into a reference of
    /// which it has read a part, it goes on with the next reference and leaves out the rest.
    #[must_use]
    pub fn join(fragments: &[Self]) -> Option<Self> {
        let first = fragments.first()?;
        let packets = fragments.iter().flat_map(|fragment| &fragment.packets).cloned().collect();
        Some(Self { packets, ..*first })
    }
}

/// The sequence number of a chunk's fragment `index` (from 0, below [`FRAGMENTS_PER_CHUNK`]):
/// `chunk × 64 + index + 1`.
#[must_use]
pub const fn fragment_seq(chunk: u32, index: u32) -> u32 {
    chunk.wrapping_mul(FRAGMENTS_PER_CHUNK).wrapping_add(index).wrapping_add(1)
}
