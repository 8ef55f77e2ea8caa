//! Compares what was kept of a room with what was sent to it, packet by packet. Pure: packets and
//! gaps in, complaints out.
//!
//! **What is demanded.** Each kept packet is one that was sent, to the last bit, and they stand in
//! order, each once. Between two that do not follow each other there is a declared gap, as long as
//! what is missing (within [`Limits::gap`]) and with a cause that was there: nothing that reached the
//! server is missing but what an [`Outage`] explains, and that not by more than [`Limits::lost`].
//! No gap is declared where there is audio. Each packet stands at its media time.

use models::{Gap, GapCause, Span, Ticks};

use super::voice::Voice;

/// Media time of a packet.
pub const PACKET: Ticks = Ticks::from_millis(20);
/// So many packets round the moment at which an outage is said to have begun may belong to it.
const ABOUT: u32 = 10;
/// Complaints of one room that are kept; the rest is counted.
const COMPLAINTS: usize = 12;

/// What became of a packet on its way to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The kernel took it for the server's socket.
    Received,
    /// Nobody listened.
    Refused,
    /// Lost on the way.
    Dropped,
}

/// A time at which audio could not be kept, in numbers of the room's packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outage {
    /// The next packet to be sent when it began.
    pub from: u32,
    /// The next packet to be sent when it was over.
    pub to: u32,
    /// What it was.
    pub kind: Kind,
}

/// What an outage was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The server was killed.
    Killed,
    /// The source was cut off.
    CutOff,
}

/// How much is forgiven.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How far a gap's length may be from what is missing.
    pub gap: Ticks,
    /// How far a packet's media time may be from the truth.
    pub media: Ticks,
    /// How much of what reached the server an outage may cost.
    pub lost: Ticks,
}

/// What was sent to a room.
#[derive(Debug, Clone, Copy)]
pub struct Sent<'a> {
    pub voice: Voice,
    /// One a packet.
    pub fates: &'a [Fate],
    /// In order.
    pub outages: &'a [Outage],
}

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// Packets that were kept, each as it was sent.
    pub kept: u32,
    /// Of what reached the server, what each outage cost.
    pub lost: Vec<Ticks>,
    /// Declared gaps.
    pub gaps: usize,
    /// The largest difference between a gap and what is missing, in ticks.
    pub gap_off: u64,
    /// The largest difference between a packet's media time and the truth, in ticks.
    pub media_off: u64,
    /// What is wrong.
    pub complaints: Vec<String>,
    /// How much more is.
    pub more: usize,
}

/// Takes what was kept of one recording, packet by packet.
#[derive(Debug)]
pub struct Check<'a> {
    sent: Sent<'a>,
    gaps: &'a [Gap],
    limits: Limits,
    found: Found,
    /// The last packet of the room's voice and where it ends.
    last: Option<(u32, Ticks)>,
    /// The first one.
    first: Option<u32>,
    /// The first gap that may reach beyond `last`.
    gap: usize,
    /// Where what was kept ends.
    end: Ticks,
}

impl<'a> Check<'a> {
    /// `gaps` in order, those of one cause that touch made one.
    pub fn new(sent: Sent<'a>, gaps: &'a [Gap], limits: Limits) -> Self {
        let lost = vec![Ticks::ZERO; sent.outages.len()];
        let found = Found { lost, gaps: gaps.len(), ..Found::default() };
        Self { sent, gaps, limits, found, last: None, first: None, gap: 0, end: Ticks::ZERO }
    }

    /// Takes the next packet, which stands at `at`.
    pub fn packet(&mut self, at: Ticks, data: &[u8], duration: Ticks) {
        if at != self.end {
            self.complain(at, format!("media time goes on from {}", self.end));
        }
        self.end = at + duration;
        // Concealment: what it stands for is seen with the packet that follows.
        if data.len() == 1 {
            return;
        }
        let Some(index) = self.sent.voice.index(data) else {
            return self.complain(at, "a packet that was never sent so".into());
        };
        if let Some((last, _)) = self.last.filter(|(last, _)| index <= *last) {
            return self.complain(at, format!("packet {index} stands after packet {last}"));
        }
        if duration != PACKET {
            self.complain(at, format!("packet {index} is {} ticks long", duration.0));
        }
        let first = *self.first.get_or_insert(index);
        match self.last {
            Some((last, end)) => self.between(last, index, Span::new(end, at)),
            None => self.head(index, at),
        }
        let truth = u64::from(index - first) * PACKET.0;
        let off = at.0.abs_diff(truth);
        self.found.media_off = self.found.media_off.max(off);
        if off > self.limits.media.0 {
            self.complain(at, format!("packet {index} is {} ms from its time", off / 48));
        }
        self.no_gap_in(Span::new(at, self.end));
        self.found.kept += 1;
        self.last = Some((index, self.end));
    }

    /// What was found, once all that was kept has been taken.
    pub fn finish(mut self) -> Found {
        let next = self.last.map_or(0, |(last, _)| last + 1);
        let end = u32::try_from(self.sent.fates.len()).expect("hours");
        self.account(next..end, self.end);
        self.found
    }

    fn complain(&mut self, at: Ticks, what: String) {
        if self.found.complaints.len() < COMPLAINTS {
            self.found.complaints.push(format!("{at}: {what}"));
        } else {
            self.found.more += 1;
        }
    }

    /// Sees what came before the first packet.
    fn head(&mut self, index: u32, at: Ticks) {
        if at != Ticks::ZERO {
            self.complain(at, "the recording begins with no audio".into());
        }
        self.account(0..index, at);
    }

    /// Sees what is missing between two packets that stand `space` apart.
    fn between(&mut self, last: u32, index: u32, space: Span) {
        let missing = index - last - 1;
        if missing == 0 && space.is_empty() {
            return;
        }
        let (declared, causes) = self.declared(space);
        let truth = u64::from(missing) * PACKET.0;
        let off = space.duration().0.abs_diff(truth);
        self.found.gap_off = self.found.gap_off.max(off);
        if off > self.limits.gap.0 {
            let (space, truth) = (space.duration().0 / 48, truth / 48);
            self.complain(
                self.end,
                format!("{space} ms for {truth} ms that are missing before packet {index}"),
            );
        }
        let undeclared = space.duration().saturating_sub(declared);
        if undeclared > PACKET || (missing > 1 && declared == Ticks::ZERO) {
            self.complain(
                self.end,
                format!("{missing} packets before packet {index} are missing: no gap says so"),
            );
        }
        self.account(last + 1..index, space.start);
        for cause in causes {
            if !self.plausible(cause, last + 1..index) {
                self.complain(space.start, format!("a gap before packet {index} by {cause:?}"));
            }
        }
    }

    /// How much of `space` is declared to be a gap, and why.
    fn declared(&mut self, space: Span) -> (Ticks, Vec<GapCause>) {
        let mut declared = Ticks::ZERO;
        let mut causes = Vec::new();
        for gap in &self.gaps[self.gap..] {
            let here = span(gap).intersection(space).duration();
            declared += here;
            if here > Ticks::ZERO {
                causes.push(gap.cause);
            }
            if gap.start >= space.end {
                break;
            }
        }
        (declared, causes)
    }

    /// Complains of a gap where there is audio.
    fn no_gap_in(&mut self, audio: Span) {
        while let Some(gap) = self.gaps.get(self.gap) {
            let (here, cause) = (span(gap), gap.cause);
            if here.start >= audio.end {
                return;
            }
            if here.end > audio.start && !here.is_empty() {
                self.complain(audio.start, format!("audio within a gap by {cause:?}"));
            }
            if here.end > audio.end {
                return;
            }
            self.gap += 1;
        }
    }

    /// Lays what is missing although it reached the server to the outages that explain it.
    fn account(&mut self, missing: std::ops::Range<u32>, at: Ticks) {
        let outages = self.overlapping(&missing);
        let mut unexplained = 0;
        for index in missing.clone() {
            if self.sent.fates.get(index as usize) != Some(&Fate::Received) {
                continue;
            }
            let ended_by = |outage: &usize| self.sent.outages[*outage].from + ABOUT >= index;
            match outages.clone().find(ended_by).or(outages.clone().next_back()) {
                Some(outage) => self.found.lost[outage] += PACKET,
                None => unexplained += 1,
            }
        }
        if unexplained > 0 {
            let what = format!("{unexplained} packets from {} on were lost", missing.start);
            self.complain(at, what);
        }
        for outage in outages {
            let lost = self.found.lost[outage];
            if lost > self.limits.lost {
                self.complain(at, format!("an outage cost {} ms", lost.as_millis()));
            }
        }
    }

    /// The outages that `missing` touches.
    fn overlapping(&self, missing: &std::ops::Range<u32>) -> std::ops::Range<usize> {
        let outages = self.sent.outages;
        let first = outages.partition_point(|outage| outage.to + ABOUT < missing.start);
        let after = outages.partition_point(|outage| outage.from <= missing.end + ABOUT);
        first..after.max(first)
    }

    /// Whether something happened while these were missing that makes a gap by `cause`.
    fn plausible(&self, cause: GapCause, missing: std::ops::Range<u32>) -> bool {
        let fates = missing.clone().map(|index| self.sent.fates[index as usize]);
        let outages = &self.sent.outages[self.overlapping(&missing)];
        match cause {
            GapCause::Down => outages.iter().any(|outage| outage.kind == Kind::Killed),
            GapCause::SourceAway => !outages.is_empty(),
            GapCause::Loss => {
                !outages.is_empty() || fates.clone().any(|fate| fate == Fate::Dropped)
            }
            _ => false,
        }
    }
}

fn span(gap: &Gap) -> Span {
    Span::new(gap.start, gap.start + gap.duration)
}
