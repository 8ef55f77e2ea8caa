use models::db::NewRecording;
use models::recording::Origin;
use models::room::RecordingPolicy;
use models::{Recording, RecordingId};

use super::*;
use crate::record::{Mode, Recorder};
use crate::testing::{Rig, WALL, packets, wall};

async fn import(rig: &Rig) -> Recording {
    let room = rig.room(RecordingPolicy::Manual, 30_000).await;
    let new = NewRecording {
        room_id: room.id,
        title: "An import".into(),
        origin: Origin::Import,
        state: State::Importing,
        channels: 1,
        source: "test".into(),
        created_at: WALL,
    };
    rig.place.db.create_recording(&new).await.unwrap()
}

#[tokio::test]
async fn an_import_fails_once_its_process_is_gone_and_not_before() {
    let rig = Rig::new().await;
    let row = import(&rig).await;
    // It may be about to make its directory.
    assert_eq!(sweep(&rig.place, WALL.plus_millis(1000)).await.unwrap(), Swept::default());
    let mut recorder = Recorder::open(&rig.place, &row, Mode::Import).await.unwrap();
    recorder.write(packets(0..60), wall(0)).await.unwrap();
    let late = WALL.plus_millis(100_000);
    assert_eq!(sweep(&rig.place, late).await.unwrap(), Swept::default());
    drop(recorder);
    let swept = sweep(&rig.place, late).await.unwrap();
    assert_eq!(swept, Swept { failed_imports: vec![row.id], ..Swept::default() });
    let row = rig.place.db.recording(row.id).await.unwrap();
    assert_eq!((row.state, row.end_reason), (State::Failed, Some(EndReason::Unreadable)));
    assert!(!rig.spool_of(row.id).exists());
}

#[tokio::test]
async fn what_is_not_in_the_store_is_never_removed() {
    let rig = Rig::new().await;
    // Audio without a row, and something that is not audio at all.
    let unknown = rig.spool_of(RecordingId::new());
    std::fs::create_dir_all(&unknown).unwrap();
    std::fs::write(unknown.join("00000000.m4s"), b"audio").unwrap();
    let stray = rig.place.spool_dir.join("stray");
    std::fs::write(&stray, b"?").unwrap();
    // An ended recording: one leftover that the store has, then one that it has not.
    let row = rig.recording().await;
    let mut recorder = Recorder::open(&rig.place, &row, Mode::Live).await.unwrap();
    recorder.write(packets(0..200), wall(0)).await.unwrap();
    let dir = rig.spool_of(row.id);
    recorder.finish().await.unwrap();
    rig.place.db.end_recording(row.id, EndReason::Host, WALL).await.unwrap();
    let key = archive::Key::Chunk(row.id, 0, 0);
    let bytes = rig.place.store.get(&key, None).await.unwrap();
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("00000000.m4s"), &bytes).unwrap();
    std::fs::write(dir.join("00000001.m4s"), &bytes).unwrap();
    std::fs::write(dir.join("00000001.gaps"), b"").unwrap();

    let swept = sweep(&rig.place, WALL).await.unwrap();
    let mut kept = vec![unknown.clone(), dir.clone(), stray.clone()];
    kept.sort();
    assert_eq!(swept, Swept { kept, ..Swept::default() });
    assert!(unknown.join("00000000.m4s").exists() && dir.join("00000001.m4s").exists());
    assert!(!dir.join("00000000.m4s").exists());

    std::fs::remove_file(dir.join("00000001.m4s")).unwrap();
    let swept = sweep(&rig.place, WALL).await.unwrap();
    assert_eq!(swept.cleared, [row.id]);
    assert!(!dir.exists());
}
