//! What strangers may take of us, and what their bytes may claim.
//!
//! A connection, Icecast ([`tap::icecast`](crate::tap::icecast)):
//!
//! | Bound | Beyond it |
//! |---|---|
//! | places, and connections of one address ([`models::doors`]) | the longest silent make way, sources never; else 503 |
//! | 10 s for a head, 16 KiB, 64 fields | 408, 431 |
//! | 10 s to take an answer; 1 MiB and 2 s to read it while still sending | closed |
//! | a line between chunks: 1 KiB; trailers: 16 KiB; a chunk may be of any size, it is passed on in pieces of 16 KiB | dropped |
//! | no audio for the room's grace time (5 s at least), whatever else comes | dropped |
//! | less than a hundredth of the audio there is time, measured over a minute | dropped |
//!
//! It holds what it has sent of its head, then at most 16 KiB that were read and have not been passed
//! on; where it is decoded, the thread's 64 KiB of input, its decoder, and 16 batches of packets. The
//! socket is read only as fast as the room's audio is kept.
//!
//! A body or a file (`B`: bytes read of it so far):
//!
//! | Bound | Beyond it |
//! |---|---|
//! | audio and gaps it may claim: 10 min + 100 ms × `B` ([`Credit`]) | gaps are not believed; audio is refused |
//! | Ogg: 64 KiB of packet; broken pages checked for 1 MiB + 4 × `B` in all, 64 in a row | refused |
//! | Ogg: one jump of the position: 10 min | not believed |
//! | bytes that give no packet: 8 MiB of a stream, 64 MiB of a file | refused |
//! | one coded packet: 4 MiB; 1 Mi samples in one go; 64 channels; 4 to 384 kHz | refused |
//! | a Vorbis header's code books: 16 MiB of memory | refused |
//! | changes of rate or channels: 16 + `B` / 16 KiB | refused |
//! | undecodable packets in a row: 50 | refused |
//! | MP4 edit lists: 64 MiB of movie box, 10,000 boxes | not looked at |
//!
//! A decoder that panics is an error of its input, told as such: never a shorter recording in silence.
//! RTP ([`tap::rtp`](crate::tap::rtp)) has bounds of its own: a datagram is 64 KiB at most, and what
//! waits to be put in order has a fixed number of places. HTTP's are told in `api`'s `listen`.

use models::Ticks;

/// What is believed of any input, however short.
const FREE: Ticks = Ticks::from_secs(600);
/// What is believed for each byte. The most that honest audio has is Opus in packets of 120 ms, of
/// which each takes a byte and a length: 60 ms.
const PER_BYTE: Ticks = Ticks::from_millis(100);

/// How much media time an input may still claim.
///
/// A few bytes can say that hours were silent: gaps in a granule position or a timestamp, FLAC frames
/// of one value. Whoever lets them multiplies storage and work without end.
#[derive(Debug, Clone)]
pub struct Credit(Ticks);

impl Default for Credit {
    fn default() -> Self {
        Self(FREE)
    }
}

impl Credit {
    /// Bytes came in.
    pub fn earn(&mut self, bytes: u64) {
        self.0 = Ticks(self.0.0.saturating_add(bytes.saturating_mul(PER_BYTE.0)));
    }

    /// Media time is claimed; false where there is no credit for it, which is then left as it is.
    #[must_use]
    pub fn spend(&mut self, claimed: Ticks) -> bool {
        let left = self.0.0.checked_sub(claimed.0);
        self.0 = left.map_or(self.0, Ticks);
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_claimed_must_have_been_paid_for() {
        let mut credit = Credit::default();
        assert!(credit.spend(FREE) && !credit.spend(Ticks(1)));
        credit.earn(10);
        assert!(!credit.spend(Ticks::from_millis(1_001)));
        assert!(credit.spend(Ticks::from_millis(1_000)) && !credit.spend(Ticks(1)));
        credit.earn(u64::MAX);
        assert!(credit.spend(Ticks(u64::MAX)));
    }
}
