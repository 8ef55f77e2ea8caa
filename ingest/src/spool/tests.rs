use std::fs;

use archive::cmaf::{Fragment, fragment_seq, write_fragment};
use models::{Gap, GapCause, Ticks};
use proptest::prelude::*;

use super::notes::{CAUSES, gaps_on, line, parse};
use super::*;
use crate::cut;
use crate::testing::{packet, wall};

mod model;
mod sim;

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

/// A fragment's bytes as they stand in the chunk's file.
fn checked(dir: &Path, fragment: &[u8]) -> Vec<u8> {
    Belongs::to(&chunk_path(dir, CHUNK)).checked(fragment)
}

fn files(dir: &Path) -> Files {
    Files::new(Held::new(dir.to_owned()).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

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
            ends.push(ends[n as usize] + checked(dir.path(), &bytes).len());
        }
        drop(writing);
        let (chunk, notes) = (chunk_path(dir.path(), CHUNK), gaps_path(dir.path(), CHUNK));
        let cut_at = chunk_at.index(ends[count as usize] + 1);
        // The sidecar is synced first: it may be ahead of the fragments, never behind.
        let whole = ends.iter().rposition(|end| *end <= cut_at).unwrap();
        let (lines, belongs) = (fs::read(&notes).unwrap(), Belongs::to(&notes));
        let synced: usize = (0..whole as u32).map(|n| line(&gap(n), &belongs).len()).sum();
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
        let belongs = Belongs::to(Path::new("a/1.gaps"));
        let line = line(&gap, &belongs);
        let end = line.len() as u64;
        prop_assert_eq!(parse(line.as_bytes(), &belongs), [(gap, end)]);
        // In another place it says nothing, and neither does half of it.
        prop_assert_eq!(parse(line.as_bytes(), &Belongs::to(Path::new("b/1.gaps"))), []);
        prop_assert_eq!(parse(&line.as_bytes()[..line.len() - 2], &belongs), []);
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
    let spooled = load(dir.path(), CHUNK).unwrap().unwrap();
    assert_eq!(spooled, Spooled { fragments: vec![fragment(0), fragment(1)], bad_bytes: 0 });
    assert!(spooled.is_whole());
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
    assert_eq!((left.chunks, left.pauses), (vec![CHUNK], vec![(CHUNK + 1, pause)]));
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
    let file = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let error = disk::Open::write_at(&mut { file }, 0, b"audio").unwrap_err();
    assert!(failed("append to", Path::new("x"))(error).is_full());
}

#[test]
fn what_stands_behind_a_damaged_fragment_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let mut writing = files(dir.path());
    let bytes: Vec<_> = (0..4).map(|n| write_fragment(&fragment(n))).collect();
    bytes.iter().for_each(|bytes| writing.append(CHUNK, bytes, &[], true).unwrap());
    drop(writing);
    let path = chunk_path(dir.path(), CHUNK);
    let mut damaged = fs::read(&path).unwrap();
    let size = checked(dir.path(), &bytes[0]).len();
    // In the check of the second, and in the sound of the third.
    damaged[size + 3] ^= 1;
    damaged[3 * size - 1] ^= 1;
    fs::write(&path, &damaged).unwrap();
    for found in [load(dir.path(), CHUNK), load_pieces(dir.path(), CHUNK)] {
        let found = found.unwrap().unwrap();
        assert_eq!(found.fragments, [fragment(0), fragment(3)]);
        assert_eq!(found.bad_bytes, 2 * size as u64);
        assert!(!found.is_whole());
    }
    // Nor is it cut off by mending.
    let left = mend(&Held::new(dir.path().to_owned()).unwrap()).unwrap();
    assert_eq!((left.last, left.torn_bytes), (Some(fragment(3)), 0));
}

#[test]
fn sound_of_another_recording_is_not_taken_for_this_ones() {
    let dir = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    files(other.path()).append(CHUNK, &write_fragment(&fragment(0)), &[], true).unwrap();
    fs::copy(chunk_path(other.path(), CHUNK), chunk_path(dir.path(), CHUNK)).unwrap();
    assert_eq!(load(dir.path(), CHUNK).unwrap().unwrap().fragments, []);
}

#[test]
fn spools_from_before_there_were_checks_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..3).flat_map(|n| write_fragment(&fragment(n))).collect();
    fs::write(chunk_path(dir.path(), CHUNK), &bytes[..bytes.len() - 7]).unwrap();
    let lines = "0 14400 300000 loss\n76800 14400 300000 down\n86400 9 9 lo";
    fs::write(gaps_path(dir.path(), CHUNK), lines).unwrap();
    let left = mend(&Held::new(dir.path().to_owned()).unwrap()).unwrap();
    assert_eq!((left.chunks, left.last), (vec![CHUNK], Some(fragment(1))));
    let found = load(dir.path(), CHUNK).unwrap().unwrap();
    assert_eq!(found.fragments, [fragment(0), fragment(1)]);
    assert!(found.is_whole());
    let gaps = gaps(dir.path(), CHUNK).unwrap();
    let told: Vec<_> = gaps.iter().map(|gap| (gap.start.0, gap.cause)).collect();
    assert_eq!(told, [(0, GapCause::Loss)]);
}
