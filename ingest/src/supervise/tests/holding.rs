//! Two workers on one database and one store.

use models::Grip;

use super::*;
use crate::late;
use crate::testing::second_worker;

/// How long a worker that has died is taken to be alive.
const LEASE_MS: i64 = 700;

fn gap(from: usize, to: usize, cause: GapCause) -> Gap {
    let duration = Ticks((to - from) as u64 * PACKET.0);
    let start = Ticks(from as u64 * PACKET.0);
    Gap { start, duration, wall_us: duration.as_micros(), cause }
}

#[tokio::test]
async fn a_source_that_moves_to_another_worker_goes_on_in_the_same_recording() {
    let rig = Rig::new().await;
    let room = rig.room(RecordingPolicy::Auto, LONG).await;
    let other = second_worker(&rig).await;
    let (first, second) = (Running::new(&rig.place), Running::new(&other));
    let feed = first.attach(&room).await.unwrap();
    send(&feed, 0..130).await;
    let row = becomes(&rig, &room, State::Live).await;
    until(async || rig.place.db.holder(row.id).await.unwrap()).await;
    let refused = second.attach(&room).await.unwrap_err();
    assert!(matches!(&refused, Refused::Elsewhere(holder) if holder.name == "spool"), "{refused}");

    drop(feed);
    let feed = second.attach(&room).await.unwrap();
    for n in 180..300 {
        feed.send(packets([n]), wall(n + 1)).await.unwrap();
    }
    assert_eq!(end(&rig, &room).await.id, row.id);
    let expected: Vec<_> = (0..300).map(|n| Some(n).filter(|n| !(130..180).contains(n))).collect();
    assert_eq!(numbers(&rig.stored(row.id).await), expected);
    // What the first worker had was in the store before the second went on.
    let gaps = rig.place.db.gaps(row.id).await.unwrap();
    assert_eq!(gaps, [gap(130, 180, GapCause::Down)]);
    first.stop().await;
    second.stop().await;
}

#[tokio::test]
async fn a_worker_that_ends_hands_its_recordings_over() {
    let rig = Rig::new().await;
    let room = rig.room(RecordingPolicy::Auto, LONG).await;
    let first = Running::new(&rig.place);
    let feed = first.attach(&room).await.unwrap();
    send(&feed, 0..90).await;
    let row = becomes(&rig, &room, State::Live).await;
    first.stop().await;
    assert_eq!(rig.place.db.holder(row.id).await.unwrap().unwrap().grip, Grip::None);

    let second = Running::new(&second_worker(&rig).await);
    let feed = second.attach(&room).await.unwrap();
    for n in 100..150 {
        feed.send(packets([n]), wall(n + 1)).await.unwrap();
    }
    assert_eq!(end(&rig, &room).await.id, row.id);
    let expected: Vec<_> = (0..150).map(|n| Some(n).filter(|n| !(90..100).contains(n))).collect();
    assert_eq!(numbers(&rig.stored(row.id).await), expected);
    second.stop().await;
}

#[test]
fn what_a_worker_that_died_had_not_shipped_comes_home_later() {
    let new = || tokio::runtime::Runtime::new().unwrap();
    let runtime = new();
    let (folder, room, row) = runtime.block_on(async {
        let rig = Rig::new().await;
        let room = rig.room(RecordingPolicy::Auto, LONG).await;
        let mut place = rig.place.clone();
        place.worker.lease_ms = LEASE_MS;
        let first = Running::new(&place);
        let feed = first.attach(&room).await.unwrap();
        send(&feed, 0..255).await;
        let row = becomes(&rig, &room, State::Live).await;
        kept(&rig, &row, 250).await;
        std::mem::forget(feed);
        (rig.folder, room, row)
    });
    runtime.shutdown_background();

    new().block_on(async {
        let rig = Rig { place: open(folder.path()).await, folder };
        let second = Running::new(&second_worker(&rig).await);
        let feed = second.attach(&room).await.unwrap();
        for n in 400..500 {
            feed.send(packets([n]), wall(n + 1)).await.unwrap();
        }
        assert_eq!(end(&rig, &room).await.id, row.id);
        second.stop().await;

        let swept = late::sweep(&rig.place, WallMicros::now()).await.unwrap();
        assert_eq!(swept.home, [row.id], "{swept:?}");
        let expected: Vec<_> =
            (0..500).map(|n| Some(n).filter(|n| !(250..400).contains(n))).collect();
        assert_eq!(numbers(&rig.stored(row.id).await), expected);
        let gaps = rig.place.db.gaps(row.id).await.unwrap();
        assert_eq!(gaps, [gap(250, 400, GapCause::Down)]);
    });
}

#[tokio::test]
async fn a_worker_whose_place_was_taken_stops_writing_and_loses_nothing() {
    let rig = Rig::new().await;
    let room = rig.room(RecordingPolicy::Auto, LONG).await;
    let first = Running::new(&rig.place);
    let feed = first.attach(&room).await.unwrap();
    send(&feed, 0..150).await;
    let row = becomes(&rig, &room, State::Live).await;
    // Another worker thinks that the first one is dead, and has no source.
    let other = second_worker(&rig).await;
    let later = WallMicros::now().plus_millis(600_000);
    let stolen = other.db.hold(row.id, &other.worker, Grip::Loose, later).await.unwrap();
    assert!(stolen.is_some());
    // The source is still with the first, which takes the recording back and goes on.
    send(&feed, 150..600).await;
    assert_eq!(end(&rig, &room).await.id, row.id);
    drop(feed);
    let stored = until(async || {
        let stored = numbers(&rig.stored(row.id).await);
        (stored == is(0..600)).then_some(stored)
    })
    .await;
    assert_eq!(stored.len(), 600);
    assert_eq!(rig.place.db.gaps(row.id).await.unwrap(), []);
    first.stop().await;
}

#[tokio::test]
async fn what_nobody_holds_is_ended_by_whoever_is_there() {
    let rig = Rig::new().await;
    let room = rig.room(RecordingPolicy::Auto, SHORT).await;
    let mut dead = rig.place.worker.clone();
    (dead.id, dead.lease_ms) = (models::WorkerId::new(), 1);
    let row = rig.row(&room, source().origin).await;
    rig.place.db.hold(row.id, &dead, Grip::Firm, wall(0)).await.unwrap().unwrap();
    let second = Running::new(&second_worker(&rig).await);
    let row = becomes(&rig, &room, State::Ended).await;
    assert_eq!(row.end_reason, Some(EndReason::SourceAway));
    second.stop().await;
}
