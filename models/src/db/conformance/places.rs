use super::*;
use crate::db::Filter;
use crate::recording::EndReason;

pub(super) async fn reopening_keeps_everything(place: &Place) {
    let db = place.open().await;
    let made = recording(&db, "room", State::Live).await;
    add_chunks(&db, made.id, 0..3).await;
    db.end_recording(made.id, EndReason::Host, at(30)).await.unwrap();
    let (room, recording) =
        (db.room(made.room_id).await.unwrap(), db.recording(made.id).await.unwrap());
    let (chunks, jobs) = (db.chunks(made.id).await.unwrap(), db.jobs_of(made.id).await.unwrap());
    db.close().await;
    assert!(db.ping().await.is_err());

    let again = place.open().await;
    assert_eq!(again.rooms().await.unwrap(), [room]);
    assert_eq!(again.recordings(&Filter::default(), None, 10).await.unwrap(), [recording]);
    assert_eq!(again.chunks(made.id).await.unwrap(), chunks);
    assert_eq!(again.jobs_of(made.id).await.unwrap(), jobs);
    assert_eq!((chunks.len(), jobs.len()), (3, 2));
}

pub(super) async fn two_handles_see_the_same(place: &Place) {
    let (ours, theirs) = (place.open().await, place.open().await);
    let id = recording(&ours, "room", State::Live).await.id;
    add_chunks(&ours, id, 0..1).await;
    let (job, lease) = claim(&theirs, at(20)).await.unwrap();
    assert_eq!(job.recording_id, id);
    assert!(claim(&ours, at(20)).await.is_none());
    ours.end_recording(id, EndReason::Host, at(21)).await.unwrap();
    assert!(is_lost(theirs.heartbeat(&lease, 60_000, at(22)).await));
    assert_eq!(theirs.recording(id).await.unwrap().state, State::Ended);
}

pub(super) async fn many_may_open_a_new_place_at_once(place: &Place) {
    let opened: Vec<_> = (0..8)
        .map(|_| {
            let url = place.url.clone();
            tokio::spawn(async move { Db::open(&url).await })
        })
        .collect();
    for (n, open) in opened.into_iter().enumerate() {
        let db = open.await.unwrap().unwrap();
        db.create_room(&a_room(&format!("room-{n}"))).await.unwrap();
    }
    assert_eq!(place.open().await.rooms().await.unwrap().len(), 8);
}

pub(super) async fn what_is_not_committed_never_was(place: &Place) {
    let db = place.open().await;
    let id = recording(&db, "room", State::Live).await.id;
    // A call that is dropped at any of its waits leaves no trace and no lock behind.
    for polls in 0..200 {
        let mut call = Box::pin(db.add_chunk(id, &CHUNK, &[], &[], at(10)));
        let mut left = polls;
        let finished = std::future::poll_fn(|cx| {
            if left == 0 {
                return std::task::Poll::Ready(false);
            }
            left -= 1;
            call.as_mut().poll(cx).map(|added| added.is_ok())
        })
        .await;
        drop(call);
        // Waits for the recording's row: whatever the call had begun is over then.
        db.add_gaps(id, &[]).await.unwrap();
        let rows = (db.chunks(id).await.unwrap().len(), db.jobs_of(id).await.unwrap().len());
        let duration = db.recording(id).await.unwrap().duration;
        if finished {
            assert_eq!((rows, duration), ((1, 1), Ticks::from_secs(4)));
            return;
        }
        assert!(rows == (0, 0) || rows == (1, 1), "half a transaction is visible: {rows:?}");
        assert_eq!(duration == Ticks::ZERO, rows == (0, 0));
    }
    panic!("the call never ended");
}

const CHUNK: Chunk = Chunk {
    seq: 0,
    take: 0,
    start: Ticks::ZERO,
    duration: Ticks::from_secs(4),
    bytes: 1,
    sha256: [0; 32],
};

pub(super) async fn writers_of_two_handles_take_turns(place: &Place) {
    let handles = [place.open().await, place.open().await];
    let mut writers = Vec::new();
    for n in 0..8 {
        let db = handles[n % 2].clone();
        let id = recording(&db, &format!("room-{n}"), State::Live).await.id;
        writers.push(tokio::spawn(async move {
            add_chunks(&db, id, 0..20).await;
            id
        }));
    }
    for writer in writers {
        let id = writer.await.unwrap();
        assert_eq!(handles[0].recording(id).await.unwrap().duration, Ticks::from_secs(80));
        assert_eq!(handles[1].chunks(id).await.unwrap().len(), 20);
    }
}
