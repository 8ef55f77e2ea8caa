use models::recording::{EndReason, Origin, State};
use models::room::{Audience, RecordingPolicy};
use models::{GapCause, RecordingId, RoomId, Ticks};

use super::*;

fn room() -> Room {
    Room {
        id: "0190163d-8694-739b-aea5-966c26f8ad90".parse::<RoomId>().unwrap(),
        slug: "hall".into(),
        title: "Town “hall”".into(),
        host: "Ada".into(),
        glossary: String::new(),
        audience: Audience::Everyone,
        policy: RecordingPolicy::Auto,
        rtp_port: None,
        source_key: None,
        grace_ms: 30_000,
        created_at: WallMicros(1),
    }
}

fn recording() -> Recording {
    Recording {
        id: "0190163d-8694-739b-aea5-966c26f8ad91".parse::<RecordingId>().unwrap(),
        room_id: room().id,
        title: "Monday".into(),
        origin: Origin::Rtp,
        state: State::Ended,
        request: None,
        started_at: Some(WallMicros(1_700_000_000_000_000)),
        ended_at: Some(WallMicros(1_700_000_008_000_000)),
        end_reason: Some(EndReason::Host),
        duration: Ticks::from_secs(8),
        bytes: 30,
        channels: 1,
        source: "opus over RTP from 192.0.2.7:5004".into(),
        created_at: WallMicros(1_700_000_000_000_000),
    }
}

fn chunks() -> Vec<Chunk> {
    let chunk = |seq: u32| Chunk {
        seq,
        take: seq,
        start: Ticks::from_secs(u64::from(seq) * 4),
        duration: Ticks::from_secs(4),
        bytes: 10 * (u64::from(seq) + 1),
        sha256: [seq as u8; 32],
    };
    (0..2).map(chunk).collect()
}

fn gap() -> Gap {
    let (start, duration) = (Ticks::from_secs(5), Ticks::from_secs(1));
    Gap { start, duration, wall_us: 1_000_000, cause: GapCause::Loss }
}

/// Makes a receipt of these chunks.
fn made(chunks: &[Chunk], last: Option<&Receipt>) -> Receipt {
    let (recording, room) = (recording(), room());
    let anchors = [Anchor { media: Ticks::ZERO, wall: WallMicros(1_700_000_000_000_000) }];
    let (gaps, anchors) = (&[gap()][..], &anchors[..]);
    let facts = Facts { recording: &recording, room: &room, chunks, gaps, anchors };
    make(&facts, last, WallMicros(1_700_000_009_000_000)).unwrap()
}

#[test]
fn a_receipt_has_one_form() {
    let receipt = made(&chunks(), None);
    let zeros = "0".repeat(64);
    let ones = "01".repeat(32);
    let root = hex(&receipt.root);
    let expected = format!(
        "{{\"anchors\":[{{\"media\":0,\"wall_us\":1700000000000000}}],\"audio\":{{\"bytes\":30,\
         \"channels\":1,\"codec\":\"opus\",\"duration\":384000,\"ticks_per_second\":48000}},\
         \"chunks\":[{{\"bytes\":10,\"duration\":192000,\"seq\":0,\"sha256\":\"{zeros}\",\"start\":0,\
         \"take\":0}},{{\"bytes\":20,\"duration\":192000,\"seq\":1,\"sha256\":\"{ones}\",\
         \"start\":192000,\"take\":1}}],\"consent\":{{\"audience\":\"everyone\",\"policy\":\"auto\"}},\
         \"coverage\":{{\"kept\":336000,\"lost\":{{\"loss\":48000}}}},\"drift_ppb\":null,\
         \"format\":\"roomtape-receipt\",\"gaps\":[{{\"cause\":\"loss\",\"duration\":48000,\
         \"start\":240000,\"wall_us\":1000000}}],\"made_at_us\":1700000009000000,\"number\":1,\
         \"previous\":null,\"recording\":{{\"created_at_us\":1700000000000000,\
         \"end_reason\":\"host\",\"ended_at_us\":1700000008000000,\
         \"id\":\"0190163d-8694-739b-aea5-966c26f8ad91\",\"origin\":\"rtp\",\"source\":null,\
         \"started_at_us\":1700000000000000,\"title\":\"Monday\"}},\
         \"room\":{{\"host\":\"Ada\",\"id\":\"0190163d-8694-739b-aea5-966c26f8ad90\",\
         \"slug\":\"hall\",\"title\":\"Town “hall”\"}},\"root\":\"{root}\",\"version\":1}}"
    );
    assert_eq!(receipt.body, expected);
    assert_eq!((receipt.number, receipt.chunks), (1, 2));
    assert_eq!(Document::read(receipt.body.as_bytes()).unwrap().root, root);
}

#[test]
fn receipts_form_a_chain_and_keep_what_was_agreed() {
    let first = made(&chunks(), None);
    let mut changed = chunks();
    changed[1].sha256 = [9; 32];
    let second = made(&changed, Some(&first));
    let read = Document::read(second.body.as_bytes()).unwrap();
    assert_eq!((second.number, read.previous), (2, Some(hex(&first.sha256))));
    assert_eq!(read.consent.policy, RecordingPolicy::Auto);
    assert_ne!(first.root, second.root);
}

#[test]
fn whatever_is_changed_is_noticed() {
    let body = made(&chunks(), None).body;
    let wrong = |from: &str, to: &str| {
        assert!(body.contains(from), "{from}");
        Document::read(body.replacen(from, to, 1).as_bytes()).unwrap_err().to_string()
    };
    let contradicts = "it contradicts itself";
    assert!(wrong("\"kept\":336000", "\"kept\":384000").starts_with(contradicts));
    assert!(wrong("0101", "0102").starts_with(contradicts));
    assert!(wrong("\"start\":192000", "\"start\":192001").starts_with(contradicts));
    assert!(wrong("\"bytes\":30", "\"bytes\":31").starts_with(contradicts));
    assert!(wrong("{\"anchors", "{ \"anchors").contains("canonical"));
    assert!(wrong("\"version\":1", "\"version\":2").contains("version 2"));
    assert_eq!(wrong("\"root\"", "\"toor\""), "it is not a receipt");
}

#[test]
fn rows_that_say_something_else_are_named() {
    let (recording, room) = (recording(), room());
    let anchors = [Anchor { media: Ticks::ZERO, wall: WallMicros(1_700_000_000_000_000) }];
    let document = Document::read(made(&chunks(), None).body.as_bytes()).unwrap();
    let differs = |chunks: &[Chunk], gaps: &[Gap]| {
        let facts = Facts { recording: &recording, room: &room, chunks, gaps, anchors: &anchors };
        document.differs_from(&facts)
    };
    assert_eq!(differs(&chunks(), &[gap()]), None);
    assert_eq!(differs(&chunks()[..1], &[gap()]).unwrap(), "chunk 1 is another");
    assert!(differs(&chunks(), &[]).unwrap().contains("the gaps"));
}
