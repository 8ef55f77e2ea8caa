//! A store that is away for long or lies, and a spool that is damaged meanwhile.

use archive::Key;

use super::*;

/// Waits are that much shorter here.
const HASTE: u32 = 100;

async fn hasty() -> Rig {
    let mut rig = Rig::new().await;
    rig.place.haste = HASTE;
    rig
}

/// An hour of media in which the store takes nothing. The media comes as fast as it is written and
/// the uploader's waits are a hundredth of the real ones; files are in memory, where there is
/// memory for files, because 7,200 syncs would take minutes.
#[tokio::test]
async fn an_hour_without_a_store_costs_nothing() {
    // A bucket takes its time for 900 objects.
    if servers::on_postgres() {
        return;
    }
    let mut rig = Rig::in_memory().await;
    rig.place.haste = HASTE;
    let row = rig.recording().await;
    rig.break_store(row.id, true);
    let mut recorder = open_recorder(&rig.place, &row, Mode::Live).await.unwrap();
    let all = 3600 * 50;
    for n in (0..all).step_by(500) {
        recorder.write(packets(n..n + 500), wall(n)).await.unwrap();
    }
    until(async || recorder.progress().trouble).await;
    assert_eq!(rig.place.db.last_chunk(row.id).await.unwrap(), None);
    assert_eq!(spool::list(&rig.spool_of(row.id), "m4s").unwrap(), (0..900).collect::<Vec<_>>());

    rig.break_store(row.id, false);
    recorder.finish().await.unwrap();
    assert_eq!(numbers(&rig.stored(row.id).await), (0..all).map(Some).collect::<Vec<_>>());
    assert_eq!(rig.place.db.gaps(row.id).await.unwrap(), []);
    assert!(!rig.spool_of(row.id).exists());
}

/// Three complete chunks in the spool of a store that is away.
async fn three_chunks(rig: &Rig) -> (Recording, Recorder) {
    let row = rig.recording().await;
    rig.break_store(row.id, true);
    let mut recorder = open_recorder(&rig.place, &row, Mode::Live).await.unwrap();
    recorder.write(packets(0..650), wall(0)).await.unwrap();
    (row, recorder)
}

#[tokio::test]
async fn a_chunk_damaged_on_disk_holds_up_no_other() {
    let rig = hasty().await;
    let (row, recorder) = three_chunks(&rig).await;
    let path = spool::chunk_path(&rig.spool_of(row.id), 1);
    let mut bytes = std::fs::read(&path).unwrap();
    // In the third fragment of eight.
    let middle = bytes.len() * 5 / 16;
    bytes[middle] ^= 0x40;
    std::fs::write(&path, bytes).unwrap();
    rig.break_store(row.id, false);
    recorder.finish().await.unwrap();
    let mut expected: Vec<_> = (0..650).map(Some).collect();
    expected[250..275].fill(None);
    assert_eq!(numbers(&rig.stored(row.id).await), expected);
    assert_eq!(rig.place.db.gaps(row.id).await.unwrap(), [gap(250, 25, GapCause::Broken)]);
    let text = rig.place.meters.text();
    assert!(text.contains("cause=\"broken\"} 0.500"), "{text}");
    assert!(text.contains("chunks_salvaged_total 1"), "{text}");
}

#[tokio::test]
async fn neither_does_one_that_is_gone() {
    let rig = hasty().await;
    let (row, recorder) = three_chunks(&rig).await;
    for seq in [1, 2] {
        std::fs::remove_file(spool::chunk_path(&rig.spool_of(row.id), seq)).unwrap();
    }
    rig.break_store(row.id, false);
    recorder.finish().await.unwrap();
    let mut expected: Vec<_> = (0..650).map(Some).collect();
    expected[200..600].fill(None);
    assert_eq!(numbers(&rig.stored(row.id).await), expected);
    assert_eq!(rig.place.db.gaps(row.id).await.unwrap(), [gap(200, 400, GapCause::Broken)]);
    let chunks = rig.place.db.chunks(row.id).await.unwrap();
    let starts: Vec<_> = chunks.iter().map(|chunk| chunk.start.0 / PACKET.0).collect();
    assert_eq!(starts, [0, 200, 400, 600]);
}

#[tokio::test]
async fn what_the_store_has_is_better_than_what_is_left() {
    let rig = hasty().await;
    let (row, recorder) = three_chunks(&rig).await;
    drop(recorder);
    rig.break_store(row.id, false);
    // It was put, and before its row was there it was damaged here.
    let whole = spool::load(&rig.spool_of(row.id), 0).unwrap().unwrap().fragments;
    let key = Key::Chunk(row.id, 0, 0);
    rig.place.store.put(&key, upload::object(&whole).into()).await.unwrap();
    std::fs::write(spool::chunk_path(&rig.spool_of(row.id), 0), b"rubbish").unwrap();
    let recorder = open_recorder(&rig.place, &row, Mode::Live).await.unwrap();
    recorder.finish().await.unwrap();
    assert_eq!(numbers(&rig.stored(row.id).await), (0..650).map(Some).collect::<Vec<_>>());
    assert_eq!(rig.place.db.gaps(row.id).await.unwrap(), []);
}

/// A put was answered well and other bytes were stored: the chunk stays in the spool, is tried
/// again, and in the end is put in the place of what nobody has asked for.
#[tokio::test]
async fn other_bytes_in_the_store_are_no_reason_to_give_up_a_chunk() {
    let mut rig = hasty().await;
    rig.place.haste = 2;
    let row = rig.recording().await;
    let key = Key::Chunk(row.id, 0, 0);
    rig.place.store.put(&key, b"what was stored".as_slice().into()).await.unwrap();
    let mut recorder = open_recorder(&rig.place, &row, Mode::Live).await.unwrap();
    recorder.write(packets(0..450), wall(0)).await.unwrap();
    let trouble = until(async || recorder.progress().trouble).await;
    assert!(matches!(*trouble, upload::Error::Store { .. }), "{trouble}");
    assert_eq!(spool::list(&rig.spool_of(row.id), "m4s").unwrap(), [0, 1, 2]);
    assert_eq!(rig.place.db.last_chunk(row.id).await.unwrap(), None);
    recorder.finish().await.unwrap();
    assert_eq!(numbers(&rig.stored(row.id).await), (0..450).map(Some).collect::<Vec<_>>());
}
