//! RTP's sequence numbers and timestamps, and the times at which packets arrived → packets in order
//! at their media time (RFC 3550). Pure: what comes in are packets and `now`, what comes out is audio
//! and its absence.
//!
//! **Order.** Packets are released in sequence. A missing one is waited for until a later one has
//! been held for `HOLD` (or `HELD_MAX` packets are held); then it is lost, and should it come
//! after all, it is dropped and counted. The first packet is the beginning: older ones are late.
//! Time passes in `Timeline::poll` only, so that a caller that stood still first hands over what
//! waited, and nothing of that is given up.
//!
//! **Place.** A packet's media time is where its timestamp says, not where its number says: packets
//! may last from 2.5 to 120 ms, and what is missing before one is exactly the timestamp's advance.
//! - Numbers skipped: [`GapCause::Loss`].
//! - No number skipped: the sender was silent on purpose (DTX; RFC 7587, section 3.1.3). That is
//!   `Output::Silence`, not a gap.
//! - An advance that numbers do not explain is believed only where arrival agrees (a packet cannot
//!   come before its time), and all that is not audio together cannot be longer than the time that
//!   passed. Otherwise the source's clock has jumped: the packet is placed where it arrived.
//! - More time than the timestamps say has passed, all at once: either the network held everything
//!   back, and the rest comes the faster for it, or the source's clock stood still. For `WATCH` the
//!   packet is held to see which; the lengths that a clock stood still or jumped over are
//!   [`GapCause::Broken`].
//! - A source whose clock stands still too shortly to be seen, again and again, falls behind bit by
//!   bit; when that comes to more than `BOUND`, it is made up for in the same way (see `clock`).
//!
//! Audio that did arrive is never dropped for its timestamp.
//!
//! **Skew** between the source's clock and ours is measured by the least delayed packets, told by
//! the times that packets carry when they come out, and taken up where there is no audio: an absence
//! is made longer or shorter by at most half. Words are neither dropped nor stretched
//! (docs/decisions/011).
//!
//! **Memory**: at most `HELD_MAX` packets are held, whatever comes.

mod clock;
#[cfg(test)]
mod model;
#[cfg(test)]
mod property;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use models::{GapCause, Ticks};

use self::clock::{Clock, ticks};
use self::watch::Place;

/// How long a packet that came too early waits for those before it.
pub(crate) const HOLD: Duration = Duration::from_millis(120);
/// For how long a packet that came suddenly late is held, to see whether the source's clock stood
/// still or the network was slow.
pub(crate) const WATCH: Duration = Duration::from_millis(400);
/// How many packets may wait: more than [`HOLD`] of the shortest (2.5 ms) ones.
pub(crate) const HELD_MAX: usize = 64;
/// How far ahead a sequence number may be and still be of the same stream: `MAX_DROPOUT` of RFC
/// 3550, appendix A.1 (one minute of 20 ms packets).
const DROPOUT_MAX: i16 = 3000;
/// How far timestamps and arrival may disagree while nothing certain is known.
pub(crate) const BOUND: Ticks = Ticks::from_secs(2);
/// Absence found by arrival is kept from this length on; below, it is jitter.
const ABSENCE_MIN: i64 = 10 * 48;
/// Absence found by arrival comes in steps of Opus' shortest frame, in ticks.
const STEP: i64 = 120;
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
    /// When it arrived, on a monotonic clock with any origin. In the output: when it would have, had
    /// nothing delayed it; its end's time on that clock, steady from packet to packet.
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
    /// Its number, or its number and its timestamp, do not belong to this run of numbers.
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
    /// Packets that came too early or are watched, by number.
    held: BTreeMap<u64, Packet>,
    /// The first of them is watched until then.
    watched: Option<Duration>,
    /// How late the last packets released came, which were taken for delayed without being sure, and
    /// the place of the first.
    unsure: Option<(i64, Ticks)>,
    /// Which of the 128 numbers before `next_sequence` came: bit 0 is the newest.
    came: u128,
    clock: Clock,
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
            watched: None,
            unsure: None,
            came: 0,
            clock: Clock::new(first.arrival, first.duration),
            counts: Counts::default(),
            output: VecDeque::new(),
        };
        timeline.release(timeline.next_sequence, first, Place::default());
        timeline
    }

    /// Goes on with a source that counts anew (another SSRC, or the same sender restarted). What was
    /// held is released; media time between is what arrival says ([`GapCause::SourceAway`]).
    pub(crate) fn restart(&mut self, first: Packet, unit: u32) {
        self.flush();
        let late = self.clock.late(first.arrival, self.position + first.duration);
        self.absence(absent(late), Some(GapCause::SourceAway), first.arrival);
        self.unit = unit;
        self.next_sequence = u64::from(first.sequence) + (1 << 16);
        self.next_timestamp = first.timestamp;
        self.came = 0;
        self.release(self.next_sequence, first, Place::default());
    }

    /// Takes a packet. Lets no time pass: packets that waited unread come before [`Self::poll`].
    pub(crate) fn push(&mut self, packet: Packet) -> Taken {
        // Wraps: the difference of the low 16 bits is the distance, as long as it is under 2^15.
        let ahead = packet.sequence.wrapping_sub(self.next_sequence as u16) as i16;
        if ahead < 0 {
            return self.too_late(ahead.unsigned_abs(), packet.timestamp);
        }
        if ahead > DROPOUT_MAX {
            return Taken::Far;
        }
        let sequence = self.next_sequence + u64::from(ahead.unsigned_abs());
        if self.held.contains_key(&sequence) {
            self.counts.duplicates += 1;
            return Taken::Duplicate;
        }
        if self.held.first_key_value().is_some_and(|(first, _)| sequence < *first) {
            self.watched = None;
        }
        self.held.insert(sequence, packet);
        self.release_run();
        if self.held.len() > HELD_MAX {
            self.release_first(true);
            self.release_run();
        }
        Taken::Kept
    }

    /// Gives up waiting for packets whose time is over.
    pub(crate) fn poll(&mut self, now: Duration) {
        while self.next_deadline().is_some_and(|deadline| deadline <= now) {
            self.release_first(self.watched.is_some());
            self.release_run();
        }
    }

    /// When [`Self::poll`] next has something to do, unless a packet comes before.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        let oldest = || self.held.values().map(|packet| packet.arrival + HOLD).min();
        self.watched.or_else(oldest)
    }

    /// Releases everything held, whatever is missing between.
    pub(crate) fn flush(&mut self) {
        while !self.held.is_empty() {
            self.release_first(true);
        }
    }

    /// The next piece of media time that is ready.
    pub(crate) fn output(&mut self) -> Option<Output> {
        self.output.pop_front()
    }

    /// How far the source's clock has run slow (positive) or fast (negative) against ours since the
    /// beginning, in microseconds, whether that was taken up or not.
    pub(crate) fn drift(&self) -> i64 {
        self.clock.drift()
    }

    /// What was counted.
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// A packet `behind` numbers before the next one: of this run, or of one that begins anew.
    fn too_late(&mut self, behind: u16, timestamp: u32) -> Taken {
        let bit = u32::from(behind) - 1;
        if bit < u128::BITS && self.came >> bit & 1 == 1 {
            self.counts.duplicates += 1;
            return Taken::Duplicate;
        }
        let units = self.next_timestamp.wrapping_sub(timestamp) as i32;
        let before = i64::from(units) * i64::from(self.unit);
        // So many numbers take so much time at least.
        let least = i64::from(behind) * STEP;
        if before < least || before > ticks(BOUND) {
            return Taken::Far;
        }
        self.counts.late += 1;
        Taken::Late
    }

    /// Releases what follows without a hole.
    fn release_run(&mut self) {
        while self.held.first_key_value().is_some_and(|(first, _)| *first == self.next_sequence) {
            if !self.release_first(false) {
                return;
            }
        }
    }

    /// Releases the first packet held, giving up what is missing before it. Not where it is better
    /// watched for a while, unless it must go. Whether it did.
    fn release_first(&mut self, must: bool) -> bool {
        let Some((sequence, packet)) = self.held.pop_first() else { return false };
        let behind = self.clock.tick(packet.arrival);
        if let Some(behind) = behind {
            self.counts.jumps += 1;
            self.absence(behind, Some(GapCause::Broken), packet.arrival);
        }
        let place = self.place(sequence, &packet, must);
        match place {
            Some(place) => self.release(sequence, packet, place),
            None => {
                self.watched.get_or_insert(packet.arrival + WATCH);
                self.held.insert(sequence, packet);
            }
        }
        place.is_some()
    }

    fn release(&mut self, sequence: u64, packet: Packet, place: Place) {
        let missing = sequence - self.next_sequence;
        self.counts.missing += missing;
        self.counts.jumps += u64::from(place.is_jump);
        self.absence(place.advance, (missing > 0).then_some(GapCause::Loss), packet.arrival);
        self.absence(place.broken, Some(GapCause::Broken), packet.arrival);
        self.clock.heard(packet.arrival, self.position + packet.duration, place.unsure.is_some());

        self.watched = None;
        self.unsure = place.unsure.map(|late| match self.unsure {
            Some((before, since)) if watch::is_alike(before, late) => (before, since),
            _ => (late, self.position),
        });
        let shift = u32::try_from(missing + 1).unwrap_or(u32::MAX);
        self.came = self.came.checked_shl(shift).unwrap_or(0) | 1;
        self.next_sequence = sequence + 1;
        let units = (packet.duration.0 / u64::from(self.unit)) as u32;
        self.next_timestamp = packet.timestamp.wrapping_add(units);
        self.position += packet.duration;
        let arrival = self.clock.due(self.position);
        self.output.push_back(Output::Packet(Packet { arrival, ..packet }));
    }

    /// Media time in which there is no audio, with the drift that it can take up; without a cause it
    /// is silence on purpose. All such time together is not longer than the time that passed until
    /// `now`.
    fn absence(&mut self, length: Ticks, cause: Option<GapCause>, now: Duration) {
        let room = self.clock.elapsed(now) + ticks(BOUND) - ticks(self.filled);
        let room = u64::try_from(room).unwrap_or(0);
        let length = Ticks(length.0.min(room));
        if length == Ticks::ZERO {
            return;
        }
        let longer = length.0.saturating_add_signed(self.clock.take_up(length));
        let duration = Ticks(longer.min(room));
        self.position += duration;
        self.filled += duration;
        self.output.push_back(match cause {
            Some(cause) => Output::Lost { duration, cause },
            None => Output::Silence(duration),
        });
    }
}

/// Absence by arrival, unless it is jitter, in whole [`STEP`]s.
fn absent(late: i64) -> Ticks {
    let late = if late < ABSENCE_MIN { 0 } else { late / STEP * STEP };
    Ticks(u64::try_from(late).unwrap_or(0))
}

/// When the first of `packets`, which are one run in order, would have arrived, had it been delayed no
/// more than the least delayed of them: what a timeline should begin with, or begin anew.
pub(crate) fn undelayed(packets: &VecDeque<Packet>, unit: u32) -> Option<Duration> {
    let first = packets.front()?;
    let would_have = |packet: &Packet| {
        let units = packet.timestamp.wrapping_sub(first.timestamp);
        let end = Ticks(u64::from(units) * u64::from(unit)) + packet.duration;
        let after = end.checked_sub(first.duration).filter(|after| *after <= BOUND)?;
        packet.arrival.checked_sub(Duration::from_micros(after.as_micros().unsigned_abs()))
    };
    packets.iter().filter_map(would_have).min()
}
