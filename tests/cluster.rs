//! Many machines: two of each role over PostgreSQL and Garage, of which two processes are lost.

use std::collections::BTreeSet;
use std::time::Duration;

use archive::{Key, Store};
use models::{Db, db};
use serde_json::{Value, json};

use crate::support::cluster::{Installation, Source};
use crate::support::{Api, api, media, secs, until};

const ROOMS: usize = 20;
const GRACE_MS: i64 = 15_000;
/// How long the rooms are on the air.
const LENGTH: Duration = secs(45);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_rooms_outlive_an_ingest_and_a_worker() {
    let installation = Installation::new();
    let first = installation.start("ingest", "ingest-1").await;
    let second = installation.start("ingest", "ingest-2").await;
    let dying = installation.start("transcribe", "transcribe-1").await;
    let _staying = installation.start("transcribe", "transcribe-2").await;
    let pages =
        [installation.start("api", "api-1").await, installation.start("api", "api-2").await];
    let apis = pages.each_ref().map(|page| Api::new(page.http));

    let mut sources = Vec::new();
    for n in 0..ROOMS {
        let slug = format!("room-{n:02}");
        let room = json!({ "slug": slug, "title": slug, "host": format!("host {}", n % 3),
                           "source_key": "auto", "grace_ms": GRACE_MS });
        let room = apis[n % 2].post("/api/rooms", room).await;
        let mut addresses = vec![first.icecast, second.icecast];
        addresses.rotate_left(n % 2);
        sources.push(Source::start(&slug, room["source_key"].as_str().unwrap(), addresses, LENGTH));
    }
    until("all rooms to have twelve seconds in the store", secs(60), || async {
        let rows = rows(&apis[0]).await;
        let long = |row: &&Value| row["duration_ms"].as_i64() >= Some(12_000);
        (rows.iter().filter(long).count() == ROOMS).then_some(())
    })
    .await;
    first.kill();
    dying.kill();
    // Its machine comes back while the rooms are still on the air, with what it had not shipped.
    until("the other to have taken a room over", secs(30), || async {
        let moved = rows(&apis[1]).await.iter().any(|row| !gaps(row).is_empty());
        moved.then_some(())
    })
    .await;
    let _back = installation.start("ingest", "ingest-1").await;

    let turns: u32 = sources.into_iter().map(Source::join).sum();
    println!("{turns} connections for {ROOMS} rooms");
    assert!(turns >= (ROOMS + ROOMS / 2) as u32, "half of the rooms had to move");
    until("all rooms to end", secs(60), || async {
        let ended = rows(&apis[0]).await.iter().filter(|row| row["state"] == "ended").count();
        (ended == ROOMS).then_some(())
    })
    .await;
    until("no job to be left", secs(400), || async {
        let mut open = 0;
        for state in ["ready", "running"] {
            open += apis[1].get(&format!("/api/jobs?state={state}")).await["items"]
                .as_array()
                .unwrap()
                .len();
        }
        (open == 0).then_some(())
    })
    .await;
    until("the spools to be empty", secs(30), || async {
        let left = ["ingest-1", "ingest-2"].map(|name| spooled(&installation.data(name)));
        (left == [0, 0]).then_some(())
    })
    .await;
    check(&installation, &apis).await;
}

/// All recordings, with their gaps.
async fn rows(api: &Api) -> Vec<Value> {
    let listed = api.get("/api/recordings?limit=100").await;
    let mut rows = Vec::new();
    for item in listed["items"].as_array().unwrap() {
        rows.push(api.get(&format!("/api/recordings/{}", api::id(item))).await);
    }
    rows
}

fn gaps(row: &Value) -> &Vec<Value> {
    row["gaps"].as_array().unwrap()
}

/// How many recordings have something in a worker's spool.
fn spooled(data: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(data.join("spool")).unwrap();
    entries.filter(|entry| entry.as_ref().unwrap().file_type().unwrap().is_dir()).count()
}

async fn check(installation: &Installation, apis: &[Api; 2]) {
    let recordings = rows(&apis[0]).await;
    assert_eq!(recordings.len(), ROOMS, "one recording a room");
    let mut worst_ms = 0;
    for row in &recordings {
        for gap in gaps(row) {
            let ms = gap["duration_ms"].as_i64().unwrap();
            assert!(ms <= GRACE_MS + 1_000, "{} has {gap}", row["title"]);
            worst_ms = worst_ms.max(ms);
        }
        let ms = row["duration_ms"].as_i64().unwrap();
        let length = i64::try_from(LENGTH.as_millis()).unwrap();
        // An encoder that has to wait at the next door ends as much later.
        let waited: i64 = gaps(row).iter().map(|gap| gap["duration_ms"].as_i64().unwrap()).sum();
        let off = -3_000..=3_000 + waited;
        assert!(off.contains(&(ms - length)), "{}: {ms} ms: {:?}", row["title"], gaps(row));
        let id = api::id(row);
        let mp4 = format!("{}/api/recordings/{id}/audio.mp4", apis[1].base);
        let decoded = media::decoded_seconds(&mp4);
        assert!((decoded - ms as f64 / 1000.0).abs() <= 0.04, "{decoded} s of {ms} ms");
        check_words(&apis[0], &id, row).await;
    }
    println!("longest gap {worst_ms} ms");
    let jobs = apis[0].get("/api/jobs?limit=100").await;
    for job in jobs["items"].as_array().unwrap() {
        assert_eq!(job["state"], "done", "{job}");
    }
    assert_eq!(objects(installation).await, keys(installation).await, "an object for each row");
}

/// The whole of it is covered, and no segment is there twice.
async fn check_words(api: &Api, id: &str, row: &Value) {
    let transcript = api.transcript(id, secs(5)).await;
    let segments = transcript["segments"].as_array().unwrap();
    assert!(segments.len() >= 5, "{}: {} segments", row["title"], segments.len());
    let starts: Vec<i64> = segments.iter().map(|s| s["start_ms"].as_i64().unwrap()).collect();
    assert!(starts.windows(2).all(|pair| pair[0] < pair[1]), "{}: {starts:?}", row["title"]);
}

async fn objects(installation: &Installation) -> BTreeSet<String> {
    let store = Store::open(&installation.store).await.unwrap();
    store.list("").await.unwrap().into_iter().map(|(path, _)| path).collect()
}

async fn keys(installation: &Installation) -> BTreeSet<String> {
    let db = Db::open(&installation.database).await.unwrap();
    let mut keys = BTreeSet::new();
    for row in db.recordings(&db::Filter::default(), None, 100).await.unwrap() {
        keys.insert(Key::Init(row.id).path());
        for chunk in db.chunks(row.id).await.unwrap() {
            keys.insert(Key::of(row.id, &chunk).path());
        }
    }
    keys
}
