//! Taps: how the live mix of a room reaches us.
//!
//! A tap turns its protocol into [`Event`]s: Opus packets in order, and stretches of media time of
//! which it knows that nothing will come. It says what it is with a [`Source`], asks
//! [`Supervisor::attach`](crate::Supervisor::attach) for a room's [`Feed`](crate::Feed) and sends
//! batches of events with the time at which the batch was complete, by the clock that nobody can set
//! ([`models::steady`]), and without the network's jitter where it can tell it. The pipeline behind
//! the feed decides what is kept; taps know nothing of recordings, grace times, pauses or disks.
//!
//! What a tap owes:
//! - Packets are valid Opus (RFC 6716, section 3) and carry the media time they take. One encoder's
//!   packets follow each other; after a change of encoder it attaches anew.
//! - Events are in order of media time. A [`Event::Lost`] stands before the packet that follows the
//!   hole. Time before the source's first packet and after its last one is not the tap's to report:
//!   the pipeline measures it on the wall clock.
//! - A batch is sent when it arrives, not held back: what is not sent cannot be made durable.

pub mod icecast;
pub mod rtp;

use archive::Packet;
use models::recording::Origin;
use models::{GapCause, Ticks};

/// What sends, as its tap knows it when it attaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Which tap.
    pub origin: Origin,
    /// Channels a decoder should give: 1 or 2. Counts only for the first source of a recording.
    pub channels: u8,
    /// Codec, program, address: what the source said of itself. For people, not for code.
    pub description: String,
}

/// What a tap hands on.
#[derive(Debug, Clone)]
pub enum Event {
    /// One Opus packet, kept as it is.
    Packet(Packet),
    /// Media time with no audio. It is filled with concealment and recorded as a gap; neighbouring
    /// ones of one cause become one gap.
    Lost {
        /// How much media time.
        duration: Ticks,
        /// Why.
        cause: GapCause,
    },
}

impl Event {
    /// The media time it takes.
    #[must_use]
    pub fn duration(&self) -> Ticks {
        match self {
            Self::Packet(packet) => packet.duration,
            Self::Lost { duration, .. } => *duration,
        }
    }
}
