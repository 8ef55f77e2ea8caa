//! A database, a store and recordings cut from the conversation's packets.

use std::time::Duration;

use archive::cmaf::{self, Fragment};
use archive::store::Place;
use archive::{Key, Packet, Store};
use bytes::Bytes;
use models::db::NewRecording;
use models::recording::{EndReason, Origin, State};
use models::room::{Audience, RecordingPolicy};
use models::{Chunk, Db, RecordingId, Room, RoomId, Segment, Ticks, Transcript, WallMicros};
use roomtape_transcribe::weights::Weights;
use roomtape_transcribe::{Config, Error, run};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Packets in one fragment and fragments in one chunk, of 20 ms packets: one and four seconds.
const FRAGMENT: usize = 50;
const CHUNK: usize = 4 * FRAGMENT;

/// Long enough for the slowest machine that runs the tests.
const PATIENCE: Duration = Duration::from_secs(180);

pub(crate) struct House {
    _dir: TempDir,
    pub(crate) db: Db,
    store: Store,
}

impl House {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let pair = servers::pair(dir.path());
        Db::migrate(&pair.database).await.unwrap();
        let db = Db::open(&pair.database).await.unwrap();
        let (key, secret) = pair.keys.unzip();
        let place = Place { url: pair.store, key, secret: secret.map(Into::into) };
        let store = Store::open(&place).await.unwrap();
        Self { db, store, _dir: dir }
    }

    /// A live recording of a new room, without audio yet.
    pub(crate) async fn live(&self, slug: &str) -> RecordingId {
        let now = WallMicros::now();
        let room = Room {
            id: RoomId::new(),
            slug: slug.to_owned(),
            title: slug.to_owned(),
            host: String::new(),
            glossary: String::new(),
            audience: Audience::Everyone,
            policy: RecordingPolicy::Auto,
            rtp_port: None,
            source_key: None,
            grace_ms: 10_000,
            created_at: now,
        };
        self.db.create_room(&room).await.unwrap();
        let recording = NewRecording {
            room_id: room.id,
            title: slug.to_owned(),
            origin: Origin::Icecast,
            state: State::Live,
            channels: 1,
            source: "test".to_owned(),
            created_at: now,
        };
        self.db.create_recording(&recording).await.unwrap().id
    }

    /// Keeps one chunk of up to four seconds, as ingest does.
    pub(crate) async fn add_chunk(&self, id: RecordingId, packets: &[Packet]) {
        let last = self.db.last_chunk(id).await.unwrap();
        let (seq, start) = last.map_or((0, Ticks::ZERO), |last| (last.seq + 1, last.span().end));
        let mut at = start;
        let mut bytes = Vec::new();
        for (i, packets) in packets.chunks(FRAGMENT).enumerate() {
            let fragment = Fragment {
                seq: cmaf::fragment_seq(seq, i as u32),
                start: at,
                wall: WallMicros(1_700_000_000_000_000).plus(at),
                packets: packets.to_vec(),
            };
            bytes.extend(cmaf::write_fragment(&fragment));
            at += fragment.duration();
        }
        let chunk = Chunk {
            seq,
            take: 0,
            start,
            duration: at.saturating_sub(start),
            bytes: bytes.len() as u64,
            sha256: Sha256::digest(&bytes).into(),
        };
        self.store.put(&Key::Chunk(id, seq, 0), Bytes::from(bytes)).await.unwrap();
        self.db.add_chunk(id, &chunk, &[], &[], WallMicros::now()).await.unwrap();
    }

    /// A recording that is over, with these packets: its words are to be made.
    pub(crate) async fn finished(&self, slug: &str, packets: &[Packet]) -> RecordingId {
        let id = self.live(slug).await;
        for packets in chunks(packets) {
            self.add_chunk(id, packets).await;
        }
        self.end(id).await;
        id
    }

    /// Puts a damaged chunk in the place of one.
    pub(crate) async fn damage(&self, id: RecordingId, seq: u32) {
        let key = Key::Chunk(id, seq, 0);
        let mut bytes = self.store.get(&key, None).await.unwrap().to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        self.store.delete(&key).await.unwrap();
        self.store.put(&key, bytes.into()).await.unwrap();
    }

    pub(crate) async fn end(&self, id: RecordingId) {
        self.db.end_recording(id, EndReason::Host, WallMicros::now()).await.unwrap();
    }

    /// Starts a worker with one thread.
    pub(crate) fn work(&self, name: &str) -> Working {
        let config = Config::new(name.to_owned(), 1, Weights::demo());
        let shutdown = CancellationToken::new();
        let worker = run(self.db.clone(), self.store.clone(), config, shutdown.clone());
        Working { task: tokio::spawn(worker), shutdown }
    }

    /// Looks whenever something changes until `look` sees what it wants.
    pub(crate) async fn until<T>(
        &self,
        what: &str,
        mut look: impl AsyncFnMut(&Db) -> Option<T>,
    ) -> T {
        let mut changes = self.db.changes();
        let looking = async {
            loop {
                if let Some(seen) = look(&self.db).await {
                    return seen;
                }
                drop(changes.recv().await);
            }
        };
        tokio::time::timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("never {what}"))
    }

    /// Waits for the finished words of a recording that is over.
    pub(crate) async fn words(&self, id: RecordingId) -> (Transcript, Vec<Segment>) {
        let done = async |db: &Db| {
            let shown = db.transcript_version(id, None).await.unwrap();
            shown.filter(|t| t.version > 0 && t.state == models::transcript::State::Complete)
        };
        let transcript = self.until("transcribed", done).await;
        let segments = self.db.segments(transcript.id, 0).await.unwrap();
        (transcript, segments)
    }
}

/// A worker under way.
pub(crate) struct Working {
    task: JoinHandle<Result<(), Error>>,
    shutdown: CancellationToken,
}

impl Working {
    /// As `kill -9` does: nothing more is written, the lease is left behind.
    pub(crate) async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }

    /// As `serve` ends it.
    pub(crate) async fn shut_down(self) {
        self.shutdown.cancel();
        self.task.await.unwrap().unwrap();
    }
}

/// Packets chunk by chunk.
pub(crate) fn chunks(packets: &[Packet]) -> impl Iterator<Item = &[Packet]> {
    packets.chunks(CHUNK)
}
