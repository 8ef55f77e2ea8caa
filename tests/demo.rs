//! `roomtape demo`: the whole path, and the bar its words have to reach.

use std::process::Command;

use serde_json::Value;
use transcribe::score::Score;

use crate::support::server::PROGRAM;
use crate::support::words::score_of;
use crate::support::{Server, api, data, media, secs};

/// How near a transcript, as the API gives it, comes to the bundled conversation.
pub fn score(transcript: &Value) -> Score {
    score_of(serde_json::from_value(transcript["segments"].clone()).expect("segments"), 1)
}

#[tokio::test]
async fn the_demo_ends_with_a_replay_whose_words_are_right() {
    let dir = tempfile::tempdir().unwrap();
    let mut demo = Command::new(PROGRAM);
    demo.args(["demo", "--once", "--speed", "8", "--http", "127.0.0.1:0"])
        .args(["--icecast", "127.0.0.1:0", "--weights", "demo", "--data"])
        .arg(dir.path());
    let demo = servers::output(&mut demo, secs(400)).unwrap();
    let said = String::from_utf8_lossy(&demo.stdout);
    let complained = String::from_utf8_lossy(&demo.stderr);
    assert!(demo.status.success(), "{said}\n{complained}");
    assert!(said.contains("/recordings/"), "{said}");

    // What the demo left behind is served like any other recording.
    let server = Server::start(dir.path());
    let recording = server.api.recording("demo", "ended", secs(10)).await;
    let id = api::id(&recording);
    let transcript = server.api.transcript(&id, secs(10)).await;
    let score = score(&transcript);
    println!("{score}");
    // whisper.cpp's own CLI with this model: 0.4 % (greedy, no carried context); one point more is
    // the bar. Times are in seconds.
    assert!(score.word_error_rate <= 0.014, "{score}");
    assert!(score.clause_start_max_s <= 0.15, "{score}");
    assert!(score.word_start_median_s <= 0.16, "{score}");
    assert!(score.word_start_max_s <= 0.4, "{score}");

    let sent = media::ogg_packets(&data("conversation.opus"));
    let kept = media::kept_packets(&server.api, &id).await;
    assert!(
        kept.iter().map(|(packet, _)| packet).eq(&sent),
        "packets are not those that were sent"
    );
    media::check_outputs(&server.api, &id, recording["duration_ms"].as_f64().unwrap() / 1000.0);
    server.terminate();
}
