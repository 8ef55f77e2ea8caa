//! The HLS media playlist of a recording (RFC 8216).
//!
//! `EVENT` while more audio may come, `VOD` with `EXT-X-ENDLIST` after. Chunks are the media
//! segments as they are. A gap is concealed sound of its full length on the same timeline, so there
//! is never an `EXT-X-DISCONTINUITY`; a pause shows as a jump of `EXT-X-PROGRAM-DATE-TIME` alone.

use std::fmt::Write;

use models::{Anchor, Chunk, Ticks, WallMicros};

/// `EXT-X-TARGETDURATION`, in seconds. It must not change while a playlist grows (RFC 8216, section
/// 6.2.1), so it is not taken from the chunks there are: they have about 4 s, this leaves room.
const TARGET_SECONDS: u64 = 6;

/// How far the wall clock may stray from the last stated date, in microseconds, before it is stated
/// anew. Jitter of arrival stays below; a pause or a drifting source does not.
const DATE_TOLERANCE_US: u64 = 250_000;

/// A playlist being written, one chunk after the other.
#[derive(Debug)]
pub struct Playlist<'a> {
    open: bool,
    started_at: Option<WallMicros>,
    anchors: &'a [Anchor],
    /// Number of the first chunk.
    first: Option<u32>,
    /// The longest chunk, in whole seconds.
    longest: u64,
    /// The date stated last.
    stated: Option<Anchor>,
    /// What stands after the header.
    segments: String,
}

impl<'a> Playlist<'a> {
    /// `started_at` dates media time zero; `anchors`, in order of media time, correct it further on.
    #[must_use]
    pub fn new(open: bool, started_at: Option<WallMicros>, anchors: &'a [Anchor]) -> Self {
        let (first, longest, stated, segments) = (None, 0, None, String::new());
        Self { open, started_at, anchors, first, longest, stated, segments }
    }

    /// Lists the chunk that follows, without a hole, the one before.
    pub fn push(&mut self, chunk: &Chunk) {
        self.first.get_or_insert(chunk.seq);
        if let Some(wall) = wall_at(chunk.start, self.started_at, self.anchors) {
            let expected = self.stated.map(|s| s.wall.plus(chunk.start.saturating_sub(s.media)));
            if expected.is_none_or(|e| wall.micros_since(e).unsigned_abs() > DATE_TOLERANCE_US) {
                let _ = writeln!(self.segments, "#EXT-X-PROGRAM-DATE-TIME:{}", wall.to_rfc3339());
                self.stated = Some(Anchor { media: chunk.start, wall });
            }
        }
        let us = length_us(chunk);
        self.longest = self.longest.max(seconds_rounded(us));
        let (whole, part) = (us / 1_000_000, us % 1_000_000);
        let _ = write!(self.segments, "#EXTINF:{whole}.{part:06},\nchunks/{}", chunk.seq);
        // A chunk that took the place of another is another file: players and caches keep files.
        let _ = match chunk.take {
            0 => writeln!(self.segments, ".m4s"),
            take => writeln!(self.segments, "-{take}.m4s"),
        };
    }

    /// Whether nothing is listed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// The text.
    #[must_use]
    pub fn finish(mut self) -> String {
        if !self.open {
            self.segments.push_str("#EXT-X-ENDLIST\n");
        }
        let header = format!(
            "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:{}\n#EXT-X-MEDIA-SEQUENCE:{}\n\
             #EXT-X-PLAYLIST-TYPE:{}\n#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-MAP:URI=\"init.mp4\"\n",
            self.longest.max(TARGET_SECONDS),
            self.first.unwrap_or(0),
            if self.open { "EVENT" } else { "VOD" },
        );
        self.segments.insert_str(0, &header);
        self.segments
    }
}

/// The last moment that RFC 3339 can write: the end of the year 9999.
const LAST_DATE: WallMicros = WallMicros(253_402_300_799_999_999);

/// When `media` was heard: from the last anchor that is not later, else from the beginning. `None`
/// where that is no date.
fn wall_at(media: Ticks, started_at: Option<WallMicros>, anchors: &[Anchor]) -> Option<WallMicros> {
    let before = anchors.partition_point(|anchor| anchor.media <= media);
    let wall = match before.checked_sub(1).and_then(|i| anchors.get(i)) {
        Some(anchor) => Some(anchor.wall.plus(media.saturating_sub(anchor.media))),
        None => started_at.map(|start| start.plus(media)),
    };
    wall.filter(|wall| (WallMicros(0)..=LAST_DATE).contains(wall))
}

/// Microseconds, rounded to the nearest.
fn micros(ticks: Ticks) -> u64 {
    let rate = u128::from(models::TICKS_PER_SECOND);
    u64::try_from((u128::from(ticks.0) * 1_000_000 + rate / 2) / rate).unwrap_or(u64::MAX)
}

/// A chunk's length in microseconds: the difference of two rounded positions, so that rounding never
/// adds up over the recording.
fn length_us(chunk: &Chunk) -> u64 {
    micros(chunk.start + chunk.duration) - micros(chunk.start)
}

/// Whole seconds, rounded to the nearest, as `EXT-X-TARGETDURATION` is compared with what is listed.
fn seconds_rounded(us: u64) -> u64 {
    us / 1_000_000 + u64::from(us % 1_000_000 >= 500_000)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 2023-11-14T22:13:20Z.
    const START: WallMicros = WallMicros(1_700_000_000_000_000);

    fn playlist(
        open: bool,
        started_at: Option<WallMicros>,
        chunks: &[Chunk],
        anchors: &[Anchor],
    ) -> String {
        let mut playlist = Playlist::new(open, started_at, anchors);
        chunks.iter().for_each(|chunk| playlist.push(chunk));
        playlist.finish()
    }

    fn chunks(durations: &[u64]) -> Vec<Chunk> {
        let mut start = Ticks::ZERO;
        let chunk = |(seq, ticks): (usize, &u64)| {
            let chunk = Chunk {
                seq: seq as u32,
                take: 0,
                start,
                duration: Ticks(*ticks),
                bytes: 1,
                sha256: [0; 32],
            };
            start += chunk.duration;
            chunk
        };
        durations.iter().enumerate().map(chunk).collect()
    }

    #[test]
    fn while_it_is_live_the_playlist_may_grow() {
        insta::assert_snapshot!(playlist(true, Some(START), &chunks(&[192_000, 192_960]), &[]), @r#"
        #EXTM3U
        #EXT-X-VERSION:7
        #EXT-X-TARGETDURATION:6
        #EXT-X-MEDIA-SEQUENCE:0
        #EXT-X-PLAYLIST-TYPE:EVENT
        #EXT-X-INDEPENDENT-SEGMENTS
        #EXT-X-MAP:URI="init.mp4"
        #EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:20.000Z
        #EXTINF:4.000000,
        chunks/0.m4s
        #EXTINF:4.020000,
        chunks/1.m4s
        "#);
    }

    #[test]
    fn a_pause_moves_the_date_and_nothing_else() {
        let anchors = [
            Anchor { media: Ticks::ZERO, wall: START },
            // A little jitter is no reason to state the date again; a minute's pause is.
            Anchor { media: Ticks(192_000), wall: START.plus_millis(4_020) },
            Anchor { media: Ticks(384_000), wall: START.plus_millis(68_000) },
        ];
        insta::assert_snapshot!(playlist(false, Some(START), &chunks(&[192_000; 3]), &anchors), @r#"
        #EXTM3U
        #EXT-X-VERSION:7
        #EXT-X-TARGETDURATION:6
        #EXT-X-MEDIA-SEQUENCE:0
        #EXT-X-PLAYLIST-TYPE:VOD
        #EXT-X-INDEPENDENT-SEGMENTS
        #EXT-X-MAP:URI="init.mp4"
        #EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:20.000Z
        #EXTINF:4.000000,
        chunks/0.m4s
        #EXTINF:4.000000,
        chunks/1.m4s
        #EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:14:28.000Z
        #EXTINF:4.000000,
        chunks/2.m4s
        #EXT-X-ENDLIST
        "#);
    }

    #[test]
    fn a_chunk_longer_than_the_target_raises_it() {
        assert!(playlist(false, None, &chunks(&[480_000]), &[]).contains("TARGETDURATION:10\n"));
        assert!(!playlist(false, None, &chunks(&[480_000]), &[]).contains("DATE-TIME"));
    }

    proptest! {
        #[test]
        fn the_lengths_add_up_to_the_recording(
            durations in prop::collection::vec(1u64..400_000, 1..60),
        ) {
            let text = playlist(false, Some(START), &chunks(&durations), &[]);
            let listed: u64 = text
                .lines()
                .filter_map(|line| line.strip_prefix("#EXTINF:")?.strip_suffix(','))
                .map(|number| number.replace('.', "").parse::<u64>().unwrap())
                .sum();
            prop_assert_eq!(listed, micros(Ticks(durations.iter().sum())));
        }
    }
}
