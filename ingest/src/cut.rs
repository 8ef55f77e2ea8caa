//! Packets to fragments to chunks. Pure: packets in, [`Cut`]s out.
//!
//! A fragment is closed at 0.5 s of media time, so that a live stream is durable within a second,
//! slow syncs included, and eight fragments of 20 ms packets make a chunk of exactly 4 s; [`Cutter::flush`] closes it
//! earlier. A chunk is closed with the first fragment that takes it to 4 s (so that it has less
//! than 5 s), or with its 64th fragment. Media time is the exact sum of the packets' lengths.
//!
//! Gaps travel with the fragment in which they begin and once more with the first fragment of each
//! further chunk they reach into, so that each chunk's gaps can be told from that chunk alone:
//! [`clip`] takes off what reaches beyond its end.

use archive::Packet;
use archive::cmaf::{FRAGMENTS_PER_CHUNK, Fragment, fragment_seq};
use models::{Gap, Ticks, WallMicros};

/// A fragment is closed before it would be longer.
pub const FRAGMENT: Ticks = Ticks::from_millis(500);
/// A chunk is closed once it is as long.
pub const CHUNK: Ticks = Ticks::from_secs(4);

/// What is to be done on disk, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cut {
    /// Append a fragment to a chunk. Its gaps must be durable before it is.
    Fragment {
        /// The chunk.
        chunk: u32,
        /// What to append.
        fragment: Fragment,
        /// Gaps that begin in it, or reach into this chunk with it.
        gaps: Vec<Gap>,
    },
    /// Note a gap without length that stands before the chunk's first fragment.
    Note {
        /// The chunk to come.
        chunk: u32,
        /// The gap.
        gap: Gap,
    },
    /// The chunk is complete.
    Seal {
        /// The chunk.
        chunk: u32,
    },
}

/// Cuts one recording.
#[derive(Debug)]
pub struct Cutter {
    /// The chunk being written, and what it has so far without the open fragment.
    chunk: u32,
    fragments: u32,
    length: Ticks,
    /// End of everything taken so far.
    end: Ticks,
    open: Option<Open>,
    /// Gaps that reach beyond `end`, or into the open fragment and not yet handed out.
    gaps: Vec<Gap>,
}

#[derive(Debug)]
struct Open {
    start: Ticks,
    wall: WallMicros,
    packets: Vec<Packet>,
}

impl Cutter {
    /// Goes on with `chunk`, of which nothing is written yet, at media time `at`.
    #[must_use]
    pub fn new(chunk: u32, at: Ticks) -> Self {
        let (fragments, length) = (0, Ticks::ZERO);
        Self { chunk, fragments, length, end: at, open: None, gaps: Vec::new() }
    }

    /// End of everything taken so far.
    #[must_use]
    pub fn end(&self) -> Ticks {
        self.end
    }

    /// Whether packets wait for their fragment to be closed.
    #[must_use]
    pub fn has_tail(&self) -> bool {
        self.open.is_some()
    }

    /// Takes the next packet, whose first sample was heard at `wall`.
    pub fn packet(&mut self, packet: Packet, wall: WallMicros, out: &mut impl Extend<Cut>) {
        let length = packet.duration;
        if self.open_length() + length > FRAGMENT {
            self.flush(out);
        }
        let start = self.end;
        let new = || Open { start, wall, packets: Vec::new() };
        self.open.get_or_insert_with(new).packets.push(packet);
        self.end += length;
        if self.open_length() >= FRAGMENT {
            self.flush(out);
        }
    }

    /// Announces a gap of some length that begins here; the packets that fill it follow.
    pub fn gap(&mut self, gap: Gap) {
        self.gaps.push(gap);
    }

    /// Notes a gap without length: media time stood still. Closes the chunk before it.
    pub fn pause(&mut self, gap: Gap, out: &mut impl Extend<Cut>) {
        self.seal(out);
        out.extend([Cut::Note { chunk: self.chunk, gap }]);
    }

    /// Closes the open fragment.
    pub fn flush(&mut self, out: &mut impl Extend<Cut>) {
        let Some(open) = self.open.take() else { return };
        let gaps = self.gaps_of_fragment(open.start);
        let fragment = Fragment {
            seq: fragment_seq(self.chunk, self.fragments),
            start: open.start,
            wall: open.wall,
            packets: open.packets,
        };
        self.length += self.end.saturating_sub(open.start);
        self.fragments += 1;
        out.extend([Cut::Fragment { chunk: self.chunk, fragment, gaps }]);
        if self.length >= CHUNK || self.fragments == FRAGMENTS_PER_CHUNK {
            self.seal(out);
        }
    }

    /// Closes the open fragment and the chunk.
    pub fn seal(&mut self, out: &mut impl Extend<Cut>) {
        self.flush(out);
        if self.fragments > 0 {
            out.extend([Cut::Seal { chunk: self.chunk }]);
            (self.chunk, self.fragments, self.length) = (self.chunk + 1, 0, Ticks::ZERO);
        }
    }

    fn open_length(&self) -> Ticks {
        self.open.as_ref().map_or(Ticks::ZERO, |open| self.end.saturating_sub(open.start))
    }

    /// Gaps to hand out with the fragment from `start` to `end`: those that begin in it, and, where
    /// it is its chunk's first, those that reach into it.
    fn gaps_of_fragment(&mut self, start: Ticks) -> Vec<Gap> {
        let first = self.fragments == 0;
        let end = self.end;
        let here = self.gaps.iter().filter(|gap| gap.start < end);
        let told = here.filter(|gap| first || gap.start >= start).map(|gap| from(*gap, start));
        let told = told.collect();
        self.gaps.retain(|gap| gap.start + gap.duration > end);
        told
    }
}

/// The part of a gap at and after `start`. What its wall clock has beyond its length stays with the
/// part that has its beginning.
fn from(gap: Gap, start: Ticks) -> Gap {
    if gap.start >= start {
        return gap;
    }
    let duration = (gap.start + gap.duration).saturating_sub(start);
    Gap { start, duration, wall_us: duration.as_micros(), cause: gap.cause }
}

/// What of a chunk's noted gaps is in the chunk, which ends at `end`: the rest of a gap is noted
/// again with the next chunk, or was never written. Neighbours of one cause become one.
#[must_use]
pub fn clip(gaps: &[Gap], end: Ticks) -> Vec<Gap> {
    let here = gaps.iter().filter(|gap| gap.start < end).map(|gap| {
        let over = (gap.start + gap.duration).saturating_sub(end);
        let duration = gap.duration.saturating_sub(over);
        Gap { duration, wall_us: gap.wall_us.saturating_sub(over.as_micros()), ..*gap }
    });
    Gap::joined(here.collect())
}

#[cfg(test)]
mod tests;
