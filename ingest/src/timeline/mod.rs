//! RTP's sequence numbers and timestamps, and the times at which packets arrived → packets in order
//! at their media time (RFC 3550). Pure: what comes in are packets and `now`, what comes out is audio
//! and its absence.
//!
//! **Order.** Packets are released in sequence. A missing one is waited for until a later one has
//! been held for `HOLD` (or `HELD_MAX` packets are held); then it is lost, and should it come
//! after all, it is dropped and counted. The first packet is the beginning: older ones are late.
//!
//! **Place.** A packet's media time is where its timestamp says, not where its number says: packets
//! may last from 2.5 to 120 ms, and what is missing before one is exactly the timestamp's advance.
//! - Numbers skipped: [`GapCause::Loss`].
//! - No number skipped: the sender was silent on purpose (DTX; RFC 7587, section 3.1.3). That is
//!   `Output::Silence`, not a gap.
//! - An advance that numbers do not explain is believed only as far as the arrival clock agrees
//!   (see `BOUND`), and all that is not audio together cannot be longer than the time that passed.
//!   Otherwise the source's clock has jumped, forwards or backwards: the packet is placed where it
//!   arrived, and what lies between is [`GapCause::Broken`]. Audio that did arrive is never dropped
//!   for its timestamp.
//! - A source whose clock stands still now and then falls behind the arrival clock bit by bit; when
//!   that comes to more than `BOUND`, the same is done (see `clock`).
//!
//! **Skew** between the source's clock and ours is measured (`Timeline::drift`), not corrected.

mod clock;
#[cfg(test)]
mod property;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use models::{GapCause, Ticks};

use self::clock::{Clock, ticks};

/// How long a packet that came too early waits for those before it.
pub(crate) const HOLD: Duration = Duration::from_millis(120);
/// How many packets may wait: more than [`HOLD`] of the shortest (2.5 ms) ones.
pub(crate) const HELD_MAX: usize = 64;
/// How far ahead a sequence number may be and still be of the same stream: `MAX_DROPOUT` of RFC
/// 3550, appendix A.1 (one minute of 20 ms packets).
const DROPOUT_MAX: i16 = 3000;
/// How far timestamps and arrival may disagree before the timestamp is not believed.
pub(crate) const BOUND: Ticks = Ticks::from_secs(2);
/// Absence found by the arrival clock alone is kept from this length on; below, it is jitter.
const ABSENCE_MIN: Ticks = Ticks::from_millis(100);
/// The longest packet that is accepted (G.711; RFC 3551, section 4.2): what one missing number can
/// explain.
const PACKET_MAX: Ticks = Ticks::from_millis(200);

/// One packet of audio as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packet {
    /// Its number, which wraps.
    pub sequence: u16,
    /// Its first sample's time on the source's clock, which wraps.
    pub timestamp: u32,
    /// How much media time it takes.
    pub duration: Ticks,
    /// When it arrived, on a monotonic clock with any origin.
    pub arrival: Duration,
    /// Its payload.
    pub data: Bytes,
}

/// What the timeline makes of the packets; the lengths add up to media time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Output {
    /// The next packet.
    Packet(Packet),
    /// The sender was silent on purpose for this long.
    Silence(Ticks),
    /// Nothing arrived for this stretch of media time.
    Lost {
        /// Its length; never zero.
        duration: Ticks,
        /// Why.
        cause: GapCause,
    },
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It is, or will be, in the output.
    Kept,
    /// It was there already.
    Duplicate,
    /// It came after its place was given up.
    Late,
    /// Its number is too far ahead to belong to the same run of numbers.
    Far,
}

/// Counts since the timeline began, for logs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Packets that came twice.
    pub duplicates: u64,
    /// Packets that came after their place was given up.
    pub late: u64,
    /// Numbers that never came, or came late.
    pub missing: u64,
    /// Times the source's clock jumped or stood still, and media time was set by arrival.
    pub jumps: u64,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Timeline {
    /// Ticks in one unit of the source's clock: 1 for Opus, 6 for 8 kHz.
    unit: u32,
    /// The next number to release, counted on beyond 16 bits.
    next_sequence: u64,
    /// The timestamp at which the last packet released ends.
    next_timestamp: u32,
    /// Media time given out so far.
    position: Ticks,
    /// How much of it was not audio.
    filled: Ticks,
    /// Packets that came too early, by number.
    held: BTreeMap<u64, Packet>,
    /// Which of the 128 numbers before `next_sequence` came: bit 0 is the newest.
    came: u128,
    clock: Clock,
    /// Media time by which the source has fallen behind, to be made up before the next packet.
    behind: Option<Ticks>,
    counts: Counts,
    output: VecDeque<Output>,
}

impl Timeline {
    /// A timeline that begins with `first`, whose source counts `unit` ticks of media time for one of
    /// its timestamps.
    pub(crate) fn new(first: Packet, unit: u32) -> Self {
        let mut timeline = Self {
            unit,
            next_sequence: u64::from(first.sequence) + (1 << 16),
            next_timestamp: first.timestamp,
            position: Ticks::ZERO,
            filled: Ticks::ZERO,
            held: BTreeMap::new(),
            came: 0,
            clock: Clock::new(first.arrival),
            behind: None,
            counts: Counts::default(),
            output: VecDeque::new(),
        };
        timeline.release(timeline.next_sequence, first);
        timeline
    }

    /// Goes on with a source that counts anew (another SSRC, or the same sender restarted). What was
    /// held is released; media time between is what arrival says ([`GapCause::SourceAway`]).
    pub(crate) fn restart(&mut self, first: Packet, unit: u32) {
        self.flush();
        let absence = self.clock.late(first.arrival, self.position);
        self.lost(absent(absence), GapCause::SourceAway);
        self.behind = None;
        self.unit = unit;
        self.next_sequence = u64::from(first.sequence) + (1 << 16);
        self.next_timestamp = first.timestamp;
        self.came = 0;
        self.release(self.next_sequence, first);
    }

    /// Takes a packet. Time is the packet's arrival; it must not go back from call to call.
    pub(crate) fn push(&mut self, packet: Packet) -> Taken {
        self.poll(packet.arrival);
        // Wraps: the difference of the low 16 bits is the distance, as long as it is under 2^15.
        let ahead = packet.sequence.wrapping_sub(self.next_sequence as u16) as i16;
        if ahead < 0 {
            return self.too_late(ahead.unsigned_abs());
        }
        if ahead > DROPOUT_MAX {
            return Taken::Far;
        }
        let sequence = self.next_sequence + u64::from(ahead.unsigned_abs());
        if ahead == 0 {
            self.release(sequence, packet);
            self.release_run();
            return Taken::Kept;
        }
        if self.held.contains_key(&sequence) {
            self.counts.duplicates += 1;
            return Taken::Duplicate;
        }
        self.held.insert(sequence, packet);
        if self.held.len() > HELD_MAX {
            self.skip();
        }
        Taken::Kept
    }

    /// Gives up waiting for packets whose time is over.
    pub(crate) fn poll(&mut self, now: Duration) {
        while self.next_deadline().is_some_and(|deadline| deadline <= now) {
            self.skip();
        }
    }

    /// When [`Self::poll`] next has something to do, unless a packet comes before.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        self.held.values().map(|packet| packet.arrival + HOLD).min()
    }

    /// Releases everything held, whatever is missing between.
    pub(crate) fn flush(&mut self) {
        while !self.held.is_empty() {
            self.skip();
        }
    }

    /// The next piece of media time that is ready.
    pub(crate) fn output(&mut self) -> Option<Output> {
        self.output.pop_front()
    }

    /// How far the source's clock has run slow (positive) or fast (negative) against ours since the
    /// beginning, in microseconds.
    pub(crate) fn drift(&self) -> i64 {
        self.clock.drift()
    }

    /// What was counted.
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    fn too_late(&mut self, behind: u16) -> Taken {
        let bit = u32::from(behind) - 1;
        if bit < u128::BITS && self.came >> bit & 1 == 1 {
            self.counts.duplicates += 1;
            return Taken::Duplicate;
        }
        self.counts.late += 1;
        Taken::Late
    }

    /// Gives up what is missing before the first packet held.
    fn skip(&mut self) {
        if let Some((sequence, packet)) = self.held.pop_first() {
            self.release(sequence, packet);
            self.release_run();
        }
    }

    /// Releases what follows without a hole.
    fn release_run(&mut self) {
        while let Some(packet) = self.held.remove(&self.next_sequence) {
            self.release(self.next_sequence, packet);
        }
    }

    fn release(&mut self, sequence: u64, packet: Packet) {
        if let Some(behind) = self.behind.take() {
            self.counts.jumps += 1;
            self.lost(behind, GapCause::Broken);
        }
        let missing = sequence - self.next_sequence;
        self.counts.missing += missing;
        self.place(missing, &packet);
        self.behind = self.clock.heard(packet.arrival, self.position);

        let shift = u32::try_from(missing + 1).unwrap_or(u32::MAX);
        self.came = self.came.checked_shl(shift).unwrap_or(0) | 1;
        self.next_sequence = sequence + 1;
        let units = (packet.duration.0 / u64::from(self.unit)) as u32;
        self.next_timestamp = packet.timestamp.wrapping_add(units);
        self.position += packet.duration;
        self.output.push_back(Output::Packet(packet));
    }

    /// Brings media time to where `packet` belongs.
    fn place(&mut self, missing: u64, packet: &Packet) {
        let units = packet.timestamp.wrapping_sub(self.next_timestamp) as i32;
        let advance = i64::from(units) * i64::from(self.unit);
        if advance == 0 {
            return;
        }
        if !self.believed(advance, missing, packet.arrival) {
            self.counts.jumps += 1;
            let absence = self.clock.late(packet.arrival, self.position);
            return self.lost(absent(absence), GapCause::Broken);
        }
        // A small step back means that packets overlap: they are played one after the other.
        let duration = Ticks(u64::try_from(advance).unwrap_or(0));
        if missing > 0 {
            self.lost(duration, GapCause::Loss);
        } else if duration > Ticks::ZERO {
            self.fill(duration, Output::Silence(duration));
        }
    }

    /// Whether a packet that arrived at `arrival` can be `advance` ticks after the last one, with
    /// `missing` ones between.
    fn believed(&self, advance: i64, missing: u64, arrival: Duration) -> bool {
        // All that is not audio together cannot be longer than the time that passed.
        if ticks(self.filled) + advance > self.clock.elapsed(arrival) + ticks(BOUND) {
            return false;
        }
        let longest = missing.saturating_mul(PACKET_MAX.0).min(BOUND.0);
        if advance > 0 && advance <= ticks(Ticks(longest)) {
            return true;
        }
        (self.clock.late(arrival, self.position) - advance).abs() <= ticks(BOUND)
    }

    fn lost(&mut self, duration: Ticks, cause: GapCause) {
        if duration > Ticks::ZERO {
            self.fill(duration, Output::Lost { duration, cause });
        }
    }

    fn fill(&mut self, duration: Ticks, output: Output) {
        self.position += duration;
        self.filled += duration;
        self.output.push_back(output);
    }
}

/// Absence by the arrival clock, unless it is jitter.
fn absent(late: i64) -> Ticks {
    let late = Ticks(u64::try_from(late).unwrap_or(0));
    if late < ABSENCE_MIN { Ticks::ZERO } else { late }
}
