use super::*;
use crate::db::{Change, Filter};
use crate::job;
use crate::recording::{EndReason, Request};

pub(super) async fn a_recording_lives_from_live_to_ended(place: &Place) {
    let db = place.open().await;
    let made = recording(&db, "room", State::Live).await;
    assert_eq!(
        made,
        Recording {
            id: made.id,
            room_id: made.room_id,
            title: "Monday".into(),
            origin: Origin::Pending,
            state: State::Live,
            request: None,
            started_at: None,
            ended_at: None,
            end_reason: None,
            duration: Ticks::ZERO,
            bytes: 0,
            channels: 1,
            source: String::new(),
            created_at: at(1),
        }
    );
    let id = made.id;
    assert_eq!(db.open_recording(made.room_id).await.unwrap(), Some(made.clone()));

    db.set_source(id, Origin::Icecast, 2, "butt 0.1", Some(at(2))).await.unwrap();
    db.set_source(id, Origin::Rtp, 2, "again", Some(at(50))).await.unwrap();
    let asked = db.request(id, Request::Pause, at(3)).await.unwrap();
    assert_eq!((asked.state, asked.request), (State::Live, Some(Request::Pause)));
    db.set_state(id, State::Paused, at(4)).await.unwrap();
    let paused = db.recording(id).await.unwrap();
    assert_eq!((paused.state, paused.request), (State::Paused, None));
    assert_eq!((paused.origin, paused.source.as_str()), (Origin::Rtp, "again"));
    assert_eq!(paused.started_at, Some(at(2)), "media time zero does not move");

    db.request(id, Request::Resume, at(5)).await.unwrap();
    db.set_state(id, State::Live, at(6)).await.unwrap();
    add_chunks(&db, id, 0..1).await;
    db.request(id, Request::End, at(7)).await.unwrap();
    let ended = db.end_recording(id, EndReason::Host, at(8)).await.unwrap();
    assert_eq!(ended.state, State::Ended);
    assert_eq!((ended.ended_at, ended.end_reason), (Some(at(8)), Some(EndReason::Host)));
    assert_eq!(ended.request, None);
    assert_eq!(db.recording(id).await.unwrap(), ended);
    assert_eq!(db.open_recording(made.room_id).await.unwrap(), None);
    assert_eq!(db.unfinished_recordings().await.unwrap(), []);
}

pub(super) async fn a_room_has_one_open_recording(place: &Place) {
    let db = place.open().await;
    let first = recording(&db, "room", State::Live).await;
    let live = new_recording(first.room_id, State::Live);
    assert!(is_conflict(db.create_recording(&live).await));
    db.set_state(first.id, State::Paused, at(2)).await.unwrap();
    assert!(is_conflict(db.create_recording(&live).await), "a paused one is open too");

    // Files may be imported meanwhile, and do not count.
    let importing = new_recording(first.room_id, State::Importing);
    let imports = [
        db.create_recording(&importing).await.unwrap(),
        db.create_recording(&importing).await.unwrap(),
    ];
    assert_eq!(db.open_recording(first.room_id).await.unwrap().map(|r| r.id), Some(first.id));
    let unfinished: Vec<_> = db.unfinished_recordings().await.unwrap();
    let ids: Vec<_> = unfinished.iter().map(|r| r.id).collect();
    assert_eq!(ids, [first.id, imports[0].id, imports[1].id]);

    db.end_recording(first.id, EndReason::Host, at(3)).await.unwrap();
    db.create_recording(&live).await.unwrap();
    let over = new_recording(first.room_id, State::Ended);
    assert!(is_conflict(db.create_recording(&over).await));
}

pub(super) async fn a_room_that_must_not_be_recorded_is_not(place: &Place) {
    let db = place.open().await;
    let room = Room { policy: RecordingPolicy::Never, ..a_room("private") };
    db.create_room(&room).await.unwrap();
    for state in [State::Live, State::Importing] {
        assert!(is_conflict(db.create_recording(&new_recording(room.id, state)).await));
    }
    assert_eq!(db.recordings(&Filter::default(), None, 10).await.unwrap(), []);
}

pub(super) async fn illegal_changes_are_refused(place: &Place) {
    fn illegal<T: std::fmt::Debug>(result: crate::db::Result<T>) -> (State, State) {
        match result {
            Err(Error::Illegal { from, to }) => (from, to),
            other => panic!("{other:?}"),
        }
    }
    let db = place.open().await;
    let live = recording(&db, "live", State::Live).await.id;
    assert_eq!(illegal(db.request(live, Request::Resume, at(2)).await), (State::Live, State::Live));
    assert_eq!(illegal(db.set_state(live, State::Ended, at(2)).await), (State::Live, State::Ended));
    assert_eq!(
        illegal(db.end_recording(live, EndReason::Unreadable, at(2)).await),
        (State::Live, State::Failed)
    );
    db.set_state(live, State::Live, at(2)).await.unwrap();
    assert_eq!(db.recording(live).await.unwrap().state, State::Live);

    let import = recording(&db, "import", State::Importing).await.id;
    for request in [Request::Pause, Request::Resume, Request::End] {
        assert_eq!(illegal(db.request(import, request, at(2)).await).0, State::Importing);
    }
    illegal(db.set_state(import, State::Live, at(2)).await);

    db.end_recording(live, EndReason::Host, at(3)).await.unwrap();
    for request in [Request::Pause, Request::Resume, Request::End] {
        assert_eq!(illegal(db.request(live, request, at(4)).await).0, State::Ended);
    }
    illegal(db.set_state(live, State::Live, at(4)).await);

    let nobody = RecordingId::new();
    for result in [
        db.recording(nobody).await.map(drop),
        db.request(nobody, Request::End, at(1)).await.map(drop),
        db.set_state(nobody, State::Live, at(1)).await,
        db.set_source(nobody, Origin::Rtp, 1, "", None).await,
        db.end_recording(nobody, EndReason::Host, at(1)).await.map(drop),
    ] {
        assert!(matches!(result, Err(Error::NotFound { what: "recording" })), "{result:?}");
    }
}

pub(super) async fn a_request_to_end_stands(place: &Place) {
    let db = place.open().await;
    let id = recording(&db, "room", State::Live).await.id;
    db.request(id, Request::Pause, at(2)).await.unwrap();
    db.request(id, Request::End, at(3)).await.unwrap();
    // Ingest was still at the pause that was asked for first.
    db.set_state(id, State::Paused, at(4)).await.unwrap();
    assert_eq!(db.recording(id).await.unwrap().request, Some(Request::End));
    assert!(matches!(
        db.request(id, Request::Resume, at(5)).await,
        Err(Error::Illegal { from: State::Ended, to: State::Live })
    ));
    let again = db.request(id, Request::End, at(6)).await.unwrap();
    assert_eq!(again.request, Some(Request::End));
}

pub(super) async fn an_unreadable_import_fails(place: &Place) {
    let db = place.open().await;
    let id = recording(&db, "room", State::Importing).await.id;
    add_chunks(&db, id, 0..1).await;
    let failed = db.end_recording(id, EndReason::Unreadable, at(3)).await.unwrap();
    assert_eq!(failed.state, State::Failed);
    assert_eq!(failed.end_reason, Some(EndReason::Unreadable));
    assert_eq!(db.jobs_of(id).await.unwrap(), [], "nothing of it is offered or transcribed");
}

pub(super) async fn ending_makes_one_job(place: &Place) {
    let db = place.open().await;
    let id = recording(&db, "room", State::Live).await.id;
    add_chunks(&db, id, 0..3).await;
    let first = db.end_recording(id, EndReason::SourceAway, at(20)).await.unwrap();
    let again = db.end_recording(id, EndReason::Host, at(30)).await.unwrap();
    assert_eq!(again, first, "an end is told once");

    let jobs = db.jobs_of(id).await.unwrap();
    let stands: Vec<_> = jobs.iter().map(|job| (job.kind, job.state)).collect();
    assert_eq!(
        stands,
        [(Kind::TranscribeLive, job::State::Done), (Kind::Transcribe, job::State::Ready)]
    );
    assert_eq!(jobs[1].total, Ticks::from_secs(12));
    assert_eq!((jobs[1].done, jobs[1].attempt, jobs[1].priority), (Ticks::ZERO, 0, 50));
}

pub(super) async fn ending_without_audio_makes_no_job(place: &Place) {
    let db = place.open().await;
    let id = recording(&db, "room", State::Live).await.id;
    db.end_recording(id, EndReason::Host, at(20)).await.unwrap();
    assert_eq!(db.jobs(crate::db::JobFilter::default(), None, 10).await.unwrap(), []);
}

pub(super) async fn lists_are_paged_and_filtered(place: &Place) {
    let db = place.open().await;
    let open = a_room("open");
    let closed = Room { audience: Audience::Followers, host: "Zoë".into(), ..a_room("closed") };
    db.create_room(&open).await.unwrap();
    db.create_room(&closed).await.unwrap();
    let mut made = Vec::new();
    for n in 0..5 {
        let room = if n % 2 == 0 { &open } else { &closed };
        let mut new = new_recording(room.id, State::Importing);
        new.title = format!("Take {n}");
        made.push(db.create_recording(&new).await.unwrap());
    }
    db.end_recording(made[0].id, EndReason::Imported, at(5)).await.unwrap();

    let titles = async |filter: Filter, before: Option<RecordingId>, limit: u32| -> Vec<String> {
        let page = db.recordings(&filter, before, limit).await.unwrap();
        page.into_iter().map(|r| r.title).collect()
    };
    let all = Filter::default;
    assert_eq!(titles(all(), None, 2).await, ["Take 4", "Take 3"]);
    assert_eq!(titles(all(), Some(made[3].id), 2).await, ["Take 2", "Take 1"]);
    assert_eq!(titles(all(), Some(made[1].id), 2).await, ["Take 0"]);
    assert_eq!(titles(all(), Some(made[0].id), 2).await, [""; 0]);

    let of_closed = Filter { room: Some(closed.id), ..all() };
    assert_eq!(titles(of_closed, None, 10).await, ["Take 3", "Take 1"]);
    let ended = Filter { state: Some(State::Ended), ..all() };
    assert_eq!(titles(ended, None, 10).await, ["Take 0"]);
    let everyone = Filter { open_to_everyone_only: true, ..all() };
    assert_eq!(titles(everyone.clone(), None, 10).await, ["Take 4", "Take 2", "Take 0"]);
    assert_eq!(titles(everyone, Some(made[4].id), 1).await, ["Take 2"]);
    let by_host = Filter { text: Some("zoë".into()), ..all() };
    assert_eq!(titles(by_host, None, 10).await, ["Take 3", "Take 1"]);
    let by_title = Filter { text: Some("TAKE 2".into()), ..all() };
    assert_eq!(titles(by_title, None, 10).await, ["Take 2"]);
    let by_room = Filter { text: Some("room open".into()), state: Some(State::Ended), ..all() };
    assert_eq!(titles(by_room, None, 10).await, ["Take 0"]);
}

pub(super) async fn text_is_looked_for_as_it_stands(place: &Place) {
    let db = place.open().await;
    let room = a_room("room");
    db.create_room(&room).await.unwrap();
    for title in ["100% sure", "100 people", r"a\b", "a_b", "axb", "ÄRGER"] {
        let mut new = new_recording(room.id, State::Importing);
        new.title = title.into();
        db.create_recording(&new).await.unwrap();
    }
    for (text, found) in [
        ("0%", "100% sure"),
        (r"A\", r"a\b"),
        ("_", "a_b"),
        ("ÄRGER", "ÄRGER"),
        ("0 P", "100 people"),
    ] {
        let filter = Filter { text: Some(text.into()), ..Filter::default() };
        let page = db.recordings(&filter, None, 10).await.unwrap();
        let titles: Vec<_> = page.iter().map(|r| r.title.as_str()).collect();
        assert_eq!(titles, [found], "{text}");
    }
}

pub(super) async fn changes_are_told_after_the_commit(place: &Place) {
    let db = place.open().await;
    let mut changes = db.changes();
    let room = a_room("room");
    db.create_room(&room).await.unwrap();
    assert_eq!(changes.try_recv().unwrap(), Change::Room(room.id));
    let made = db.create_recording(&new_recording(room.id, State::Live)).await.unwrap();
    assert_eq!(changes.try_recv().unwrap(), Change::Recording(made.id));
    add_chunks(&db, made.id, 0..1).await;
    let told = [changes.try_recv().unwrap(), changes.try_recv().unwrap()];
    assert!(told.contains(&Change::Recording(made.id)) && told.contains(&Change::Jobs));
    // What is refused or changes nothing is not told.
    add_chunks(&db, made.id, 0..1).await;
    assert!(is_conflict(db.create_room(&a_room("room")).await));
    assert!(changes.try_recv().is_err());
}
