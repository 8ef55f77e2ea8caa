use super::transcripts::{begin, commit, import, secs, segment};
use super::*;
use crate::chunk::{Anchor, Gap, GapCause};
use crate::db::Whole;
use crate::edit::{Subject, Wanted};
use crate::job;
use crate::receipt::{Receipt, Signature};
use crate::recording::EndReason;
use crate::speaker::{KnownBy, Speaker};

/// A database of the other kind, or at least another one.
async fn elsewhere() -> (Db, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("other.db").display());
    (Db::open(&url).await.unwrap(), folder)
}

/// What is at rest.
async fn whole(db: &Db, id: RecordingId, now: WallMicros) -> Whole {
    db.whole(id, now).await.unwrap().expect("it is at rest")
}

/// Something of everything: gaps, anchors, words of two jobs, a speaker, a second take.
async fn ended(db: &Db) -> RecordingId {
    let id = recording(db, "hall", State::Live).await.id;
    let gap = Gap {
        start: Ticks::from_secs(5),
        duration: Ticks::from_secs(2),
        wall_us: 2_000_000,
        cause: GapCause::Loss,
    };
    let anchor = |secs| Anchor { media: Ticks::from_secs(secs), wall: at(100) };
    add_chunks(db, id, 0..1).await;
    let second = Chunk { take: 3, ..chunk(1) };
    db.add_chunk(id, &second, &[gap], &[anchor(4), anchor(8)], at(11)).await.unwrap();
    let ada = Speaker {
        label: "S1".into(),
        name: "Ada".into(),
        known_by: KnownBy::Platform,
        turns: vec![secs(0, 2), secs(5, 7)],
    };
    db.put_speaker(id, &ada).await.unwrap();
    db.end_recording(id, EndReason::Host, at(20)).await.unwrap();
    let (_, lease) = claim(db, at(20)).await.unwrap();
    let words = begin(db, &lease, id).await;
    commit(db, &lease, words.id, 8, &[segment(0), segment(1)]).await.unwrap();
    db.complete_transcript(&lease, words.id, at(23)).await.unwrap();
    db.finish_job(&lease, at(23)).await.unwrap();
    let rename = Wanted {
        subject: Subject::Speaker("S1".into()),
        version: None,
        replaced: "Ada".into(),
        text: "Ada L.".into(),
        made_by: String::new(),
    };
    db.make_edit(id, &rename, at(24)).await.unwrap();
    db.undo_edit(id, 1, at(24)).await.unwrap();
    db.make_edit(id, &rename, at(24)).await.unwrap();
    let wanted = db.receipt_wanted(id).await.unwrap();
    let signature = Some(Signature { public_key: "a2V5".into(), bytes: "c2ln".into() });
    let receipt = Receipt {
        number: 1,
        sha256: [1; 32],
        body: "{}".into(),
        root: [2; 32],
        chunks: 2,
        signature,
        made_at: at(24),
    };
    db.add_receipt(id, &receipt, &wanted).await.unwrap();
    id
}

pub(super) async fn a_recording_is_moved_whole(place: &Place) {
    let here = place.open().await;
    let (there, _folder) = elsewhere().await;
    let id = ended(&here).await;
    let moved = whole(&here, id, at(30)).await;
    assert_eq!((moved.chunks.len(), moved.gaps.len(), moved.anchors.len()), (2, 1, 2));
    assert_eq!((moved.receipts.len(), moved.is_receipted), (1, true));
    assert_eq!(moved.edits.len(), 2);
    assert_eq!((moved.transcripts[0].1.len(), moved.speakers.len(), moved.jobs.len()), (2, 1, 2));

    let refused = there.take_in(&moved, at(31)).await;
    assert!(matches!(refused, Err(Error::NotFound { what: "room" })), "{refused:?}");
    let room = here.room(moved.recording.room_id).await.unwrap();
    there.take_room_in(&room).await.unwrap();
    assert!(there.take_in(&moved, at(31)).await.unwrap());
    assert!(!there.take_in(&moved, at(32)).await.unwrap(), "it is there already");
    assert_eq!(whole(&there, id, at(33)).await, moved);
    // A take that no object has had goes on from what came along.
    assert_eq!(there.new_take(id).await.unwrap(), 4);

    // And back, after it was forgotten here.
    here.forget(id).await.unwrap();
    here.forget(id).await.unwrap();
    assert!(matches!(here.recording(id).await, Err(Error::NotFound { .. })));
    assert!(here.jobs_of(id).await.unwrap().is_empty());
    assert!(here.chunks(id).await.unwrap().is_empty());
    assert!(here.take_in(&moved, at(34)).await.unwrap());
    assert_eq!(whole(&here, id, at(35)).await, moved);
    assert_eq!(here.rooms().await.unwrap(), [room]);
}

pub(super) async fn what_was_still_to_be_done_is_done_at_the_destination(place: &Place) {
    let here = place.open().await;
    let (there, _folder) = elsewhere().await;
    let (id, lease) = import(&there).await;
    let words = begin(&there, &lease, id).await;
    commit(&there, &lease, words.id, 10, &[segment(0)]).await.unwrap();
    assert_eq!(there.whole(id, at(30)).await.unwrap(), None, "somebody works on it");
    // The worker died: its lease has run out.
    let later = at(1_000);
    let moved = whole(&there, id, later).await;
    let room = there.room(moved.recording.room_id).await.unwrap();
    here.take_room_in(&room).await.unwrap();
    here.take_in(&moved, later).await.unwrap();

    let (job, lease) = claim(&here, later).await.expect("the work that was not done");
    assert_eq!((job.recording_id, job.done), (id, Ticks::from_secs(10)));
    assert_eq!(job.priority, Class::Batch.priority());
    let resumed = begin(&here, &lease, id).await;
    assert_eq!((resumed.id, resumed.covered), (words.id, Ticks::from_secs(10)));
    commit(&here, &lease, resumed.id, 40, &[segment(1)]).await.unwrap();
    here.complete_transcript(&lease, resumed.id, later).await.unwrap();
    here.finish_job(&lease, later).await.unwrap();
    assert_eq!(here.segments(words.id, 0).await.unwrap(), [segment(0), segment(1)]);
    let jobs = here.jobs_of(id).await.unwrap();
    assert_eq!((jobs.len(), jobs[0].state), (1, job::State::Done));
}

pub(super) async fn what_is_not_at_rest_is_not_moved(place: &Place) {
    let db = place.open().await;
    let live = recording(&db, "live", State::Live).await;
    add_chunks(&db, live.id, 0..2).await;
    assert_eq!(db.whole(live.id, at(30)).await.unwrap(), None);
    assert!(is_conflict(db.forget(live.id).await));
    assert_eq!(db.chunks(live.id).await.unwrap().len(), 2);
    assert!(matches!(db.whole(RecordingId::new(), at(30)).await, Err(Error::NotFound { .. })));
    db.end_recording(live.id, EndReason::Host, at(31)).await.unwrap();
    let open = Whole { recording: live, ..whole(&db, db_id(&db).await, at(32)).await };
    assert!(is_conflict(db.take_in(&open, at(33)).await));
}

async fn db_id(db: &Db) -> RecordingId {
    db.recordings(&crate::db::Filter::default(), None, 1).await.unwrap()[0].id
}

pub(super) async fn a_room_is_moved_once_and_its_name_stays_unique(place: &Place) {
    let db = place.open().await;
    let room = Room { rtp_port: Some(5004), ..a_room("hall") };
    assert!(db.take_room_in(&room).await.unwrap());
    let edited = Room { title: "Edited here".into(), ..room.clone() };
    assert!(!db.take_room_in(&edited).await.unwrap());
    assert_eq!(db.rooms().await.unwrap(), [room], "what is there stays");
    assert!(is_conflict(db.take_room_in(&a_room("hall")).await));
    let same_port = Room { rtp_port: Some(5004), ..a_room("other") };
    assert!(is_conflict(db.take_room_in(&same_port).await));
}
