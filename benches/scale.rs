//! What a large installation stands on, measured: chunk rows a second into PostgreSQL, objects a
//! second into Garage. `cargo bench --bench scale -- [SECONDS]`.
//!
//! Servers of its own are started as the tests start them (PostgreSQL without waiting for its disk).
//! `ROOMTAPE_BENCH_DATABASE` names an empty database of another one instead.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::time::{Duration, Instant};

use archive::{Key, Store, store::Place};
use models::db::{NewChunk, NewRecording};
use models::recording::{Origin, State};
use models::room::{Audience, RecordingPolicy};
use models::{Chunk, Db, RecordingId, Room, RoomId, Ticks, WallMicros};
use tokio::task::JoinSet;

/// Rooms that are live at once.
const ROOMS: usize = 256;
/// Bytes of four seconds of Opus at 32 kb/s.
const OBJECT: usize = 16_000;
/// A chunk's length.
const CHUNK: Ticks = Ticks::from_secs(4);

fn main() {
    let seconds = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(10);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let length = Duration::from_secs(seconds);
        for (batch, writers) in [(1, 1), (1, 8), (16, 4), (64, 4)] {
            let rate = rows(batch, writers, length).await;
            println!(
                "rows: {rate:>6.0} chunks/s by {writers} writers in batches of {batch:>2}: {:.0} live rooms",
                rate * 4.0
            );
        }
        for writers in [1, 8, 32] {
            let rate = objects(writers, length).await;
            println!(
                "objects: {rate:>6.0} put/s by {writers:>2} writers: {:.0} live rooms",
                rate * 4.0
            );
        }
    });
}

async fn open() -> Db {
    let url = std::env::var("ROOMTAPE_BENCH_DATABASE");
    let url = url.unwrap_or_else(|_| servers::postgres().new_database());
    Db::migrate(&url).await.expect("a schema");
    Db::open(&url).await.expect("a database")
}

async fn recording(db: &Db) -> RecordingId {
    let now = WallMicros::now();
    let room = Room {
        id: RoomId::new(),
        slug: RoomId::new().to_string(),
        title: "Room".into(),
        host: String::new(),
        glossary: String::new(),
        audience: Audience::Everyone,
        policy: RecordingPolicy::Auto,
        rtp_port: None,
        source_key: None,
        grace_ms: 30_000,
        created_at: now,
    };
    db.create_room(&room).await.expect("a room");
    let new = NewRecording {
        room_id: room.id,
        title: "Recording".into(),
        origin: Origin::Icecast,
        state: State::Live,
        channels: 1,
        source: String::new(),
        created_at: now,
    };
    db.create_recording(&new).await.expect("a recording").id
}

/// Chunk rows a second, captions' jobs woken with each, as ingest writes them.
async fn rows(batch: usize, writers: usize, length: Duration) -> f64 {
    let db = open().await;
    let mut tasks = JoinSet::new();
    for _ in 0..writers {
        let db = db.clone();
        tasks.spawn(async move {
            let mut rooms = Vec::new();
            for _ in 0..ROOMS / writers {
                rooms.push((recording(&db).await, 0));
            }
            let (begun, mut written) = (Instant::now(), 0_u64);
            while begun.elapsed() < length {
                for rooms in rooms.chunks_mut(batch) {
                    let new: Vec<_> = rooms.iter_mut().map(|(id, seq)| next(*id, seq)).collect();
                    let done = db.add_chunks(&new, WallMicros::now()).await.expect("rows");
                    written += done.into_iter().filter(Result::is_ok).count() as u64;
                }
            }
            written as f64 / begun.elapsed().as_secs_f64()
        });
    }
    let rates = tasks.join_all().await;
    db.close().await;
    rates.into_iter().sum()
}

fn next(id: RecordingId, seq: &mut u32) -> NewChunk {
    let chunk = Chunk {
        seq: *seq,
        take: 0,
        start: Ticks(CHUNK.0 * u64::from(*seq)),
        duration: CHUNK,
        bytes: OBJECT as u64,
        sha256: [7; 32],
    };
    *seq += 1;
    NewChunk { hold: id.into(), chunk, gaps: Vec::new(), anchors: Vec::new() }
}

/// Objects a second, each written and verified.
async fn objects(writers: usize, length: Duration) -> f64 {
    let bucket = servers::garage().new_bucket();
    let place =
        Place { url: bucket.url, key: Some(bucket.key), secret: Some(bucket.secret.into()) };
    let store = Store::open(&place).await.expect("a bucket");
    let mut tasks = JoinSet::new();
    for _ in 0..writers {
        let store = store.clone();
        tasks.spawn(async move {
            let (id, begun, mut seq) = (RecordingId::new(), Instant::now(), 0_u32);
            while begun.elapsed() < length {
                let mut bytes = vec![7; OBJECT];
                bytes[..4].copy_from_slice(&seq.to_be_bytes());
                store.put(&Key::Chunk(id, seq, 0), bytes.into()).await.expect("an object");
                seq += 1;
            }
            f64::from(seq) / begun.elapsed().as_secs_f64()
        });
    }
    tasks.join_all().await.into_iter().sum()
}
