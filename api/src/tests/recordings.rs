use std::time::Duration;

use axum::body::Body;
use models::recording::{EndReason, Request, State};
use models::room::{Audience, RecordingPolicy};
use models::{Db, Gap, GapCause, RecordingId, Ticks};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{House, START, request};
use crate::Config;
use crate::router::assemble;
use crate::state::App;

/// Acts on requests as ingest does: waits for each and does it.
fn ingest(db: &Db, id: RecordingId) -> JoinHandle<()> {
    let (db, mut changes) = (db.clone(), db.changes());
    tokio::spawn(async move {
        while changes.recv().await.is_ok() {
            match db.recording(id).await.unwrap().request {
                Some(Request::Pause) => db.set_state(id, State::Paused, START).await.unwrap(),
                Some(Request::Resume) => db.set_state(id, State::Live, START).await.unwrap(),
                Some(Request::End) => {
                    db.end_recording(id, EndReason::Host, START).await.unwrap();
                }
                None => {}
            }
        }
    })
}

#[tokio::test]
async fn a_recording_is_started_paused_resumed_and_ended() {
    let house = House::new().await;
    house.room("hall", Audience::Everyone, RecordingPolicy::Manual).await;
    let started = house.post("/api/rooms/hall/recordings", json!({"title": "First"})).await;
    assert_eq!(started.status, 201);
    let recording = started.json();
    assert_eq!((&recording["title"], &recording["state"]), (&json!("First"), &json!("live")));
    assert_eq!(
        (&recording["origin"], &recording["room"]["slug"]),
        (&json!("pending"), &json!("hall"))
    );
    let place = started.header("location").to_owned();
    assert_eq!(place, format!("/api/recordings/{}", recording["id"].as_str().unwrap()));

    let id = recording["id"].as_str().unwrap().parse().unwrap();
    let ingest = ingest(&house.db, id);
    for (step, state) in [("pause", "paused"), ("resume", "live"), ("end", "ended")] {
        let answer = house.post(&format!("{place}/{step}"), Value::Null).await;
        assert_eq!(answer.status, 200, "{step}: {}", answer.text());
        assert_eq!(
            (&answer.json()["state"], &answer.json()["request"]),
            (&json!(state), &Value::Null)
        );
    }
    let again = house.post(&format!("{place}/pause"), Value::Null).await;
    assert_eq!(again.problem(409), "illegal_transition");
    assert_eq!(again.json()["detail"], "The recording is ended and cannot become paused.");
    ingest.abort();
}

#[tokio::test]
async fn nothing_new_is_started_where_the_disk_is_full() {
    let house = House::new().await;
    house.room("hall", Audience::Everyone, RecordingPolicy::Manual).await;
    let (id, name) = (models::WorkerId::new(), "ingest".to_owned());
    let worker = models::Worker { id, name, lease_ms: 5_000 };
    let soon = models::WallMicros::now().plus_millis(60_000);
    house.db.set_short(&worker, Some(soon)).await.unwrap();
    let refused = house.post("/api/rooms/hall/recordings", json!({})).await;
    assert_eq!(refused.problem(507), "no_space");
    assert_eq!(house.get("/api/recordings").await.json()["items"], json!([]));
    house.db.set_short(&worker, None).await.unwrap();
    assert_eq!(house.post("/api/rooms/hall/recordings", json!({})).await.status, 201);
}

#[tokio::test]
async fn start_needs_no_body_and_names_the_recording_after_the_room() {
    let house = House::new().await;
    house.room("hall", Audience::Everyone, RecordingPolicy::Auto).await;
    let bare = request("POST", "/api/rooms/hall/recordings", &[], Body::empty());
    let started = house.send(bare).await;
    assert_eq!((started.status.as_u16(), &started.json()["title"]), (201, &json!("The hall")));
    let second = house.post("/api/rooms/hall/recordings", json!({})).await;
    assert_eq!(second.problem(409), "already_recording");
}

#[tokio::test]
async fn a_room_that_is_never_recorded_says_so() {
    let house = House::new().await;
    house.room("private", Audience::Everyone, RecordingPolicy::Never).await;
    let refused = house.post("/api/rooms/private/recordings", json!({})).await;
    assert_eq!(refused.problem(403), "not_recordable");
    assert_eq!(house.get("/api/recordings").await.json()["items"], json!([]));
    let long = json!({"title": "x".repeat(201)});
    assert_eq!(house.post("/api/rooms/private/recordings", long).await.problem(422), "invalid");
    assert_eq!(
        house.post("/api/rooms/nowhere/recordings", json!({})).await.problem(404),
        "unknown_room"
    );
}

#[tokio::test]
async fn what_ingest_has_not_done_in_time_is_accepted_and_what_never_will_is_refused() {
    let mut house = House::new().await;
    let room = house.room("hall", Audience::Everyone, RecordingPolicy::Auto).await;
    let recording = house.live(&room).await;
    let path = format!("/api/recordings/{}/pause", recording.id);
    let patient = house.router.clone();
    // Nobody acts: a shorter wait goes by.
    let wait = Duration::from_millis(50);
    let app = App::new(house.db.clone(), house.store.clone(), Config::default(), String::new());
    house.router = assemble(App { wait, ..app });
    let before = Instant::now();
    let accepted = house.post(&path, Value::Null).await;
    assert_eq!(accepted.status, 202);
    assert_eq!(
        (&accepted.json()["state"], &accepted.json()["request"]),
        (&json!("live"), &json!("pause"))
    );
    assert!(before.elapsed() >= wait);
    house.router = patient;

    // The source goes away for good while a pause is waited for.
    let mut changes = house.db.changes();
    let ends = async {
        changes.recv().await.unwrap();
        house.end(&recording).await;
    };
    let (refused, ()) = tokio::join!(house.post(&path, Value::Null), ends);
    assert_eq!(refused.problem(409), "illegal_transition");
}

#[tokio::test]
async fn a_recording_shows_all_that_is_known_of_it() {
    let house = House::new().await;
    let recording = house.ended().await;
    let gap = Gap {
        start: Ticks::from_millis(2_000),
        duration: Ticks::from_millis(60),
        wall_us: 61_000,
        cause: GapCause::SourceAway,
    };
    house.db.add_gaps(recording.id, &[gap]).await.unwrap();
    let answer = house.get(&format!("/api/recordings/{}", recording.id)).await;
    let mut shown = answer.json();
    assert!(shown["bytes"].as_u64().unwrap() > 10_000);
    for changing in ["id", "bytes"] {
        shown[changing] = Value::Null;
    }
    shown["room"]["id"] = Value::Null;
    assert_eq!(
        shown,
        json!({
            "id": null,
            "room": {"id": null, "slug": "hall", "title": "The hall", "host": "Ada"},
            "title": "The hall \"live\"", "origin": "rtp", "state": "ended", "request": null,
            "receipt": null,
            "started_at": "2023-11-14T22:13:20.000Z", "ended_at": "2023-11-14T22:13:31.000Z",
            "end_reason": "host", "duration_ms": 10_500, "bytes": null, "channels": 1,
            "source": "opus from 192.0.2.7", "created_at": "2023-11-14T22:13:20.000Z",
            "gaps": [{"start_ms": 2000, "duration_ms": 60, "wall_ms": 61, "cause": "source_away"}],
            "transcript": null,
            "transcribing": {"done_ms": 0, "total_ms": 10_500, "state": "ready"},
        })
    );
    let tag = answer.header("etag").to_owned();
    let path = format!("/api/recordings/{}", recording.id);
    let same = house.get_with(&path, &[("if-none-match", &tag)]).await;
    assert_eq!(same.status, 304);
}

#[tokio::test]
async fn the_list_is_paged_and_filtered() {
    let house = House::new().await;
    let mut ids = Vec::new();
    for slug in ["a", "b", "c"] {
        let room = house.room(slug, Audience::Everyone, RecordingPolicy::Auto).await;
        ids.insert(0, house.live(&room).await);
    }
    house.end(&ids[0]).await;
    let list = async |query: &str| {
        let page = house.get(&format!("/api/recordings{query}")).await.json();
        let items = page["items"].as_array().unwrap().clone();
        let slugs: String = items.iter().map(|i| i["room"]["slug"].as_str().unwrap()).collect();
        (slugs, page["next"].as_str().map(str::to_owned))
    };
    assert_eq!(list("").await, ("cba".into(), None));
    assert_eq!(list("?limit=3").await, ("cba".into(), None));
    let (slugs, next) = list("?limit=2").await;
    assert_eq!(slugs, "cb");
    assert_eq!(list(&format!("?limit=2&cursor={}", next.unwrap())).await, ("a".into(), None));
    assert_eq!(list("?state=live").await.0, "ba");
    assert_eq!(list("?room=b").await.0, "b");
    assert_eq!(list("?q=the%20C").await.0, "c");
    for bad in
        ["?limit=0", "?limit=201", "?limit=x", "?state=gone", "?cursor=x", "?room=a&colour=red"]
    {
        assert_eq!(
            house.get(&format!("/api/recordings{bad}")).await.problem(400),
            "bad_query",
            "{bad}"
        );
    }
    assert_eq!(house.get("/api/recordings?room=z").await.problem(404), "unknown_room");
}
