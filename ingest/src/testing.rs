//! What this crate's tests share: a place to record to, rooms, packets, and a look at what is kept.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use archive::{Packet, Store, chunk, store};
use bytes::Bytes;
use models::db::{Held as Holding, NewRecording};
use models::recording::{Origin, State};
use models::room::{Audience, RecordingPolicy};
use models::{Db, Grip, Recording, RecordingId, Room, RoomId, Ticks, WallMicros};

use crate::place::{self, Place};
use crate::record::{Mode, Recorder};
use crate::spool;
use crate::tap::{Event, Source};

/// A wall clock for tests that do not need the real one.
pub(crate) const WALL: WallMicros = WallMicros(1_763_800_000_000_000);
/// Length of the packets made here.
pub(crate) const PACKET: Ticks = Ticks::from_millis(20);

/// Folders that go with it, and what is recorded there.
pub(crate) struct Rig {
    pub(crate) place: Place,
    pub(crate) folder: tempfile::TempDir,
}

impl Rig {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = open(folder.path()).await;
        Self { place, folder }
    }

    /// One whose files are in memory, where the machine has a folder for such.
    pub(crate) async fn in_memory() -> Self {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let place = open(folder.path()).await;
        Self { place, folder }
    }

    pub(crate) async fn room(&self, policy: RecordingPolicy, grace_ms: u64) -> Room {
        let id = RoomId::new();
        let room = Room {
            id,
            slug: format!("room-{id}"),
            title: "A room".into(),
            host: "Ann".into(),
            glossary: String::new(),
            audience: Audience::Everyone,
            policy,
            rtp_port: None,
            source_key: None,
            grace_ms,
            created_at: WALL,
        };
        self.place.db.create_room(&room).await.unwrap();
        room
    }

    /// A live recording's row in a room of its own.
    pub(crate) async fn recording(&self) -> Recording {
        let room = self.room(RecordingPolicy::Manual, 30_000).await;
        self.row(&room, Origin::Icecast).await
    }

    pub(crate) async fn row(&self, room: &Room, origin: Origin) -> Recording {
        let new = NewRecording {
            room_id: room.id,
            title: "A recording".into(),
            origin,
            state: State::Live,
            channels: 1,
            source: "test".into(),
            created_at: WALL,
        };
        self.place.db.create_recording(&new).await.unwrap()
    }

    /// Takes hold of a recording, as its worker does.
    pub(crate) async fn hold(&self, recording: &Recording) -> Holding {
        let Place { db, worker, .. } = &self.place;
        db.hold(recording.id, worker, Grip::Firm, WallMicros::now()).await.unwrap().unwrap()
    }

    /// Every packet in the store, checked against the rows: chunks follow each other without a
    /// hole, and their bytes are those of their rows.
    pub(crate) async fn stored(&self, id: RecordingId) -> Vec<Packet> {
        let mut packets = Vec::new();
        let mut end = Ticks::ZERO;
        for (seq, row) in (0..).zip(self.place.db.chunks(id).await.unwrap()) {
            assert_eq!((row.seq, row.start), (seq, end));
            end = row.span().end;
            for fragment in chunk::open(&self.place.store, id, &row).await.unwrap() {
                packets.extend(fragment.packets);
            }
        }
        packets
    }

    pub(crate) fn spool_of(&self, id: RecordingId) -> PathBuf {
        spool::dir(&self.place.spool_dir, id, 0)
    }

    /// Every file in the spool and every object, with its size.
    pub(crate) async fn files(&self) -> BTreeMap<PathBuf, u64> {
        let objects = self.place.store.list("").await.unwrap();
        let mut files: BTreeMap<_, _> =
            objects.into_iter().map(|(key, bytes)| (PathBuf::from(key), bytes)).collect();
        let mut folders = vec![self.place.spool_dir.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).into_iter().flatten() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                } else if !place::is_identity(&entry.path()) {
                    files.insert(entry.path(), entry.metadata().unwrap().len());
                }
            }
        }
        files
    }

    /// Makes the store refuse a recording's objects (a bucket: all), or take them again.
    pub(crate) fn break_store(&self, id: RecordingId, broken: bool) {
        let prefix = format!("recordings/{id}");
        servers::pair(self.folder.path()).refuse_puts(&prefix, broken);
    }
}

/// Takes hold of a recording and opens its writer.
pub(crate) async fn open_recorder(
    place: &Place,
    row: &Recording,
    mode: Mode,
) -> Result<Recorder, crate::record::Error> {
    let holding = place.db.hold(row.id, &place.worker, Grip::Firm, WallMicros::now()).await?;
    Recorder::open(place, &holding.unwrap(), mode).await
}

/// Opens what lies in a folder, as a new process would.
pub(crate) async fn open(folder: &std::path::Path) -> Place {
    open_spool(folder, "spool").await
}

/// Opens what lies in a folder, as a worker with a spool of its own would.
pub(crate) async fn open_spool(folder: &std::path::Path, spool: &str) -> Place {
    let (db, store) = open_pair(folder).await;
    let spool_dir = folder.join(spool);
    let worker = place::spool_worker(&spool_dir, spool).unwrap();
    Place::new(db, store, spool_dir, worker)
}

/// A place with its rows in another database.
pub(crate) async fn on_database(place: &Place, url: &str) -> Place {
    Db::migrate(url).await.unwrap();
    let Place { store, spool_dir, worker, .. } = place.clone();
    Place::new(Db::open(url).await.unwrap(), store, spool_dir, worker)
}

/// Another worker on a rig's rows and objects.
pub(crate) async fn second_worker(rig: &Rig) -> Place {
    let Place { db, store, .. } = rig.place.clone();
    let spool_dir = rig.folder.path().join("second");
    let worker = place::spool_worker(&spool_dir, "second").unwrap();
    Place::new(db, store, spool_dir, worker)
}

/// The rows and objects of a folder.
async fn open_pair(folder: &std::path::Path) -> (Db, Store) {
    let pair = servers::pair(folder);
    Db::migrate(&pair.database).await.unwrap();
    let (key, secret) = pair.keys.unzip();
    let store = store::Place { url: pair.store, key, secret: secret.map(Into::into) };
    (Db::open(&pair.database).await.unwrap(), Store::open(&store).await.unwrap())
}

/// A 20 ms packet that no other `n` gives.
pub(crate) fn packet(n: usize) -> Packet {
    let mut data = vec![31 << 3];
    data.extend((n as u64).to_be_bytes());
    Packet { data: Bytes::from(data), duration: PACKET }
}

pub(crate) fn packets(numbers: impl IntoIterator<Item = usize>) -> Vec<Event> {
    numbers.into_iter().map(|n| Event::Packet(packet(n))).collect()
}

/// The numbers of the packets that were made here; `None` for concealment.
pub(crate) fn numbers(packets: &[Packet]) -> Vec<Option<usize>> {
    let number = |data: &Bytes| data.get(1..9).map(|n| u64::from_be_bytes(n.try_into().unwrap()));
    packets.iter().map(|packet| number(&packet.data).map(|n| n as usize)).collect()
}

/// Where packet `n` of a stream begins on the wall clock.
pub(crate) fn wall(n: usize) -> WallMicros {
    WALL.plus(Ticks(n as u64 * PACKET.0))
}

pub(crate) fn source() -> Source {
    Source { origin: Origin::Icecast, channels: 1, description: "test".into() }
}

/// Waits until `look` finds something.
pub(crate) async fn until<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let found = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), found).await.expect("it never happened")
}
