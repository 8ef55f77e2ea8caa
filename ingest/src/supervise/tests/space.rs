//! A disk that runs full.

use super::*;
use crate::space::Level;

/// The disk is as the test says.
fn at_will() -> Limits {
    Limits { look_at_disk: Duration::from_secs(3600), ..Limits::default() }
}

#[tokio::test]
async fn a_running_recording_stops_with_the_last_reserve_and_goes_on_by_itself() {
    let rig = Rig::new().await;
    let room = rig.room(RecordingPolicy::Auto, LONG).await;
    let running = Running::with_limits(&rig.place, at_will());
    let feed = running.attach(&room).await.unwrap();
    send(&feed, 0..130).await;
    let row = becomes(&rig, &room, State::Live).await;
    taken(&feed).await;
    // Nothing new is taken; what goes on does.
    rig.place.space.set(Level::Low);
    send(&feed, 130..160).await;
    taken(&feed).await;
    rig.place.space.set(Level::Out);
    send(&feed, 160..700).await;
    taken(&feed).await;
    // What was taken before is on disk, its open fragment too.
    kept(&rig, &row, 160).await;
    rig.place.space.set(Level::Enough);
    send(&feed, 700..800).await;
    let row = end(&rig, &room).await;
    let expected: Vec<_> = (0..800).map(|n| Some(n).filter(|n| !(160..700).contains(n))).collect();
    assert_eq!(numbers(&rig.stored(row.id).await), expected);
    let (start, duration) = (Ticks(160 * PACKET.0), Ticks(540 * PACKET.0));
    let gap = Gap { start, duration, wall_us: 10_800_000, cause: GapCause::NoSpace };
    assert_eq!(rig.place.db.gaps(row.id).await.unwrap(), [gap]);
    assert_eq!(all(&rig, &room).await.len(), 1);
    let lost = "lost_media_seconds_total{cause=\"no_space\"} 10.800";
    assert!(rig.place.meters.text().contains(lost), "{}", rig.place.meters.text());
    running.stop().await;
}

#[tokio::test]
async fn what_is_missing_at_the_end_is_told_too() {
    let rig = Rig::new().await;
    let room = rig.room(RecordingPolicy::Auto, LONG).await;
    let running = Running::with_limits(&rig.place, at_will());
    let feed = running.attach(&room).await.unwrap();
    send(&feed, 0..130).await;
    becomes(&rig, &room, State::Live).await;
    taken(&feed).await;
    rig.place.space.set(Level::Out);
    send(&feed, 130..300).await;
    taken(&feed).await;
    let row = end(&rig, &room).await;
    assert_eq!(row.duration, Ticks(300 * PACKET.0));
    let gaps = rig.place.db.gaps(row.id).await.unwrap();
    assert_eq!((gaps.len(), gaps[0].start.0 / PACKET.0), (1, 130));
    assert_eq!(gaps[0].cause, GapCause::NoSpace);
    running.stop().await;
}

#[tokio::test]
async fn a_new_recording_is_refused_until_there_is_room() {
    let rig = Rig::new().await;
    let (new, old) =
        (rig.room(RecordingPolicy::Auto, LONG).await, rig.room(RecordingPolicy::Auto, LONG).await);
    let running = Running::with_limits(&rig.place, at_will());
    let feed = running.attach(&old).await.unwrap();
    send(&feed, 0..60).await;
    becomes(&rig, &old, State::Live).await;
    rig.place.space.set(Level::Low);
    assert!(matches!(running.attach(&new).await, Err(Refused::NoRoomOnDisk)));
    // The source of one that goes on may come back.
    feed.finish().await;
    let feed = until(async || running.attach(&old).await.ok()).await;
    send(&feed, 60..90).await;
    // What the host ends does not begin again: its source is put out.
    end(&rig, &old).await;
    drop(feed);
    until(async || matches!(running.attach(&old).await, Err(Refused::NoRoomOnDisk)).then_some(()))
        .await;
    until(async || rig.place.db.is_short(WallMicros::now()).await.unwrap().then_some(())).await;
    assert!(rig.place.meters.text().contains("refused_for_space_total 2"));
    rig.place.space.set(Level::Enough);
    let feed = running.attach(&new).await.unwrap();
    send(&feed, 0..60).await;
    becomes(&rig, &new, State::Live).await;
    until(async || (!rig.place.db.is_short(WallMicros::now()).await.unwrap()).then_some(())).await;
    running.stop().await;
}

#[tokio::test]
async fn a_source_whose_recording_cannot_begin_is_put_out() {
    let rig = Rig::new().await;
    let room = rig.room(RecordingPolicy::Auto, LONG).await;
    let running = Running::with_limits(&rig.place, at_will());
    let feed = running.attach(&room).await.unwrap();
    rig.place.space.set(Level::Low);
    until(async || feed.send(packets([0]), wall(1)).await.err()).await;
    assert!(rig.files().await.is_empty() && all(&rig, &room).await.is_empty());
    running.stop().await;
}

/// Waits until the actor has taken all that was sent.
async fn taken(feed: &Feed) {
    until(async || (feed.batches.capacity() == FEED_BATCHES).then_some(())).await;
    // The last batch may be in its hands: it takes the next when that is done.
    send_nothing(feed).await;
    until(async || (feed.batches.capacity() == FEED_BATCHES).then_some(())).await;
}

async fn send_nothing(feed: &Feed) {
    feed.send(Vec::new(), wall(0)).await.unwrap();
}
