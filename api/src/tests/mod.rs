//! The real router on a real database and store, with chunks cut from a real conversation.

mod batches;
mod edits;
mod elsewhere;
mod jobs;
mod media;
mod receipts;
mod recordings;
mod rooms;
mod surface;
mod words;

use std::path::Path;

use archive::cmaf::{Fragment, fragment_seq, init_segment, write_fragment};
use archive::store::Place;
use archive::{Key, Packet, Store, opus};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode, header};
use bytes::Bytes;
use models::db::NewRecording;
use models::recording::{EndReason, Origin, State};
use models::room::{Audience, RecordingPolicy};
use models::{Chunk, Db, Recording, Room, RoomId, Ticks, WallMicros};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tower::ServiceExt;

use crate::Config;

/// 2023-11-14T22:13:20Z.
const START: WallMicros = WallMicros(1_700_000_000_000_000);
/// The token of a server that has one.
const TOKEN: &str = "correct horse";

struct House {
    db: Db,
    store: Store,
    router: Router,
    _dir: tempfile::TempDir,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is text")
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Checks that it is a problem document and gives its code.
    #[track_caller]
    fn problem(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["status"], status);
        assert_eq!(problem["request_id"], self.header("x-request-id"));
        assert!(!self.header("x-request-id").is_empty());
        let code = problem["code"].as_str().unwrap().to_owned();
        assert_eq!(problem["type"], format!("about:blank#{code}"));
        code
    }
}

impl House {
    async fn new() -> Self {
        Self::with(Config::default()).await
    }

    async fn guarded() -> Self {
        let operator_token = Some(TOKEN.to_owned());
        Self::with(Config { operator_token, ..Config::default() }).await
    }

    async fn with(config: Config) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let pair = servers::pair(dir.path());
        Db::migrate(&pair.database).await.unwrap();
        let db = Db::open(&pair.database).await.unwrap();
        let (key, secret) = pair.keys.unzip();
        let place = Place { url: pair.store, key, secret: secret.map(Into::into) };
        let store = Store::open(&place).await.unwrap();
        let router = crate::router(db.clone(), store.clone(), config);
        Self { db, store, router, _dir: dir }
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    async fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[]).await
    }

    async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send(request("GET", path, headers, Body::empty())).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.write("POST", path, body).await
    }

    async fn write(&self, method: &str, path: &str, body: Value) -> Answer {
        let json = [("content-type", "application/json")];
        self.send(request(method, path, &json, Body::from(body.to_string()))).await
    }

    async fn room(&self, slug: &str, audience: Audience, policy: RecordingPolicy) -> Room {
        let room = Room {
            id: RoomId::new(),
            slug: slug.into(),
            title: format!("The {slug}"),
            host: "Ada".into(),
            glossary: String::new(),
            audience,
            policy,
            rtp_port: None,
            source_key: None,
            grace_ms: 30_000,
            created_at: START,
        };
        self.db.create_room(&room).await.unwrap();
        room
    }

    /// A live recording without any sound yet.
    async fn live(&self, room: &Room) -> Recording {
        let new = NewRecording {
            room_id: room.id,
            title: format!("{} \"live\"", room.title),
            origin: Origin::Rtp,
            state: State::Live,
            channels: 1,
            source: "opus from 192.0.2.7".into(),
            created_at: START,
        };
        self.db.create_recording(&new).await.unwrap()
    }

    /// Keeps `packets` of the conversation in chunks of four seconds, as the recorder does.
    async fn keep(&self, recording: &Recording, packets: usize) {
        let id = recording.id;
        self.db.set_source(id, Origin::Rtp, 1, &recording.source, Some(START)).await.unwrap();
        let init = Bytes::from(init_segment(1));
        self.store.put(&Key::Init(id), init).await.unwrap();
        let packets = &conversation()[..packets];
        let mut start = Ticks::ZERO;
        for (seq, packets) in packets.chunks(200).enumerate() {
            let seq = seq as u32;
            let first = start;
            let mut bytes = Vec::new();
            for (index, packets) in packets.chunks(50).enumerate() {
                let seq = fragment_seq(seq, index as u32);
                let fragment =
                    Fragment { seq, start, wall: START.plus(start), packets: packets.to_vec() };
                bytes.extend(write_fragment(&fragment));
                start += fragment.duration();
            }
            let chunk = Chunk {
                seq,
                take: 0,
                start: first,
                duration: start.saturating_sub(first),
                bytes: bytes.len() as u64,
                sha256: Sha256::digest(&bytes).into(),
            };
            self.store.put(&Key::Chunk(id, seq, 0), bytes.into()).await.unwrap();
            self.db.add_chunk(id, &chunk, &[], &[], START.plus(start)).await.unwrap();
        }
    }

    /// An ended recording of 10.5 s in a room for everyone.
    async fn ended(&self) -> Recording {
        let room = self.room("hall", Audience::Everyone, RecordingPolicy::Auto).await;
        let recording = self.live(&room).await;
        self.keep(&recording, 525).await;
        self.end(&recording).await
    }

    async fn end(&self, recording: &Recording) -> Recording {
        let at = START.plus_millis(11_000);
        self.db.end_recording(recording.id, EndReason::Host, at).await.unwrap()
    }
}

fn request(method: &str, path: &str, headers: &[(&str, &str)], body: Body) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    if !headers.iter().any(|(name, _)| *name == "host") {
        request = request.header(header::HOST, "localhost:8090");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body).unwrap()
}

/// The packets of the bundled conversation as its file has them.
fn conversation() -> Vec<Packet> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/conversation.opus");
    let mut reader = ogg::PacketReader::new(std::fs::File::open(path).unwrap());
    let mut packets = Vec::new();
    while let Some(packet) = reader.read_packet().unwrap() {
        packets.push(packet.data);
    }
    // The first two are the head and the tags (RFC 7845, section 3).
    let packet =
        |data: Vec<u8>| Packet { duration: opus::duration(&data).unwrap(), data: data.into() };
    packets.into_iter().skip(2).map(packet).collect()
}
