use super::*;

const MS: u64 = 48;

/// A sender whose packets arrive 30 ms after they are due, unless told otherwise.
struct Sender {
    sequence: u16,
    timestamp: u32,
    /// Its own time, in ms.
    now: u64,
}

impl Sender {
    fn new(sequence: u16, timestamp: u32) -> Self {
        Self { sequence, timestamp, now: 1_000 }
    }

    /// The next packet, `ms` long.
    fn packet(&mut self, ms: u64) -> Packet {
        let packet = Packet {
            sequence: self.sequence,
            timestamp: self.timestamp,
            duration: Ticks::from_millis(ms),
            arrival: Duration::from_millis(self.now + 30),
            data: Bytes::copy_from_slice(&self.sequence.to_be_bytes()),
        };
        self.sequence = self.sequence.wrapping_add(1);
        self.pass(ms);
        packet
    }

    /// Time passes on both of its clocks.
    fn pass(&mut self, ms: u64) {
        self.jump((ms * MS) as i64);
        self.stall(ms);
    }

    /// Its RTP clock jumps.
    fn jump(&mut self, ticks: i64) {
        self.timestamp = self.timestamp.wrapping_add(ticks as u32);
    }

    /// Time passes, but not on its RTP clock.
    fn stall(&mut self, ms: u64) {
        self.now += ms;
    }
}

/// A short notation of all output: `+ms` audio, `~ms` silence, `-ms` lost, `!ms` broken, `?ms` away.
fn drain(timeline: &mut Timeline) -> String {
    let mut text = Vec::new();
    while let Some(output) = timeline.output() {
        let ms = |ticks: Ticks| ticks.0 / MS;
        text.push(match output {
            Output::Packet(packet) => format!("+{}", ms(packet.duration)),
            Output::Silence(length) => format!("~{}", ms(length)),
            Output::Lost { duration, cause: GapCause::Loss } => format!("-{}", ms(duration)),
            Output::Lost { duration, cause: GapCause::Broken } => format!("!{}", ms(duration)),
            Output::Lost { duration, .. } => format!("?{}", ms(duration)),
        });
    }
    text.join(" ")
}

/// Sends `n` packets of 20 ms and forgets the output.
fn settle(timeline: &mut Timeline, sender: &mut Sender, n: usize) {
    for _ in 0..n {
        assert_eq!(timeline.push(sender.packet(20)), Taken::Kept);
    }
    drain(timeline);
}

/// Sends `n` packets of 20 ms, letting time pass, and gives the output.
fn feed(timeline: &mut Timeline, sender: &mut Sender, n: usize) -> String {
    for _ in 0..n {
        let packet = sender.packet(20);
        timeline.poll(packet.arrival);
        assert_eq!(timeline.push(packet), Taken::Kept);
    }
    timeline.flush();
    drain(timeline)
}

#[test]
fn loss_is_as_long_as_the_timestamps_say() {
    let mut sender = Sender::new(1, 5);
    let mut timeline = Timeline::new(sender.packet(20), 1);
    let lost = [sender.packet(60), sender.packet(10)];
    let mut next = sender.packet(20);
    next.arrival += Duration::from_millis(1);
    assert_eq!(timeline.push(next.clone()), Taken::Kept);
    assert_eq!(drain(&mut timeline), "+20");
    assert_eq!(timeline.next_deadline(), Some(next.arrival + HOLD));
    timeline.poll(next.arrival + HOLD - Duration::from_micros(1));
    assert_eq!(drain(&mut timeline), "");
    timeline.poll(next.arrival + HOLD);
    assert_eq!(drain(&mut timeline), "-70 +20");
    assert_eq!(timeline.next_deadline(), None);
    let [late, _] = lost;
    assert_eq!(timeline.push(Packet { arrival: next.arrival + HOLD, ..late }), Taken::Late);
    assert_eq!(timeline.counts(), Counts { late: 1, missing: 2, ..Counts::default() });
}

#[test]
fn packets_out_of_order_are_put_in_order_and_duplicates_dropped() {
    let mut sender = Sender::new(7, 0);
    let mut timeline = Timeline::new(sender.packet(20), 1);
    let packets: Vec<Packet> = [2, 40, 120].map(|ms| sender.packet(ms)).into();
    let at = |n: usize| Packet { arrival: packets[2].arrival, ..packets[n].clone() };
    let taken = [2, 1, 2, 0, 1, 0].map(|n| timeline.push(at(n)));
    assert_eq!(taken[..4], [Taken::Kept, Taken::Kept, Taken::Duplicate, Taken::Kept]);
    assert_eq!(taken[4..], [Taken::Duplicate, Taken::Duplicate]);
    assert_eq!(drain(&mut timeline), "+20 +2 +40 +120");
    assert_eq!(timeline.counts(), Counts { duplicates: 3, ..Counts::default() });
}

#[test]
fn numbers_and_timestamps_wrap() {
    let mut sender = Sender::new(u16::MAX - 1, u32::MAX - 1000);
    let mut timeline = Timeline::new(sender.packet(20), 1);
    let (b, lost, c) = (sender.packet(20), sender.packet(20), sender.packet(20));
    assert_eq!([&b, &lost, &c].map(|p| p.sequence), [u16::MAX, 0, 1]);
    timeline.push(c);
    timeline.push(b);
    timeline.flush();
    assert_eq!(drain(&mut timeline), "+20 +20 -20 +20");

    // 8 kHz: six ticks a unit, and the timestamp wraps at 2^32 units.
    let mut first = sender.packet(20);
    first.timestamp = u32::MAX - 79;
    let mut second = sender.packet(20);
    second.timestamp = 80 + 160;
    let mut timeline = Timeline::new(first, 6);
    second.sequence += 1;
    timeline.push(second);
    timeline.flush();
    assert_eq!(drain(&mut timeline), "+20 -20 +20");
}

#[test]
fn too_many_waiting_packets_end_the_wait() {
    let mut sender = Sender::new(0, 0);
    let mut timeline = Timeline::new(sender.packet(5), 1);
    let missing = sender.packet(5);
    for _ in 0..HELD_MAX {
        timeline.push(Packet { arrival: missing.arrival, ..sender.packet(5) });
    }
    assert_eq!(drain(&mut timeline), "+5");
    timeline.push(Packet { arrival: missing.arrival, ..sender.packet(5) });
    assert_eq!(drain(&mut timeline), format!("-5{}", " +5".repeat(HELD_MAX + 1)));
    assert_eq!(timeline.push(missing), Taken::Late);
}

#[test]
fn silence_on_purpose_is_no_gap() {
    let mut sender = Sender::new(0, 0);
    let mut timeline = Timeline::new(sender.packet(20), 1);
    settle(&mut timeline, &mut sender, 5);
    sender.pass(400);
    timeline.push(sender.packet(20));
    sender.pass(1_900);
    timeline.push(sender.packet(20));
    assert_eq!(drain(&mut timeline), "~400 +20 ~1900 +20");
    assert_eq!(timeline.counts(), Counts::default());
}

#[test]
fn a_clock_that_jumps_is_judged_by_arrival() {
    let hours = |n: i64| n * 3600 * 48_000;
    for jump in [hours(10), hours(-10), hours(1), 5 * 48_000, -5 * 48_000] {
        let mut sender = Sender::new(65_530, 77);
        let mut timeline = Timeline::new(sender.packet(20), 1);
        settle(&mut timeline, &mut sender, 50);
        sender.jump(jump);
        timeline.push(sender.packet(20));
        timeline.push(sender.packet(20));
        timeline.flush();
        assert_eq!(drain(&mut timeline), "+20 +20", "{jump}");
        assert_eq!(timeline.counts().jumps, 1);
        // It jumps while nothing comes: what is missing is the time that passed.
        sender.jump(jump);
        sender.stall(1_500);
        let first = sender.packet(20);
        let watched = first.arrival + WATCH;
        timeline.push(first);
        // The next ones tell how late the first one was by itself.
        timeline.push(sender.packet(20));
        assert_eq!(drain(&mut timeline), "", "{jump}");
        assert_eq!(timeline.next_deadline(), Some(watched));
        timeline.poll(watched);
        assert_eq!(drain(&mut timeline), "!1500 +20 +20", "{jump}");
        // And loss after it is loss.
        sender.packet(20);
        timeline.push(sender.packet(20));
        timeline.flush();
        assert_eq!(drain(&mut timeline), "-20 +20", "{jump}");
    }
}

#[test]
fn a_long_loss_is_believed_as_far_as_time_has_passed() {
    let mut sender = Sender::new(0, 0);
    let mut timeline = Timeline::new(sender.packet(20), 1);
    settle(&mut timeline, &mut sender, 50);
    for _ in 0..200 {
        sender.packet(20);
    }
    timeline.push(sender.packet(20));
    timeline.flush();
    assert_eq!(drain(&mut timeline), "-4000 +20");
    // Numbers and timestamps run on for 40 s in no time.
    let now = sender.now;
    for _ in 0..2_000 {
        sender.packet(20);
    }
    sender.now = now;
    timeline.push(sender.packet(20));
    timeline.flush();
    assert_eq!(drain(&mut timeline), "+20");
    assert_eq!(timeline.counts().jumps, 1);
}

#[test]
fn what_never_came_is_not_longer_than_the_time_that_passed() {
    let mut sender = Sender::new(0, 0);
    let mut timeline = Timeline::new(sender.packet(20), 1);
    let now = sender.now;
    for _ in 0..10 {
        for _ in 0..40 {
            sender.packet(20);
        }
        sender.now = now;
        timeline.push(sender.packet(20));
        timeline.flush();
    }
    let output = drain(&mut timeline);
    assert_eq!(output.matches("-800").count(), 2, "{output}");
    assert_eq!(output.matches("+20").count(), 11, "{output}");
    assert_eq!(timeline.counts().jumps, 8);
}

#[test]
fn a_step_back_within_the_bound_only_overlaps() {
    let mut sender = Sender::new(0, 9_000);
    let mut timeline = Timeline::new(sender.packet(20), 1);
    settle(&mut timeline, &mut sender, 3);
    sender.jump(-480);
    timeline.push(sender.packet(20));
    timeline.push(sender.packet(20));
    assert_eq!(drain(&mut timeline), "+20 +20");
    assert_eq!(timeline.counts().jumps, 0);
}

#[test]
fn a_clock_that_stands_still_now_and_then_is_made_up_for() {
    let mut sender = Sender::new(0, 0);
    let mut timeline = Timeline::new(sender.packet(20), 1);
    settle(&mut timeline, &mut sender, 500);
    for _ in 0..3 {
        sender.stall(900);
        let output = feed(&mut timeline, &mut sender, 100);
        assert_eq!(output, format!("!900{}", " +20".repeat(100)));
    }
    // Too shortly to be seen, it is made up for when it comes to too much.
    let mut output = String::new();
    for _ in 0..60 {
        sender.stall(80);
        output += &feed(&mut timeline, &mut sender, 20);
    }
    let made_up: Vec<&str> = output.split(['+', ' ']).filter(|t| t.starts_with('!')).collect();
    assert_eq!(made_up.len(), 2, "{made_up:?}");
    assert!(made_up.iter().all(|text| text.starts_with("!20") || text.starts_with("!21")));
}

#[test]
fn what_the_network_held_back_is_in_its_place() {
    let mut sender = Sender::new(0, 0);
    let mut timeline = Timeline::new(sender.packet(20), 1);
    settle(&mut timeline, &mut sender, 500);
    // Nothing for 3 s, then all of it; then nothing while we stood still, and all of it read at once.
    for _ in 0..2 {
        let through = Duration::from_millis(sender.now + 3_000);
        let held_back: Vec<Packet> =
            (0..150).map(|_| Packet { arrival: through, ..sender.packet(20) }).collect();
        for packet in held_back {
            assert_eq!(timeline.push(packet), Taken::Kept);
        }
        let output = feed(&mut timeline, &mut sender, 100);
        assert_eq!(output.matches("+20").count(), 250);
        assert!(!output.contains(['-', '!', '~', '?']), "{output}");
        assert_eq!(timeline.counts(), Counts::default());
    }
}

#[test]
fn what_waited_unread_comes_before_time_passes() {
    let mut sender = Sender::new(0, 0);
    let mut timeline = Timeline::new(sender.packet(20), 1);
    let (late, next) = (sender.packet(20), sender.packet(20));
    timeline.push(next.clone());
    // Its place was not given up yet, though it would have been.
    assert_eq!(timeline.push(Packet { arrival: next.arrival + HOLD * 2, ..late }), Taken::Kept);
    assert_eq!(drain(&mut timeline), "+20 +20 +20");
}

#[test]
fn drift_is_taken_up_where_there_is_no_audio_and_by_half_of_it_at_most() {
    for (ppm, silence, lost) in [(100, "~435", "-30"), (-100, "~365", "-10")] {
        let mut sender = Sender::new(0, 0);
        let mut timeline = Timeline::new(sender.packet(20), 1);
        let mut n = 0;
        let mut skewed = |sender: &mut Sender| {
            n += 1;
            let mut packet = sender.packet(20);
            let off = Duration::from_micros(n * 2);
            let back = if ppm < 0 { off } else { Duration::ZERO };
            packet.arrival = packet.arrival + off - back - back;
            packet
        };
        // Six minutes: 36 ms.
        for _ in 0..18_000 {
            timeline.push(skewed(&mut sender));
        }
        drain(&mut timeline);
        // A short absence takes some of it, a long one all the rest of six more minutes.
        skewed(&mut sender);
        timeline.push(skewed(&mut sender));
        timeline.flush();
        assert_eq!(drain(&mut timeline), format!("{lost} +20"));
        for _ in 0..5_000 {
            timeline.push(skewed(&mut sender));
        }
        drain(&mut timeline);
        sender.pass(400);
        timeline.push(skewed(&mut sender));
        assert_eq!(drain(&mut timeline), format!("{silence} +20"));
        let drift = timeline.drift();
        assert!((drift - ppm * 460).abs() < 500, "{drift}");
    }
}

#[test]
fn a_delayed_beginning_does_not_put_the_clock_wrong() {
    let mut sender = Sender::new(0, 0);
    let delayed = Duration::from_secs(2);
    let mut first = sender.packet(20);
    first.arrival = delayed;
    let mut timeline = Timeline::new(first, 1);
    for _ in 0..100 {
        let mut packet = sender.packet(20);
        packet.arrival = packet.arrival.max(delayed);
        timeline.push(packet);
    }
    drain(&mut timeline);
    sender.stall(1_500);
    timeline.restart(sender.packet(20), 1);
    assert_eq!(drain(&mut timeline), "?1500 +20");
}

#[test]
fn loss_after_a_burst_is_loss() {
    let mut sender = Sender::new(0, 0);
    let mut timeline = Timeline::new(sender.packet(20), 1);
    settle(&mut timeline, &mut sender, 300);
    // 1.9 s of audio in no time, and a hole in it.
    let now = sender.now;
    for n in 0..110 {
        let mut packet = sender.packet(20);
        packet.arrival = Duration::from_millis(now + 30);
        if !(95..105).contains(&n) {
            timeline.push(packet);
        }
    }
    timeline.flush();
    // Media time is ahead of the wall clock: some of that is taken back where there is no audio.
    assert_eq!(drain(&mut timeline), format!("{}-100{}", "+20 ".repeat(95), " +20".repeat(5)));
}

#[test]
fn skew_is_measured_and_changes_nothing() {
    for (sign, ppm) in [(1_i64, 100_i64), (-1, 100), (1, 200), (0, 0)] {
        let mut sender = Sender::new(0, 0);
        let mut timeline = Timeline::new(sender.packet(20), 1);
        let minutes = 120;
        let mut audio = 1;
        for n in 1..minutes * 60 * 50_i64 {
            let mut packet = sender.packet(20);
            // Every third packet is 0 to 60 ms late.
            let jitter = if n % 3 == 0 { 0 } else { n * 7919 % 60_000 };
            let skewed = n * 20_000 + sign * n * 20_000 * ppm / 1_000_000;
            packet.arrival = Duration::from_micros((1_030_000 + skewed + jitter) as u64);
            timeline.poll(packet.arrival);
            assert_eq!(timeline.push(packet), Taken::Kept);
            while let Some(output) = timeline.output() {
                assert!(matches!(output, Output::Packet(_)));
                audio += 1;
            }
        }
        assert_eq!(audio, minutes * 60 * 50 + 1);
        let drift = timeline.drift();
        let expected = sign * ppm * minutes * 60;
        assert!((drift - expected).abs() < 2_000, "{drift} for {expected} us");
    }
}

#[test]
fn a_sender_that_begins_anew_goes_on_by_arrival() {
    let mut sender = Sender::new(40_000, 1 << 30);
    let mut timeline = Timeline::new(sender.packet(20), 1);
    settle(&mut timeline, &mut sender, 10);
    sender.packet(20);
    timeline.push(sender.packet(20));
    let mut again = Sender { now: sender.now + 500, ..Sender::new(3, 0) };
    timeline.restart(again.packet(20), 1);
    timeline.push(again.packet(20));
    assert_eq!(drain(&mut timeline), "-20 +20 ?500 +20 +20");
    // At once: less than jitter is no gap.
    for (ms, output) in [(50, "?50 +20"), (9, "+20")] {
        let now = again.now + ms;
        again = Sender { now, ..Sender::new(9, 0) };
        timeline.restart(again.packet(20), 1);
        assert_eq!(drain(&mut timeline), output);
    }
}

#[test]
fn numbers_far_away_are_not_this_run() {
    let mut sender = Sender::new(100, 0);
    let mut timeline = Timeline::new(sender.packet(20), 1);
    let next = sender.packet(20);
    let with = |sequence| Packet { sequence, ..next.clone() };
    assert_eq!(timeline.push(with(101 + 3_001)), Taken::Far);
    // Nor are earlier ones with timestamps that are not.
    assert_eq!(timeline.push(with(99)), Taken::Far);
    assert_eq!(timeline.push(with(101_u16.wrapping_sub(20_000))), Taken::Far);
    let late = |before: u32| Packet { timestamp: 960_u32.wrapping_sub(before), ..with(98) };
    assert_eq!(timeline.push(late(960 * 3)), Taken::Late);
    assert_eq!(timeline.push(late(960 * 500)), Taken::Far);
    assert_eq!(timeline.push(with(100)), Taken::Duplicate);
    assert_eq!(timeline.push(next.clone()), Taken::Kept);
}
