//! The timeline against a model: a sender whose media time is known, and a network that drops,
//! delays, reorders and duplicates.

use proptest::prelude::*;

use super::*;

/// What the sender does next, and what the network does to it.
#[derive(Debug, Clone)]
struct Step {
    /// Length of the packet, in ms.
    length: u64,
    /// Silence on purpose before it, in ms.
    silence: u64,
    lost: bool,
    /// Delay on the way, in µs.
    delay: u64,
    /// A second copy this much later, in µs.
    copy: Option<u64>,
}

/// A packet as it was sent, with its media time.
#[derive(Debug, Clone)]
struct Sent {
    packet: Packet,
    at: u64,
    end: u64,
}

fn step() -> impl Strategy<Value = Step> {
    let length = prop_oneof![4 => Just(20_u64), 1 => Just(10), 1 => Just(40), 1 => Just(60)];
    let silence = prop_oneof![12 => Just(0_u64), 1 => (1_u64..20).prop_map(|n| n * 20)];
    // Most within the wait, some beyond it.
    let delay = prop_oneof![6 => 0_u64..10_000, 3 => 0_u64..110_000, 1 => 0_u64..400_000, 1 => Just(120_000)];
    let copy = prop_oneof![8 => Just(None), 1 => (0_u64..300_000).prop_map(Some)];
    (length, silence, prop::bool::weighted(0.07), delay, copy).prop_map(
        |(length, silence, lost, delay, copy)| Step { length, silence, lost, delay, copy },
    )
}

/// Steps with a few long bursts of loss among them.
fn steps() -> impl Strategy<Value = Vec<Step>> {
    let burst = (0_usize..300, 0_usize..40);
    (prop::collection::vec(step(), 1..300), prop::collection::vec(burst, 0..3)).prop_map(
        |(mut steps, bursts)| {
            for (from, length) in bursts {
                steps.iter_mut().skip(from).take(length).for_each(|step| step.lost = true);
            }
            // Jitter of more than 100 ms is not what everything has: the next ones show that.
            for n in 0..steps.len() {
                if steps[n].delay > 90_000 {
                    steps.iter_mut().skip(n + 1).take(8).for_each(|step| step.delay %= 10_000);
                }
            }
            steps
        },
    )
}

fn send(steps: &[Step], sequence: u16, timestamp: u32, unit: u32) -> Vec<Sent> {
    let mut at = 0;
    let sent = steps.iter().enumerate().map(|(n, step)| {
        at += step.silence * 48;
        let packet = Packet {
            sequence: sequence.wrapping_add(n as u16),
            timestamp: timestamp.wrapping_add((at / u64::from(unit)) as u32),
            duration: Ticks::from_millis(step.length),
            // A second of head start, so that the clocks do not begin at the same number.
            // Sent when its last sample is there.
            arrival: Duration::from_micros(
                1_000_000 + at * 125 / 6 + step.length * 1000 + step.delay,
            ),
            data: Bytes::copy_from_slice(&n.to_be_bytes()),
        };
        let start = at;
        at += step.length * 48;
        Sent { packet, at: start, end: at }
    });
    sent.collect()
}

/// The packets as they arrive, copies included: indices into what was sent, and arrival times.
fn network(steps: &[Step], sent: &[Sent]) -> Vec<(usize, Duration)> {
    let mut arrivals = Vec::new();
    for (n, (step, sent)) in steps.iter().zip(sent).enumerate() {
        if !step.lost {
            arrivals.push((n, sent.packet.arrival));
            arrivals.extend(
                step.copy.map(|later| (n, sent.packet.arrival + Duration::from_micros(later))),
            );
        }
    }
    arrivals.sort_by_key(|(_, arrival)| *arrival);
    arrivals
}

/// Which packets arrive in time: not before the first one's place, and not when a later one has
/// been waiting for [`HOLD`].
fn in_time(arrivals: &[(usize, Duration)]) -> Vec<usize> {
    let mut kept: Vec<(usize, Duration)> = Vec::new();
    for &(n, arrival) in arrivals {
        let before_first = kept.first().is_some_and(|(first, _)| n < *first);
        let given_up = kept.iter().any(|&(k, at)| k > n && at + HOLD <= arrival);
        if !before_first && !given_up && kept.iter().all(|(k, _)| *k != n) {
            kept.push((n, arrival));
        }
    }
    let mut kept: Vec<usize> = kept.into_iter().map(|(n, _)| n).collect();
    kept.sort_unstable();
    kept
}

fn run(sent: &[Sent], arrivals: &[(usize, Duration)], unit: u32) -> (Vec<Output>, Timeline) {
    let packet = |&(n, arrival): &(usize, Duration)| Packet { arrival, ..sent[n].packet.clone() };
    let (first, rest) = arrivals.split_first().expect("the caller looked");
    let mut timeline = Timeline::new(packet(first), unit);
    for arrival in rest {
        timeline.poll(arrival.1);
        timeline.push(packet(arrival));
    }
    timeline.flush();
    let output = std::iter::from_fn(|| timeline.output()).collect();
    (output, timeline)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn what_arrives_in_time_is_kept_once_in_order_and_in_place(
        steps in steps(),
        sequence in prop_oneof![any::<u16>(), 65_300_u16..=65_535],
        timestamp in prop_oneof![any::<u32>(), (u32::MAX - 100_000)..=u32::MAX],
        unit in prop_oneof![Just(1_u32), Just(6)],
    ) {
        let sent = send(&steps, sequence, timestamp, unit);
        let arrivals = network(&steps, &sent);
        prop_assume!(!arrivals.is_empty());
        let kept = in_time(&arrivals);
        let (output, timeline) = run(&sent, &arrivals, unit);

        let origin = sent[kept[0]].at;
        let (mut at, mut heard, mut lost, mut silence) = (origin, Vec::new(), 0, 0);
        for piece in output {
            match piece {
                Output::Packet(packet) => {
                    let n = usize::from_be_bytes(packet.data[..].try_into().unwrap());
                    prop_assert!(heard.last().is_none_or(|last| *last < n), "{n} is out of order");
                    prop_assert_eq!(at, sent[n].at, "packet {} is not in its place", n);
                    at += packet.duration.0;
                    heard.push(n);
                }
                Output::Silence(length) => (at, silence) = (at + length.0, silence + length.0),
                Output::Lost { duration, cause } => {
                    prop_assert_eq!(cause, GapCause::Loss);
                    prop_assert!(duration > Ticks::ZERO);
                    (at, lost) = (at + duration.0, lost + duration.0);
                }
            }
        }
        // While one is watched others may be late, too.
        prop_assert!(kept.iter().all(|n| heard.contains(n)), "what arrived in time was dropped");
        let kept = heard;

        let holes = kept.windows(2).map(|pair| (pair[1] - pair[0], sent[pair[1]].at - sent[pair[0]].end));
        let expected = |loss: bool| -> u64 {
            holes.clone().filter(|(step, _)| (*step > 1) == loss).map(|(_, length)| length).sum()
        };
        prop_assert_eq!(lost, expected(true));
        prop_assert_eq!(silence, expected(false));

        let counts = timeline.counts();
        let span = (kept[kept.len() - 1] - kept[0] + 1) as u64;
        prop_assert_eq!(counts.missing, span - kept.len() as u64);
        prop_assert_eq!(counts.jumps, 0);
        let dropped = (arrivals.len() - kept.len()) as u64;
        prop_assert_eq!(counts.duplicates + counts.late, dropped);
    }

    #[test]
    fn any_packets_at_all_keep_what_was_taken(
        packets in prop::collection::vec(
            (prop_oneof![any::<u16>(), 0_u16..50], any::<u32>(), 1_u64..2_000, 0_u64..3_000_000, any::<u8>()),
            1..200,
        ),
        unit in prop_oneof![Just(1_u32), Just(6)],
    ) {
        let mut now = 0;
        let mut timeline: Option<Timeline> = None;
        let (mut taken, mut came, mut audio, mut began) = (0, 0, Ticks::ZERO, None);
        for (sequence, timestamp, duration, wait, dice) in packets {
            now += wait;
            let packet = Packet {
                sequence,
                timestamp: if dice < 200 { timestamp % 100_000 } else { timestamp },
                duration: Ticks(duration),
                arrival: Duration::from_micros(now),
                data: Bytes::new(),
            };
            match &mut timeline {
                None => timeline = Some(Timeline::new(packet, unit)),
                Some(timeline) if dice < 8 => timeline.restart(packet, unit),
                Some(timeline) => {
                    if timeline.push(packet) != Taken::Kept {
                        continue;
                    }
                }
            }
            taken += 1;
        }
        let mut timeline = timeline.expect("there is a packet");
        timeline.flush();
        prop_assert_eq!(timeline.next_deadline(), None);
        let mut length = Ticks::ZERO;
        while let Some(output) = timeline.output() {
            length += match output {
                Output::Packet(packet) => {
                    came += 1;
                    audio += packet.duration;
                    began = began.or(Some(packet.arrival));
                    packet.duration
                }
                Output::Silence(length) | Output::Lost { duration: length, .. } => {
                    prop_assert!(length > Ticks::ZERO);
                    length
                }
            };
        }
        prop_assert_eq!(came, taken);
        prop_assert_eq!(length, timeline.position);
        let elapsed = now - began.expect("the first packet").as_micros() as u64;
        let most = audio + Ticks::from_micros(elapsed as i64) + BOUND + Ticks::from_millis(1);
        prop_assert!(length <= most, "{length} of media time, {audio} of audio, in {elapsed} us");
    }
}
