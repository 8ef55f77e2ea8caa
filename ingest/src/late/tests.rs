use models::db::NewRecording;
use models::recording::Origin;
use models::room::RecordingPolicy;
use models::{Gap, GapCause, Recording, RecordingId, Ticks};

use super::*;
use crate::record::Mode;
use crate::testing::{Rig, WALL, numbers, open_recorder, open_spool, packets, wall};

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
    // It may be about to be held.
    assert_eq!(sweep(&rig.place, WALL.plus_millis(1000)).await.unwrap(), Swept::default());
    let began = WallMicros::now();
    let mut recorder = open_recorder(&rig.place, &row, Mode::Import).await.unwrap();
    recorder.write(packets(0..60), wall(0)).await.unwrap();
    assert_eq!(sweep(&rig.place, began).await.unwrap(), Swept::default());
    drop(recorder);
    let swept = sweep(&rig.place, began.plus_millis(100_000)).await.unwrap();
    assert_eq!(swept.failed_imports, [row.id]);
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
    let holding = rig.hold(&row).await;
    let mut recorder = crate::Recorder::open(&rig.place, &holding, Mode::Live).await.unwrap();
    recorder.write(packets(0..200), wall(0)).await.unwrap();
    let dir = rig.spool_of(row.id);
    recorder.finish().await.unwrap();
    rig.place.db.end_recording(holding.hold, EndReason::Host, WALL).await.unwrap();
    let key = archive::Key::Chunk(row.id, 0, 0);
    let bytes = rig.place.store.get(&key, None).await.unwrap();
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("00000000.m4s"), &bytes).unwrap();
    std::fs::write(dir.join("00000001.m4s"), &bytes).unwrap();
    std::fs::write(dir.join("00000001.gaps"), b"").unwrap();

    let swept = sweep(&rig.place, WALL).await.unwrap();
    let kept: Vec<_> = swept.kept.iter().map(|(path, _)| path.clone()).collect();
    let mut expected = vec![unknown.clone(), dir.clone(), stray.clone()];
    expected.sort();
    assert_eq!(kept, expected);
    assert!(unknown.join("00000000.m4s").exists() && dir.join("00000001.m4s").exists());
    assert!(!dir.join("00000000.m4s").exists());

    std::fs::remove_file(dir.join("00000001.m4s")).unwrap();
    let swept = sweep(&rig.place, WALL).await.unwrap();
    assert_eq!(swept.home, [row.id]);
    assert!(!dir.exists());
}

/// Two workers on one database and store. The first has written 10 s of a recording, of which
/// `shipped` chunks are in the store, and died; the second took over at 12 s and wrote 2 s.
struct Handover {
    rig: Rig,
    row: Recording,
    second: Place,
}

const DIED: usize = 500;
const BACK: usize = 600;
const END: usize = 700;

impl Handover {
    async fn new(shipped: bool, goes_on: bool) -> Self {
        let rig = Rig::new().await;
        let mut row = rig.recording().await;
        let mut first = open_recorder(&rig.place, &row, Mode::Live).await.unwrap();
        first.write(packets(0..220), wall(0)).await.unwrap();
        first.uploads().wait(0).await.unwrap();
        rig.break_store(row.id, true);
        first.write(packets(220..DIED), wall(220)).await.unwrap();
        first.flush().await.unwrap();
        drop(first);
        rig.break_store(row.id, false);
        if shipped {
            // A crash came between the object and its row.
            let spooled = spool::load(&rig.spool_of(row.id), 1).unwrap().unwrap();
            let object = upload::object(&spooled.fragments);
            let key = archive::Key::Chunk(row.id, 1, 0);
            rig.place.store.put(&key, object.into()).await.unwrap();
        }
        let second = open_spool(rig.folder.path(), "second").await;
        row = second.db.recording(row.id).await.unwrap();
        if goes_on {
            // The first one's lease has run out.
            let later = WallMicros::now().plus_millis(60_000);
            let holding = second.db.hold(row.id, &second.worker, Grip::Firm, later).await;
            let holding = holding.unwrap().unwrap();
            let mut recorder = crate::Recorder::open(&second, &holding, Mode::Live).await.unwrap();
            recorder.away(GapCause::Down, wall(BACK)).await.unwrap();
            recorder.write(packets(BACK..END), wall(BACK)).await.unwrap();
            recorder.finish().await.unwrap();
            second.db.end_recording(holding.hold, EndReason::Host, wall(END)).await.unwrap();
        }
        Self { rig, row, second }
    }

    /// Every packet that was heard, in its place, and the objects of nothing else.
    async fn check(&self, until: usize, end: usize) {
        let mut expected: Vec<_> = (0..until).map(Some).collect();
        expected.extend((until..BACK.min(end)).map(|_| None));
        expected.extend((BACK..end).map(Some));
        assert_eq!(numbers(&self.rig.stored(self.row.id).await), expected);
        let objects = self.rig.place.store.list("").await.unwrap();
        let mut rowed: Vec<_> = self
            .rig
            .place
            .db
            .chunks(self.row.id)
            .await
            .unwrap()
            .iter()
            .map(|chunk| (archive::Key::of(self.row.id, chunk).path(), chunk.bytes))
            .collect();
        let init = archive::Key::Init(self.row.id);
        rowed.push((init.path(), self.rig.place.store.head(&init).await.unwrap().unwrap()));
        assert_eq!(objects, rowed, "no object without a row");
        assert!(!self.rig.spool_of(self.row.id).exists());
    }
}

fn at(packets: usize) -> Ticks {
    Ticks(packets as u64 * crate::testing::PACKET.0)
}

#[tokio::test]
async fn what_a_dead_worker_had_takes_the_place_of_concealment() {
    for shipped in [false, true] {
        let handover = Handover::new(shipped, true).await;
        let Handover { rig, row, .. } = &handover;
        let gap = |from: usize| Gap {
            start: at(from),
            duration: at(BACK - from),
            wall_us: at(BACK - from).as_micros(),
            cause: GapCause::Down,
        };
        assert_eq!(rig.place.db.gaps(row.id).await.unwrap(), [gap(200)]);
        let jobs = rig.place.db.jobs_of(row.id).await.unwrap().len();

        let swept = sweep(&rig.place, WALL).await.unwrap();
        assert_eq!((swept.home, swept.kept), (vec![row.id], vec![]));
        handover.check(DIED, END).await;
        assert_eq!(rig.place.db.gaps(row.id).await.unwrap(), [gap(DIED)]);
        assert_eq!(rig.place.db.recording(row.id).await.unwrap().duration, at(END));
        assert_eq!(rig.place.db.jobs_of(row.id).await.unwrap().len(), jobs, "it waits already");
        assert_eq!(sweep(&rig.place, WALL).await.unwrap(), Swept::default());
    }
}

#[tokio::test]
async fn a_crash_while_late_audio_is_brought_home_is_made_good() {
    let handover = Handover::new(true, true).await;
    let Handover { rig, row, .. } = &handover;
    let dir = rig.spool_of(row.id);
    let copy = rig.folder.path().join("copy");
    let copied = std::process::Command::new("cp").arg("-r").args([&dir, &copy]).status().unwrap();
    assert!(copied.success());
    sweep(&rig.place, WALL).await.unwrap();
    let rows = rig.place.db.chunks(row.id).await.unwrap();
    // As if the rows had been changed and nothing been removed.
    std::fs::rename(&copy, &dir).unwrap();
    let replaces = vec![(1, 1), (2, 1)];
    notes::Landing { take: rows[1].take, replaces }.write(&dir).unwrap();
    let orphan = archive::Key::Chunk(row.id, 1, 1);
    rig.place.store.put(&orphan, bytes::Bytes::from_static(b"concealment")).await.unwrap();
    assert_eq!(sweep(&rig.place, WALL).await.unwrap().home, [row.id]);
    assert_eq!(rig.place.db.chunks(row.id).await.unwrap(), rows);
    handover.check(DIED, END).await;
}

#[tokio::test]
async fn late_audio_waits_until_its_place_is_known_or_follows_the_end() {
    let handover = Handover::new(false, false).await;
    let Handover { rig, row, second } = &handover;
    assert_eq!(sweep(&rig.place, WALL).await.unwrap(), Swept::default(), "it is the recorder's");
    let later = WallMicros::now().plus_millis(60_000);
    let taken = second.db.hold(row.id, &second.worker, Grip::Loose, later).await.unwrap().unwrap();
    assert_eq!(sweep(&rig.place, WALL).await.unwrap().waiting, [row.id]);
    second.db.end_recording(taken.hold, EndReason::SourceAway, wall(BACK)).await.unwrap();
    assert_eq!(sweep(&rig.place, WALL).await.unwrap().home, [row.id]);
    handover.check(DIED, DIED).await;
}
