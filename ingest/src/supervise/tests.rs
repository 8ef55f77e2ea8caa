use models::db::Filter;
use models::recording::{EndReason, Request, State};
use models::{Gap, GapCause, Recording, Ticks};
use tokio::task::JoinHandle;

use super::*;
use crate::testing::{PACKET, Rig, numbers, open, packets, source, until, wall};

mod holding;
mod outage;
mod space;

/// Grace time that no test waits for.
const LONG: u64 = 60_000;
/// Grace time that a test waits for.
const SHORT: u64 = 150;

/// A supervisor at work.
struct Running {
    supervisor: Supervisor,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    fn new(place: &Place) -> Self {
        Self::with_limits(place, Limits::default())
    }

    fn with_limits(place: &Place, limits: Limits) -> Self {
        let stop = CancellationToken::new();
        let supervisor = Supervisor::with_limits(place.clone(), stop.clone(), limits);
        let task = tokio::spawn({
            let supervisor = supervisor.clone();
            async move { supervisor.run().await }
        });
        Self { supervisor, stop, task }
    }

    async fn attach(&self, room: &Room) -> Result<Feed, Refused> {
        self.supervisor.attach(room, source(), wall(0)).await
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

async fn send(feed: &Feed, numbers: std::ops::Range<usize>) {
    for n in numbers {
        feed.send(packets([n]), wall(n + 1)).await.unwrap();
    }
}

async fn all(rig: &Rig, room: &Room) -> Vec<Recording> {
    let filter = Filter { room: Some(room.id), ..Filter::default() };
    rig.place.db.recordings(&filter, None, 100).await.unwrap()
}

/// Waits until the room's newest recording is as `state`.
async fn becomes(rig: &Rig, room: &Room, state: State) -> Recording {
    until(async || all(rig, room).await.into_iter().next().filter(|row| row.state == state)).await
}

/// Waits until everything before packet `end` is in the spool or the store.
async fn kept(rig: &Rig, row: &Recording, end: usize) {
    let dir = rig.spool_of(row.id);
    until(async || {
        let stored = rig.place.db.last_chunk(row.id).await.unwrap().map(|chunk| chunk.span().end);
        let last = crate::spool::list(&dir, "m4s").ok().and_then(|list| list.last().copied());
        let spooled = last.and_then(|seq| crate::spool::load(&dir, seq).unwrap()?.fragments.pop());
        let end_kept = stored.max(spooled.map(|last| last.span().end));
        end_kept.filter(|kept| kept.0 >= end as u64 * PACKET.0)
    })
    .await;
}

async fn end(rig: &Rig, room: &Room) -> Recording {
    let row = rig.place.db.open_recording(room.id).await.unwrap().unwrap();
    rig.place.db.request(row.id, Request::End, wall(0)).await.unwrap();
    becomes(rig, room, State::Ended).await
}

fn is(n: std::ops::Range<usize>) -> Vec<Option<usize>> {
    n.map(Some).collect()
}

#[tokio::test]
async fn an_automatic_room_is_recorded_from_its_first_packet_to_its_last() {
    let rig = Rig::new().await;
    let room = rig.room(RecordingPolicy::Auto, LONG).await;
    let running = Running::new(&rig.place);
    let feed = running.attach(&room).await.unwrap();
    assert_eq!(all(&rig, &room).await, []);
    send(&feed, 0..333).await;
    let row = becomes(&rig, &room, State::Live).await;
    assert_eq!((row.origin, row.channels, &*row.title), (source().origin, 1, "A room"));

    let row = end(&rig, &room).await;
    assert_eq!((row.end_reason, row.started_at), (Some(EndReason::Host), Some(wall(0))));
    assert_eq!(row.duration, Ticks(333 * PACKET.0));
    assert_eq!(numbers(&rig.stored(row.id).await), is(0..333));
    assert_eq!(rig.place.db.gaps(row.id).await.unwrap(), []);
    until(async || (!rig.spool_of(row.id).exists()).then_some(())).await;
    running.stop().await;
}

#[tokio::test]
async fn nothing_of_a_room_that_must_not_be_recorded_is_written() {
    let rig = Rig::new().await;
    let room = rig.room(RecordingPolicy::Never, LONG).await;
    let running = Running::new(&rig.place);
    assert!(matches!(running.attach(&room).await, Err(Refused::NotRecordable)));
    // A caller that still has the room as it was is refused too.
    let stale = Room { policy: RecordingPolicy::Auto, ..room.clone() };
    assert!(matches!(running.attach(&stale).await, Err(Refused::NotRecordable)));
    running.stop().await;
    assert!(rig.files().await.is_empty() && all(&rig, &room).await.is_empty());
}

#[tokio::test]
async fn a_room_that_must_no_longer_be_recorded_is_cut_off() {
    let rig = Rig::new().await;
    let mut room = rig.room(RecordingPolicy::Auto, LONG).await;
    let running = Running::new(&rig.place);
    let feed = running.attach(&room).await.unwrap();
    send(&feed, 0..100).await;
    becomes(&rig, &room, State::Live).await;
    until(async || (feed.batches.capacity() == FEED_BATCHES).then_some(())).await;
    room.policy = RecordingPolicy::Never;
    rig.place.db.update_room(&room).await.unwrap();
    let row = becomes(&rig, &room, State::Ended).await;
    assert_eq!(row.duration, Ticks(100 * PACKET.0));
    until(async || feed.send(packets([0]), wall(0)).await.err()).await;
    running.stop().await;
}

#[tokio::test]
async fn a_manual_room_is_written_only_once_the_host_asks() {
    let rig = Rig::new().await;
    let room = rig.room(RecordingPolicy::Manual, LONG).await;
    let running = Running::new(&rig.place);
    let feed = running.attach(&room).await.unwrap();
    // More than the feed holds, so that some of it has surely been taken.
    send(&feed, 0..FEED_BATCHES * 2).await;
    assert!(rig.files().await.is_empty() && all(&rig, &room).await.is_empty());

    let row = rig.row(&room, Origin::Pending).await;
    let mut n = FEED_BATCHES * 2;
    until(async || {
        send(&feed, n..n + 1).await;
        n += 1;
        let row = rig.place.db.recording(row.id).await.unwrap();
        (row.origin == Origin::Icecast).then_some(())
    })
    .await;
    send(&feed, n..n + 50).await;
    let row = end(&rig, &room).await;
    let stored = numbers(&rig.stored(row.id).await);
    let first = stored[0].unwrap();
    assert!(first >= FEED_BATCHES && stored.len() >= 50);
    assert_eq!(stored, is(first..n + 50));
    assert_eq!((row.channels, row.source.as_str()), (1, "test"));
    running.stop().await;
}

#[tokio::test]
async fn a_recording_that_nobody_sends_to_ends_with_nothing() {
    let rig = Rig::new().await;
    let room = rig.room(RecordingPolicy::Manual, SHORT).await;
    let running = Running::new(&rig.place);
    rig.row(&room, Origin::Pending).await;
    let row = becomes(&rig, &room, State::Ended).await;
    assert_eq!((row.end_reason, row.duration), (Some(EndReason::SourceAway), Ticks::ZERO));
    assert!(rig.files().await.is_empty());
    running.stop().await;
}

#[tokio::test]
async fn a_pause_takes_no_media_time_and_what_comes_meanwhile_is_not_written() {
    let rig = Rig::new().await;
    let room = rig.room(RecordingPolicy::Auto, LONG).await;
    let running = Running::new(&rig.place);
    let feed = running.attach(&room).await.unwrap();
    send(&feed, 0..60).await;
    let row = becomes(&rig, &room, State::Live).await;
    rig.place.db.request(row.id, Request::Pause, wall(60)).await.unwrap();
    becomes(&rig, &room, State::Paused).await;
    send(&feed, 60..60 + FEED_BATCHES * 2).await;
    rig.place.db.request(row.id, Request::Resume, wall(0)).await.unwrap();
    becomes(&rig, &room, State::Live).await;
    send(&feed, 1000..1060).await;
    let row = end(&rig, &room).await;

    let stored = numbers(&rig.stored(row.id).await);
    assert_eq!(stored[..60], is(0..60));
    // What stood in the feed when the host resumed may be kept; it came before 1000.
    assert_eq!(stored[stored.len() - 60..], is(1000..1060));
    let gaps = rig.place.db.gaps(row.id).await.unwrap();
    assert_eq!(gaps.len(), 1);
    assert_eq!((gaps[0].start, gaps[0].duration), (Ticks(60 * PACKET.0), Ticks::ZERO));
    assert_eq!(gaps[0].cause, GapCause::Paused);
    running.stop().await;
}

#[tokio::test]
async fn a_recording_that_ends_paused_has_its_last_pause() {
    let rig = Rig::new().await;
    let room = rig.room(RecordingPolicy::Auto, LONG).await;
    let running = Running::new(&rig.place);
    let feed = running.attach(&room).await.unwrap();
    send(&feed, 0..60).await;
    let row = becomes(&rig, &room, State::Live).await;
    rig.place.db.request(row.id, Request::Pause, wall(60)).await.unwrap();
    becomes(&rig, &room, State::Paused).await;
    let row = end(&rig, &room).await;
    assert_eq!(row.duration, Ticks(60 * PACKET.0));
    let gaps = rig.place.db.gaps(row.id).await.unwrap();
    assert_eq!(gaps.len(), 1);
    assert_eq!((gaps[0].start, gaps[0].cause), (row.duration, GapCause::Paused));
    running.stop().await;
}

#[tokio::test]
async fn a_source_that_comes_back_goes_on_in_the_same_recording() {
    let rig = Rig::new().await;
    let room = rig.room(RecordingPolicy::Auto, LONG).await;
    let running = Running::new(&rig.place);
    let feed = running.attach(&room).await.unwrap();
    send(&feed, 0..70).await;
    feed.finish().await;
    let feed = running.attach(&room).await.unwrap();
    // Loss that a tap sees before its first packet is part of the time away.
    let mut events = packets([170]);
    events.insert(0, Event::Lost { duration: PACKET, cause: GapCause::Loss });
    feed.send(events, wall(171)).await.unwrap();
    send(&feed, 171..200).await;
    let row = end(&rig, &room).await;

    let mut expected = is(0..200);
    expected[70..170].fill(None);
    assert_eq!(numbers(&rig.stored(row.id).await), expected);
    let (start, duration) = (Ticks(70 * PACKET.0), Ticks(100 * PACKET.0));
    let away = Gap { start, duration, wall_us: 2_000_000, cause: GapCause::SourceAway };
    assert_eq!(rig.place.db.gaps(row.id).await.unwrap(), [away]);
    assert_eq!(all(&rig, &room).await.len(), 1);
    running.stop().await;
}

#[tokio::test]
async fn a_source_that_stays_away_or_silent_ends_the_recording() {
    for stays in [false, true] {
        let rig = Rig::new().await;
        let room = rig.room(RecordingPolicy::Auto, SHORT).await;
        let running = Running::new(&rig.place);
        let feed = running.attach(&room).await.unwrap();
        send(&feed, 0..70).await;
        let silent = if stays { Some(feed) } else { None };
        let row = becomes(&rig, &room, State::Ended).await;
        assert_eq!(row.end_reason, Some(EndReason::SourceAway));
        // It ended when the source was last heard, to the last packet and no further.
        assert_eq!((row.ended_at, row.duration), (Some(wall(70)), Ticks(70 * PACKET.0)));
        assert_eq!(rig.place.db.gaps(row.id).await.unwrap(), []);
        if let Some(feed) = silent {
            send(&feed, 500..560).await;
            becomes(&rig, &room, State::Live).await;
            assert_eq!(all(&rig, &room).await.len(), 2);
        }
        running.stop().await;
    }
}

#[tokio::test]
async fn what_the_host_has_ended_does_not_begin_again_by_itself() {
    let rig = Rig::new().await;
    let room = rig.room(RecordingPolicy::Auto, LONG).await;
    let running = Running::new(&rig.place);
    let feed = running.attach(&room).await.unwrap();
    send(&feed, 0..60).await;
    becomes(&rig, &room, State::Live).await;
    end(&rig, &room).await;
    send(&feed, 60..60 + FEED_BATCHES * 2).await;
    assert_eq!(all(&rig, &room).await.len(), 1);
    drop(feed);
    let feed = running.attach(&room).await.unwrap();
    send(&feed, 0..60).await;
    becomes(&rig, &room, State::Live).await;
    assert_eq!(all(&rig, &room).await.len(), 2);
    running.stop().await;
}

#[tokio::test]
async fn one_source_a_room_until_it_falls_silent() {
    let rig = Rig::new().await;
    let room = rig.room(RecordingPolicy::Auto, LONG).await;
    let limits = Limits { silent: Duration::from_millis(100), ..Limits::default() };
    let running = Running::with_limits(&rig.place, limits);
    let old = running.attach(&room).await.unwrap();
    send(&old, 0..50).await;
    assert!(matches!(running.attach(&room).await, Err(Refused::Busy)));
    let new = until(async || running.attach(&room).await.ok()).await;
    assert_eq!(old.send(packets([50]), wall(51)).await, Err(Closed));
    send(&new, 75..100).await;
    let row = end(&rig, &room).await;
    let mut expected = is(0..100);
    expected[50..75].fill(None);
    assert_eq!(numbers(&rig.stored(row.id).await), expected);
    let gaps = rig.place.db.gaps(row.id).await.unwrap();
    assert_eq!(gaps.iter().map(|gap| gap.cause).collect::<Vec<_>>(), [GapCause::SourceAway]);
    running.stop().await;
}

#[tokio::test]
async fn a_stuck_store_in_one_room_is_none_in_another() {
    // A bucket is stuck as a whole.
    if servers::on_postgres() {
        return;
    }
    let rig = Rig::new().await;
    let stuck = rig.room(RecordingPolicy::Auto, LONG).await;
    let well = rig.room(RecordingPolicy::Auto, LONG).await;
    let running = Running::new(&rig.place);
    let to_stuck = running.attach(&stuck).await.unwrap();
    let to_well = running.attach(&well).await.unwrap();
    send(&to_stuck, 0..1).await;
    let row = becomes(&rig, &stuck, State::Live).await;
    rig.break_store(row.id, true);
    for n in (1..600).step_by(50) {
        send(&to_stuck, n..n + 50).await;
        send(&to_well, n..n + 50).await;
    }
    rig.place.db.request(row.id, Request::End, wall(0)).await.unwrap();
    let ended = end(&rig, &well).await;
    assert_eq!(numbers(&rig.stored(ended.id).await), is(1..601));
    // The end waits for the store, and nothing is lost by it.
    assert_eq!(rig.place.db.recording(row.id).await.unwrap().state, State::Live);
    rig.break_store(row.id, false);
    becomes(&rig, &stuck, State::Ended).await;
    assert_eq!(numbers(&rig.stored(row.id).await), is(0..601));
    running.stop().await;
}

#[tokio::test]
async fn a_disk_that_fails_holds_the_source_back_and_loses_nothing() {
    let rig = Rig::new().await;
    let room = rig.room(RecordingPolicy::Auto, SHORT).await;
    let running = Running::new(&rig.place);
    let feed = running.attach(&room).await.unwrap();
    send(&feed, 0..1).await;
    let row = becomes(&rig, &room, State::Live).await;
    let in_the_way = crate::spool::chunk_path(&rig.spool_of(row.id), 1);
    until(async || std::fs::create_dir(&in_the_way).ok()).await;
    // Far more than feed and chunk hold: the source is held back, for longer than the grace time.
    let mut sending = tokio::spawn(async move {
        send(&feed, 1..1000).await;
        feed
    });
    let held_back = Duration::from_millis(SHORT * 3);
    assert!(tokio::time::timeout(held_back, &mut sending).await.is_err());
    assert_eq!(rig.place.db.recording(row.id).await.unwrap().state, State::Live);
    std::fs::remove_dir(&in_the_way).unwrap();
    let _feed = sending.await.unwrap();
    let row = end(&rig, &room).await;
    assert_eq!(numbers(&rig.stored(row.id).await), is(0..1000));
    assert_eq!(rig.place.db.gaps(row.id).await.unwrap(), []);
    running.stop().await;
}

#[tokio::test]
async fn a_quiet_tail_is_synced_without_more_audio() {
    let rig = Rig::new().await;
    let room = rig.room(RecordingPolicy::Auto, LONG).await;
    let limits = Limits { sync_within: Duration::from_millis(50), ..Limits::default() };
    let running = Running::with_limits(&rig.place, limits);
    let feed = running.attach(&room).await.unwrap();
    send(&feed, 0..3).await;
    let row = becomes(&rig, &room, State::Live).await;
    kept(&rig, &row, 3).await;
    running.stop().await;
}

#[tokio::test]
async fn a_shutdown_seals_and_the_next_start_goes_on() {
    let rig = Rig::new().await;
    let room = rig.room(RecordingPolicy::Auto, LONG).await;
    let running = Running::new(&rig.place);
    let feed = running.attach(&room).await.unwrap();
    send(&feed, 0..130).await;
    running.stop().await;
    assert_eq!(feed.send(packets([0]), wall(0)).await, Err(Closed));
    let row = becomes(&rig, &room, State::Live).await;
    assert_eq!(numbers(&rig.stored(row.id).await), is(0..130));

    let running = Running::new(&rig.place);
    let feed = running.attach(&room).await.unwrap();
    send(&feed, 180..200).await;
    let row = end(&rig, &room).await;
    let mut expected = is(0..200);
    expected[130..180].fill(None);
    assert_eq!(numbers(&rig.stored(row.id).await), expected);
    let (start, duration) = (Ticks(130 * PACKET.0), Ticks(50 * PACKET.0));
    let down = Gap { start, duration, wall_us: 1_000_000, cause: GapCause::Down };
    assert_eq!(rig.place.db.gaps(row.id).await.unwrap(), [down]);
    assert_eq!(all(&rig, &room).await.len(), 1);
    running.stop().await;
}

/// What `kill -9` does: nothing is finished, nothing is told.
#[test]
fn a_killed_server_loses_less_than_a_second_and_goes_on() {
    let new = || tokio::runtime::Runtime::new().unwrap();
    let runtime = new();
    let (rig, room, row) = runtime.block_on(async {
        let rig = Rig::new().await;
        let room = rig.room(RecordingPolicy::Auto, LONG).await;
        let running = Running::new(&rig.place);
        let feed = running.attach(&room).await.unwrap();
        send(&feed, 0..530).await;
        let row = becomes(&rig, &room, State::Live).await;
        // 21 whole fragments; the last 5 packets are in memory.
        kept(&rig, &row, 525).await;
        std::mem::forget(feed);
        (rig, room, row)
    });
    runtime.shutdown_background();

    new().block_on(async {
        let rig = Rig { place: open(rig.folder.path()).await, folder: rig.folder };
        let running = Running::new(&rig.place);
        let feed = running.attach(&room).await.unwrap();
        send(&feed, 600..650).await;
        let ended = end(&rig, &room).await;
        assert_eq!(ended.id, row.id);
        let mut expected = is(0..650);
        expected[525..600].fill(None);
        assert_eq!(numbers(&rig.stored(row.id).await), expected);
        let (start, duration) = (Ticks(525 * PACKET.0), Ticks(75 * PACKET.0));
        let down = Gap { start, duration, wall_us: 1_500_000, cause: GapCause::Down };
        assert_eq!(rig.place.db.gaps(row.id).await.unwrap(), [down]);
        running.stop().await;
    });
}

#[tokio::test]
async fn a_restart_ends_what_nobody_comes_back_to_and_leaves_pauses_paused() {
    let rig = Rig::new().await;
    let away = rig.room(RecordingPolicy::Auto, SHORT).await;
    let paused = rig.room(RecordingPolicy::Auto, LONG).await;
    let running = Running::new(&rig.place);
    for room in [&away, &paused] {
        let feed = running.attach(room).await.unwrap();
        send(&feed, 0..60).await;
        becomes(&rig, room, State::Live).await;
        if room.id == paused.id {
            let row = becomes(&rig, room, State::Live).await;
            rig.place.db.request(row.id, Request::Pause, wall(60)).await.unwrap();
            becomes(&rig, room, State::Paused).await;
        }
    }
    running.stop().await;
    let running = Running::new(&rig.place);
    let row = becomes(&rig, &away, State::Ended).await;
    assert_eq!((row.end_reason, row.duration), (Some(EndReason::SourceAway), Ticks(60 * PACKET.0)));
    let feed = running.attach(&paused).await.unwrap();
    send(&feed, 60..60 + FEED_BATCHES * 2).await;
    let row = becomes(&rig, &paused, State::Paused).await;
    assert_eq!(row.duration, Ticks(60 * PACKET.0));
    assert_eq!(numbers(&rig.stored(row.id).await), is(0..60));
    running.stop().await;
}
