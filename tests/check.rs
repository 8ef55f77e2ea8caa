//! The comparison that `make chaos`, `make soak` and [`crate::outage`] rest on finds what it is to find.

use models::{Gap, GapCause, Ticks};

use crate::support::check::{Check, Fate, Found, Kind, Limits, Outage, PACKET, Sent};
use crate::support::random::Random;
use crate::support::rig::LIMITS;
use crate::support::voice::Voice;

const VOICE: Voice = Voice::new(7);
const COUNT: u32 = 500;

/// What was sent to a room and what was kept of it: packets or concealment, with their length.
struct Story {
    fates: Vec<Fate>,
    outages: Vec<Outage>,
    kept: Vec<(Vec<u8>, Ticks)>,
    gaps: Vec<Gap>,
    limits: Limits,
}

impl Story {
    /// Everything was kept.
    fn whole() -> Self {
        let kept = (0..COUNT).map(|index| (VOICE.packet(index), PACKET)).collect();
        let fates = vec![Fate::Received; COUNT as usize];
        Self { fates, outages: Vec::new(), kept, gaps: Vec::new(), limits: LIMITS }
    }

    /// Packets are missing, as many as `fill` conceals; `cause` is declared.
    fn without(missing: std::ops::Range<usize>, fill: usize, cause: Option<GapCause>) -> Self {
        let mut story = Self::whole();
        let start = Ticks(PACKET.0 * missing.start as u64);
        let conceal = (vec![VOICE.packet(0)[0] & 0xFC], PACKET);
        story.kept.splice(missing, vec![conceal; fill]);
        let duration = Ticks(PACKET.0 * fill as u64);
        let gap = |cause| Gap { start, duration, wall_us: duration.as_micros(), cause };
        story.gaps.extend(cause.map(gap));
        story
    }

    /// The server was killed and nobody listened until `to`; what is missing before was received.
    fn killed(mut self, from: u32, to: u32) -> Self {
        self.outages.push(Outage { from, to, kind: Kind::Killed });
        self.fates[from as usize..to as usize].fill(Fate::Refused);
        self
    }

    fn found(&self) -> Found {
        let sent = Sent { voice: VOICE, fates: &self.fates, outages: &self.outages };
        let mut check = Check::new(sent, &self.gaps, self.limits);
        let mut at = Ticks::ZERO;
        for (packet, duration) in &self.kept {
            check.packet(at, packet, *duration);
            at += *duration;
        }
        check.finish()
    }

    /// The first complaint, which is there.
    fn complaint(&self) -> String {
        let found = self.found();
        found.complaints.into_iter().next().expect("something is wrong")
    }
}

#[test]
fn what_is_whole_is_found_whole() {
    let found = Story::whole().found();
    assert_eq!(found.complaints, [""; 0]);
    assert_eq!((found.kept, found.gaps, found.media_off), (COUNT, 0, 0));
}

#[test]
fn packets_say_which_they_are() {
    for index in [0, 1, 4_998, 5_000, u32::MAX] {
        let packet = VOICE.packet(index);
        assert_eq!(VOICE.index(&packet), Some(index));
        assert_eq!(Voice::new(8).index(&packet), None);
        assert_eq!(archive::opus::duration(&packet), Ok(PACKET));
        for byte in 0..packet.len() {
            let mut altered = packet.clone();
            altered[byte] ^= 1;
            assert_eq!(VOICE.index(&altered), None, "byte {byte} of packet {index}");
        }
    }
}

#[test]
fn each_kind_of_damage_is_found() {
    let mut altered = Story::whole();
    altered.kept[100].0[20] ^= 4;
    assert!(altered.complaint().contains("never sent"), "{}", altered.complaint());
    let mut swapped = Story::whole();
    swapped.kept.swap(100, 101);
    assert!(swapped.found().complaints.iter().any(|what| what.contains("stands after")));
    let mut twice = Story::whole();
    twice.kept.insert(100, twice.kept[100].clone());
    assert!(twice.complaint().contains("packet 100 stands after packet 100"));
    let mut foreign = Story::whole();
    foreign.kept[100].0 = Voice::new(8).packet(100);
    assert!(foreign.complaint().contains("never sent"));
    let mut longer = Story::whole();
    longer.kept[100].1 = Ticks(1920);
    assert!(longer.complaint().contains("1920 ticks"));

    // Gone, with and without something in its place, and with a gap that has no cause.
    for (fill, cause) in [(0, None), (1, None), (1, Some(GapCause::Loss))] {
        let story = Story::without(100..101, fill, cause);
        assert!(story.complaint().contains("1 packets from 100 on were lost"), "{cause:?}");
    }
    let mut head = Story::whole();
    head.kept.drain(..3);
    assert!(head.complaint().contains("3 packets from 0 on were lost"));
    let mut tail = Story::whole();
    tail.kept.truncate(490);
    assert!(tail.complaint().contains("10 packets from 490 on were lost"));
}

#[test]
fn what_was_lost_on_the_way_must_be_declared() {
    let lost = |fill, cause| {
        let mut story = Story::without(100..105, fill, cause);
        story.fates[100..105].fill(Fate::Dropped);
        story
    };
    let found = lost(5, Some(GapCause::Loss)).found();
    assert_eq!(found.complaints, [""; 0]);
    assert_eq!((found.kept, found.gaps, found.gap_off), (COUNT - 5, 1, 0));
    assert!(lost(5, None).complaint().contains("no gap says so"));
    assert!(lost(0, None).complaint().contains("0 ms for 100 ms"));
    assert!(lost(5, Some(GapCause::Down)).complaint().contains("by Down"));
    assert!(lost(9, Some(GapCause::Loss)).complaint().contains("180 ms for 100 ms"));
    // A gap beside the hole.
    let mut beside = lost(5, Some(GapCause::Loss));
    beside.gaps[0].start = Ticks(beside.gaps[0].start.0 + 200 * PACKET.0);
    assert!(beside.found().complaints.iter().any(|what| what.contains("within a gap")));
}

#[test]
fn what_a_kill_cost_is_counted_and_bounded() {
    let killed = |lost: usize| {
        let missing = 200 - lost..230;
        let fill = missing.len();
        Story::without(missing, fill, Some(GapCause::Down)).killed(200, 230)
    };
    let found = killed(12).found();
    assert_eq!(found.complaints, [""; 0]);
    assert_eq!(found.lost, [Ticks::from_millis(240)]);
    let complaint = killed(51).complaint();
    assert!(complaint.contains("an outage cost 1020 ms"), "{complaint}");

    // Two kills with nothing kept between: each bears what was received before it.
    let fill = 60;
    let mut twice = Story::without(190..250, fill, Some(GapCause::Down)).killed(200, 220);
    twice = twice.killed(235, 250);
    let found = twice.found();
    assert_eq!(found.complaints, [""; 0]);
    assert_eq!(found.lost, [Ticks::from_millis(200), Ticks::from_millis(300)]);
    // Lost long after it was over.
    let late = Story::without(400..410, 10, Some(GapCause::Down)).killed(200, 201);
    assert!(late.found().complaints.iter().any(|what| what.contains("10 packets from 400")));
}

#[test]
fn chance_is_the_same_again() {
    let [one, two] = [(); 2].map(|()| {
        let mut random = Random::new(42);
        [random.next(), random.below(10), u64::from(random.chance(500))]
    });
    assert_eq!(one, two);
}
