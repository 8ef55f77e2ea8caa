use super::*;
use crate::chunk::{Gap, GapCause};
use crate::db::{Late, NewChunk};
use crate::hold::{Grip, Hold, Worker};
use crate::id::WorkerId;
use crate::recording::EndReason;

fn worker(name: &str) -> Worker {
    Worker { id: WorkerId::new(), name: name.into(), lease_ms: 5_000 }
}

pub(super) async fn a_worker_takes_hold_of_what_is_free(place: &Place) {
    let db = place.open().await;
    let id = recording(&db, "room", State::Live).await.id;
    let (ann, bob) = (worker("ann"), worker("bob"));
    assert_eq!(db.holder(id).await.unwrap(), None);
    let hold = async |worker: &Worker, grip, now| db.hold(id, worker, grip, at(now)).await.unwrap();

    let first = hold(&ann, Grip::Firm, 10).await.unwrap();
    assert_eq!((first.hold.epoch, first.take, first.recording.id), (1, 0, id));
    let holder = db.holder(id).await.unwrap().unwrap();
    assert_eq!((holder.worker, holder.name.as_str(), holder.grip), (ann.id, "ann", Grip::Firm));
    assert_eq!(holder.lease_until, at(15));
    assert_eq!(hold(&bob, Grip::Firm, 14).await, None, "the lease lasts");
    let again = hold(&ann, Grip::Firm, 14).await.unwrap();
    assert_eq!((again.hold.epoch, again.take), (2, 0), "nobody else has written");

    assert_eq!(hold(&bob, Grip::Firm, 18).await, None, "taking hold is a sign of life");
    let second = hold(&bob, Grip::Firm, 19).await.unwrap();
    assert_eq!((second.hold.epoch, second.take), (3, 1));
    let third = hold(&ann, Grip::Firm, 30).await.unwrap();
    assert_eq!((third.hold.epoch, third.take), (4, 2), "never the same take again");
}

pub(super) async fn a_full_disk_is_told_unless_another_has_room(place: &Place) {
    let db = place.open().await;
    let (ann, bob) = (worker("ann"), worker("bob"));
    assert!(!db.is_short(at(10)).await.unwrap());
    db.set_short(&ann, Some(at(20))).await.unwrap();
    db.keep_worker(&ann, at(10)).await.unwrap();
    assert!(db.is_short(at(10)).await.unwrap());
    assert!(!db.is_short(at(20)).await.unwrap(), "nobody has said so for a while");
    db.keep_worker(&bob, at(10)).await.unwrap();
    assert!(!db.is_short(at(10)).await.unwrap(), "bob has room");
    assert!(db.is_short(at(16)).await.unwrap(), "bob is gone");
    db.set_short(&ann, None).await.unwrap();
    assert!(!db.is_short(at(16)).await.unwrap());
}

pub(super) async fn a_loose_grip_makes_way_for_a_source(place: &Place) {
    let db = place.open().await;
    let id = recording(&db, "room", State::Live).await.id;
    let (ann, bob) = (worker("ann"), worker("bob"));
    let held = db.hold(id, &ann, Grip::Loose, at(10)).await.unwrap().unwrap();
    assert_eq!(db.hold(id, &bob, Grip::Loose, at(11)).await.unwrap(), None);
    db.set_grip(&held.hold, Grip::Firm).await.unwrap();
    assert_eq!(db.hold(id, &bob, Grip::Firm, at(11)).await.unwrap(), None);
    db.set_grip(&held.hold, Grip::Loose).await.unwrap();
    let taken = db.hold(id, &bob, Grip::Firm, at(11)).await.unwrap().unwrap();
    assert!(is_lost(db.set_grip(&held.hold, Grip::Firm).await));
    assert!(!db.is_held(&held.hold).await.unwrap() && db.is_held(&taken.hold).await.unwrap());
    db.set_grip(&taken.hold, Grip::None).await.unwrap();
    assert!(db.hold(id, &ann, Grip::Loose, at(11)).await.unwrap().is_some());
}

pub(super) async fn a_worker_without_hold_writes_nothing(place: &Place) {
    let db = place.open().await;
    let id = recording(&db, "room", State::Live).await.id;
    let (ann, bob) = (worker("ann"), worker("bob"));
    let stale = db.hold(id, &ann, Grip::Firm, at(10)).await.unwrap().unwrap().hold;
    db.add_chunk(stale, &chunk(0), &[], &[], at(10)).await.unwrap();
    let hold = db.hold(id, &bob, Grip::Firm, at(20)).await.unwrap().unwrap().hold;
    let before = (db.recording(id).await.unwrap(), db.chunks(id).await.unwrap());

    for late in [stale, Hold::from(id)] {
        assert!(is_lost(db.add_chunk(late, &chunk(1), &[], &[], at(21)).await));
        let other = Chunk { sha256: [9; 32], ..chunk(0) };
        assert!(is_lost(db.add_chunk(late, &other, &[], &[], at(21)).await));
        assert!(is_lost(db.add_gaps(late, &[]).await));
        assert!(is_lost(db.set_source(late, Origin::Rtp, 2, "late", None).await));
        assert!(is_lost(db.set_state(late, State::Paused, at(21)).await));
        assert!(is_lost(db.end_recording(late, EndReason::Host, at(21)).await));
        assert!(is_lost(db.set_grip(&late, Grip::None).await));
        db.add_chunk(late, &chunk(0), &[], &[], at(21)).await.expect("what is there is there");
    }
    assert_eq!((db.recording(id).await.unwrap(), db.chunks(id).await.unwrap()), before);
    db.add_chunk(hold, &chunk(1), &[], &[], at(22)).await.unwrap();
    db.end_recording(hold, EndReason::Host, at(23)).await.unwrap();
    assert!(is_conflict(db.hold(id, &ann, Grip::Firm, at(40)).await), "it is over");
}

pub(super) async fn one_of_eight_workers_takes_hold(place: &Place) {
    let db = place.open().await;
    let id = recording(&db, "room", State::Live).await.id;
    let mut workers = tokio::task::JoinSet::new();
    for n in 0..8 {
        let db = place.open().await;
        workers.spawn(async move {
            let worker = worker(&format!("worker-{n}"));
            db.hold(id, &worker, Grip::Firm, at(10)).await.unwrap().is_some()
        });
    }
    let held = workers.join_all().await.into_iter().filter(|held| *held).count();
    assert_eq!(held, 1);
}

pub(super) async fn a_worker_looks_after_its_own_and_nobodys(place: &Place) {
    let db = place.open().await;
    let (ann, bob) = (worker("ann"), worker("bob"));
    let ours = recording(&db, "ours", State::Live).await.id;
    let theirs = recording(&db, "theirs", State::Live).await.id;
    let given_up = recording(&db, "given-up", State::Paused).await;
    let nobodys = recording(&db, "nobodys", State::Live).await.id;
    let import = recording(&db, "import", State::Importing).await.id;
    db.hold(ours, &ann, Grip::Firm, at(10)).await.unwrap().unwrap();
    for id in [theirs, given_up.id, import] {
        db.hold(id, &bob, Grip::Firm, at(10)).await.unwrap().unwrap();
    }
    let hold = Hold { recording_id: given_up.id, epoch: 1 };
    db.set_grip(&hold, Grip::None).await.unwrap();
    let mine = async |now| {
        let rows = db.recordings_to_hold(ann.id, at(now)).await.unwrap();
        rows.into_iter().map(|(row, free)| (row.id, free)).collect::<Vec<_>>()
    };
    let free = [(ours, true), (given_up.id, true), (nobodys, true)];
    assert_eq!(mine(11).await, free);
    db.keep_worker(&bob, at(12)).await.unwrap();
    assert_eq!(mine(16).await, free);
    db.set_grip(&Hold { recording_id: theirs, epoch: 1 }, Grip::Loose).await.unwrap();
    assert_eq!(mine(16).await[1], (theirs, false), "its source may come to us");
    assert_eq!(mine(17).await[1], (theirs, true));
}

pub(super) async fn a_batch_has_an_outcome_for_each_chunk(place: &Place) {
    let db = place.open().await;
    let mut ids = Vec::new();
    for name in ["one", "two", "three"] {
        ids.push(recording(&db, name, State::Live).await.id);
    }
    let stale = db.hold(ids[2], &worker("ann"), Grip::Firm, at(5)).await.unwrap().unwrap().hold;
    db.hold(ids[2], &worker("bob"), Grip::Firm, at(50)).await.unwrap().unwrap();
    let new = |hold: Hold, seq| NewChunk {
        hold,
        chunk: chunk(seq),
        gaps: Vec::new(),
        anchors: Vec::new(),
    };
    let (one, two) = (Hold::from(ids[0]), Hold::from(ids[1]));
    let batch = [new(two, 0), new(one, 0), new(two, 1), new(one, 2), new(stale, 0)];
    let outcomes = db.add_chunks(&batch, at(51)).await.unwrap();
    let oks: Vec<bool> = outcomes.iter().map(Result::is_ok).collect();
    assert_eq!(oks, [true, true, true, false, false]);
    let lens = [db.chunks(ids[0]).await, db.chunks(ids[1]).await, db.chunks(ids[2]).await];
    assert_eq!(lens.map(|chunks| chunks.unwrap().len()), [1, 2, 0]);
    let mut outcomes = outcomes;
    assert!(is_lost(outcomes.pop().unwrap()) && is_conflict(outcomes.pop().unwrap()));
}

fn gap(seqs: std::ops::Range<u32>, cause: GapCause) -> Gap {
    let (start, duration) = (chunk(seqs.start).start, Ticks::from_secs(4 * seqs.len() as u64));
    Gap { start, duration, wall_us: duration.as_micros(), cause }
}

pub(super) async fn late_chunks_take_the_place_of_concealment(place: &Place) {
    let db = place.open().await;
    let id = recording(&db, "room", State::Live).await.id;
    let fill = |seq| gap(seq..seq + 1, GapCause::Down);
    add_chunks(&db, id, 0..1).await;
    for seq in 1..3 {
        db.add_chunk(id, &chunk(seq), &[fill(seq)], &[], at(10)).await.unwrap();
    }
    add_chunks(&db, id, 3..4).await;
    let take = db.new_take(id).await.unwrap();
    let late = |seq| Chunk { take, bytes: 9, sha256: [200 + seq as u8; 32], ..chunk(seq) };
    let rest = Gap { start: Ticks::from_secs(7), duration: Ticks::from_secs(5), ..fill(1) };

    let refused = [
        vec![late(3)],
        vec![late(2), late(3)],
        vec![Chunk { duration: Ticks::from_secs(3), ..late(1) }],
        vec![late(1), Chunk { start: Ticks::from_secs(9), ..late(2) }],
    ];
    for chunks in refused {
        assert!(is_conflict(db.land(id, &chunks, &[], at(20)).await), "{chunks:?}");
    }
    assert_eq!(db.gaps(id).await.unwrap(), [gap(1..3, GapCause::Down)]);
    let landed = db.land(id, &[late(1), late(2)], &[rest], at(20)).await.unwrap();
    assert_eq!(landed, Late::Landed(vec![chunk(1), chunk(2)]));
    assert_eq!(db.chunks(id).await.unwrap(), [chunk(0), late(1), late(2), chunk(3)]);
    assert_eq!(db.gaps(id).await.unwrap(), [rest]);
    let row = db.recording(id).await.unwrap();
    assert_eq!((row.duration, row.bytes), (Ticks::from_secs(16), 16_000 + 9 + 9 + 16_003));
    assert_eq!(db.jobs_of(id).await.unwrap().len(), 1, "the end will have all of it transcribed");
    let again = db.land(id, &[late(1), late(2)], &[rest], at(21)).await.unwrap();
    assert_eq!(again, Late::Landed(Vec::new()));
    add_chunks(&db, id, 4..5).await;
    assert_eq!(db.recording(id).await.unwrap().duration, Ticks::from_secs(20));
}

pub(super) async fn late_chunks_wait_or_follow_the_end(place: &Place) {
    let db = place.open().await;
    let id = recording(&db, "room", State::Live).await.id;
    add_chunks(&db, id, 0..1).await;
    let late = [chunk(1), chunk(2)];
    assert_eq!(db.land(id, &late, &[], at(20)).await.unwrap(), Late::Wait);
    db.end_recording(id, EndReason::SourceAway, at(30)).await.unwrap();
    let (job, lease) = claim(&db, at(31)).await.unwrap();
    db.finish_job(&lease, at(32)).await.unwrap();
    assert!(is_conflict(db.land(id, &late[1..], &[], at(40)).await), "one is missing");
    assert_eq!(db.land(id, &late, &[], at(40)).await.unwrap(), Late::Landed(Vec::new()));
    assert_eq!(db.chunks(id).await.unwrap().len(), 3);
    assert_eq!(db.recording(id).await.unwrap().duration, Ticks::from_secs(12));
    let again = claim(&db, at(41)).await.unwrap().0;
    assert_eq!((again.kind, again.recording_id), (Kind::Transcribe, id));
    assert_ne!(again.id, job.id);
}
