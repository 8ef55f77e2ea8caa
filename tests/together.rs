//! Two rooms recorded at once, while a third recording is transcribed.

use crate::demo;
use crate::support::media::{self, ffmpeg};
use crate::support::server::{SOON, program};
use crate::support::{Server, api, data, rtp, secs, until};

#[tokio::test]
async fn two_rooms_are_recorded_while_a_third_is_transcribed() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let port = rtp::free_port();
    server.api.rtp_room("first", port, 2_000).await;
    let key = server.api.icecast_room("second").await;
    assert!(rtp::wait_until_open(port).await);

    let packets = media::ogg_packets(&data("conversation.opus"));
    let sender = rtp::Sender::start(port, packets, true);
    let mount = server.mount("second", &key);
    let pushing = tokio::task::spawn_blocking(move || {
        let input = data("conversation.flac");
        ffmpeg(&[
            "-re",
            "-i",
            input.to_str().unwrap(),
            "-t",
            "25",
            "-c:a",
            "libmp3lame",
            "-f",
            "mp3",
            "-content_type",
            "audio/mpeg",
            &mount,
        ]);
    });
    let first = api::id(&server.api.recording("first", "live", secs(20)).await);
    let second = api::id(&server.api.recording("second", "live", secs(20)).await);

    let mut import = program(dir.path());
    import.args(["import", "--data"]).arg(dir.path()).arg(data("conversation.flac"));
    assert!(servers::status(&mut import, SOON).unwrap().success());
    let third = api::id(&server.api.recording("imports", "ended", secs(10)).await);
    let transcript = server.api.transcript(&third, secs(300)).await;
    let score = demo::score(&transcript);
    assert!(score.word_error_rate <= 0.014, "{score}");

    // Both rooms went on meanwhile, and their words have begun to appear.
    for live in [&first, &second] {
        let path = format!("/api/recordings/{live}/transcript.json");
        until("words of a live room", secs(60), || async {
            let answer = server.api.request(reqwest::Method::GET, &path, None).await;
            let words: serde_json::Value = answer.json().await.ok()?;
            words["segments"].as_array().filter(|segments| !segments.is_empty()).map(drop)
        })
        .await;
    }
    pushing.await.unwrap();
    sender.stop();
    server.api.end(&first).await;
    for slug in ["first", "second"] {
        let ended = server.api.recording(slug, "ended", secs(30)).await;
        assert_eq!(ended["gaps"], serde_json::json!([]), "{slug}");
        let seconds = ended["duration_ms"].as_f64().unwrap() / 1000.0;
        assert!(seconds > 20.0, "{slug}: {seconds} s");
        media::check_outputs(&server.api, &api::id(&ended), seconds);
    }
    server.terminate();
}
