//! ffmpeg as an Icecast source: what it sends is kept.

use serde_json::json;

use crate::support::media::{self, ffmpeg};
use crate::support::{Server, api, data, secs};

/// Seconds of the conversation that are sent.
const SENT: &str = "30";

#[tokio::test]
async fn ogg_opus_is_kept_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let file = dir.path().join("sent.opus");
    let whole = data("conversation.opus");
    ffmpeg(&["-i", whole.to_str().unwrap(), "-t", SENT, "-c", "copy", file.to_str().unwrap()]);

    let key = server.api.icecast_room("opus").await;
    let mount = server.mount("opus", &key);
    let input = file.to_str().unwrap();
    ffmpeg(&[
        "-re",
        "-readrate",
        "4",
        "-i",
        input,
        "-c",
        "copy",
        "-f",
        "ogg",
        "-content_type",
        "audio/ogg",
        &mount,
    ]);
    let ended = server.api.recording("opus", "ended", secs(60)).await;
    assert_eq!(ended["end_reason"], "source_away");

    let kept = media::kept_packets(&server.api, &api::id(&ended)).await;
    let sent = media::ogg_packets(&file);
    assert_eq!(kept.len(), sent.len());
    assert!(kept.iter().map(|(packet, _)| packet).eq(&sent));
    let seconds = ended["duration_ms"].as_f64().unwrap() / 1000.0;
    assert!((seconds - 30.0).abs() <= 0.04, "{seconds}");
    media::check_outputs(&server.api, &api::id(&ended), seconds);
}

#[tokio::test]
async fn mp3_and_aac_are_decoded_and_encoded_once() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    for (slug, codec, format, content) in
        [("mp3", "libmp3lame", "mp3", "audio/mpeg"), ("aac", "aac", "adts", "audio/aac")]
    {
        let key = server.api.icecast_room(slug).await;
        let mount = server.mount(slug, &key);
        let input = data("conversation.flac");
        ffmpeg(&[
            "-readrate",
            "8",
            "-i",
            input.to_str().unwrap(),
            "-t",
            SENT,
            "-c:a",
            codec,
            "-b:a",
            "96k",
            "-f",
            format,
            "-content_type",
            content,
            &mount,
        ]);
        let ended = server.api.recording(slug, "ended", secs(60)).await;
        let seconds = ended["duration_ms"].as_f64().unwrap() / 1000.0;
        // The codecs' own padding: up to two MP3 frames or AAC frames at either end.
        assert!((seconds - 30.0).abs() <= 0.1, "{slug}: {seconds}");
        media::check_outputs(&server.api, &api::id(&ended), seconds);
    }
}

#[tokio::test]
async fn a_room_that_must_not_be_recorded_is_refused_and_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let room =
        json!({ "slug": "private", "title": "Private", "source_key": "auto", "policy": "never" });
    let room = server.api.post("/api/rooms", room).await;
    let key = room["source_key"].as_str().unwrap();
    let input = data("conversation.opus");
    let mut push = std::process::Command::new("ffmpeg");
    push.args(["-nostdin", "-loglevel", "error", "-i", input.to_str().unwrap(), "-c", "copy"])
        .args(["-f", "ogg", "-content_type", "audio/ogg", &server.mount("private", key)]);
    let pushed = servers::output(&mut push, secs(60)).unwrap();
    let said = String::from_utf8_lossy(&pushed.stderr);
    assert!(!pushed.status.success() && said.contains("403"), "{said}");
    let start =
        server.api.problem(reqwest::Method::POST, "/api/rooms/private/recordings", Some(json!({})));
    assert_eq!(start.await.0, 403);
    let listed = server.api.get("/api/recordings?room=private").await;
    assert_eq!(listed["items"], json!([]));
    server.terminate();
    // Whose the spool is stands there; nothing else.
    let mut spooled = walk(&dir.path().join("spool"));
    spooled.retain(|path| !path.ends_with("worker-id"));
    assert!(spooled.is_empty(), "{spooled:?}");
    assert_eq!(servers::pair(dir.path()).objects(), 0);
}

/// Every file below `dir`.
fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok) {
        let path = entry.path();
        if path.is_dir() { files.extend(walk(&path)) } else { files.push(path) }
    }
    files
}
