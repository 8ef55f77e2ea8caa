use archive::Key;
use axum::body::Body;
use models::RecordingId;
use models::db::NewRecording;
use models::recording::{EndReason, Origin, State};
use models::room::{Audience, RecordingPolicy};

use super::{House, START, request};

const EVERY_FORM: [&str; 11] = [
    "",
    "/playlist.m3u8",
    "/init.mp4",
    "/chunks/0.m4s",
    "/audio.mp4",
    "/audio.wav",
    "/transcript.json",
    "/transcript.vtt",
    "/transcript.srt",
    "/transcript.txt",
    "/transcripts",
];

#[tokio::test]
async fn a_recording_not_for_the_asker_answers_like_one_that_does_not_exist() {
    let house = House::guarded().await;
    let room = house.room("inner", Audience::Invited, RecordingPolicy::Auto).await;
    let recording = house.live(&room).await;
    house.keep(&recording, 100).await;
    let unknown = RecordingId::new();
    for form in EVERY_FORM {
        let hidden = house.get(&format!("/api/recordings/{}{form}", recording.id)).await;
        let absent = house.get(&format!("/api/recordings/{unknown}{form}")).await;
        assert_eq!(hidden.problem(404), "unknown_recording", "{form}");
        assert_eq!(absent.problem(404), "unknown_recording", "{form}");
        assert_eq!(hidden.json()["detail"], absent.json()["detail"]);
        assert_eq!(hidden.header("access-control-allow-origin"), "");
        let bad = house.get(&format!("/api/recordings/not-a-uuid{form}")).await;
        assert_eq!(bad.problem(400), "bad_id", "{form}");
    }
    assert_eq!(house.get("/api/recordings").await.json()["items"], serde_json::json!([]));

    let operator = [("authorization", "Bearer correct horse")];
    let path = format!("/api/recordings/{}/chunks/0.m4s", recording.id);
    let chunk = house.get_with(&path, &operator).await;
    assert_eq!(chunk.status, 200);
    assert_eq!(chunk.header("cache-control"), "private, max-age=31536000, immutable");
    assert_eq!(chunk.header("access-control-allow-origin"), "");
    assert_eq!(chunk.header("cross-origin-resource-policy"), "same-origin");
}

#[tokio::test]
async fn the_playlist_grows_and_then_ends() {
    let house = House::new().await;
    let room = house.room("hall", Audience::Everyone, RecordingPolicy::Auto).await;
    let recording = house.live(&room).await;
    let path = format!("/api/recordings/{}/playlist.m3u8", recording.id);
    assert_eq!(house.get(&path).await.problem(404), "no_audio");

    house.keep(&recording, 525).await;
    let live = house.get(&path).await;
    assert_eq!(live.header("content-type"), "application/vnd.apple.mpegurl");
    assert_eq!(live.header("cache-control"), "public, no-cache");
    assert_eq!(live.header("access-control-allow-origin"), "*");
    assert!(live.text().contains("#EXT-X-PLAYLIST-TYPE:EVENT\n"));
    assert!(!live.text().contains("ENDLIST"));

    house.end(&recording).await;
    let tag = live.header("etag");
    let ended = house.get_with(&path, &[("if-none-match", tag)]).await;
    insta::assert_snapshot!(ended.text(), @r#"
    #EXTM3U
    #EXT-X-VERSION:7
    #EXT-X-TARGETDURATION:6
    #EXT-X-MEDIA-SEQUENCE:0
    #EXT-X-PLAYLIST-TYPE:VOD
    #EXT-X-INDEPENDENT-SEGMENTS
    #EXT-X-MAP:URI="init.mp4"
    #EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:20.000Z
    #EXTINF:4.000000,
    chunks/0.m4s
    #EXTINF:4.000000,
    chunks/1.m4s
    #EXTINF:2.500000,
    chunks/2.m4s
    #EXT-X-ENDLIST
    "#);
    let same = house.get_with(&path, &[("if-none-match", ended.header("etag"))]).await;
    assert_eq!((same.status.as_u16(), same.body.len()), (304, 0));
}

#[tokio::test]
async fn chunks_are_what_the_store_has_and_never_asked_for_twice() {
    let house = House::new().await;
    let recording = house.ended().await;
    let base = format!("/api/recordings/{}", recording.id);
    for (path, key) in [
        ("init.mp4", Key::Init(recording.id)),
        ("chunks/1.m4s", Key::Chunk(recording.id, 1, 0)),
        ("chunks/00000002.m4s", Key::Chunk(recording.id, 2, 0)),
    ] {
        let path = format!("{base}/{path}");
        let answer = house.get(&path).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.body, house.store.get(&key, None).await.unwrap());
        assert_eq!(answer.header("content-type"), "audio/mp4");
        assert_eq!(answer.header("cache-control"), "public, max-age=31536000, immutable");
        let tag = answer.header("etag");
        assert!(tag.starts_with('"'), "a strong tag: {tag}");
        let same = house.get_with(&path, &[("if-none-match", tag)]).await;
        assert_eq!((same.status.as_u16(), same.body.len(), same.header("etag")), (304, 0, tag));
        let head = house.send(request("HEAD", &path, &[], Body::empty())).await;
        assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
        assert_eq!(head.header("content-length"), answer.body.len().to_string());
        assert_eq!(head.header("etag"), tag);
    }
    for absent in
        ["chunks/3.m4s", "chunks/x.m4s", "chunks/1", "chunks/+1.m4s", "chunks/99999999999.m4s"]
    {
        let answer = house.get(&format!("{base}/{absent}")).await;
        assert_eq!(answer.problem(404), "unknown_chunk", "{absent}");
    }
}

#[tokio::test]
async fn any_range_of_the_file_is_that_part_of_the_whole() {
    let house = House::new().await;
    let recording = house.ended().await;
    let path = format!("/api/recordings/{}/audio.mp4", recording.id);
    let whole = house.get(&path).await;
    let len = whole.body.len();
    assert_eq!((whole.status.as_u16(), whole.header("accept-ranges")), (200, "bytes"));
    assert_eq!(whole.header("content-length"), len.to_string());
    assert_eq!(&whole.body[4..8], b"ftyp");

    // Seeded, so that a failure can be repeated; small and large parts at every kind of seam.
    let mut seed = 7_u64;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) as usize % below
    };
    for round in 0..300 {
        let first = random(len);
        let extra = random(if round % 2 == 0 { 50 } else { len });
        let last = (first + extra).min(len - 1);
        let range = format!("bytes={first}-{}", first + extra);
        let part = house.get_with(&path, &[("range", &range)]).await;
        assert_eq!(part.status, 206, "{range}");
        assert_eq!(part.body, whole.body.slice(first..=last), "{range}");
        assert_eq!(part.header("content-range"), format!("bytes {first}-{last}/{len}"));
        assert_eq!(part.header("content-length"), part.body.len().to_string());
    }
    let tail = house.get_with(&path, &[("range", "bytes=-100")]).await;
    assert_eq!(tail.body, whole.body.slice(len - 100..));
    let from = house.get_with(&path, &[("range", "bytes=1000-")]).await;
    assert_eq!(from.body, whole.body.slice(1000..));
    let several = house.get_with(&path, &[("range", "bytes=0-1,5-6")]).await;
    assert_eq!((several.status.as_u16(), several.body.len()), (200, len));
}

#[tokio::test]
async fn ranges_that_do_not_exist_and_files_the_asker_has() {
    let house = House::new().await;
    let recording = house.ended().await;
    let path = format!("/api/recordings/{}/audio.mp4", recording.id);
    let whole = house.get(&path).await;
    let (len, tag) = (whole.body.len(), whole.header("etag"));
    for range in ["bytes=9-5", "bytes=99999999-", "bytes=-0", "bytes=a-b", "nonsense"] {
        let refused = house.get_with(&path, &[("range", range)]).await;
        assert_eq!(refused.problem(416), "range_not_satisfiable", "{range}");
        assert_eq!(refused.header("content-range"), format!("bytes */{len}"));
    }
    let same = house.get_with(&path, &[("if-none-match", tag), ("range", "bytes=0-1")]).await;
    assert_eq!((same.status.as_u16(), same.body.len()), (304, 0));
    let status = async |if_range: &str| {
        let headers = [("if-range", if_range), ("range", "bytes=0-1")];
        house.get_with(&path, &headers).await.status.as_u16()
    };
    assert_eq!(status(tag).await, 206);
    assert_eq!(status("\"of another file\"").await, 200);
    assert_eq!(status("Wed, 21 Oct 2026 07:28:00 GMT").await, 200);
    let head = house.send(request("HEAD", &path, &[("range", "bytes=0-1")], Body::empty())).await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), len.to_string());
}

#[tokio::test]
async fn downloads_have_a_safe_name_and_media_are_not_compressed() {
    let house = House::new().await;
    let recording = house.ended().await;
    let path = format!("/api/recordings/{}/audio.mp4", recording.id);
    let shown = house.get_with(&path, &[("accept-encoding", "gzip")]).await;
    assert_eq!((shown.header("content-encoding"), shown.header("accept-ranges")), ("", "bytes"));
    let name = "filename=\"The hall -live.mp4\"; filename*=UTF-8''The%20hall%20-live.mp4";
    assert_eq!(shown.header("content-disposition"), format!("inline; {name}"));
    let kept = house.get(&format!("{path}?download=1")).await;
    assert_eq!(kept.header("content-disposition"), format!("attachment; {name}"));
    assert_eq!(house.get(&format!("{path}?dowload=1")).await.problem(400), "bad_query");

    let playlist = format!("/api/recordings/{}/playlist.m3u8", recording.id);
    let small = house.get_with(&playlist, &[("accept-encoding", "gzip")]).await;
    assert_eq!(small.header("content-encoding"), "", "too small to be worth it");
    let document = house.get_with("/api/openapi.json", &[("accept-encoding", "gzip")]).await;
    assert_eq!(document.header("content-encoding"), "gzip");
}

#[tokio::test]
async fn the_wav_is_as_long_as_it_says() {
    let house = House::new().await;
    let recording = house.ended().await;
    let path = format!("/api/recordings/{}/audio.wav", recording.id);
    let wav = house.get(&format!("{path}?download=1")).await;
    assert_eq!((wav.status.as_u16(), wav.header("content-type")), (200, "audio/wav"));
    // 10.5 s of mono 16 bit at 48 kHz.
    assert_eq!(wav.body.len(), 44 + 504_000 * 2);
    assert_eq!(wav.header("content-length"), wav.body.len().to_string());
    assert_eq!((&wav.body[..4], &wav.body[8..12]), (&b"RIFF"[..], &b"WAVE"[..]));
    let loudest =
        wav.body[44..].chunks_exact(2).map(|s| i16::from_le_bytes([s[0], s[1]]).unsigned_abs());
    assert!(loudest.max().unwrap() > 1000, "somebody speaks");
    let same = house.get_with(&path, &[("if-none-match", wav.header("etag"))]).await;
    assert_eq!(same.status, 304);
}

#[tokio::test]
async fn an_import_that_failed_offers_nothing() {
    let house = House::new().await;
    let room = house.room("hall", Audience::Everyone, RecordingPolicy::Auto).await;
    let new = NewRecording {
        room_id: room.id,
        title: "Torn".into(),
        origin: Origin::Import,
        state: State::Importing,
        channels: 1,
        source: "torn.mp3".into(),
        created_at: START,
    };
    let recording = house.db.create_recording(&new).await.unwrap();
    house.keep(&recording, 300).await;
    house.db.end_recording(recording.id, EndReason::Unreadable, START).await.unwrap();
    for form in ["playlist.m3u8", "init.mp4", "chunks/0.m4s", "audio.mp4", "audio.wav"] {
        let answer = house.get(&format!("/api/recordings/{}/{form}", recording.id)).await;
        assert_eq!(answer.problem(404), "no_audio", "{form}");
    }
}
