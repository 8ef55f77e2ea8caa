use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use models::{GapCause, Ticks};
use proptest::prelude::*;
use rtp_types::RtpPacketBuilder;

use super::*;
use crate::tap::Event;

fn from(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A 20 ms sender.
#[derive(Clone)]
struct Sender {
    from: SocketAddr,
    payload_type: u8,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
}

const OPUS: Sender =
    Sender { from: FROM, payload_type: 100, ssrc: 7, sequence: 65_530, timestamp: 9 };
const FROM: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 5000);

impl Sender {
    fn datagram(&mut self) -> Vec<u8> {
        let mut payload = vec![0xF8];
        payload.extend(self.sequence.to_be_bytes());
        let units = if self.payload_type < 96 { 160 } else { 960 };
        if self.payload_type < 96 {
            payload.resize(160, 0xD5);
        }
        let packet = RtpPacketBuilder::<&[u8], &[u8]>::new()
            .payload_type(self.payload_type)
            .ssrc(self.ssrc)
            .sequence_number(self.sequence)
            .timestamp(self.timestamp)
            .payload(&payload[..])
            .write_vec()
            .unwrap();
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(units);
        packet
    }
}

/// A receiver with its clock, in ms.
struct Bench {
    receiver: Receiver,
    now: u64,
}

impl Bench {
    fn new() -> Self {
        Self { receiver: Receiver::new(), now: 500 }
    }

    /// Sends `n` packets, one every 20 ms, and gives all output.
    fn send(&mut self, sender: &mut Sender, n: usize) -> Vec<String> {
        let mut output = Vec::new();
        for _ in 0..n {
            self.receiver.datagram(sender.from, &sender.datagram(), ms(self.now));
            output.extend(self.drain());
            self.now += 20;
        }
        output
    }

    /// Lets time pass, stopping at each deadline.
    fn wait(&mut self, length: u64) -> Vec<String> {
        let end = self.now + length;
        let mut output = Vec::new();
        while let Some(deadline) = self.receiver.next_deadline().filter(|d| *d <= ms(end)) {
            self.now = deadline.as_millis() as u64;
            let due = self.drain();
            assert!(!due.is_empty(), "a deadline at which nothing happens");
            output.extend(due);
        }
        self.now = end;
        output.extend(self.drain());
        output
    }

    fn drain(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.receiver.poll(ms(self.now))).map(short).collect()
    }
}

/// An output in a few letters.
fn short(output: Output) -> String {
    match output {
        Output::Started(source) => format!("start {}ch", source.channels),
        Output::Changed(_) => "changed".into(),
        Output::Media { event: Event::Packet(packet), .. } => match packet.data[..] {
            [0xF8, high, low] => u16::from_be_bytes([high, low]).to_string(),
            [_] => format!("quiet {}", packet.duration.as_millis()),
            _ => format!("coded {}", packet.duration.as_millis()),
        },
        Output::Media { event: Event::Lost { duration, cause }, .. } => {
            format!("{cause:?} {}", duration.as_millis())
        }
        Output::Away(run) => format!("away {} of {}", run.packets, run.packets + run.missing),
        Output::Trouble { trouble, times } => format!("{times}x {trouble}"),
    }
}

#[test]
fn two_packets_make_a_source_and_both_are_kept() {
    let mut bench = Bench::new();
    let mut sender = OPUS;
    assert_eq!(bench.send(&mut sender, 1), [""; 0]);
    assert_eq!(bench.receiver.next_deadline(), None);
    assert_eq!(bench.send(&mut sender, 1), ["start 1ch", "65530", "65531"]);
    assert_eq!(bench.send(&mut sender, 5), ["65532", "65533", "65534", "65535", "0"]);
    // Nothing until the source is away: two seconds from its last packet.
    let last = bench.now - 20;
    assert_eq!(bench.receiver.next_deadline(), Some(ms(last) + AWAY));
    assert_eq!(bench.wait(1_979), [""; 0]);
    assert_eq!(bench.wait(1), ["away 7 of 7"]);
    assert_eq!(bench.receiver.next_deadline(), None);
    // The next one begins anew, from wherever it comes.
    sender.from = from(6000);
    assert_eq!(bench.send(&mut sender, 2), ["start 1ch", "1", "2"]);
}

#[test]
fn a_source_is_described_by_its_first_packet() {
    let mut receiver = Receiver::new();
    for sequence in 1..=2 {
        let mut datagram = vec![0x80, 111, 0, sequence, 0, 0, 0, 0, 0, 0, 0, 7];
        datagram[7] = sequence * 100;
        datagram.extend([0xFC, 1]);
        receiver.datagram(FROM, &datagram, ms(1));
    }
    let Some(Output::Started(source)) = receiver.poll(ms(1)) else { panic!("no source") };
    assert_eq!(source.origin, models::recording::Origin::Rtp);
    assert_eq!(source.channels, 2);
    assert_eq!(source.description, "Opus over RTP from 127.0.0.1:5000, payload type 111, SSRC 7");
}

#[test]
fn stray_packets_are_no_source() {
    let mut bench = Bench::new();
    for ssrc in 0..5 {
        bench.send(&mut Sender { ssrc, ..OPUS }, 1);
    }
    let mut far = Sender { ssrc: 4, sequence: 3_000, ..OPUS };
    let mut copy = far.clone();
    assert_eq!(bench.send(&mut far, 1), [""; 0]);
    // The same packet twice proves nothing either.
    assert_eq!(bench.send(&mut copy, 1), [""; 0]);
    assert_eq!(bench.send(&mut far, 1), ["start 1ch", "3000", "3001"]);
}

#[test]
fn packets_of_a_new_source_are_put_in_order_too() {
    let mut bench = Bench::new();
    let mut sender = Sender { sequence: 1, ..OPUS };
    let first = sender.datagram();
    assert_eq!(bench.send(&mut sender, 1), [""; 0]);
    bench.receiver.datagram(FROM, &first, ms(bench.now));
    assert_eq!(bench.drain(), ["start 1ch", "1", "2"]);
}

#[test]
fn two_packets_far_apart_in_time_are_no_source() {
    let mut bench = Bench::new();
    let mut sender = Sender { sequence: 1, ..OPUS };
    bench.send(&mut sender, 1);
    bench.now += 600_000;
    assert_eq!(
        bench.send(&mut sender, 1),
        ["1x 127.0.0.1:5000 sends packets that belong to no source"]
    );
    assert_eq!(bench.send(&mut sender, 1), ["start 1ch", "2", "3"]);
}

#[test]
fn copies_of_old_packets_do_not_begin_anew() {
    let mut bench = Bench::new();
    let mut sender = Sender { sequence: 1, ..OPUS };
    bench.send(&mut sender, 8);
    let mut copies = sender.clone();
    (copies.sequence, copies.timestamp) = (5, OPUS.timestamp + 4 * 960);
    bench.now += 500;
    assert_eq!(bench.send(&mut copies, 4), [""; 0]);
    // So late that it is watched, to see whether the sender's clock stood still.
    assert_eq!(bench.send(&mut copies, 1), [""; 0]);
    assert_eq!(bench.wait(400), ["9"]);
}

#[test]
fn lost_packets_are_reported_when_the_wait_is_over() {
    let mut bench = Bench::new();
    let mut sender = Sender { sequence: 10, ..OPUS };
    bench.send(&mut sender, 3);
    sender.datagram();
    sender.datagram();
    assert_eq!(bench.send(&mut sender, 2), [""; 0]);
    assert_eq!(bench.wait(80), ["Loss 40", "15", "16"]);
    // What is still waiting when the source goes is not thrown away.
    sender.datagram();
    bench.send(&mut sender, 1);
    assert_eq!(bench.wait(3_000), ["Loss 20", "18", "away 6 of 9"]);
}

#[test]
fn another_address_is_not_heard_while_the_source_is_there() {
    let mut bench = Bench::new();
    let (mut sender, mut other) =
        (Sender { sequence: 1, ..OPUS }, Sender { from: from(1), ..OPUS });
    bench.send(&mut sender, 2);
    let warned = ["1x 127.0.0.1:1 sends to a port that has a source already"];
    assert_eq!(bench.send(&mut other, 3), warned);
    assert_eq!(bench.send(&mut sender, 1), ["3"]);
    bench.now += 1_900;
    assert_eq!(bench.send(&mut other, 4), [""; 0]);
    assert_eq!(bench.send(&mut other, 3)[..2], ["away 3 of 3", "start 1ch"]);
}

#[test]
fn a_sender_that_begins_anew_loses_nothing() {
    // Another SSRC; the same one from sequence 0 (as Janus counts); another codec.
    for (ssrc, payload_type) in [(8, 100), (7, 100), (7, 0)] {
        let mut bench = Bench::new();
        bench.send(&mut Sender { sequence: 20_000, ..OPUS }, 10);
        bench.now += 500;
        let mut again = Sender { ssrc, payload_type, sequence: 0, timestamp: 0, ..OPUS };
        let output = bench.send(&mut again, 3);
        let expected = match payload_type {
            0 => ["changed", "SourceAway 500", "coded 20", "coded 20", "coded 20"],
            _ => ["changed", "SourceAway 500", "0", "1", "2"],
        };
        assert_eq!(output, expected, "SSRC {ssrc}, payload type {payload_type}");
    }
    // At once: its packets wait until the old one has been quiet for long enough.
    let mut bench = Bench::new();
    bench.send(&mut Sender { sequence: 20_000, ..OPUS }, 10);
    let mut again = Sender { ssrc: 8, sequence: 0, timestamp: 0, ..OPUS };
    assert_eq!(bench.send(&mut again, 24), [""; 0]);
    let output = bench.send(&mut again, 1);
    let all = (0..25).map(|n| n.to_string());
    assert!(output.into_iter().eq(["changed".into()].into_iter().chain(all)));
    assert_eq!(bench.send(&mut again, 1), ["25"]);
}

#[test]
fn what_waited_while_we_stood_still_is_kept_and_nobody_was_away() {
    let mut bench = Bench::new();
    let mut sender = Sender { sequence: 1, ..OPUS };
    bench.send(&mut sender, 300);
    // Ten seconds in which nothing was read and no time passed; then all of it at once.
    bench.now += 10_000;
    for _ in 0..501 {
        bench.receiver.datagram(FROM, &sender.datagram(), ms(bench.now));
    }
    let mut output = bench.drain();
    bench.now += 20;
    output.extend(bench.send(&mut sender, 50));
    assert!(output.into_iter().eq((301..852).map(|n| n.to_string())));
}

#[test]
fn what_is_merely_late_begins_nothing() {
    let mut bench = Bench::new();
    let mut sender = Sender { sequence: 1, ..OPUS };
    bench.send(&mut sender, 3);
    let mut late = sender.clone();
    (0..20).for_each(|_| drop(sender.datagram()));
    bench.send(&mut sender, 2);
    assert_eq!(bench.wait(700), ["Loss 400", "24", "25"]);
    // The path comes back: twenty packets, older than what came last.
    assert_eq!(bench.send(&mut late, 20), [""; 0]);
    // Its sender's clock may have stood still meanwhile: it is watched.
    assert_eq!(bench.send(&mut sender, 1), [""; 0]);
    assert_eq!(bench.wait(400), ["26"]);
}

#[test]
fn what_waits_in_memory_is_bounded() {
    let mut receiver = Receiver::new();
    for n in 0..20_000_u16 {
        let mut datagram = vec![0x80, 111];
        datagram.extend(n.to_be_bytes());
        datagram.extend([0, 0, 0, 0, 0, 0, 0, n as u8 % 3, 0xF8]);
        datagram.resize(1_200, 7);
        receiver.datagram(FROM, &datagram, ms(1));
        while receiver.poll(ms(1)).is_some() {}
    }
    let candidate = receiver.candidate_bytes();
    assert!(candidate <= 256 * 1024, "{candidate}");
    assert_eq!(receiver.waiting_bytes(), 0);
}

#[test]
fn two_streams_from_one_address_do_not_mix() {
    let mut bench = Bench::new();
    let (mut sender, mut other) = (Sender { sequence: 1, ..OPUS }, Sender { ssrc: 8, ..OPUS });
    bench.send(&mut sender, 2);
    let mut output = Vec::new();
    for _ in 0..20 {
        output.extend(bench.send(&mut other, 1));
        bench.now -= 20;
        output.extend(bench.send(&mut sender, 1));
    }
    let numbers = (3..23).map(|n| n.to_string());
    let (said, heard): (Vec<_>, Vec<_>) = output.into_iter().partition(|o| o.contains("x "));
    assert_eq!(said, ["1x 127.0.0.1:5000 sends packets that belong to no source"]);
    assert!(heard.into_iter().eq(numbers));
}

#[test]
fn one_false_packet_far_ahead_costs_nothing() {
    let mut bench = Bench::new();
    let mut sender = Sender { sequence: 1, ..OPUS };
    bench.send(&mut sender, 3);
    let mut forged = sender.clone();
    forged.sequence += 2_000;
    forged.timestamp += 1 << 30;
    bench.receiver.datagram(FROM, &forged.datagram(), ms(bench.now));
    let output: Vec<String> = bench.send(&mut sender, 100);
    // The forged packet comes out when its wait is over; the rest then counts as begun anew.
    let heard: Vec<u16> = output.iter().filter_map(|o| o.parse().ok()).collect();
    let real: Vec<u16> = heard.iter().copied().filter(|n| *n != 2_004).collect();
    assert!(real.iter().copied().eq(4..104), "{output:?}");
    assert!(!output.iter().any(|o| o.starts_with("Loss") || o.starts_with("Broken")), "{output:?}");
}

#[test]
fn what_is_no_audio_is_said_once() {
    let mut bench = Bench::new();
    let mut sender = Sender { payload_type: 18, ..OPUS };
    assert_eq!(bench.send(&mut sender, 50), ["1x datagram dropped"]);
    assert_eq!(bench.wait(TROUBLE_EVERY.as_millis() as u64), [""; 0]);
    assert_eq!(bench.send(&mut sender, 2), ["50x datagram dropped"]);
    // RTCP is nothing to talk about.
    let report = [0x80, 200, 0, 6, 0, 0, 0, 7];
    bench.receiver.datagram(FROM, &report, ms(bench.now));
    assert_eq!(bench.drain(), [""; 0]);
}

#[test]
fn g711_is_encoded_once_and_its_loss_is_exact() {
    let mut bench = Bench::new();
    let mut sender = Sender { payload_type: 8, sequence: 1, timestamp: u32::MAX - 200, ..OPUS };
    assert_eq!(bench.send(&mut sender, 2), ["start 1ch", "coded 20", "coded 20"]);
    sender.datagram();
    bench.send(&mut sender, 1);
    assert_eq!(bench.wait(120), ["Loss 20", "coded 20"]);
    sender.timestamp = sender.timestamp.wrapping_add(160 * 5);
    assert_eq!(bench.send(&mut sender, 1).len(), 6);
}

#[test]
fn g711_packets_that_are_no_whole_frames_keep_their_length() {
    let mut receiver = Receiver::new();
    let mut total = Ticks::ZERO;
    let mut lost = Ticks::ZERO;
    // Packets of 11 ms, every fifth one missing.
    for n in 0..100_u16 {
        if n % 5 != 4 {
            let timestamp = u32::from(n) * 88;
            let mut datagram = vec![0x80, 0, 0, n as u8];
            datagram.extend(timestamp.to_be_bytes());
            datagram.extend([0, 0, 0, 1]);
            datagram.extend([0x7F; 88]);
            receiver.datagram(FROM, &datagram, ms(u64::from(n) * 11));
        }
    }
    while let Some(output) = receiver.poll(ms(60_000)) {
        match output {
            Output::Media { event, .. } => {
                if let Event::Lost { duration, cause } = event {
                    assert_eq!(cause, GapCause::Loss);
                    assert_eq!(total.as_millis() % 55, 44, "at the fifth packet's place");
                    lost += duration;
                }
                total += event.duration();
            }
            Output::Started(_) | Output::Away(_) => {}
            other => panic!("{other:?}"),
        }
    }
    // The last packet, number 99, is missing and nobody knows.
    assert_eq!(lost, Ticks::from_millis(19 * 11));
    assert_eq!(total, Ticks::from_millis(99 * 11));
}

#[test]
fn g711_that_waits_for_a_whole_frame_comes_before_what_follows() {
    let datagram = |ssrc, sequence, timestamp: u32| {
        let mut bytes = vec![0x80, 0, 0, sequence];
        bytes.extend(timestamp.to_be_bytes());
        bytes.extend([0, 0, 0, ssrc]);
        bytes.extend((0..88).map(|n: u8| n.wrapping_mul(37)));
        bytes
    };
    let mut bench = Bench { receiver: Receiver::new(), now: 0 };
    let mut feed = |at, ssrc, sequence, timestamp| {
        bench.now = at;
        bench.receiver.datagram(FROM, &datagram(ssrc, sequence, timestamp), ms(at));
        bench.drain()
    };
    assert_eq!(feed(0, 1, 1, 0), [""; 0]);
    assert_eq!(feed(11, 1, 2, 88), ["start 1ch", "coded 20"]);
    // Silence on purpose while 16 samples wait, then another SSRC while 88 do.
    assert_eq!(feed(62, 1, 3, 88 * 2 + 320)[..2], ["coded 2", "quiet 20"]);
    feed(600, 2, 1, 0);
    let output = feed(611, 2, 2, 88);
    assert_eq!(output[..4], ["coded 10", "coded 1", "changed", "SourceAway 525"]);
}

proptest! {
    #[test]
    fn no_datagram_breaks_it(
        datagrams in prop::collection::vec(
            (
                prop::collection::vec(any::<u8>(), 0..60),
                prop_oneof![Just(100_u8), Just(0), Just(8), any::<u8>()],
                0_u16..40,
                any::<u32>(),
                0_u64..400_000,
                0_u8..30,
            ),
            0..300,
        ),
    ) {
        let mut receiver = Receiver::new();
        let mut now = Duration::ZERO;
        let mut began = false;
        let (mut media, mut packets) = (Ticks::ZERO, 0);
        for (mut bytes, payload_type, sequence, timestamp, wait, dice) in datagrams {
            now += Duration::from_micros(wait);
            // Most look like one of two sources.
            if dice > 2 {
                let mut head = vec![0x80, payload_type];
                head.extend(sequence.to_be_bytes());
                head.extend((timestamp % 60_000).to_be_bytes());
                head.extend([0, 0, 0, u8::from(dice > 25), 0xF8]);
                head.append(&mut bytes);
                bytes = head;
            }
            receiver.datagram(from(u16::from(dice == 3)), &bytes, now);
            packets += 1;
            while let Some(output) = receiver.poll(now) {
                match output {
                    Output::Started(_) => {
                        prop_assert!(!began);
                        began = true;
                    }
                    Output::Away(_) => {
                        prop_assert!(began);
                        began = false;
                    }
                    Output::Media { event, arrival } => {
                        prop_assert!(began && arrival <= now);
                        prop_assert!(event.duration() > Ticks::ZERO);
                        media += event.duration();
                        if let Event::Packet(packet) = event {
                            let coded = archive::opus::duration(&packet.data).unwrap();
                            prop_assert!(packet.duration <= coded);
                        }
                    }
                    Output::Changed(_) | Output::Trouble { .. } => {}
                }
            }
            // What is not audio is not longer than the time that passed, and 2 s.
            let most = Ticks::from_micros(now.as_micros() as i64)
                + Ticks::from_millis(packets * 200 + 2_001);
            prop_assert!(media <= most, "{media} of media time from {packets} packets in {now:?}");
            prop_assert!(receiver.next_deadline().is_none_or(|deadline| deadline > now));
        }
    }
}
