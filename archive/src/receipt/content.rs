//! What stands in a receipt.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use models::recording::{EndReason, Origin};
use models::room::{Audience, RecordingPolicy};
use models::{Anchor, Chunk, Gap, RecordingId, RoomId, Ticks, WallMicros};
use serde::{Deserialize, Serialize};

use super::{Coverage, Error, FORMAT, Facts, VERSION, canonical, hex, name, root, sums};

/// A receipt's body. Absent values are `null`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// Always `roomtape-receipt`.
    pub format: String,
    /// Of the form.
    pub version: u32,
    /// Its place among the recording's receipts, from 1.
    pub number: u32,
    /// SHA-256 of the receipt before it.
    pub previous: Option<String>,
    /// When it was made.
    pub made_at_us: i64,
    /// What it is of.
    pub recording: Said,
    /// Where that was.
    pub room: Where,
    /// The room's rules at that time.
    pub consent: Consent,
    /// What the chunks add up to.
    pub audio: Audio,
    /// Every chunk in order.
    pub chunks: Vec<Piece>,
    /// Root of the tree (RFC 6962) whose leaves are the chunks' SHA-256.
    pub root: String,
    /// Media time for which no audio arrived.
    pub gaps: Vec<Hole>,
    /// What ties media time to the wall clock.
    pub anchors: Vec<Tie>,
    /// By how many billionths the source's clock ran faster than ours; `null`: it could not be told.
    pub drift_ppb: Option<i64>,
    /// Media time kept and lost.
    pub coverage: Coverage,
}

/// The recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Said {
    /// Its identifier.
    pub id: RecordingId,
    /// What people call it.
    pub title: String,
    /// How its audio came.
    pub origin: Origin,
    /// What the source said of itself, where that names no address.
    pub source: Option<String>,
    /// When its row was made.
    pub created_at_us: i64,
    /// Wall-clock time of media time zero.
    pub started_at_us: Option<i64>,
    /// When it ended.
    pub ended_at_us: Option<i64>,
    /// Why.
    pub end_reason: Option<EndReason>,
}

/// The room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Where {
    /// Its identifier.
    pub id: RoomId,
    /// Its short name.
    pub slug: String,
    /// What people call it.
    pub title: String,
    /// Who holds it.
    pub host: String,
}

/// What the room allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consent {
    /// Whether and when it is recorded.
    pub policy: RecordingPolicy,
    /// Who may listen.
    pub audience: Audience,
}

/// The sound as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Audio {
    /// `opus`, in fragmented MP4.
    pub codec: String,
    /// 1 or 2.
    pub channels: u8,
    /// Units of media time in a second.
    pub ticks_per_second: u64,
    /// Its length.
    pub duration: u64,
    /// Bytes of all chunks.
    pub bytes: u64,
}

/// A chunk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Piece {
    /// Its place, from 0.
    pub seq: u32,
    /// Tells apart the objects that have had this place.
    pub take: u32,
    /// Where it begins.
    pub start: u64,
    /// Its length.
    pub duration: u64,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its object.
    pub sha256: String,
}

/// A gap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hole {
    /// Why.
    pub cause: String,
    /// Where it begins.
    pub start: u64,
    /// Its length; 0 for a pause.
    pub duration: u64,
    /// How long it took on the wall clock.
    pub wall_us: i64,
}

/// An anchor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tie {
    /// Where in the recording.
    pub media: u64,
    /// When that was heard.
    pub wall_us: i64,
}

impl Document {
    /// What there is to be said.
    pub(super) fn of(
        facts: &Facts<'_>,
        consent: Consent,
        number: u32,
        previous: Option<String>,
        now: WallMicros,
    ) -> Self {
        let Facts { recording, room, chunks, gaps, anchors } = facts;
        let duration: Ticks = chunks.iter().map(|chunk| chunk.duration).sum();
        Self {
            format: FORMAT.into(),
            version: VERSION,
            number,
            previous,
            made_at_us: now.0,
            recording: Said {
                id: recording.id,
                title: recording.title.clone(),
                origin: recording.origin,
                source: without_address(&recording.source),
                created_at_us: recording.created_at.0,
                started_at_us: recording.started_at.map(|at| at.0),
                ended_at_us: recording.ended_at.map(|at| at.0),
                end_reason: recording.end_reason,
            },
            room: Where {
                id: room.id,
                slug: room.slug.clone(),
                title: room.title.clone(),
                host: room.host.clone(),
            },
            consent,
            audio: Audio {
                codec: "opus".into(),
                channels: recording.channels,
                ticks_per_second: models::TICKS_PER_SECOND,
                duration: duration.0,
                bytes: chunks.iter().map(|chunk| chunk.bytes).sum(),
            },
            chunks: chunks.iter().map(Piece::from).collect(),
            root: hex(&super::root_of(chunks)),
            gaps: gaps.iter().map(Hole::from).collect(),
            anchors: anchors.iter().map(Tie::from).collect(),
            drift_ppb: sums::drift_ppb(anchors, gaps),
            coverage: Coverage::of(duration, gaps),
        }
    }

    pub(super) fn write(&self) -> Result<String, Error> {
        let value = serde_json::to_value(self).map_err(Error::Form)?;
        canonical::write(&value).map_err(Error::Number)
    }

    /// Reads a receipt and checks that it does not contradict itself: its spelling, the chunks' order
    /// and sums, the tree's root, and how much was kept.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn read(bytes: &[u8]) -> Result<Self, Error> {
        let document: Self = serde_json::from_slice(bytes).map_err(Error::Form)?;
        if document.format != FORMAT || document.version != VERSION {
            return Err(Error::Version(document.version));
        }
        if document.write()?.as_bytes() != bytes {
            return Err(Error::Spelling);
        }
        document.check_chunks()?;
        document.check_coverage()?;
        Ok(document)
    }

    fn check_chunks(&self) -> Result<(), Error> {
        let wrong = |what: String| Err(Error::Inconsistent(what));
        let (mut end, mut bytes, mut leaves) = (0_u64, 0_u64, Vec::new());
        for (place, chunk) in self.chunks.iter().enumerate() {
            if place as u64 != u64::from(chunk.seq) || chunk.start != end {
                return wrong(format!("chunk {} does not follow the one before it", chunk.seq));
            }
            end = end.saturating_add(chunk.duration);
            bytes = bytes.saturating_add(chunk.bytes);
            let Some(leaf) = unhex(&chunk.sha256) else {
                return wrong(format!("chunk {} has no SHA-256", chunk.seq));
            };
            leaves.push(leaf);
        }
        if (end, bytes) != (self.audio.duration, self.audio.bytes) {
            return wrong("its chunks do not add up to what it says of the whole".into());
        }
        if hex(&root(&leaves)) != self.root {
            return wrong("the root is not that of its chunks".into());
        }
        Ok(())
    }

    fn check_coverage(&self) -> Result<(), Error> {
        let Coverage { kept, lost } = &self.coverage;
        let lost_ticks = lost.values().fold(0_u64, |sum, ticks| sum.saturating_add(*ticks));
        let causes: BTreeSet<_> = self.gaps.iter().map(|gap| &gap.cause).collect();
        let adds_up = kept.checked_add(lost_ticks) == Some(self.audio.duration);
        if adds_up && lost.keys().all(|cause| causes.contains(cause)) {
            return Ok(());
        }
        Err(Error::Inconsistent("what it says was kept and lost does not add up".into()))
    }

    /// The first thing in which rows say something else; `None`: nothing. What people may edit (titles,
    /// the room's rules) is not looked at.
    #[must_use]
    pub fn differs_from(&self, facts: &Facts<'_>) -> Option<String> {
        let now = Self::of(facts, self.consent, self.number, None, WallMicros(self.made_at_us));
        let count = self.chunks.len().max(now.chunks.len());
        let differs = |at: &usize| self.chunks.get(*at) != now.chunks.get(*at);
        if let Some(at) = (0..count).find(differs) {
            return Some(format!("chunk {at} is another"));
        }
        let parts = [
            ("what it is of", self.recording.id == now.recording.id),
            ("the sums", self.audio == now.audio),
            ("the gaps", self.gaps == now.gaps),
            ("the anchors", self.anchors == now.anchors),
            ("the drift", self.drift_ppb == now.drift_ppb),
            ("what was kept", self.coverage == now.coverage),
        ];
        let other = parts.iter().find(|(_, same)| !same);
        other.map(|(part, _)| format!("{part}: the rows say something else"))
    }
}

impl From<&Chunk> for Piece {
    fn from(chunk: &Chunk) -> Self {
        Self {
            seq: chunk.seq,
            take: chunk.take,
            start: chunk.start.0,
            duration: chunk.duration.0,
            bytes: chunk.bytes,
            sha256: hex(&chunk.sha256),
        }
    }
}

impl From<&Gap> for Hole {
    fn from(gap: &Gap) -> Self {
        let (start, duration) = (gap.start.0, gap.duration.0);
        Self { cause: name(gap.cause), start, duration, wall_us: gap.wall_us }
    }
}

impl From<&Anchor> for Tie {
    fn from(anchor: &Anchor) -> Self {
        Self { media: anchor.media.0, wall_us: anchor.wall.0 }
    }
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let digits = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = text.as_bytes().chunks(2).map(digits).collect();
    bytes?.try_into().ok()
}

/// What a source said of itself, unless a word of it looks like an address. Receipts are handed on.
fn without_address(source: &str) -> Option<String> {
    let is_address = |word: &str| {
        let word = word.trim_matches(|c: char| !c.is_ascii_alphanumeric() && !":[]".contains(c));
        let host = word.trim_matches(['[', ']']);
        word.contains('@')
            || word.contains("://")
            || word.parse::<SocketAddr>().is_ok()
            || word.rsplit_once(':').is_some_and(|(host, _)| host.parse::<IpAddr>().is_ok())
            || host.parse::<IpAddr>().is_ok()
    };
    let is_clean = !source.is_empty() && !source.split_whitespace().any(is_address);
    is_clean.then(|| source.to_owned())
}

#[cfg(test)]
mod tests {
    use super::without_address;

    #[test]
    fn no_address_is_handed_on() {
        for source in [
            "opus over RTP from 192.0.2.7:5004, payload type 111, SSRC 5",
            "opus over RTP from [2001:db8::1]:5004",
            "Ogg Opus, from 192.0.2.7.",
            "from (2001:db8::1)",
            "http://radio.example/",
            "dj@radio.example",
            "",
        ] {
            assert_eq!(without_address(source), None, "{source}");
        }
        for source in ["ogg/opus", "MP3 44.1 kHz, butt 0.1.37", "Lavf/59.27.100: talk"] {
            assert_eq!(without_address(source).as_deref(), Some(source));
        }
    }
}
