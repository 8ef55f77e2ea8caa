use super::*;
use crate::chunk::{Anchor, Gap, GapCause};
use crate::recording::EndReason;

pub(super) async fn chunks_add_up(place: &Place) {
    let db = place.open().await;
    let id = recording(&db, "room", State::Live).await.id;
    assert_eq!(db.last_chunk(id).await.unwrap(), None);
    add_chunks(&db, id, 0..4).await;

    let made = db.recording(id).await.unwrap();
    assert_eq!(made.duration, Ticks::from_secs(16));
    assert_eq!(made.bytes, 64_006);
    assert_eq!(made.started_at, None, "that is the source's to say");
    assert_eq!(db.chunks(id).await.unwrap(), [chunk(0), chunk(1), chunk(2), chunk(3)]);
    assert_eq!(db.last_chunk(id).await.unwrap(), Some(chunk(3)));
    assert_eq!(db.chunk(id, 2).await.unwrap(), chunk(2));
    assert!(matches!(db.chunk(id, 4).await, Err(Error::NotFound { what: "chunk" })));

    let from = async |at: Ticks| db.chunks_from(id, at).await.unwrap();
    assert_eq!(from(Ticks::from_secs(8)).await, [chunk(2), chunk(3)]);
    assert_eq!(from(Ticks(Ticks::from_secs(8).0 - 1)).await.len(), 3);
    assert_eq!(from(Ticks::from_secs(16)).await, []);
    assert_eq!(from(Ticks(u64::MAX)).await, []);
}

pub(super) async fn the_same_chunk_twice_is_one(place: &Place) {
    let db = place.open().await;
    let id = recording(&db, "room", State::Live).await.id;
    add_chunks(&db, id, 0..2).await;
    let before = db.recording(id).await.unwrap();
    add_chunks(&db, id, 0..2).await;
    assert_eq!(db.recording(id).await.unwrap(), before);
    assert_eq!(db.chunks(id).await.unwrap().len(), 2);

    let other = Chunk { sha256: [9; 32], ..chunk(1) };
    assert!(is_conflict(db.add_chunk(id, &other, &[], &[], at(3)).await));
    assert_eq!(db.chunk(id, 1).await.unwrap(), chunk(1));
}

pub(super) async fn a_chunk_that_does_not_follow_is_refused(place: &Place) {
    let db = place.open().await;
    let id = recording(&db, "room", State::Live).await.id;
    let add = async |chunk: &Chunk| db.add_chunk(id, chunk, &[], &[], at(3)).await;
    assert!(is_conflict(add(&chunk(1)).await), "the first is number 0");
    assert!(is_conflict(add(&Chunk { start: Ticks(1), ..chunk(0) }).await), "at media time 0");
    add(&chunk(0)).await.unwrap();
    assert!(is_conflict(add(&chunk(2)).await), "one is missing");
    assert!(is_conflict(add(&Chunk { start: Ticks::from_secs(5), ..chunk(1) }).await));
    assert!(is_conflict(add(&Chunk { start: Ticks::from_secs(3), ..chunk(1) }).await));
    add(&chunk(1)).await.unwrap();
    assert_eq!(db.recording(id).await.unwrap().duration, Ticks::from_secs(8));
    let nobody = RecordingId::new();
    assert!(matches!(
        db.add_chunk(nobody, &chunk(0), &[], &[], at(3)).await,
        Err(Error::NotFound { what: "recording" })
    ));
}

pub(super) async fn gaps_and_anchors_are_kept_once(place: &Place) {
    let db = place.open().await;
    let id = recording(&db, "room", State::Live).await.id;
    let loss = Gap {
        start: Ticks::from_secs(1),
        duration: Ticks::from_millis(60),
        wall_us: 60_000,
        cause: GapCause::Loss,
    };
    let pause = Gap {
        start: Ticks::from_secs(4),
        duration: Ticks::ZERO,
        wall_us: 9_000_000,
        cause: GapCause::Paused,
    };
    let longer_pause = Gap { wall_us: 10_000_000, ..pause };
    let anchor = |secs, wall| Anchor { media: Ticks::from_secs(secs), wall: at(wall) };
    // Media time stands still in a pause: its begin and its end are one media time.
    let anchors = [anchor(0, 100), anchor(4, 104), anchor(4, 113)];
    db.add_chunk(id, &chunk(0), &[loss], &anchors[..1], at(110)).await.unwrap();
    db.add_chunk(id, &chunk(0), &[loss], &anchors[..1], at(111)).await.unwrap();
    db.add_chunk(id, &chunk(1), &[pause], &anchors[1..], at(120)).await.unwrap();
    db.add_gaps(id, &[loss, pause, longer_pause]).await.unwrap();
    db.add_gaps(id, &[longer_pause]).await.unwrap();
    assert_eq!(db.gaps(id).await.unwrap(), [loss, pause, longer_pause]);
    assert_eq!(db.anchors(id).await.unwrap(), anchors);
    assert!(matches!(
        db.add_gaps(RecordingId::new(), &[loss]).await,
        Err(Error::NotFound { what: "recording" })
    ));
}

pub(super) async fn a_recording_that_is_over_takes_no_chunk(place: &Place) {
    let db = place.open().await;
    let id = recording(&db, "room", State::Live).await.id;
    add_chunks(&db, id, 0..1).await;
    db.end_recording(id, EndReason::Host, at(20)).await.unwrap();
    add_chunks(&db, id, 0..1).await;
    assert!(is_conflict(db.add_chunk(id, &chunk(1), &[], &[], at(21)).await));
    assert_eq!(db.recording(id).await.unwrap().duration, Ticks::from_secs(4));
}
