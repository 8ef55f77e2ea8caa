//! Arbitrary rows as a playlist, and the playlist read again: every chunk is listed, in order and with
//! its length, whatever the rows say.
#![no_main]

#[path = "../../api/src/hls.rs"]
mod hls;

use libfuzzer_sys::fuzz_target;
use models::{Anchor, Chunk, Ticks, WallMicros};

fuzz_target!(|data: &[u8]| {
    let Some((&[open, chunks, anchors], data)) = data.split_first_chunk::<3>() else { return };
    let mut numbers =
        data.chunks_exact(8).map(|bytes| bytes.iter().fold(0, |n, &b| n << 8 | u64::from(b)));
    let mut number = || numbers.next().unwrap_or_default();
    let started = (open & 2 != 0).then(|| WallMicros(number() as i64));
    let mut start = Ticks(if open & 4 == 0 { 0 } else { number() });
    let chunks: Vec<Chunk> = (0..chunks % 16)
        .map(|nth| {
            let words = number();
            // Short ones, and now and then anything.
            let duration = Ticks(if words & 1 == 0 { words >> 40 } else { words });
            let (seq, take) = (u32::from(nth), (words >> 1) as u32 % 3);
            let chunk = Chunk { seq, take, start, duration, bytes: 1, sha256: [0; 32] };
            start = Ticks(start.0.saturating_add(duration.0));
            chunk
        })
        .collect();
    let mut anchors: Vec<Anchor> = (0..anchors % 8)
        .map(|_| Anchor { media: Ticks(number()), wall: WallMicros(number() as i64) })
        .collect();
    anchors.sort_by_key(|anchor| anchor.media);
    let mut playlist = hls::Playlist::new(open & 1 != 0, started, &anchors);
    chunks.iter().for_each(|chunk| playlist.push(chunk));
    assert_eq!(playlist.is_empty(), chunks.is_empty());
    check(&playlist.finish(), &chunks, open & 1 != 0);
});

fn check(text: &str, chunks: &[Chunk], open: bool) {
    assert!(text.starts_with("#EXTM3U\n") && text.ends_with('\n'));
    assert_eq!(text.ends_with("#EXT-X-ENDLIST\n"), !open);
    let after = |tag: &'static str| text.lines().filter_map(move |line| line.strip_prefix(tag));
    let target: u64 = after("#EXT-X-TARGETDURATION:").next().expect("one").parse().expect("whole");
    // Whole seconds, rounded; a float has not enough digits for them.
    let rounded = |length: &str| {
        let (whole, part) = length.strip_suffix(',')?.split_once('.')?;
        let (whole, part): (u64, u64) = (whole.parse().ok()?, part.parse().ok()?);
        Some(whole + u64::from(part >= 500_000))
    };
    let lengths: Vec<u64> = after("#EXTINF:").map(|l| rounded(l).expect("a number")).collect();
    assert_eq!(lengths.len(), chunks.len());
    assert!(lengths.iter().all(|&length| length <= target));
    for date in after("#EXT-X-PROGRAM-DATE-TIME:") {
        assert!(date.len() >= 24 && date.ends_with('Z') && !date.starts_with(['-', '+']), "{date}");
    }
    let listed = text.lines().filter(|line| !line.starts_with('#'));
    let names = chunks.iter().map(|chunk| match chunk.take {
        0 => format!("chunks/{}.m4s", chunk.seq),
        take => format!("chunks/{}-{take}.m4s", chunk.seq),
    });
    assert!(listed.eq(names));
}
