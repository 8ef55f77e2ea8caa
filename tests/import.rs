//! `roomtape import`.

use std::path::Path;
use std::process::Output;

use crate::demo;
use crate::support::media::{self, ffmpeg};
use crate::support::server::program;
use crate::support::{Server, api, data, secs};

fn import(home: &Path, args: &[&str]) -> Output {
    let mut command = program(home);
    command.args(["import", "--weights", "demo", "--data"]).arg(home).args(args);
    servers::output(&mut command, secs(400)).unwrap()
}

#[tokio::test]
async fn every_kind_of_file_becomes_a_recording_and_each_failure_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    let source = data("conversation.flac");
    let mut files = Vec::new();
    for (name, codec) in [
        ("a.mp3", "libmp3lame"),
        ("b.m4a", "aac"),
        ("c.aac", "aac"),
        ("d.wav", "pcm_s16le"),
        ("e.flac", "flac"),
        ("f.ogg", "libvorbis"),
        ("g.opus", "libopus"),
        ("h.webm", "libopus"),
        ("i.mka", "libopus"),
    ] {
        let file = dir.path().join(name).display().to_string();
        ffmpeg(&["-i", source.to_str().unwrap(), "-t", "8", "-ac", "2", "-c:a", codec, &file]);
        files.push(file);
    }
    let tiny = dir.path().join("tiny.mp3").display().to_string();
    std::fs::write(&tiny, "ID3").unwrap();
    let missing = dir.path().join("missing.wav").display().to_string();
    let mut args: Vec<&str> = files.iter().map(String::as_str).collect();
    args.extend([tiny.as_str(), missing.as_str()]);

    let imported = import(&home, &args);
    let said = String::from_utf8_lossy(&imported.stderr);
    assert!(!imported.status.success());
    assert_eq!(said.lines().count(), 2, "{said}");
    assert!(said.contains("tiny.mp3") && said.contains("missing.wav"), "{said}");

    let server = Server::start(&home);
    let listed = server.api.get("/api/recordings?state=ended&limit=50").await;
    let listed = listed["items"].as_array().unwrap();
    assert_eq!(listed.len(), files.len(), "{listed:?}");
    for recording in listed {
        let seconds = recording["duration_ms"].as_f64().unwrap() / 1000.0;
        // Encoders pad: MP3 by up to 0.1 s.
        assert!((seconds - 8.0).abs() <= 0.12, "{recording}");
        media::check_outputs(&server.api, &api::id(recording), seconds);
    }
    server.terminate();
}

#[tokio::test]
async fn an_import_can_wait_for_its_words() {
    let dir = tempfile::tempdir().unwrap();
    let file = data("conversation.flac").display().to_string();
    let imported = import(dir.path(), &["--transcribe", "--title", "A talk", &file]);
    assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
    let server = Server::start(dir.path());
    let recording = server.api.recording("imports", "ended", secs(5)).await;
    assert_eq!(recording["title"], "A talk");
    let transcript = server.api.transcript(&api::id(&recording), secs(5)).await;
    let score = demo::score(&transcript);
    assert!(score.word_error_rate <= 0.014, "{score}");

    let id = api::id(&recording);
    let vtt = server.api.text(&format!("/api/recordings/{id}/transcript.vtt")).await;
    assert!(vtt.starts_with("WEBVTT\n"), "{vtt}");
    for kind in ["srt", "txt"] {
        let text = server.api.text(&format!("/api/recordings/{id}/transcript.{kind}")).await;
        assert!(text.contains("Good night."), "{kind}: {text}");
    }
}
