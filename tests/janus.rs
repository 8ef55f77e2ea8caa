//! A real room: Janus mixes it and forwards the mix as RTP.

use crate::demo;
use crate::support::janus::Janus;
use crate::support::{Api, Server, api, data, media, rtp, secs};

#[tokio::test]
async fn a_janus_room_is_recorded_and_its_words_are_right() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let api = &server.api;
    let port = rtp::free_port();
    api.rtp_room("town-hall", port, 5_000).await;
    let janus = Janus::start(port).await;

    // The empty room forwards silence: the recording begins before anyone speaks.
    let live = api.recording("town-hall", "live", secs(30)).await;
    let id = api::id(&live);
    let before_ms = kept_ms(api, &id).await;
    janus.play(&data("conversation.opus")).await;
    crate::support::until("the conversation to be kept", secs(160), || async {
        (kept_ms(api, &id).await >= before_ms + 104_000).then_some(())
    })
    .await;
    let ended = api.end(&id).await;
    drop(janus);

    let seconds = ended["duration_ms"].as_f64().unwrap() / 1000.0;
    media::check_outputs(api, &id, seconds);
    let transcript = api.transcript(&id, secs(180)).await;
    let score = demo::score(&transcript);
    // The mix was decoded and encoded again by Janus, and began somewhere: only the words count.
    assert!(score.word_error_rate <= 0.03, "{score}");
    server.terminate();
}

async fn kept_ms(api: &Api, id: &str) -> u64 {
    api.get(&format!("/api/recordings/{id}")).await["duration_ms"].as_u64().unwrap()
}
