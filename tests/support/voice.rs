//! What a room says: the bundled conversation over and over, each packet marked as the one it is.
//!
//! The mark stands in the packet's padding (RFC 6716, section 3.2.5), which decoders leave alone: the
//! packet is heard as ever, and whoever finds it knows whose it is and what all of it must be.

use std::sync::LazyLock;

use super::{data, media};

/// Room and number.
const MARK: usize = 6;

/// The conversation's packets: one frame of 20 ms each, with its TOC.
static CONVERSATION: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let packets = media::ogg_packets(&data("conversation.opus"));
    assert!(packets.iter().all(|packet| packet[0] & 3 == 0), "one frame a packet");
    packets
});

/// The voice of a room.
#[derive(Debug, Clone, Copy)]
pub struct Voice {
    room: u16,
}

impl Voice {
    pub const fn new(room: u16) -> Self {
        Self { room }
    }

    /// Its packet of that number: 20 ms.
    pub fn packet(self, index: u32) -> Vec<u8> {
        let frame = &CONVERSATION[index as usize % CONVERSATION.len()];
        let (toc, coded) = (frame[0] | 3, &frame[1..]);
        // One frame, with padding of so many bytes.
        let mut packet = vec![toc, 0x41, MARK as u8];
        packet.extend(coded);
        packet.extend(self.room.to_be_bytes());
        packet.extend(index.to_be_bytes());
        packet
    }

    /// Which of its packets this is, to the last bit.
    pub fn index(self, packet: &[u8]) -> Option<u32> {
        let index = packet.last_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes))?;
        (self.packet(index) == packet).then_some(index)
    }
}
