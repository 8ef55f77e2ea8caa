//! Chromium on the pages, driven by Playwright (`tests/browser/*.mjs`).

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::server::PROGRAM;
use crate::support::{Server, api, data, media, rtp, secs};

/// Runs a script on a recording's page; returns what it found.
fn script(name: &str, server: &Server, recording: &str) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser").join(name);
    let shots = screenshots();
    let output = Command::new("node")
        .arg(&script)
        .args([&server.api.base, recording])
        .arg(&shots)
        .env("ROOMTAPE_PLAYWRIGHT", playwright())
        .output()
        .expect("starting node");
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
    let imported = Command::new(PROGRAM)
        .args(["import", "--transcribe", "--weights", "demo", "--title", "Keeping live audio"])
        .arg("--data")
        .arg(dir.path())
        .arg(data("conversation.opus"))
        .status()
        .unwrap();
    assert!(imported.success());
    let server = Server::start(dir.path());
    let recording = api::id(&server.api.recording("imports", "ended", secs(5)).await);
    script("replay.mjs", &server, &recording);
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
