//! The timeline against a sender and a network whose truth is known, for hours of their time.
//!
//! Truth is the wall clock at which each packet was spoken. Two errors are measured against it: that
//! of media time (a packet's place, from the first packet's), and that of the times that packets
//! carry when they come out, of which the recording's anchors are made.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::*;

mod anchored;
mod scenarios;
mod sender;

use sender::Sender;

/// The way of a packet that nothing delays, in µs.
const WAY: i64 = 20_000;

/// How many packets a new run of numbers has before it is believed.
const CANDIDATES: usize = 4;

/// Something that happens at the sender, or on the way, from time to time.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    /// Its timestamps jump by up to a day, and it says nothing for up to so many ms.
    Jump(u64),
    /// It begins anew, after up to so many ms: other numbers, timestamps and SSRC.
    Restart(u64),
    /// It sends nothing for so many ms, while its timestamps run; its numbers do too, or not.
    Stall { ms: u64, numbers_run: bool },
    /// It sends nothing for 0.2 s to so many ms, and its timestamps stand still.
    Freeze(u64),
    /// Nothing comes through for up to so many ms; then all of it at once.
    HoldUp(u64),
    /// We stand still for so many ms.
    Still(u64),
}

/// A sender and the network that it sends through.
#[derive(Debug, Clone)]
struct Scenario {
    name: &'static str,
    ppm: i64,
    /// Jitter, evenly from 0 to so many µs.
    jitter_us: u64,
    /// Lost packets, in a thousand; and how long a burst of them is on average.
    loss: u64,
    burst: u64,
    /// Packets that are up to 80 ms later than others, and those that come twice, in a thousand.
    reorder: u64,
    twice: u64,
    /// Whether it falls silent every now and then, with a sign of life every 400 ms.
    dtx: bool,
    /// The packets' lengths in ms, of which each is as likely.
    lengths: &'static [u64],
    unit: u32,
    /// What happens, each so many seconds.
    faults: &'static [(u64, Fault)],
    /// How far media time may be off, in µs; where there is nothing to take drift up in it is.
    allowed_us: Option<i64>,
}

const PLAIN: Scenario = Scenario {
    name: "nothing wrong",
    ppm: 0,
    jitter_us: 30_000,
    loss: 0,
    burst: 1,
    reorder: 0,
    twice: 0,
    dtx: false,
    lengths: &[20],
    unit: 1,
    faults: &[],
    allowed_us: Some(40_000),
};

/// Why there may be something before a packet.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Why {
    silent: bool,
    broken: bool,
    restarted: bool,
}

/// A packet as it was sent.
#[derive(Debug, Clone, Copy)]
struct Sent {
    /// When its first sample was spoken, and when it was sent, in µs.
    spoken: i64,
    sent: i64,
    run: u32,
    why: Why,
    arrived: Option<i64>,
    is_kept: bool,
}

/// The worst errors, in µs.
#[derive(Debug, Clone, Copy, Default)]
struct Worst {
    media: i64,
    times: i64,
    packets: u64,
}

/// What arrives: when, which, and what.
type Arrival = Reverse<(i64, u64)>;

struct Simulation {
    scenario: Scenario,
    sender: Sender,
    /// What was sent of late; the first has number `first`.
    sent: VecDeque<(Sent, Packet)>,
    first: u64,
    on_the_way: BinaryHeap<Arrival>,
    timeline: Option<Timeline>,
    run: u32,
    /// The first packets of a run that is not believed yet, as the receiver keeps them.
    candidate: VecDeque<Packet>,
    /// Arrivals of late, by number.
    arrivals: VecDeque<(u64, i64)>,
    /// Media time so far, the last packet that came out, and what has come since.
    position: u64,
    origin: i64,
    last: Option<u64>,
    before: Vec<Output>,
    kept: u64,
    worst: Worst,
}

/// A packet's number from the beginning.
fn number(packet: &Packet) -> u64 {
    u64::from_be_bytes(packet.data[..].try_into().unwrap())
}

impl Simulation {
    fn new(scenario: &Scenario, seed: u64) -> Self {
        Self {
            sender: Sender::new(scenario, seed),
            scenario: scenario.clone(),
            sent: VecDeque::new(),
            first: 0,
            on_the_way: BinaryHeap::new(),
            timeline: None,
            run: 0,
            candidate: VecDeque::new(),
            arrivals: VecDeque::new(),
            position: 0,
            origin: 0,
            last: None,
            before: Vec::new(),
            kept: 0,
            worst: Worst::default(),
        }
    }

    /// Runs for so many seconds of the sender's time. Each packet that comes out is told: its place,
    /// the time that it carries, and the true one.
    fn run(mut self, secs: u64, mut told: impl FnMut(Ticks, i64, i64)) -> Worst {
        let mut next = 0;
        while self.sender.now < secs as i64 * 1_000_000 {
            let (sent, packet, arrivals) = self.sender.send(&self.scenario, next);
            self.sent.push_back((sent, packet));
            self.on_the_way.extend(arrivals.into_iter().map(|at| Reverse((at, next))));
            next += 1;
            // Nothing sent later arrives before that.
            while let Some(Reverse((at, n))) = self.on_the_way.peek().copied()
                && at < self.sender.now + WAY
            {
                self.on_the_way.pop();
                self.arrive(at, n, &mut told);
            }
            while self.sent.len() > 20_000 {
                self.sent.pop_front();
                self.first += 1;
            }
        }
        if let Some(timeline) = &mut self.timeline {
            timeline.flush();
        }
        self.drain(&mut told);
        assert_eq!(self.kept, self.worst.packets, "what was kept came out");
        self.worst
    }

    fn sent(&mut self, n: u64) -> &mut (Sent, Packet) {
        &mut self.sent[(n - self.first) as usize]
    }

    fn arrive(&mut self, at: i64, n: u64, told: &mut impl FnMut(Ticks, i64, i64)) {
        let still = self.sender.still_until;
        // While we stand still nothing is read and no time passes; then all of it is read at once.
        let read = at.max(if at < still { still } else { 0 });
        if at >= still {
            self.pass(at, told);
        }
        let (sent, packet) = self.sent(n).clone();
        let packet = Packet { arrival: Duration::from_micros(read as u64), ..packet };
        let Some(timeline) = &mut self.timeline else {
            self.timeline = Some(Timeline::new(packet, self.scenario.unit));
            self.origin = sent.spoken;
            return self.keep(n, at, told);
        };
        if sent.run < self.run {
            // The old run's packets are not heard any more.
            return;
        }
        if sent.run > self.run {
            return self.begin_anew(n, at, packet, told);
        }
        match timeline.push(packet) {
            Taken::Kept => self.keep(n, at, told),
            Taken::Duplicate => assert!(sent.arrived.is_some(), "{n} came once"),
            Taken::Late => self.may_be_late(n, at, &sent),
            Taken::Far => panic!("{n} is of this run: {sent:?}"),
        }
    }

    /// Believes a new run of numbers once it has some packets.
    fn begin_anew(
        &mut self,
        n: u64,
        at: i64,
        packet: Packet,
        told: &mut impl FnMut(Ticks, i64, i64),
    ) {
        let (sent, unit) = (self.sent(n).0, self.scenario.unit);
        if sent.arrived.is_some() {
            return;
        }
        self.sent(n).0.arrived = Some(at);
        // A run of fewer packets than it takes is never heard.
        let other = self.candidate.front().map(number);
        if other.is_some_and(|other| self.sent(other).0.run != sent.run) {
            self.candidate.clear();
        }
        self.candidate.push_back(packet);
        if self.candidate.len() < CANDIDATES {
            return;
        }
        let base = self.candidate[0].sequence;
        let order = |packet: &Packet| packet.sequence.wrapping_sub(base) as i16;
        self.candidate.make_contiguous().sort_by_key(order);
        let arrival = undelayed(&self.candidate, unit).unwrap();
        let mut packets = std::mem::take(&mut self.candidate).into_iter();
        let first = Packet { arrival, ..packets.next().unwrap() };
        self.run = sent.run;
        self.arrivals.clear();
        let numbers: Vec<u64> =
            packets.clone().chain([first.clone()]).map(|p| number(&p)).collect();
        let timeline = self.timeline.as_mut().unwrap();
        timeline.restart(first, unit);
        for packet in packets {
            assert_eq!(timeline.push(packet), Taken::Kept);
        }
        numbers.into_iter().for_each(|n| self.note(n, at));
        self.drain(told);
    }

    fn keep(&mut self, n: u64, at: i64, told: &mut impl FnMut(Ticks, i64, i64)) {
        self.note(n, at);
        self.drain(told);
    }

    fn note(&mut self, n: u64, at: i64) {
        let (sent, _) = self.sent(n);
        assert!(!sent.is_kept, "{n} was kept twice");
        (sent.arrived, sent.is_kept) = (Some(at), true);
        self.kept += 1;
        self.arrivals.push_back((n, at));
        if self.arrivals.len() > 200 {
            self.arrivals.pop_front();
        }
    }

    /// Only what came after its place was given up may be dropped.
    fn may_be_late(&self, n: u64, at: i64, sent: &Sent) {
        let later = self.arrivals.iter().filter(|(other, _)| *other > n);
        let hold = HOLD.as_micros() as i64;
        let given_up = later.clone().any(|(_, came)| came + hold <= at);
        let excused = given_up || later.count() > HELD_MAX || sent.is_kept || sent.why.restarted;
        let began = self.arrivals.front().is_some_and(|(first, _)| *first > n);
        assert!(excused || began, "{n} arrived in time: {sent:?} at {at}");
    }

    /// Time passes up to `at`, stopping at each deadline.
    fn pass(&mut self, at: i64, told: &mut impl FnMut(Ticks, i64, i64)) {
        let at = Duration::from_micros(at as u64);
        let Some(timeline) = &mut self.timeline else { return };
        if timeline.next_deadline().is_some_and(|deadline| deadline <= at) {
            timeline.poll(at);
            self.drain(told);
        }
    }

    fn drain(&mut self, told: &mut impl FnMut(Ticks, i64, i64)) {
        while let Some(output) = self.timeline.as_mut().and_then(Timeline::output) {
            match output {
                Output::Packet(packet) => self.came_out(&packet, told),
                absence => self.before.push(absence),
            }
        }
    }

    fn came_out(&mut self, packet: &Packet, told: &mut impl FnMut(Ticks, i64, i64)) {
        let n = number(packet);
        assert!(self.last.is_none_or(|last| last < n), "{n} is out of order");
        self.explain(n);
        for absence in std::mem::take(&mut self.before) {
            let (Output::Silence(length) | Output::Lost { duration: length, .. }) = absence else {
                panic!("a packet is no absence")
            };
            assert!(length > Ticks::ZERO);
            self.position += length.0;
        }
        let (sent, original) = self.sent(n).clone();
        assert!(sent.is_kept);
        assert_eq!(packet.duration, original.duration);
        let error = Ticks(self.position).as_micros() - (sent.spoken - self.origin);
        let time = packet.arrival.as_micros() as i64 - (sent.sent + WAY);
        self.worst.media = self.worst.media.max(error.abs());
        self.worst.packets += 1;
        // The first seconds tell how late the first packet itself was.
        if sent.spoken - self.origin > 5_000_000 {
            self.worst.times = self.worst.times.max(time.abs());
        }
        if let Some(most) = self.scenario.allowed_us {
            let name = self.scenario.name;
            assert!(error.abs() <= most, "{name}: {n} is {error} us off, {sent:?}");
        }
        told(Ticks(self.position), packet.arrival.as_micros() as i64, sent.sent + WAY);
        self.position += packet.duration.0;
        self.last = Some(n);
    }

    /// What stands before packet `n` has to be there, and for its reason.
    fn explain(&mut self, n: u64) {
        let Some(last) = self.last else { return };
        let between: Vec<Sent> =
            (last + 1..=n).map(|k| self.sent[(k - self.first) as usize].0).collect();
        let is_lost = between.len() > 1;
        let any = |of: fn(&Why) -> bool| between.iter().any(|sent| of(&sent.why));
        let (silent, broken, restarted) =
            (any(|why| why.silent), any(|why| why.broken), any(|why| why.restarted));
        let has = |cause| {
            self.before.iter().any(|output| match output {
                Output::Lost { cause: its, .. } => Some(*its) == cause,
                _ => cause.is_none(),
            })
        };
        let (name, before) = (self.scenario.name, &self.before);
        let all_lost = has(Some(GapCause::Loss)) || broken || restarted;
        assert!(!is_lost || all_lost, "{name}: loss before {n} is not told: {before:?}");
        for (cause, may_be) in [
            (Some(GapCause::Loss), is_lost || silent),
            (Some(GapCause::Broken), broken),
            (Some(GapCause::SourceAway), restarted),
            (None, silent),
        ] {
            assert!(
                !has(cause) || may_be,
                "{name}: {cause:?} before {n} has no reason: {before:?}"
            );
        }
    }
}
