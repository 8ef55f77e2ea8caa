use archive::Packet;
use models::{Gap, GapCause, Recording};
use proptest::prelude::*;

use super::*;
use crate::anchors::Anchors;
use crate::testing::{PACKET, Rig, numbers, open, open_recorder, packet, packets, until, wall};

mod outage;

const LOST: usize = 10;
const NOTHING: Sealed = Sealed { below: 0, until: Ticks::ZERO };

fn lost(packets: usize, cause: GapCause) -> Event {
    Event::Lost { duration: Ticks(packets as u64 * PACKET.0), cause }
}

fn gap(start: usize, packets: usize, cause: GapCause) -> Gap {
    let duration = Ticks(packets as u64 * PACKET.0);
    let start = Ticks(start as u64 * PACKET.0);
    Gap { start, duration, wall_us: duration.as_micros(), cause }
}

#[tokio::test]
async fn packets_are_kept_as_they_came() {
    let rig = Rig::new().await;
    let row = rig.recording().await;
    let mut recorder = open_recorder(&rig.place, &row, Mode::Live).await.unwrap();
    for n in (0..1003).step_by(17) {
        recorder.write(packets(n..(n + 17).min(1003)), wall(n)).await.unwrap();
    }
    recorder.finish().await.unwrap();

    let sent: Vec<Packet> = (0..1003).map(packet).collect();
    assert_eq!(rig.stored(row.id).await, sent);
    let chunks = rig.place.db.chunks(row.id).await.unwrap();
    assert_eq!(chunks.len(), 6);
    assert!(chunks[..5].iter().all(|chunk| chunk.duration == Ticks::from_secs(4)));
    let fragments = chunk::open(&rig.place.store, row.id, &chunks[1]).await.unwrap();
    assert_eq!((fragments.len(), fragments[0].seq, fragments[0].wall), (1, 65, wall(200)));
    assert_eq!(rig.place.db.gaps(row.id).await.unwrap(), []);
    let row = rig.place.db.recording(row.id).await.unwrap();
    assert_eq!((row.started_at, row.duration), (Some(wall(0)), Ticks(1003 * PACKET.0)));
    assert!(!rig.spool_of(row.id).exists());
    let init = rig.place.store.get(&archive::Key::Init(row.id), None).await.unwrap();
    assert_eq!(init[..], cmaf::init_segment(1));
}

#[tokio::test]
async fn loss_is_concealed_and_marked_once() {
    let rig = Rig::new().await;
    let row = rig.recording().await;
    let mut recorder = open_recorder(&rig.place, &row, Mode::Live).await.unwrap();
    // Before the first packet there is no recording yet.
    recorder.write([lost(LOST, GapCause::Loss)], wall(0)).await.unwrap();
    recorder.write(packets(0..30), wall(0)).await.unwrap();
    // In two pieces, over the ends of a fragment and of a chunk.
    recorder.write([lost(LOST, GapCause::Loss)], wall(30)).await.unwrap();
    recorder.write([lost(LOST, GapCause::Loss)], wall(40)).await.unwrap();
    recorder.write(packets(50..190), wall(50)).await.unwrap();
    recorder.write([lost(20, GapCause::Loss), lost(5, GapCause::Broken)], wall(190)).await.unwrap();
    recorder.write(packets(215..220), wall(215)).await.unwrap();
    recorder.finish().await.unwrap();

    let stored = rig.stored(row.id).await;
    let missing = |n: &usize| (30..50).contains(n) || (190..215).contains(n);
    let expected: Vec<_> = (0..220).map(|n| Some(n).filter(|n| !missing(n))).collect();
    assert_eq!(numbers(&stored), expected);
    assert_eq!(stored[30].data[..], [31 << 3]);
    let gaps =
        [gap(30, 20, GapCause::Loss), gap(190, 20, GapCause::Loss), gap(210, 5, GapCause::Broken)];
    assert_eq!(rig.place.db.gaps(row.id).await.unwrap(), gaps);
}

#[tokio::test]
async fn time_away_is_filled_to_the_frame() {
    let rig = Rig::new().await;
    let row = rig.recording().await;
    let mut recorder = open_recorder(&rig.place, &row, Mode::Live).await.unwrap();
    recorder.write(packets(0..10), wall(0)).await.unwrap();
    // 30.0101 s later, which is not a whole number of packets.
    let back = WallMicros(wall(10).0 + 30_010_100);
    recorder.away(GapCause::SourceAway, back).await.unwrap();
    recorder.write(packets(10..20), back).await.unwrap();
    recorder.finish().await.unwrap();

    // Whole frames of Opus, of which the shortest are 2.5 ms.
    let (start, duration) = (Ticks(10 * PACKET.0), Ticks::from_micros(30_010_000));
    let gaps = rig.place.db.gaps(row.id).await.unwrap();
    assert_eq!(gaps.len(), 1);
    assert_eq!((gaps[0].start, gaps[0].duration), (start, duration));
    assert!((gaps[0].wall_us - 30_010_100).abs() < 100, "{}", gaps[0].wall_us);
    let total: Ticks = rig.stored(row.id).await.iter().map(|packet| packet.duration).sum();
    assert_eq!(total, Ticks(20 * PACKET.0) + duration);
    let anchors = rig.place.db.anchors(row.id).await.unwrap();
    assert_eq!((anchors[0].media, anchors[0].wall), (Ticks::ZERO, wall(0)));
    // They still tell what is right to within a frame.
    assert_eq!(anchors.len(), 1);
}

#[tokio::test]
async fn drift_is_taken_up_while_the_source_is_away() {
    // Slow and fast by 30 ms, and further off than an absence of 40 ms can take.
    for (off_us, away_us, filled_us) in
        [(30_000, 1_000_000, 1_030_000), (-30_000, 1_000_000, 970_000), (-30_000, 40_000, 20_000)]
    {
        let rig = Rig::new().await;
        let row = rig.recording().await;
        let mut recorder = open_recorder(&rig.place, &row, Mode::Import).await.unwrap();
        recorder.write(packets(0..10), wall(0)).await.unwrap();
        recorder.write(packets(10..20), wall(10).plus_micros(off_us)).await.unwrap();
        let back = wall(20).plus_micros(off_us + away_us);
        recorder.away(GapCause::SourceAway, back).await.unwrap();
        recorder.write(packets(20..30), back).await.unwrap();
        assert_eq!(recorder.media(), Ticks(30 * PACKET.0) + Ticks::from_micros(filled_us));
        recorder.finish().await.unwrap();
        let gaps = rig.place.db.gaps(row.id).await.unwrap();
        assert_eq!((gaps.len(), gaps[0].wall_us), (1, away_us));
    }
}

#[tokio::test]
async fn a_clock_set_wrong_makes_no_days_of_silence() {
    let rig = Rig::new().await;
    let row = rig.recording().await;
    let mut recorder = open_recorder(&rig.place, &row, Mode::Import).await.unwrap();
    recorder.write(packets(0..10), wall(0)).await.unwrap();
    let day = 86_400_000_000;
    let back = WallMicros(wall(10).0 + day);
    recorder.away(GapCause::Down, back).await.unwrap();
    recorder.write(packets(10..11), back).await.unwrap();
    assert_eq!(recorder.media(), Ticks(11 * PACKET.0) + FILL_MAX);
    recorder.finish().await.unwrap();
    // Also as read back from the store, it ends when it ended.
    let recorder = open_recorder(&rig.place, &row, Mode::Import).await.unwrap();
    assert_eq!(recorder.wall(), Some(back.plus(PACKET)));
    let gaps = rig.place.db.gaps(row.id).await.unwrap();
    assert_eq!(gaps.len(), 1);
    assert_eq!((gaps[0].duration, gaps[0].wall_us), (FILL_MAX, day));
}

#[tokio::test]
async fn media_time_stands_still_while_paused_also_over_a_crash() {
    let rig = Rig::new().await;
    let row = rig.recording().await;
    let mut recorder = open_recorder(&rig.place, &row, Mode::Live).await.unwrap();
    recorder.write(packets(0..30), wall(0)).await.unwrap();
    recorder.seal().await.unwrap();
    recorder.resume(wall(1030)).await.unwrap();
    drop(recorder);
    let mut recorder = open_recorder(&rig.place, &row, Mode::Live).await.unwrap();
    // The pause is not time down.
    assert_eq!((recorder.media(), recorder.wall()), (Ticks(30 * PACKET.0), Some(wall(1030))));
    recorder.write(packets(30..40), wall(1030)).await.unwrap();
    recorder.finish().await.unwrap();

    assert_eq!(numbers(&rig.stored(row.id).await), (0..40).map(Some).collect::<Vec<_>>());
    let pause = Gap { wall_us: 20_000_000, ..gap(30, 0, GapCause::Paused) };
    assert_eq!(rig.place.db.gaps(row.id).await.unwrap(), [pause]);
    let anchors = rig.place.db.anchors(row.id).await.unwrap();
    assert_eq!((anchors[1].media, anchors[1].wall), (pause.start, wall(1030)));
}

#[tokio::test]
async fn what_beginnings_are_off_does_not_add_up_over_crashes() {
    let rig = Rig::new().await;
    let row = rig.recording().await;
    let mut recorder = open_recorder(&rig.place, &row, Mode::Live).await.unwrap();
    recorder.write(packets(0..10), wall(0)).await.unwrap();
    recorder.seal().await.unwrap();
    recorder.uploads().wait(0).await.unwrap();
    recorder.resume(wall(1010)).await.unwrap();
    drop(recorder);
    let mut last = wall(1010);
    for crash in 1..=60 {
        let mut recorder = open_recorder(&rig.place, &row, Mode::Live).await.unwrap();
        // The first packet is 2 ms late, which those after it show.
        let (first, back) = (10 * crash, last.plus_micros(300_000));
        recorder.away(GapCause::Down, back.plus_micros(2_000)).await.unwrap();
        recorder.write(packets(first..first + 1), back.plus_micros(2_000)).await.unwrap();
        recorder.write(packets(first + 1..first + 10), back.plus(PACKET)).await.unwrap();
        recorder.flush().await.unwrap();
        // What is counted lies in the spool, in the store, or in both.
        if crash % 5 == 0 {
            recorder.seal().await.unwrap();
        }
        last = recorder.wall().unwrap();
    }
    let recorder = open_recorder(&rig.place, &row, Mode::Live).await.unwrap();
    let passed_us = last.micros_since(wall(0)) - 20_000_000;
    let off_us = recorder.media().as_micros() - passed_us;
    assert!(off_us.abs() <= 15_000, "{off_us} us off");
}

#[tokio::test]
async fn a_store_that_fails_for_a_while_costs_nothing() {
    let rig = Rig::new().await;
    let row = rig.recording().await;
    rig.break_store(row.id, true);
    let mut recorder = open_recorder(&rig.place, &row, Mode::Live).await.unwrap();
    recorder.write(packets(0..450), wall(0)).await.unwrap();
    until(async || recorder.progress().trouble).await;
    recorder.write(packets(450..900), wall(450)).await.unwrap();
    assert_eq!(rig.place.db.last_chunk(row.id).await.unwrap(), None);
    // Four sealed chunks and the one being written wait.
    assert_eq!(spool::list(&rig.spool_of(row.id), "m4s").unwrap(), [0, 1, 2, 3, 4]);

    rig.break_store(row.id, false);
    recorder.finish().await.unwrap();
    assert_eq!(numbers(&rig.stored(row.id).await), (0..900).map(Some).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_import_gives_up_on_a_store_that_stays_away() {
    let rig = Rig::new().await;
    let row = rig.recording().await;
    rig.break_store(row.id, true);
    let mut recorder = open_recorder(&rig.place, &row, Mode::Import).await.unwrap();
    recorder.uploads = Uploader::start(shipper(&rig, &row).await, 0, NOTHING, None, Some(2));
    recorder.write(packets(0..300), wall(0)).await.unwrap();
    let error = recorder.finish().await.unwrap_err();
    assert!(matches!(error, Error::Upload(_)), "{error}");
    assert!(rig.spool_of(row.id).join("00000000.m4s").exists());
}

#[tokio::test]
async fn a_disk_that_fails_costs_time_and_no_audio() {
    let rig = Rig::new().await;
    let row = rig.recording().await;
    let mut recorder = open_recorder(&rig.place, &row, Mode::Live).await.unwrap();
    // The next chunk's file cannot be made: a folder has its name.
    let in_the_way = spool::chunk_path(&rig.spool_of(row.id), 1);
    std::fs::create_dir(&in_the_way).unwrap();
    let mut events = packets(0..290);
    events.insert(230, lost(LOST, GapCause::Loss));
    let failed = recorder.write(events, wall(0)).await;
    assert!(matches!(failed, Err(Error::Spool(_))));
    assert!(!recorder.is_caught_up() && recorder.catch_up().await.is_err());
    std::fs::remove_dir(&in_the_way).unwrap();
    recorder.catch_up().await.unwrap();
    recorder.finish().await.unwrap();
    let mut expected: Vec<_> = (0..290).map(Some).collect();
    expected.splice(230..230, [None; LOST]);
    assert_eq!(numbers(&rig.stored(row.id).await), expected);
    assert_eq!(rig.place.db.gaps(row.id).await.unwrap(), [gap(230, LOST, GapCause::Loss)]);
}

/// A recording with one sealed chunk (and a gap in it) in the spool, of which nothing is in the
/// store.
async fn sealed(rig: &Rig) -> (Recording, Shipper) {
    let row = rig.recording().await;
    rig.break_store(row.id, true);
    let mut recorder = open_recorder(&rig.place, &row, Mode::Live).await.unwrap();
    recorder.write(packets(0..100), wall(0)).await.unwrap();
    recorder.write([lost(LOST, GapCause::Loss)], wall(100)).await.unwrap();
    recorder.seal().await.unwrap();
    drop(recorder);
    rig.break_store(row.id, false);
    let shipper = shipper(rig, &row).await;
    (row, shipper)
}

async fn shipper(rig: &Rig, row: &Recording) -> Shipper {
    let Holding { hold, take, recording } = rig.hold(row).await;
    Shipper { place: rig.place.clone(), recording, hold, take, dir: rig.spool_of(row.id) }
}

async fn goes_on(rig: &Rig, row: &Recording) {
    let mut recorder = open_recorder(&rig.place, row, Mode::Live).await.unwrap();
    recorder.write(packets(110..120), wall(110)).await.unwrap();
    recorder.finish().await.unwrap();
    let mut expected: Vec<_> = (0..120).map(Some).collect();
    expected[100..110].fill(None);
    assert_eq!(numbers(&rig.stored(row.id).await), expected);
    assert_eq!(rig.place.db.gaps(row.id).await.unwrap(), [gap(100, LOST, GapCause::Loss)]);
    assert_eq!(rig.place.db.anchors(row.id).await.unwrap().len(), 1);
    assert!(!rig.spool_of(row.id).exists());
}

#[tokio::test]
async fn a_crash_between_store_and_row_repeats_both() {
    let rig = Rig::new().await;
    let (row, shipper) = sealed(&rig).await;
    let cargo = shipper.load(0).await.unwrap().unwrap();
    shipper.put(&cargo.chunk, cargo.bytes.clone()).await.unwrap();
    goes_on(&rig, &row).await;
}

#[tokio::test]
async fn a_crash_between_row_and_removal_repeats_all() {
    let rig = Rig::new().await;
    let (row, shipper) = sealed(&rig).await;
    let cargo = shipper.load(0).await.unwrap().unwrap();
    shipper.put(&cargo.chunk, cargo.bytes.clone()).await.unwrap();
    shipper.row(&cargo, Anchors::new(None)).await.unwrap();
    goes_on(&rig, &row).await;
}

#[tokio::test]
async fn a_crash_between_the_removal_of_the_gaps_and_of_their_chunk_is_cleared() {
    let rig = Rig::new().await;
    let (row, shipper) = sealed(&rig).await;
    let cargo = shipper.load(0).await.unwrap().unwrap();
    shipper.put(&cargo.chunk, cargo.bytes.clone()).await.unwrap();
    shipper.row(&cargo, Anchors::new(None)).await.unwrap();
    std::fs::remove_file(spool::gaps_path(&shipper.dir, 0)).unwrap();
    goes_on(&rig, &row).await;
}

#[tokio::test]
async fn nobody_else_may_write_the_recording_meanwhile() {
    let rig = Rig::new().await;
    let row = rig.recording().await;
    let holding = rig.hold(&row).await;
    let recorder = Recorder::open(&rig.place, &holding, Mode::Live).await.unwrap();
    let second = Recorder::open(&rig.place, &holding, Mode::Live).await.unwrap_err();
    assert!(second.is_locked(), "{second}");
    recorder.finish().await.unwrap();
}

#[tokio::test]
async fn what_is_recorded_over_crashes_decodes() {
    let rig = Rig::new().await;
    let row = rig.recording().await;
    let mut encoder =
        ::opus::Encoder::new(48_000, ::opus::Channels::Mono, ::opus::Application::Audio).unwrap();
    let sound: Vec<Packet> = (0..400_usize)
        .map(|n| {
            let sine =
                |i: usize| ((n * 960 + i) as f32 * 440.0 * std::f32::consts::TAU / 48e3).sin();
            let pcm: Vec<f32> = (0..960).map(|i| sine(i) * 0.5).collect();
            let data = encoder.encode_vec_float(&pcm, 1500).unwrap().into();
            Packet { data, duration: PACKET }
        })
        .collect();
    for (n, part) in sound.chunks(100).enumerate() {
        let mut recorder = open_recorder(&rig.place, &row, Mode::Live).await.unwrap();
        let first = wall(n * 110);
        recorder.away(GapCause::Down, first).await.unwrap();
        recorder.write(part.iter().cloned().map(Event::Packet), first).await.unwrap();
        recorder.flush().await.unwrap();
        drop(recorder);
    }
    let recorder = open_recorder(&rig.place, &row, Mode::Live).await.unwrap();
    recorder.finish().await.unwrap();

    let mut decoder = archive::pcm::Decoder::new(48_000, 1).unwrap();
    let mut loudness = Vec::new();
    for packet in rig.stored(row.id).await {
        let pcm = decoder.decode(&packet).unwrap();
        assert_eq!(pcm.len() as u64, packet.duration.0);
        loudness.push(pcm.iter().map(|s| s * s).sum::<f32>() / pcm.len() as f32);
    }
    assert_eq!(loudness.len(), 430);
    // The sine is there to the end, after each gap.
    assert!([50, 190, 300, 420].iter().all(|n: &usize| (0.1..0.15).contains(&loudness[*n])));
    let down: Vec<Gap> = [100, 210, 320].map(|start| gap(start, 10, GapCause::Down)).into();
    assert_eq!(rig.place.db.gaps(row.id).await.unwrap(), down);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// The process dies after any batch and the file being written is torn anywhere behind its last
    /// synced byte, or even before it: nothing in front of the torn fragment is lost, and the
    /// recording goes on with the time down marked.
    #[test]
    fn a_crash_loses_less_than_a_second(
        before in 1..500_usize, batch in 1..60_usize, torn: Option<prop::sample::Index>,
        after in 1..80_usize, ship_first: bool,
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async move {
            let rig = Rig::new().await;
            let row = rig.recording().await;
            let mut recorder = open_recorder(&rig.place, &row, Mode::Live).await.unwrap();
            for n in (0..before).step_by(batch) {
                recorder.write(packets(n..(n + batch).min(before)), wall(n)).await.unwrap();
            }
            if ship_first {
                recorder.uploads.wait(0).await.unwrap();
            }
            let written = recorder.written();
            drop(recorder);
            let mut lost_most = PACKET.0 * before as u64 - written.0;
            prop_assert!(lost_most < 24_000);
            let last = spool::list(&rig.spool_of(row.id), "m4s").unwrap().pop();
            if let (Some(torn), Some(seq)) = (torn, last) {
                let path = spool::chunk_path(&rig.spool_of(row.id), seq);
                let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
                let bytes = file.metadata().unwrap().len();
                // Within the last fragment of 25 packets.
                let keep = bytes - torn.index(400.min(bytes as usize)) as u64;
                // A chunk that was complete is not written any more, and not torn.
                if seq == (written.0 / 192_000) as u32 {
                    file.set_len(keep).unwrap();
                    lost_most += 500 * 48;
                }
            }

            let place = open(rig.folder.path()).await;
            let mut recorder = open_recorder(&place, &row, Mode::Live).await.unwrap();
            let kept = recorder.media().0 / PACKET.0;
            prop_assert!(before as u64 * PACKET.0 - recorder.media().0 <= lost_most);
            let back = before + 50;
            recorder.away(GapCause::Down, wall(back)).await.unwrap();
            recorder.write(packets(back..back + after), wall(back)).await.unwrap();
            recorder.finish().await.unwrap();

            let kept = kept as usize;
            let mut expected: Vec<_> = (0..kept).map(Some).collect();
            if kept > 0 {
                expected.extend(std::iter::repeat_n(None, back - kept));
            }
            expected.extend((back..back + after).map(Some));
            prop_assert_eq!(numbers(&rig.stored(row.id).await), expected);
            let down = gap(kept, back - kept, GapCause::Down);
            let gaps = rig.place.db.gaps(row.id).await.unwrap();
            prop_assert_eq!(gaps, if kept > 0 { vec![down] } else { vec![] });
            Ok(())
        })?;
    }
}
