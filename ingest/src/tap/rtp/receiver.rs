//! Datagrams and the time in, a source's audio out. No socket, no clock, no task.
//!
//! **Whom it listens to.** A source is an address, an SSRC and a payload type. Nobody is believed on
//! one packet (RFC 3550, appendix A.1): two whose numbers are close make a source, and neither is
//! lost. While it is active, others are not heard:
//! - another *address* is ignored until the source has been away for [`AWAY`];
//! - another SSRC, payload type or run of numbers from the *same* address takes over once the
//!   source has been quiet for [`QUIET`], which is longer than silence on purpose takes between two
//!   packets: its sender has begun anew. Media time goes on by arrival, and what it sent meanwhile
//!   is not lost;
//! - the source's own packets that come up to two seconds too late begin nothing. (A sender that
//!   begins anew at the same number and timestamp within that time is taken for them.)
//!
//! **When time passes.** In [`Receiver::poll`] only. A driver that has stood still (a busy machine, a
//! stopped process) first hands over every datagram that waited and polls then: nothing is given up
//! that had arrived, and no source is away that has been sending.
//!
//! **Memory.** Whatever comes, a receiver holds at most 64 packets of its source (see the timeline),
//! and 256 packets or 256 KiB of one candidate. What waits in the output
//! ([`Receiver::waiting_bytes`]) is its driver's to bound.
//!
//! **What is dropped** is counted, and said in one [`Output::Trouble`] a reason and
//! `TROUBLE_EVERY`. RTCP on the same port is ignored without a word.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use archive::opus::conceal;
use bytes::Bytes;
use models::GapCause;
use models::recording::Origin;

use super::g711::Transcoder;
use super::packet::{self, Codec, Parsed};
use super::trouble::{Trouble, Troubles};
use crate::tap::{Event, Source};
use crate::timeline::{self, Counts, Taken, Timeline};

/// A source that has not been heard for this long is away.
pub const AWAY: Duration = Duration::from_secs(2);
/// How long a source must be quiet before a new one from the same address takes over: longer than
/// the jitter of packets that are merely out of order, and than the 400 ms at which a sender that is
/// silent on purpose gives signs of life (libopus).
pub const QUIET: Duration = Duration::from_millis(500);
/// Packets of a source that is not believed yet: more than [`QUIET`] of the shortest (2.5 ms) ones.
const CANDIDATE_MAX: usize = 256;
/// Their payloads' bytes: [`QUIET`] of Opus at its highest rate is an eighth.
const CANDIDATE_BYTES: usize = 256 * 1024;
/// What an output takes beside its payload, roughly.
const OUTPUT_BYTES: usize = 128;
/// How close two numbers must be to belong together.
const CLOSE: u16 = 16;

/// What the receiver has to say.
#[derive(Debug)]
pub enum Output {
    /// A source began. What follows is its audio.
    Started(Source),
    /// The sender began anew in the middle: another SSRC, codec or run of numbers. It is described
    /// as in [`Source`]; its audio goes on in the same timeline.
    Changed(String),
    /// Audio, or its absence.
    Media {
        /// What it is.
        event: Event,
        /// When its end would have arrived, had nothing delayed it: steady from one to the next. Never
        /// later than the packet that it came with.
        arrival: Duration,
    },
    /// The source has not been heard for [`AWAY`]. The next one begins anew.
    Away(Summary),
    /// Something was dropped or corrected.
    Trouble {
        /// What.
        trouble: Trouble,
        /// How often since it was last said, this time included.
        times: u64,
    },
}

/// One source's run, for the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Packets that are in the output.
    pub packets: u64,
    /// Packets that came twice.
    pub duplicates: u64,
    /// Packets that came too late.
    pub late: u64,
    /// Packets that never came, or came too late.
    pub missing: u64,
    /// Times the source's clock jumped or stood still.
    pub jumps: u64,
    /// How far its clock ran slow (positive) or fast against ours, in microseconds.
    pub drift_us: i64,
}

/// See the module's documentation.
///
/// Times are readings of one monotonic clock with any origin; they must not go back.
#[derive(Debug, Default)]
pub struct Receiver {
    active: Option<Active>,
    candidate: Option<Candidate>,
    troubles: Troubles,
    output: Queue,
}

/// Output that waits to be taken.
#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Output>,
    bytes: usize,
}

impl Queue {
    fn push(&mut self, output: Output) {
        self.bytes += size(&output);
        self.waiting.push_back(output);
    }

    fn pop(&mut self) -> Option<Output> {
        let output = self.waiting.pop_front()?;
        self.bytes -= size(&output);
        Some(output)
    }
}

/// What an output takes, roughly.
fn size(output: &Output) -> usize {
    match output {
        Output::Media { event: Event::Packet(packet), .. } => packet.data.len() + OUTPUT_BYTES,
        _ => OUTPUT_BYTES,
    }
}

/// What makes a source that one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    from: SocketAddr,
    ssrc: u32,
    payload_type: u8,
    codec: Codec,
}

impl Key {
    fn describe(&self) -> String {
        let Self { from, ssrc, payload_type, codec } = self;
        format!("{} over RTP from {from}, payload type {payload_type}, SSRC {ssrc}", codec.name())
    }
}

/// The source that is heard.
#[derive(Debug)]
struct Active {
    key: Key,
    timeline: Timeline,
    transcoder: Option<Transcoder>,
    /// First byte of its last Opus packet, by which silence is made.
    toc: u8,
    heard: Duration,
    /// The time of the last packet that came out, and of what has been added since.
    time: Duration,
    packets: u64,
    /// What has been reported of its counts.
    known: Counts,
}

/// A source that is not believed yet.
#[derive(Debug)]
struct Candidate {
    key: Key,
    packets: VecDeque<timeline::Packet>,
    bytes: usize,
}

impl Candidate {
    fn new(key: Key, packet: timeline::Packet) -> Self {
        Self { key, bytes: packet.data.len(), packets: [packet].into() }
    }

    fn add(&mut self, packet: timeline::Packet) {
        self.bytes += packet.data.len();
        self.packets.push_back(packet);
        while self.packets.len() > CANDIDATE_MAX || self.bytes > CANDIDATE_BYTES {
            let Some(oldest) = self.packets.pop_front() else { return };
            self.bytes -= oldest.data.len();
        }
    }

    /// How far `sequence` is from the last packet's; `None`: this is not its source, or not in time.
    fn distance(&self, key: Key, sequence: u16, now: Duration) -> Option<u16> {
        let last = self.packets.back()?;
        let distance = (sequence.wrapping_sub(last.sequence) as i16).unsigned_abs();
        let fresh = now.saturating_sub(last.arrival) < AWAY;
        (self.key == key && fresh && distance <= CLOSE).then_some(distance)
    }
}

impl Receiver {
    /// A receiver that has heard nobody yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a datagram that `from` sent. It may be anything. Lets no time pass.
    pub fn datagram(&mut self, from: SocketAddr, datagram: &[u8], arrival: Duration) {
        if packet::is_rtcp(datagram) {
            return;
        }
        match packet::parse(datagram) {
            Ok(parsed) => self.packet(from, &parsed, arrival),
            Err(rejected) => self.trouble(Trouble::Rejected(rejected), arrival),
        }
    }

    /// Lets time pass, and gives the next piece of output. Call it until there is none: after each
    /// batch of datagrams, and when [`Self::next_deadline`] has come. `now` is a time up to which all
    /// datagrams that arrived were handed over.
    pub fn poll(&mut self, now: Duration) -> Option<Output> {
        self.expire(now);
        self.output.pop()
    }

    /// When [`Self::poll`] next has something to do, unless a datagram comes before.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        let active = self.active.as_ref()?;
        let away = active.heard + AWAY;
        Some(active.timeline.next_deadline().map_or(away, |held| held.min(away)))
    }

    #[cfg(test)]
    pub(super) fn candidate_bytes(&self) -> usize {
        self.candidate.as_ref().map_or(0, |candidate| candidate.bytes)
    }

    /// How many bytes of output wait to be taken, roughly.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        self.output.bytes
    }

    fn expire(&mut self, now: Duration) {
        let Some(active) = &mut self.active else { return };
        active.timeline.poll(now);
        self.pump();
        // Nothing is held for so long, so that the timeline has nothing left.
        if let Some(mut gone) = self.active.take_if(|active| now >= active.heard + AWAY) {
            gone.flush(&mut self.output);
            self.output.push(Output::Away(gone.summary()));
        }
    }

    fn packet(&mut self, from: SocketAddr, parsed: &Parsed<'_>, arrival: Duration) {
        let Parsed { payload_type, codec, ssrc, .. } = *parsed;
        let key = Key { from, ssrc, payload_type, codec };
        let packet = timeline::Packet {
            sequence: parsed.sequence,
            timestamp: parsed.timestamp,
            duration: parsed.duration,
            arrival,
            data: Bytes::copy_from_slice(parsed.payload),
        };
        if let Some(active) = &mut self.active {
            if active.key.from != from {
                return self.trouble(Trouble::OtherAddress(from), arrival);
            }
            if active.key == key {
                match active.timeline.push(packet.clone()) {
                    Taken::Kept => {
                        active.heard = arrival;
                        self.forget(arrival);
                        return self.pump();
                    }
                    // What is merely late begins nothing.
                    Taken::Duplicate | Taken::Late => return,
                    Taken::Far => {}
                }
            }
        }
        self.consider(key, packet);
    }

    /// Takes a packet that the active source, if there is one, has no place for.
    fn consider(&mut self, key: Key, packet: timeline::Packet) {
        let now = packet.arrival;
        let known = self.candidate.as_mut().and_then(|candidate| {
            candidate.distance(key, packet.sequence, now).map(|distance| (candidate, distance))
        });
        match known {
            Some((_, 0)) => return,
            Some((candidate, _)) => candidate.add(packet),
            None => {
                self.forget(now);
                self.candidate = Some(Candidate::new(key, packet));
            }
        }
        let quiet = self.active.as_ref().is_none_or(|a| now.saturating_sub(a.heard) >= QUIET);
        if let Some(candidate) =
            self.candidate.take_if(|candidate| quiet && candidate.packets.len() > 1)
        {
            self.adopt(candidate);
        }
    }

    /// Makes a candidate the source.
    fn adopt(&mut self, candidate: Candidate) {
        let Candidate { key, mut packets, .. } = candidate;
        let Some(base) = packets.front().map(|packet| packet.sequence) else { return };
        let order = |packet: &timeline::Packet| packet.sequence.wrapping_sub(base) as i16;
        packets.make_contiguous().sort_by_key(order);
        let Some(heard) = packets.iter().map(|packet| packet.arrival).max() else { return };
        let undelayed = timeline::undelayed(&packets, key.codec.unit());
        let Some(mut first) = packets.pop_front() else { return };
        first.arrival = undelayed.unwrap_or(first.arrival);
        let transcoder = match key.codec {
            Codec::Opus => None,
            Codec::Pcmu | Codec::Pcma => match Transcoder::new() {
                Ok(transcoder) => Some(transcoder),
                Err(error) => return self.trouble(Trouble::Encoder(error), heard),
            },
        };
        let channels = match key.codec {
            Codec::Opus => archive::opus::channels(&first.data),
            Codec::Pcmu | Codec::Pcma => 1,
        };
        if let Some(active) = &mut self.active {
            active.timeline.flush();
            self.pump();
        }
        match &mut self.active {
            Some(active) => {
                active.flush(&mut self.output);
                (active.key, active.transcoder, active.heard) = (key, transcoder, heard);
                active.timeline.restart(first, key.codec.unit());
                self.output.push(Output::Changed(key.describe()));
            }
            None => {
                let description = key.describe();
                let source = Source { origin: Origin::Rtp, channels, description };
                self.output.push(Output::Started(source));
                let timeline = Timeline::new(first, key.codec.unit());
                self.active = Some(Active::new(key, timeline, transcoder, heard));
            }
        }
        if let Some(active) = &mut self.active {
            for packet in packets {
                active.timeline.push(packet);
            }
        }
        self.pump();
    }

    /// Gives up the candidate.
    fn forget(&mut self, now: Duration) {
        let Some(candidate) = self.candidate.take() else { return };
        // Late packets of the source itself are counted by its timeline.
        if self.active.as_ref().is_none_or(|active| active.key != candidate.key) {
            for _ in &candidate.packets {
                self.trouble(Trouble::Stray(candidate.key.from), now);
            }
        }
    }

    /// Moves what the timeline has ready to the output.
    fn pump(&mut self) {
        let Some(active) = &mut self.active else { return };
        while let Some(output) = active.timeline.output() {
            active.media(output, &mut self.output);
        }
        let counts = active.timeline.counts();
        let heard = active.heard;
        let jumps = counts.jumps - std::mem::replace(&mut active.known, counts).jumps;
        for _ in 0..jumps {
            self.trouble(Trouble::Clock, heard);
        }
    }

    fn trouble(&mut self, trouble: Trouble, now: Duration) {
        if let Some(times) = self.troubles.count(&trouble, now) {
            self.output.push(Output::Trouble { trouble, times });
        }
    }
}

impl Active {
    fn new(key: Key, timeline: Timeline, transcoder: Option<Transcoder>, heard: Duration) -> Self {
        let known = Counts::default();
        Self { key, timeline, transcoder, toc: 0, heard, time: heard, packets: 0, known }
    }

    fn summary(&self) -> Summary {
        let Counts { duplicates, late, missing, jumps } = self.timeline.counts();
        let drift_us = self.timeline.drift();
        Summary { packets: self.packets, duplicates, late, missing, jumps, drift_us }
    }

    fn media(&mut self, media: timeline::Output, output: &mut Queue) {
        match media {
            timeline::Output::Packet(packet) => {
                self.packets += 1;
                self.audio(packet, output);
            }
            timeline::Output::Silence(length) => {
                self.flush(output);
                for packet in conceal(self.toc, length) {
                    self.event(Event::Packet(packet), output);
                }
            }
            timeline::Output::Lost { duration, cause } => {
                self.flush(output);
                self.event(Event::Lost { duration, cause }, output);
            }
        }
    }

    /// One packet as it is to be stored.
    fn audio(&mut self, packet: timeline::Packet, output: &mut Queue) {
        let timeline::Packet { arrival, duration, data, .. } = packet;
        self.time = arrival;
        let mut toc = self.toc;
        let mut stored = |packet: archive::Packet| {
            toc = packet.data.first().copied().unwrap_or(toc);
            output.push(Output::Media { event: Event::Packet(packet), arrival });
        };
        let encoded = match &mut self.transcoder {
            None => {
                stored(archive::Packet { data, duration });
                Ok(())
            }
            Some(transcoder) => transcoder.push(self.key.codec, &data, stored),
        };
        self.toc = toc;
        if encoded.is_err() {
            let event = Event::Lost { duration, cause: GapCause::Broken };
            self.event(event, output);
        }
    }

    /// Hands on what waits in the transcoder for a whole frame.
    fn flush(&mut self, output: &mut Queue) {
        let arrival = self.time;
        let Some(transcoder) = &mut self.transcoder else { return };
        // What cannot be encoded is less than 20 ms.
        let _ = transcoder.flush(|packet| {
            output.push(Output::Media { event: Event::Packet(packet), arrival });
        });
    }

    fn event(&self, event: Event, output: &mut Queue) {
        output.push(Output::Media { event, arrival: self.time });
    }
}
