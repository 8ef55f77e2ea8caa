//! `kill -9` in the middle of a live room.

use crate::support::{Server, api, data, media, rtp, secs, until};

#[tokio::test]
async fn a_killed_server_goes_on_with_the_same_recording() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let port = rtp::free_port();
    server.api.rtp_room("hall", port, 60_000).await;
    assert!(rtp::wait_until_open(port).await);
    let packets = media::ogg_packets(&data("conversation.opus"));
    let sender = rtp::Sender::start(port, packets.clone(), true);

    let live = server.api.recording("hall", "live", secs(20)).await;
    let id = api::id(&live);
    let path = format!("/api/recordings/{id}");
    until("two chunks", secs(30), || async {
        (server.api.get(&path).await["duration_ms"].as_u64() >= Some(8_000)).then_some(())
    })
    .await;
    let killed_at_ms = now_ms();
    server.kill();

    let server = Server::start(dir.path());
    let back = until("the recording to go on", secs(30), || async {
        let now = server.api.get(&path).await;
        let gap = now["gaps"].get(0).cloned()?;
        (now["duration_ms"].as_u64()? > end_ms(&gap) + 5_000).then_some(now)
    })
    .await;
    assert_eq!(back["state"], "live");
    let ended = server.api.end(&id).await;
    sender.stop();

    // One gap, for the time we were down; all that was received before the kill is there but for the
    // fragment that was not yet written.
    let gaps = ended["gaps"].as_array().unwrap();
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert_eq!(gaps[0]["cause"], "down");
    let started_ms = parse_ms(ended["started_at"].as_str().unwrap());
    let kept_until_ms = started_ms + gaps[0]["start_ms"].as_i64().unwrap();
    let lost_ms = killed_at_ms - kept_until_ms;
    println!("lost {lost_ms} ms of what was received before the kill");
    assert!((-500..=1_150).contains(&lost_ms), "{lost_ms} ms lost");

    // Each packet before the gap is the one that was sent; the rest decodes without a complaint.
    let kept = media::kept_packets(&server.api, &id).await;
    let before = kept.iter().zip(&packets).take_while(|((kept, _), sent)| kept == *sent).count();
    assert!(before as i64 * 20 >= gaps[0]["start_ms"].as_i64().unwrap() - 20, "{before} packets");
    media::check_outputs(&server.api, &id, ended["duration_ms"].as_f64().unwrap() / 1000.0);
    server.terminate();
}

fn end_ms(gap: &serde_json::Value) -> u64 {
    gap["start_ms"].as_u64().unwrap() + gap["duration_ms"].as_u64().unwrap()
}

fn now_ms() -> i64 {
    models::WallMicros::now().0 / 1000
}

/// Milliseconds since 1970 of an RFC 3339 time in UTC.
fn parse_ms(text: &str) -> i64 {
    let format = time::format_description::well_known::Rfc3339;
    let at = time::OffsetDateTime::parse(text, &format).unwrap();
    i64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap()
}
