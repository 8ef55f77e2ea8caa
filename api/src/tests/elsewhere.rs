//! Sound fetched from the object store: a real one, by real players.

use std::net::Ipv4Addr;
use std::process::Command;
use std::time::Duration;

use archive::store::Place;
use archive::{Key, Store};
use axum::body::Body;
use models::doors::{self, Doors};
use models::room::{Audience, RecordingPolicy};
use models::{Db, Recording};
use servers::{Bucket, garage};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{House, TOKEN, request};
use crate::Config;

/// A house whose sound lies on S3, and where it lies.
async fn house(presign_s: Option<u64>, config: Config) -> (House, Bucket) {
    let bucket = garage().new_bucket();
    let (key, secret) = (Some(bucket.key.clone()), Some(bucket.secret.as_str().into()));
    let store = Store::open(&Place { url: bucket.url.clone(), key, secret }).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", dir.path().join("roomtape.db").display());
    let db = Db::open(&url).await.unwrap();
    let config = Config { presign: presign_s.map(Duration::from_secs), ..config };
    let router = crate::router(db.clone(), store.clone(), config);
    (House { db, store, router, _dir: dir }, bucket)
}

/// Runs a program and gives what it prints; it must be content.
fn run(program: &str, arguments: &[&str]) -> Vec<u8> {
    let within = Duration::from_secs(60);
    let output = servers::output(Command::new(program).args(arguments), within).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    output.stdout
}

/// A server of the house on a port of its own.
async fn served(house: &House) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let doors = Doors::new(doors::Limits::of(100));
    tokio::spawn(crate::serve(listener, house.router.clone(), doors, CancellationToken::new()));
    base
}

fn path(recording: &Recording, form: &str) -> String {
    format!("/api/recordings/{}/{form}", recording.id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn players_follow_to_the_store_and_hear_the_same() {
    let (house, bucket) = house(Some(600), Config::default()).await;
    let recording = house.ended().await;
    for (form, key) in
        [("init.mp4", Key::Init(recording.id)), ("chunks/1.m4s", Key::Chunk(recording.id, 1, 0))]
    {
        let sent = house.get(&path(&recording, form)).await;
        assert_eq!(sent.status, 307, "{}", sent.text());
        let there = format!("{}/{}/{key}?", garage().endpoint(), bucket.name);
        assert!(sent.header("location").starts_with(&there), "{}", sent.header("location"));
        assert!(sent.header("location").contains("X-Amz-Expires=600"));
        assert_eq!(sent.header("cache-control"), "public, max-age=300");
        assert_eq!(sent.header("access-control-allow-origin"), "*");
        let bytes = run("curl", &["-sSf", sent.header("location")]);
        assert_eq!(bytes, house.store.get(&key, None).await.unwrap());
    }
    let head = house.send(request("HEAD", &path(&recording, "chunks/1.m4s"), &[], Body::empty()));
    assert_eq!(head.await.status, 200, "lengths are known here");
    let page = house.get("/").await;
    let policy = page.header("content-security-policy");
    assert!(policy.contains(&format!("connect-src 'self' {};", garage().endpoint())), "{policy}");
    assert!(policy.contains(&format!("media-src 'self' {} blob:;", garage().endpoint())));

    let base = served(&house).await;
    let playlist = format!("{base}{}", path(&recording, "playlist.m3u8"));
    let pcm = ["-v", "error", "-i", &playlist, "-f", "s16le", "-ac", "1", "-ar", "48000", "-"];
    let samples = tokio::task::block_in_place(|| run("ffmpeg", &pcm)).len() / 2;
    assert_eq!(samples, 504_000, "10.5 s");
    let file = format!("{base}{}", path(&recording, "audio.mp4?download=1"));
    let whole = house.get(&path(&recording, "audio.mp4")).await.body;
    let kept = tokio::task::block_in_place(|| run("curl", &["-sSfL", &file]));
    assert_eq!(kept, whole);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_is_made_once_and_only_when_the_recording_has_ended() {
    let (house, _) = house(Some(60), Config::default()).await;
    let room = house.room("hall", Audience::Everyone, RecordingPolicy::Auto).await;
    let recording = house.live(&room).await;
    house.keep(&recording, 525).await;
    let download = path(&recording, "audio.mp4?download=1");
    assert_eq!(house.get(&download).await.status, 200, "it still grows");
    let exports = async || {
        let all = house.store.list(&Key::prefix(recording.id)).await.unwrap();
        all.into_iter().filter(|(name, _)| name.contains("/exports/")).collect::<Vec<_>>()
    };
    assert_eq!(exports().await, []);

    house.end(&recording).await;
    let whole = house.get(&path(&recording, "audio.mp4")).await;
    assert_eq!(whole.status, 200, "who plays it in place wants parts");
    let asked = (0..8).map(|_| house.get(&download));
    let answers = futures_util::future::join_all(asked).await;
    for answer in &answers {
        assert_eq!(answer.status, 307, "{}", answer.text());
        let kept = run("curl", &["-sSf", "-D", "/dev/stderr", answer.header("location")]);
        assert_eq!(kept, whole.body);
    }
    let there = exports().await;
    let tag = whole.header("etag").trim_matches('"');
    assert_eq!(there.len(), 1);
    assert_eq!(there[0].1, whole.body.len() as u64);
    assert!(there[0].0.ends_with(&format!("/exports/{tag}.mp4")), "{there:?}");
    let named = run("curl", &["-sSf", "-o", "/dev/null", "-D", "-", answers[0].header("location")]);
    let named = String::from_utf8(named).unwrap().to_lowercase();
    let name = "attachment; filename=\"the hall -live.mp4\"";
    assert!(named.contains(&format!("content-disposition: {name}")), "{named}");

    let had = [("if-none-match", whole.header("etag"))];
    assert_eq!(house.get_with(&download, &had).await.status, 304);
    // Whoever removes a recording's objects by their prefix removes this one too.
    for (name, _) in house.store.list(&Key::prefix(recording.id)).await.unwrap() {
        house.store.delete(&Key::parse(&name).unwrap()).await.unwrap();
    }
    assert_eq!(house.store.list("").await.unwrap(), []);
}

#[tokio::test]
async fn only_who_may_hear_it_is_sent_there() {
    let guarded = Config { operator_token: Some(TOKEN.to_owned()), ..Config::default() };
    let (house, _) = house(Some(60), guarded).await;
    let room = house.room("inner", Audience::Invited, RecordingPolicy::Auto).await;
    let recording = house.live(&room).await;
    house.keep(&recording, 100).await;
    house.end(&recording).await;
    let operator = [("authorization", "Bearer correct horse")];
    for form in ["init.mp4", "chunks/0.m4s", "audio.mp4?download=1"] {
        let form = path(&recording, form);
        let refused = house.get(&form).await;
        assert_eq!(refused.problem(404), "unknown_recording");
        assert_eq!(refused.header("location"), "");
        let sent = house.get_with(&form, &operator).await;
        assert_eq!(sent.status, 307, "{form}");
        assert_eq!(sent.header("cache-control"), "private, max-age=30");
        assert_eq!(sent.header("access-control-allow-origin"), "");
    }
    let empty =
        house.live(&house.room("new", Audience::Everyone, RecordingPolicy::Auto).await).await;
    let absent = house.get_with(&path(&empty, "init.mp4"), &operator).await;
    assert_eq!(absent.problem(404), "no_audio", "nobody is sent where nothing is");
}

#[tokio::test]
async fn without_leave_everything_comes_from_here() {
    let (house, _) = house(None, Config::default()).await;
    let recording = house.ended().await;
    for form in ["init.mp4", "chunks/1.m4s", "audio.mp4?download=1"] {
        assert_eq!(house.get(&path(&recording, form)).await.status, 200, "{form}");
    }
    assert!(!house.get("/").await.header("content-security-policy").contains("connect-src"));
    assert!(house.store.list("").await.unwrap().iter().all(|(name, _)| !name.contains("exports")));
}
