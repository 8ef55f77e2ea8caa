//! Where the next packet belongs, and whether that can be told yet.

use models::Ticks;

use super::clock::ticks;
use super::{BOUND, PACKET_MAX, Packet, Timeline, absent};

/// A packet that is this much later than the one before it is looked at closely, in ticks: most
/// jitter is less.
const SUDDEN: i64 = 100 * 48;
/// Over what time packets have to come for it to show whether they come faster than they were made,
/// in ticks.
const ENOUGH: i64 = 150 * 48;
/// For how long packets that come alone have to be as late as each other for it not to be delay, in
/// ticks.
const AGAIN: i64 = 48_000;
/// How much too early a packet may be, by what is known of its clock: the least delayed packets are
/// known better than this.
const EARLY: i64 = 200 * 48;

/// What stands before a packet.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place {
    /// By its timestamp.
    pub(super) advance: Ticks,
    /// By its arrival, because the source's clock jumped or stood still.
    pub(super) broken: Ticks,
    /// Whether media time was set by arrival.
    pub(super) is_jump: bool,
    /// How late it came, where that was sudden and it was taken for delayed, which the next ones have
    /// to show.
    pub(super) unsure: Option<i64>,
}

/// What the packets held tell of the first one.
struct Evidence {
    /// How late the least delayed of them is, if the first is placed by what is known.
    least: i64,
    /// Whether they come faster than they can have been made: they were delayed.
    catches_up: bool,
    /// Whether they reach far enough for that to show.
    is_enough: bool,
}

/// Whether two packets were as late as each other.
pub(super) fn is_alike(one: i64, other: i64) -> bool {
    (one - other).abs() <= SUDDEN
}

impl Timeline {
    /// Where `packet`, which was the first one held, belongs; `None`: that can be told better after
    /// some more have come.
    pub(super) fn place(&self, sequence: u64, packet: &Packet, must: bool) -> Option<Place> {
        let missing = sequence - self.next_sequence;
        let advance = self.advance(packet);
        let is_jump = !self.believes(advance, missing, packet);
        let advance = if is_jump { 0 } else { advance.max(0) };
        let length = Ticks(advance.unsigned_abs());
        let by_timestamp = Place { advance: length, is_jump, ..Place::default() };
        let late = self.late(packet, advance);
        if !is_jump && late - self.clock.last() <= SUDDEN {
            return Some(by_timestamp);
        }
        let Evidence { least, catches_up, is_enough } = self.evidence(packet, advance, late);
        if !is_jump && (least <= SUDDEN || catches_up) {
            return Some(Place { unsure: (least > SUDDEN).then_some(late), ..by_timestamp });
        }
        if !must {
            return None;
        }
        // A packet or two alone may have been delayed by anything but the worst. If one that comes
        // after a while is as late again, they were not.
        let again = self.unsure.is_some_and(|(before, since)| {
            is_alike(before, late) && ticks(self.position.saturating_sub(since)) >= AGAIN
        });
        if !is_jump && !is_enough && !again && late <= ticks(BOUND) {
            return Some(Place { unsure: Some(late), ..by_timestamp });
        }
        let usual = if is_jump { 0 } else { self.clock.usual() };
        let broken = absent(least - usual);
        Some(Place { broken, is_jump: true, ..by_timestamp })
    }

    /// How far `packet`'s timestamp is from the end of the last packet, in ticks.
    fn advance(&self, packet: &Packet) -> i64 {
        let units = packet.timestamp.wrapping_sub(self.next_timestamp) as i32;
        i64::from(units) * i64::from(self.unit)
    }

    /// How late `packet` is, if it stands `advance` after what was released.
    fn late(&self, packet: &Packet, advance: i64) -> i64 {
        self.clock.late(packet.arrival, self.position + packet.duration) - advance
    }

    /// Whether `packet` can be `advance` ticks after the last one, with `missing` ones between.
    fn believes(&self, advance: i64, missing: u64, packet: &Packet) -> bool {
        if advance <= 0 {
            // A small step back means that packets overlap: they are played one after the other.
            return advance >= -ticks(BOUND);
        }
        // All that is not audio together cannot be longer than the time that passed.
        let elapsed = self.clock.elapsed(packet.arrival);
        if ticks(self.filled) + advance > elapsed + ticks(BOUND) {
            return false;
        }
        let longest = missing.saturating_mul(PACKET_MAX.0).min(BOUND.0);
        let early = if self.clock.is_settled(packet.arrival) { EARLY } else { ticks(BOUND) };
        advance <= ticks(Ticks(longest)) || self.late(packet, advance) >= -early
    }

    /// Looks at what is held behind `first`, which is `late` if it stands `advance` after what was
    /// released.
    fn evidence(&self, first: &Packet, advance: i64, late: i64) -> Evidence {
        let mut found = Evidence { least: late, catches_up: false, is_enough: false };
        let mut others = 0;
        for packet in self.held.values() {
            let units = packet.timestamp.wrapping_sub(first.timestamp) as i32;
            let after = i64::from(units) * i64::from(self.unit);
            if !(0..=ticks(BOUND)).contains(&after) {
                continue;
            }
            let its = self.late(packet, advance + after);
            found.least = found.least.min(its);
            others += 1;
            found.is_enough |= after >= ENOUGH && others > 1;
            found.catches_up |= late - its >= SUDDEN.max(after / 2);
        }
        found
    }
}
