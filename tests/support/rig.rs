//! An installation with live rooms on it, which can be killed, cut off and slowed down, and is checked
//! in the end against everything that was sent.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use archive::{Store, chunk, store};
use futures_util::{StreamExt as _, stream};
use models::{Db, Gap, RecordingId, Ticks};
use serde_json::{Value, json};
use servers::{Link, steady_port};
use tokio::sync::Semaphore;

use super::check::{Check, Fate, Found, Kind, Limits, Outage, Sent};
use super::cluster::{Addresses, Installation, Process};
use super::crowd::{Crowd, Door};
use super::voice::Voice;
use super::{Api, api, media, secs, until};

/// The process that records.
const INGEST: &str = "ingest";
/// Longer than any outage: rooms must go on in the same recording.
const GRACE_MS: u64 = 900_000;
/// Objects of a recording read at once.
const READ_AHEAD: usize = 8;
/// Recordings compared, or decoded, at once.
const AT_ONCE: usize = 2;

/// What is forgiven: an outage costs at most a second (what a fragment holds, and what was on its way
/// to the disk), and media time is within 40 ms of the truth.
pub const LIMITS: Limits = Limits {
    gap: Ticks::from_millis(40),
    media: Ticks::from_millis(40),
    lost: Ticks::from_secs(1),
};

/// How many rooms there are of each kind.
#[derive(Debug, Clone, Copy)]
pub struct Rooms {
    pub rtp: usize,
    pub icecast: usize,
}

impl Rooms {
    fn count(self) -> usize {
        self.rtp + self.icecast
    }
}

/// See the module's documentation.
pub struct Rig {
    installation: Installation,
    /// The links through which the recording process sees store and database, where these are servers.
    pub store: Option<Link>,
    pub database: Option<Link>,
    pub pages: Api,
    pub api: Process,
    /// More settings of the recording process, from the environment.
    pub settings: Vec<(String, String)>,
    /// What the recording process says.
    pub log: PathBuf,
    ingest: Option<Process>,
    at: Addresses,
    doors: Vec<Door>,
    outages: Vec<Vec<Outage>>,
}

impl Rig {
    /// Rooms on `installation`; [`Self::start`] has them recorded. What the recording process says
    /// stays under `name` beside the build.
    pub async fn new(name: &str, installation: Installation, rooms: Rooms) -> Self {
        let address = || ([127, 0, 0, 1], steady_port().expect("a free port")).into();
        let page = Addresses { http: address(), icecast: address() };
        let api = Process::start("api", installation.command("api", "api"), page);
        api.ready().await;
        let pages = Api::new(page.http);
        let at = Addresses { http: address(), icecast: address() };
        let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.log"));
        fs::write(&log, "").expect("a log");
        let mut doors = Vec::new();
        for room in 0..rooms.count() {
            doors.push(door(&pages, room, rooms, at).await);
        }
        Self {
            store: link_of(&installation.store.url),
            database: link_of(&installation.database),
            pages,
            api,
            settings: Vec::new(),
            log,
            ingest: None,
            at,
            outages: vec![Vec::new(); doors.len()],
            doors,
            installation,
        }
    }

    /// Begins to send to every room, and waits until each has `first` in the store.
    pub async fn go_live(&self, seed: u64, first: Duration) -> Crowd {
        let crowd = Crowd::start(&self.doors, seed);
        self.stored(first, secs(60)).await;
        crowd
    }

    /// Waits until every room's recording is so long in the store.
    pub async fn stored(&self, length: Duration, within: Duration) {
        let ms = i64::try_from(length.as_millis()).expect("short");
        until(&format!("{length:?} of every room in the store"), within, || async {
            let kept = self.kept_ms().await;
            (kept.len() == self.doors.len() && kept.iter().all(|kept| *kept >= ms)).then_some(())
        })
        .await;
    }

    /// How much of each recording is in the store, in milliseconds.
    pub async fn kept_ms(&self) -> Vec<i64> {
        let rows = self.recordings().await;
        rows.iter().map(|row| row["duration_ms"].as_i64().unwrap_or(0)).collect()
    }

    pub async fn recordings(&self) -> Vec<Value> {
        let listed = self.pages.get("/api/recordings?limit=100").await;
        listed["items"].as_array().expect("a list").clone()
    }

    /// Starts the recording process.
    pub async fn start(&mut self) {
        self.start_at_once();
        self.ready().await;
    }

    /// The same, without waiting until it is ready.
    pub fn start_at_once(&mut self) {
        let mut command = self.installation.command("ingest", INGEST);
        if let Some(link) = &self.store {
            command.env("ROOMTAPE_STORE", link.in_place(&self.installation.store.url));
        }
        if let Some(link) = &self.database {
            command.env("ROOMTAPE_DATABASE", link.in_place(&self.installation.database));
        }
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        let log = OpenOptions::new().create(true).append(true).open(&self.log).expect("a log");
        command.env("ROOMTAPE_LOG", "info").stderr(log);
        self.ingest = Some(Process::start(INGEST, command, self.at));
    }

    /// Waits until the recording process is ready.
    pub async fn ready(&self) {
        self.process().ready().await;
    }

    /// The recording process.
    pub fn process(&self) -> &Process {
        self.ingest.as_ref().expect("it runs")
    }

    /// Ends the recording process as `kill -9` does.
    pub fn kill(&mut self, crowd: &Crowd) {
        self.begin(crowd, Kind::Killed);
        self.ingest.take().expect("it runs").kill();
    }

    /// Notes that an outage begins.
    pub fn begin(&mut self, crowd: &Crowd, kind: Kind) {
        for (outages, from) in self.outages.iter_mut().zip(crowd.next()) {
            outages.push(Outage { from, to: from, kind });
        }
    }

    /// Notes that the last outage is over: sources have had the time to come back.
    pub fn over(&mut self, crowd: &Crowd) {
        for (outages, to) in self.outages.iter_mut().zip(crowd.next()) {
            if let Some(last) = outages.last_mut() {
                last.to = to;
            }
        }
    }

    /// Keeps data folders for people to look at; where they are.
    pub fn keep(self) -> PathBuf {
        self.installation.keep()
    }

    /// Ends every room's recording, waits until all of it is in the store and the spool is empty, and
    /// compares.
    pub async fn check(&self, crowd: Crowd, limits: Limits) -> Checked {
        let fates = crowd.stop();
        let rows = self.recordings().await;
        assert_eq!(rows.len(), self.doors.len(), "one recording a room");
        for row in &rows {
            let path = format!("/api/recordings/{}/end", api::id(row));
            self.pages.request(reqwest::Method::POST, &path, None).await;
        }
        until("all recordings to end", secs(120), || async {
            let rows = self.recordings().await;
            rows.iter().all(|row| row["state"] == "ended").then_some(())
        })
        .await;
        until("the spool to be empty", secs(60), || async {
            spooled(&self.installation.data(INGEST).join("spool")).is_empty().then_some(())
        })
        .await;
        self.compare(&fates, limits).await
    }

    async fn compare(&self, fates: &[Vec<Fate>], limits: Limits) -> Checked {
        let archive = Archive::open(&self.installation).await;
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        let mut work = Vec::new();
        for row in self.recordings().await {
            let slug = row["room"]["slug"].as_str().expect("its room's name");
            let room: usize = slug["room-".len()..].parse().expect("a number");
            let id: RecordingId = api::id(&row).parse().expect("an id");
            let (archive, turns) = (archive.clone(), Arc::clone(&turns));
            let (fates, outages) = (fates[room].clone(), self.outages[room].clone());
            let mp4 = format!("{}/api/recordings/{id}/audio.mp4", self.pages.base);
            work.push(tokio::spawn(async move {
                let _turn = turns.acquire().await.expect("never closed");
                let voice = Voice::new(u16::try_from(room).expect("few rooms"));
                let sent = Sent { voice, fates: &fates, outages: &outages };
                let (found, length) = archive.compare(id, sent, limits).await;
                let played = tokio::task::spawn_blocking(move || media::played(&mp4));
                Room { room, found, length, played: played.await.expect("no panic") }
            }));
        }
        let mut rooms = Vec::new();
        for work in work {
            rooms.push(work.await.expect("a comparison"));
        }
        rooms.sort_by_key(|room| room.room);
        Checked { rooms, verified: verify(&self.installation) }
    }
}

/// Makes a room, called by its number.
async fn door(api: &Api, room: usize, rooms: Rooms, at: Addresses) -> Door {
    let slug = format!("room-{room}");
    let mut new = json!({ "slug": slug, "title": slug, "grace_ms": GRACE_MS });
    if room < rooms.rtp {
        let port = steady_port().expect("a free port");
        new["rtp_port"] = port.into();
        api.post("/api/rooms", new).await;
        return Door::Rtp(port);
    }
    new["source_key"] = "auto".into();
    let key = api.post("/api/rooms", new).await["source_key"].as_str().expect("a key").to_owned();
    Door::Icecast { server: at.icecast, slug, key }
}

/// A link to the server in that address, if there is one.
fn link_of(url: &str) -> Option<Link> {
    let (_, rest) = url.split_once("127.0.0.1:")?;
    let port = rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
    Some(Link::to(([127, 0, 0, 1], port).into()))
}

/// Chunks that lie in a spool.
fn spooled(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(spooled(&path));
        } else if path.extension().is_some_and(|extension| extension == "m4s") {
            found.push(path);
        }
    }
    found
}

/// What is kept, read past the program.
#[derive(Clone)]
struct Archive {
    db: Db,
    store: Store,
}

impl Archive {
    async fn open(installation: &Installation) -> Self {
        let place: &store::Place = &installation.store;
        let db = Db::open(&installation.database).await.expect("the database");
        Self { db, store: Store::open(place).await.expect("the store") }
    }

    /// Compares a recording with what was sent to its room; how long it is.
    async fn compare(&self, id: RecordingId, sent: Sent<'_>, limits: Limits) -> (Found, Ticks) {
        let rows = self.db.chunks(id).await.expect("its chunks");
        let gaps = Gap::joined(self.db.gaps(id).await.expect("its gaps"));
        let mut check = Check::new(sent, &gaps, limits);
        let mut damaged = Vec::new();
        let get = |row| {
            let store = self.store.clone();
            async move { chunk::open(&store, id, &row).await }
        };
        let mut chunks = stream::iter(rows.clone()).map(get).buffered(READ_AHEAD);
        while let Some(fragments) = chunks.next().await {
            match fragments {
                Ok(fragments) => fragments.iter().for_each(|fragment| take(&mut check, fragment)),
                Err(error) => damaged.push(format!("{error}")),
            }
        }
        let whole = rows.iter().zip(0..).all(|(row, seq)| row.seq == seq);
        let mut found = check.finish();
        found.complaints.extend(damaged);
        if !whole {
            found.complaints.push("its chunks are not numbered from 0 without a hole".into());
        }
        let recording = self.db.recording(id).await.expect("its row");
        (found, recording.duration)
    }
}

fn take(check: &mut Check<'_>, fragment: &archive::cmaf::Fragment) {
    let mut at = fragment.start;
    for packet in &fragment.packets {
        check.packet(at, &packet.data, packet.duration);
        at += packet.duration;
    }
}

/// What `roomtape verify` says of the whole installation; `None` where the program has no such
/// command.
fn verify(installation: &Installation) -> Option<Result<String, String>> {
    let mut command = installation.command("verify", "verify");
    let run = servers::output(command.arg("--json"), secs(600)).expect("running roomtape");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    let (said, complained) = (text(&run.stdout), text(&run.stderr));
    if complained.contains("unrecognized subcommand") {
        return None;
    }
    let all = format!("{said}\n{complained}");
    Some(if run.status.success() { Ok(said) } else { Err(all) })
}

/// A room's recording.
pub struct Room {
    pub room: usize,
    pub found: Found,
    pub length: Ticks,
    /// How many seconds ffmpeg decoded of its MP4, or what it complained of.
    played: Result<f64, String>,
}

/// What was found of all rooms.
pub struct Checked {
    pub rooms: Vec<Room>,
    /// See [`verify`].
    pub verified: Option<Result<String, String>>,
}

impl Checked {
    /// Everything that is wrong.
    pub fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        for Room { room, found, length, played } in &self.rooms {
            complaints.extend(found.complaints.iter().map(|what| format!("room {room}: {what}")));
            if found.more > 0 {
                complaints.push(format!("room {room}: and {} more", found.more));
            }
            let expected = length.as_secs_f64();
            match played {
                Ok(played) if (played - expected).abs() <= 0.04 => {}
                Ok(played) => {
                    complaints.push(format!("room {room}: ffmpeg plays {played} s of {expected}"));
                }
                Err(said) => complaints.push(format!("room {room}: ffmpeg says {said}")),
            }
        }
        if let Some(Err(said)) = &self.verified {
            complaints.push(format!("verify: {said}"));
        }
        complaints
    }

    /// Packets that were kept as they were sent.
    pub fn kept(&self) -> u64 {
        self.rooms.iter().map(|room| u64::from(room.found.kept)).sum()
    }
}
