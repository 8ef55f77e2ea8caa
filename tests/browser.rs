//! Chromium on the pages, driven by Playwright (`tests/browser/*.mjs`).

use std::path::{Path, PathBuf};
use std::process::Command;

use models::db::Filter;
use models::job::{Class, Kind, Limits};
use serde_json::Value;

use crate::support::server::PROGRAM;
use crate::support::{Server, api, data, media, rtp, secs};

/// Runs a script on a recording's page; returns what it found.
fn script(name: &str, server: &Server, recording: &str) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser").join(name);
    let shots = screenshots();
    let mut node = Command::new("node");
    node.arg(&script)
        .args([&server.api.base, recording])
        .arg(&shots)
        .env("ROOMTAPE_PLAYWRIGHT", playwright());
    let output = servers::output(&mut node, secs(300)).expect("starting node");
    assert!(
        output.status.success(),
        "{name}: {}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    serde_json::from_str(said.lines().last().unwrap_or_default()).expect("one line of JSON")
}

/// Where `make test` puts playwright-core.
fn playwright() -> PathBuf {
    let set = std::env::var_os("ROOMTAPE_PLAYWRIGHT").map(PathBuf::from);
    set.unwrap_or_else(|| {
        let home = std::env::var_os("HOME").expect("HOME");
        Path::new(&home).join(".cache/roomtape/node")
    })
}

/// Screenshots are kept beside the build, for people to look at.
fn screenshots() -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("screenshots");
    std::fs::create_dir_all(&dir).expect("a folder for screenshots");
    dir
}

#[tokio::test]
async fn the_replay_page_plays_and_its_words_follow() {
    let dir = tempfile::tempdir().unwrap();
    let mut import = Command::new(PROGRAM);
    import
        .args(["import", "--transcribe", "--weights", "demo", "--title", "Keeping live audio"])
        .arg("--data")
        .arg(dir.path())
        .arg(data("conversation.opus"));
    let imported = servers::status(&mut import, secs(400));
    assert!(imported.unwrap().success());
    let server = Server::start(dir.path());
    let recording = api::id(&server.api.recording("imports", "ended", secs(5)).await);
    script("replay.mjs", &server, &recording);
}

/// Another version of a recording's words: the first one with its sixth word and its last heard
/// differently. It is not shown.
async fn another_version(home: &Path) {
    let db = models::Db::open(&servers::pair(home).database).await.unwrap();
    let found = db.recordings(&Filter::default(), None, 1).await.unwrap();
    let (id, duration) = (found[0].id, found[0].duration);
    let first = db.transcript_version(id, None).await.unwrap().expect("words");
    let mut segments = db.segments(first.id, 0).await.unwrap();
    let mut words: Vec<_> = segments.iter_mut().flat_map(|segment| &mut segment.words).collect();
    let last = words.len() - 1;
    words[5].text = "zebra".into();
    words[last].text = "otter.".into();
    let now = models::WallMicros::now();
    db.enqueue(Kind::Transcribe, Class::Batch, id, now).await.unwrap();
    let claimed = db.claim(&[Kind::Transcribe], Limits::default(), "test", 60_000, now).await;
    let (_, lease) = claimed.unwrap().expect("nobody else works here");
    let second = db.begin_transcript(&lease, id, false, &first.made_by, now).await.unwrap();
    db.commit_window(&lease, second.id, duration, &segments, duration, now).await.unwrap();
    db.complete_transcript(&lease, second.id, now).await.unwrap();
    db.finish_job(&lease, now).await.unwrap();
    db.promote_transcript(id, first.version).await.unwrap();
    db.close().await;
}

#[tokio::test]
async fn words_are_corrected_on_the_page_and_stay_so_on_another_version() {
    let dir = tempfile::tempdir().unwrap();
    let mut import = Command::new(PROGRAM);
    import
        .args(["import", "--transcribe", "--weights", "demo", "--title", "Keeping live audio"])
        .arg("--data")
        .arg(dir.path())
        .arg(data("conversation.opus"));
    assert!(servers::status(&mut import, secs(400)).unwrap().success());
    another_version(dir.path()).await;
    let server = Server::start(dir.path());
    let recording = api::id(&server.api.recording("imports", "ended", secs(5)).await);
    script("edits.mjs", &server, &recording);
}

#[tokio::test]
async fn a_live_page_goes_on_by_itself_and_becomes_the_replay() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let port = rtp::free_port();
    server.api.rtp_room("live", port, 2_000).await;
    assert!(rtp::wait_until_open(port).await);
    let packets = media::ogg_packets(&data("conversation.opus"));
    let sender = rtp::Sender::start(port, packets, true);
    let recording = api::id(&server.api.recording("live", "live", secs(20)).await);
    script("live.mjs", &server, &recording);
    sender.stop();
}
