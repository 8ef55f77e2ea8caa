use std::fs;

use archive::cmaf::{Fragment, fragment_seq, write_fragment};
use models::{Gap, GapCause, Ticks};
use proptest::prelude::*;

use super::files::Appender;
use super::notes::{CAUSES, line, parse};
use super::*;
use crate::cut;
use crate::testing::{packet, wall};

const CHUNK: u32 = 7;

/// Fragment `n` of the chunk: ten packets.
fn fragment(n: u32) -> Fragment {
    let first = n as usize * 10;
    Fragment {
        seq: fragment_seq(CHUNK, n),
        start: Ticks(first as u64 * 960),
        wall: wall(first),
        packets: (first..first + 10).map(packet).collect(),
    }
}

/// The gap that is noted with fragment `n`: from its start into the next one.
fn gap(n: u32) -> Gap {
    let (start, duration) = (fragment(n).start, Ticks(15 * 960));
    Gap { start, duration, wall_us: duration.as_micros(), cause: GapCause::Loss }
}

fn files(dir: &Path) -> Files {
    Files::new(Held::new(dir.to_owned()).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn wherever_the_files_are_torn_the_whole_fragments_and_their_gaps_stay(
        count in 1..6_u32, chunk_at: prop::sample::Index, gaps_at: prop::sample::Index, junk: bool,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut writing = files(dir.path());
        let mut ends = vec![0];
        for n in 0..count {
            let bytes = write_fragment(&fragment(n));
            writing.append(CHUNK, &bytes, &[gap(n)], true).unwrap();
            ends.push(ends[n as usize] + bytes.len());
        }
        drop(writing);
        let (chunk, notes) = (chunk_path(dir.path(), CHUNK), gaps_path(dir.path(), CHUNK));
        let cut_at = chunk_at.index(ends[count as usize] + 1);
        // The sidecar is synced first: it may be ahead of the fragments, never behind.
        let whole = ends.iter().rposition(|end| *end <= cut_at).unwrap();
        let lines = fs::read(&notes).unwrap();
        let synced: usize = (0..whole as u32).map(|n| line(&gap(n)).len()).sum();
        let cut_notes = synced + gaps_at.index(lines.len() - synced + 1);
        fs::write(&notes, &lines[..cut_notes]).unwrap();
        let mut bytes = fs::read(&chunk).unwrap();
        bytes.truncate(cut_at);
        if junk && cut_at == ends[whole] {
            bytes.extend([0; 100]);
        }
        fs::write(&chunk, &bytes).unwrap();

        let held = Held::new(dir.path().to_owned()).unwrap();
        let left = mend(&held).unwrap();
        let again = mend(&held).unwrap();
        prop_assert_eq!((&left.last, &left.chunks), (&again.last, &again.chunks));
        prop_assert_eq!(left.torn_bytes, (bytes.len() - ends[whole]) as u64);
        if whole == 0 {
            prop_assert!(left.last.is_none() && left.chunks.is_empty());
            prop_assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        } else {
            prop_assert_eq!(fs::read(&chunk).unwrap(), &bytes[..ends[whole]]);
            let last = fragment(whole as u32 - 1);
            let end = last.span().end;
            prop_assert_eq!(left.last, Some(last));
            let kept = cut::clip(&gaps(dir.path(), CHUNK).unwrap(), end);
            let told: Vec<Gap> = (0..whole as u32).map(gap).collect();
            prop_assert_eq!(kept, cut::clip(&told, end));
        }
    }

    #[test]
    fn lines_read_back_as_they_were_written(
        start: u64, duration: u64, wall_us: i64, cause in 0..CAUSES.len(),
    ) {
        let (start, duration, cause) = (Ticks(start), Ticks(duration), CAUSES[cause].1);
        let gap = Gap { start, duration, wall_us, cause };
        prop_assert_eq!(parse(line(&gap).trim_end().as_bytes()), Some(gap));
    }
}

#[test]
fn what_a_failed_append_left_is_cut_off_by_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let mut writing = files(dir.path());
    let (first, second) = (write_fragment(&fragment(0)), write_fragment(&fragment(1)));
    writing.append(CHUNK, &first, &[gap(0)], true).unwrap();
    for path in [chunk_path(dir.path(), CHUNK), gaps_path(dir.path(), CHUNK)] {
        let mut half = fs::read(&path).unwrap();
        half.extend(b"half of what was to follow");
        fs::write(&path, half).unwrap();
    }
    writing.append(CHUNK, &second, &[gap(1)], true).unwrap();
    assert_eq!(read(dir.path(), CHUNK).unwrap().unwrap(), [first, second].concat());
    assert_eq!(gaps(dir.path(), CHUNK).unwrap(), [gap(0), gap(1)]);
}

#[test]
fn a_gap_that_was_noted_twice_is_one_gap() {
    let dir = tempfile::tempdir().unwrap();
    let mut writing = files(dir.path());
    writing.note(CHUNK, &[gap(0), gap(1)]).unwrap();
    writing.note(CHUNK, &[gap(0), gap(1)]).unwrap();
    assert_eq!(gaps(dir.path(), CHUNK).unwrap(), [gap(0), gap(1)]);
}

#[test]
fn a_pause_before_a_chunk_that_was_not_begun_stays_and_other_gaps_there_go() {
    let dir = tempfile::tempdir().unwrap();
    let mut writing = files(dir.path());
    writing.append(CHUNK, &write_fragment(&fragment(0)), &[], true).unwrap();
    let start = fragment(0).span().end;
    let pause = Gap { start, duration: Ticks::ZERO, wall_us: 5, cause: GapCause::Paused };
    writing.note(CHUNK + 1, &[pause]).unwrap();
    writing.note(CHUNK + 1, &[gap(1)]).unwrap();
    drop(writing);
    let left = mend(&Held::new(dir.path().to_owned()).unwrap()).unwrap();
    assert_eq!((left.chunks, left.pauses), (vec![CHUNK], vec![pause]));
    assert_eq!(gaps(dir.path(), CHUNK + 1).unwrap(), [pause]);
}

#[test]
fn one_writer_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let held = Held::new(dir.path().join("a")).unwrap();
    assert!(Held::new(dir.path().join("a")).unwrap_err().is_locked());
    drop(held);
    Held::existing(dir.path().join("a")).unwrap();
    assert!(!Held::existing(dir.path().join("b")).unwrap_err().is_locked());
}

#[test]
fn a_full_disk_says_so() {
    // Writing to it always fails for want of space.
    if fs::metadata("/dev/full").is_err() {
        return;
    }
    let mut full = Appender::open("/dev/full".into()).unwrap();
    let error = full.append(b"audio", true).unwrap_err();
    assert!(error.to_string().contains("/dev/full"));
    assert_eq!(full.whole, 0);
}
