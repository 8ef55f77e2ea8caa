//! RTP, packet for packet.

use crate::support::{Server, api, data, media, rtp, secs};

#[tokio::test]
async fn packets_are_kept_byte_for_byte_across_both_wraps() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let port = rtp::free_port();
    server.api.rtp_room("wire", port, 2_000).await;
    let sent: Vec<_> =
        media::ogg_packets(&data("conversation.opus")).into_iter().take(600).collect();
    // The room's port is open once the room is known to the tap; a packet before that is lost.
    let warm = rtp::wait_until_open(port).await;
    assert!(warm, "the room's port was never opened");
    let sender = rtp::Sender::start(port, sent.clone(), false);
    let live = server.api.recording("wire", "live", secs(20)).await;
    assert_eq!(sender.finish(), sent.len());
    let ended = server.api.recording("wire", "ended", secs(30)).await;
    assert_eq!(api::id(&ended), api::id(&live));

    let kept = media::kept_packets(&server.api, &api::id(&ended)).await;
    assert!(kept.iter().map(|(packet, _)| packet).eq(&sent));
    assert_eq!(ended["gaps"], serde_json::json!([]));
    media::check_outputs(&server.api, &api::id(&ended), 12.0);
}
