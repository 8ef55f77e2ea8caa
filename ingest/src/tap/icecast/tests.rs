//! Sources, polite and rude, against the real listener, supervisor, store and database.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use models::doors::{self, Doors};
use models::recording::{Origin, State};
use models::room::{RecordingPolicy, SourceKey};
use models::{Recording, Room, Ticks};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use super::run::{Limits, Shared, run_within};
use crate::Supervisor;
use crate::ogg::Demuxer;
use crate::tap::{Event, Source};
use crate::testing::{Rig, packets, source, until, wall};

mod peers;

const KEY: &str = "hack:me";
const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data");

/// The tap, running.
struct Tap {
    rig: Rig,
    supervisor: Supervisor,
    at: SocketAddr,
    doors: Doors,
    stop: CancellationToken,
}

impl Tap {
    async fn new() -> Self {
        Self::within(Limits::default(), 100).await
    }

    async fn within(limits: Limits, places: usize) -> Self {
        let rig = Rig::new().await;
        let stop = CancellationToken::new();
        let supervisor = Supervisor::new(rig.place.clone(), stop.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let (db, rooms) = (rig.place.db.clone(), supervisor.clone());
        tokio::spawn({
            let rooms = rooms.clone();
            async move { rooms.run().await }
        });
        let silent = Duration::ZERO;
        let doors = Doors::new(doors::Limits { silent, ..doors::Limits::of(places) });
        let shared = Shared { db, supervisor: rooms, limits };
        tokio::spawn(run_within(listener, doors.clone(), shared, stop.clone()));
        Self { rig, supervisor, at, doors, stop }
    }

    async fn room(&self, policy: RecordingPolicy) -> Room {
        let room = self.rig.room(policy, 400).await;
        let key = Some(SourceKey::make(KEY, [3; 16]));
        let room = Room { source_key: key, ..room };
        self.rig.place.db.update_room(&room).await.unwrap();
        room
    }

    fn mount(&self, room: &Room) -> String {
        format!("icecast://source:{}@{}/{}", KEY.replace(':', "%3A"), self.at, room.slug)
    }

    /// The room's recording, once it has ended.
    async fn ended(&self, room: &Room) -> Recording {
        until(|| async {
            let recording = self.recording(room).await?;
            (recording.state == State::Ended).then_some(recording)
        })
        .await
    }

    async fn recording(&self, room: &Room) -> Option<Recording> {
        let filter = models::db::Filter { room: Some(room.id), ..Default::default() };
        self.rig.place.db.recordings(&filter, None, 10).await.unwrap().into_iter().next()
    }

    async fn kept(&self, recording: &Recording) -> Vec<Bytes> {
        self.rig.stored(recording.id).await.into_iter().map(|packet| packet.data).collect()
    }

    async fn connect(&self, bytes: impl AsRef<[u8]>) -> TcpStream {
        let mut stream = TcpStream::connect(self.at).await.unwrap();
        stream.write_all(bytes.as_ref()).await.unwrap();
        stream
    }

    /// Sends bytes and reads all that is answered.
    async fn told(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect(bytes).await;
        // Bytes, not a string: of a string nothing is left where the connection is reset at the end.
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn head(line: &str, key: &str, fields: &str) -> String {
    let login = STANDARD.encode(format!("source:{key}"));
    format!("{line}\r\nAuthorization: Basic {login}\r\n{fields}\r\n")
}

/// Reads one answer's head.
async fn answer(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(bytes).unwrap()
}

fn conversation() -> PathBuf {
    Path::new(DATA).join("conversation.opus")
}

/// A short Ogg Opus file: 6 s in pages of 200 ms.
async fn short(tap: &Tap) -> Vec<u8> {
    let path = tap.rig.folder.path().join("short.opus");
    let from = conversation();
    ffmpeg(&["-t", "6", "-i", text(&from), "-c", "copy", "-page_duration", "200000", text(&path)])
        .await;
    std::fs::read(path).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn sent(bytes: &[u8]) -> Vec<Bytes> {
    let mut demuxer = Demuxer::default();
    let mut events = demuxer.push(bytes).unwrap();
    events.extend(demuxer.end().unwrap());
    let packet = |event| match event {
        Event::Packet(packet) => packet.data,
        Event::Lost { .. } => panic!("nothing was lost"),
    };
    events.into_iter().map(packet).collect()
}

async fn ffmpeg(arguments: &[&str]) {
    let done = Command::new("ffmpeg")
        .args(["-v", "error", "-y"])
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let done = tokio::time::timeout(std::time::Duration::from_secs(120), done).await;
    let done = done.expect("ffmpeg ends").expect("ffmpeg is installed");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_request_is_recorded_alike() {
    let tap = Tap::new().await;
    let bytes = short(&tap).await;
    let expected = sent(&bytes);
    let ogg = "Content-Type: audio/ogg\r\n";
    let length = format!("{ogg}Content-Length: {}\r\n", bytes.len());
    let mut chunks = Vec::new();
    for part in bytes.chunks(1000) {
        chunks.extend_from_slice(format!("{:X}\r\n", part.len()).as_bytes());
        chunks.extend_from_slice(part);
        chunks.extend_from_slice(b"\r\n");
    }
    chunks.extend_from_slice(b"0\r\n\r\n");
    let chunked = format!("{ogg}Transfer-Encoding: chunked\r\n");
    let expecting = format!("{ogg}Expect: 100-continue\r\n");
    let cases: [(&str, &str, &str, &[u8]); 5] = [
        ("SOURCE", "ICE/1.0", ogg, &bytes),
        ("SOURCE", "HTTP/1.0", ogg, &bytes),
        ("PUT", "HTTP/1.1", &length, &bytes),
        ("PUT", "HTTP/1.1", &chunked, &chunks),
        ("PUT", "HTTP/1.1", &expecting, &bytes),
    ];
    for (method, version, fields, body) in cases {
        let room = tap.room(RecordingPolicy::Auto).await;
        let line = format!("{method} /{} {version}", room.slug);
        let mut stream = tap.connect(head(&line, KEY, fields)).await;
        let mut told = answer(&mut stream).await;
        if fields.contains("Expect") {
            assert_eq!(told, "HTTP/1.1 100 Continue\r\n\r\n");
            told = answer(&mut stream).await;
        }
        let protocol = if version == "HTTP/1.1" { version } else { "HTTP/1.0" };
        assert!(told.starts_with(&format!("{protocol} 200 OK\r\n")), "{line}: {told}");
        stream.write_all(body).await.unwrap();
        stream.shutdown().await.unwrap();
        // The tap closes when it has all.
        assert_eq!(stream.read_to_end(&mut Vec::new()).await.unwrap(), 0);
        let recording = tap.ended(&room).await;
        assert_eq!(tap.kept(&recording).await, expected, "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_comes_with_its_head_is_not_lost() {
    let tap = Tap::new().await;
    let room = tap.room(RecordingPolicy::Auto).await;
    let bytes = short(&tap).await;
    let line = format!("PUT /{} HTTP/1.1", room.slug);
    let mut all = head(&line, KEY, "Content-Type: audio/ogg\r\n").into_bytes();
    all.extend_from_slice(&bytes);
    drop(tap.connect(all).await);
    let recording = tap.ended(&room).await;
    assert_eq!(tap.kept(&recording).await, sent(&bytes));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_let_in_is_told_why_and_writes_nothing() {
    let limits = Limits { head: Duration::from_millis(300), ..Limits::default() };
    let tap = Tap::within(limits, 100).await;
    let room = tap.room(RecordingPolicy::Auto).await;
    let never = tap.room(RecordingPolicy::Never).await;
    let keyless = tap.rig.room(RecordingPolicy::Auto, 400).await;
    let put = |room: &Room| format!("PUT /{} HTTP/1.1", room.slug);
    let ogg = "Content-Type: audio/ogg\r\n";
    let long = format!("{}\r\nA: {}\r\n\r\n", put(&room), "a".repeat(20_000));
    let cases = [
        (400, "nonsense\r\n\r\n".to_owned()),
        (400, format!("{}\r\nno colon\r\n\r\n", put(&room))),
        (401, format!("{}\r\n{ogg}\r\n", put(&room))),
        (401, head(&put(&room), "wrong", ogg)),
        (403, head(&put(&room), KEY, "Content-Type: text/plain\r\n")),
        (403, head(&put(&room), KEY, "")),
        (403, head(&put(&never), KEY, ogg)),
        (404, head("PUT /nowhere HTTP/1.1", KEY, ogg)),
        (404, head("PUT / HTTP/1.1", KEY, ogg)),
        (404, head(&put(&keyless), KEY, ogg)),
        (405, head(&put(&room).replace("PUT", "GET"), KEY, ogg)),
        (408, "PUT /half HTTP/1.1\r\nHost: a".to_owned()),
        (431, long),
    ];
    for (status, request) in cases {
        let told = tap.told(&request).await;
        assert!(told.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {told}");
        assert_eq!(told.contains("WWW-Authenticate: Basic"), status == 401);
        assert!(!told.contains(KEY));
    }
    for room in [&room, &never, &keyless] {
        assert_eq!(tap.recording(room).await, None);
    }
    assert!(tap.rig.files().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_source_that_sends_at_once_still_gets_its_answer() {
    let tap = Tap::new().await;
    let never = tap.room(RecordingPolicy::Never).await;
    let line = format!("PUT /{} HTTP/1.1", never.slug);
    let mut all = head(&line, KEY, "Content-Type: audio/ogg\r\n").into_bytes();
    all.extend(vec![0; 200_000]);
    let told = tap.told(all).await;
    assert!(told.starts_with("HTTP/1.1 403 "), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_head_that_ends_is_told_so() {
    let tap = Tap::new().await;
    let mut stream = tap.connect("PUT /half HTTP/1.1\r\nHost").await;
    stream.shutdown().await.unwrap();
    let mut told = String::new();
    stream.read_to_string(&mut told).await.unwrap();
    assert!(told.starts_with("HTTP/1.1 400 "), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_in_use_is_refused_whoever_uses_it() {
    let tap = Tap::new().await;
    let room = tap.room(RecordingPolicy::Auto).await;
    let other = Source { origin: Origin::Rtp, ..source() };
    let feed = tap.supervisor.attach(&room, other, wall(0)).await.unwrap();
    feed.send(packets(0..5), wall(5)).await.unwrap();
    let line = format!("PUT /{} HTTP/1.1", room.slug);
    let request = head(&line, KEY, "Content-Type: audio/ogg\r\n");
    let told = tap.told(&request).await;
    assert!(told.starts_with("HTTP/1.1 403 ") && told.contains("another source"), "{told}");
    drop(feed);
    // Once it has left, the mount is free.
    until(|| async {
        let mut stream = tap.connect(&request).await;
        answer(&mut stream).await.starts_with("HTTP/1.1 200 ").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_ends_the_connection_and_what_was_recorded_stays() {
    let tap = Tap::new().await;
    let whole = short(&tap).await;
    let last_page = (0..whole.len()).rev().find(|&at| whole[at..].starts_with(b"OggS")).unwrap();
    let mut writer = ::ogg::PacketWriter::new(Vec::new());
    let end = ::ogg::PacketWriteEndInfo::EndPage;
    writer.write_packet(&b"\x01vorbis"[..], 7, end, 0).unwrap();
    writer.write_packet(&b"\x03vorbis"[..], 7, end, 0).unwrap();
    let vorbis = writer.into_inner();
    let cases: [(&str, Vec<u8>, bool); 6] = [
        ("3-byte MP3", b"MP3".to_vec(), false),
        ("silence", vec![0; 100_000], false),
        ("MPEG-TS", [vec![0x47], vec![0; 187]].concat().repeat(20), false),
        ("torn page", whole[..last_page + 40].to_vec(), true),
        ("another codec", [&whole[..], &vorbis].concat(), true),
        ("noise", [&whole[..], &vec![0x55; 200_000]].concat(), true),
    ];
    for (name, body, recorded) in cases {
        let room = tap.room(RecordingPolicy::Auto).await;
        let line = format!("PUT /{} HTTP/1.1", room.slug);
        let fields = format!("Content-Type: audio/mpeg\r\nContent-Length: {}\r\n", body.len());
        let mut stream = tap.connect(head(&line, KEY, &fields)).await;
        answer(&mut stream).await;
        // It may have closed before it has all.
        let _ = stream.write_all(&body).await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
        if recorded {
            let recording = tap.ended(&room).await;
            let kept = tap.kept(&recording).await;
            let all = sent(&whole);
            assert!(
                kept.len() + 20 > all.len() && all.starts_with(&kept),
                "{name}: {}",
                kept.len()
            );
        } else {
            assert_eq!(tap.recording(&room).await, None, "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_without_audio_is_disconnected_however_busy_it_looks() {
    let limits = Limits { idle: Duration::from_millis(300), ..Limits::default() };
    let tap = Tap::within(limits, 100).await;
    for silent in [true, false] {
        let room = tap.room(RecordingPolicy::Auto).await;
        let line = format!("PUT /{} HTTP/1.1", room.slug);
        let mut stream = tap.connect(head(&line, KEY, "Content-Type: audio/ogg\r\n")).await;
        answer(&mut stream).await;
        let (mut reader, mut writer) = stream.into_split();
        let drip = async {
            while writer.write_all(if silent { b"" } else { b"x" }).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let closed = async { reader.read_to_end(&mut Vec::new()).await };
        tokio::select! {
            closed = tokio::time::timeout(Duration::from_secs(10), closed) => {
                assert!(closed.is_ok(), "it was never disconnected");
            }
            () = drip => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_makes_way_for_a_source_and_a_source_for_nobody() {
    let tap = Tap::within(Limits::default(), 1).await;
    let room = tap.room(RecordingPolicy::Auto).await;
    let line = format!("PUT /{} HTTP/1.1", room.slug);
    let request = head(&line, KEY, "Content-Type: audio/ogg\r\n");
    let mut stranger = tap.connect("PUT /").await;
    until(|| async { (tap.doors.taken() == 1).then_some(()) }).await;
    let mut source = tap.connect(&request).await;
    assert!(answer(&mut source).await.contains(" 200 "));
    // Without an answer; a reset where its last bytes had not been read yet.
    let mut told = Vec::new();
    let _ = stranger.read_to_end(&mut told).await;
    assert_eq!(told, b"");
    assert!(tap.told(&request).await.starts_with("HTTP/1.1 503 "));
    drop(source);
    until(|| async { (tap.doors.taken() == 0).then_some(()) }).await;
    assert!(tap.told("nonsense").await.starts_with("HTTP/1.1 400 "));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_ends_every_connection_and_keeps_what_came() {
    let tap = Tap::new().await;
    let room = tap.room(RecordingPolicy::Auto).await;
    let bytes = short(&tap).await;
    let line = format!("PUT /{} HTTP/1.1", room.slug);
    let mut stream = tap.connect(head(&line, KEY, "Content-Type: audio/ogg\r\n")).await;
    answer(&mut stream).await;
    stream.write_all(&bytes).await.unwrap();
    let recording = until(|| async {
        tap.recording(&room).await.filter(|recording| recording.duration > Ticks::ZERO)
    })
    .await;
    tap.stop.cancel();
    let _ = stream.read_to_end(&mut Vec::new()).await;
    let all = sent(&bytes).len();
    until(|| async { (tap.kept(&recording).await.len() == all).then_some(()) }).await;
}
