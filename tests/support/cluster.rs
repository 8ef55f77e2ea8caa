//! The roles as processes of their own, over PostgreSQL and Garage.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use archive::store;
use servers::free_port;

use super::server::PROGRAM;
use super::{data, secs, until};

/// How long a role may take to end once it is asked to.
const END_WITHIN: Duration = secs(60);

/// Where the roles of one installation meet.
pub struct Installation {
    folder: tempfile::TempDir,
    pub database: String,
    /// Where the sound is.
    pub store: store::Place,
}

/// Where a process listens.
#[derive(Clone, Copy)]
pub struct Addresses {
    pub http: SocketAddr,
    pub icecast: SocketAddr,
}

impl Installation {
    /// A new database with its schema, and an empty bucket.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bucket = servers::garage().new_bucket();
        let (key, secret) = (Some(bucket.key), Some(bucket.secret.into()));
        let store = store::Place { url: bucket.url, key, secret };
        Self::of(folder, servers::postgres().new_database(), store)
    }

    /// On this machine alone: a file and a folder.
    pub fn on_disk() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = format!("sqlite:{}", folder.path().join("rows.db").display());
        let store = store::Place::new(folder.path().join("objects").display().to_string());
        Self::of(folder, database, store)
    }

    /// Leaves its files where they are when it goes.
    pub fn keep(self) -> PathBuf {
        self.folder.keep()
    }

    fn of(folder: tempfile::TempDir, database: String, store: store::Place) -> Self {
        let installation = Self { folder, database, store };
        let migrated = servers::output(&mut installation.command("migrate", "migrate"), secs(60));
        let migrated = migrated.unwrap();
        assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
        installation
    }

    /// The data folder of the process called `name`.
    pub fn data(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The program on this installation's settings, to run `command` with the data folder of `name`.
    pub fn command(&self, role: &str, name: &str) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .arg(role)
            .arg("--data")
            .arg(self.data(name))
            .args(["--worker-name", name, "--weights", "demo", "--threads", "1"])
            .env("ROOMTAPE_DATABASE", &self.database)
            .env("ROOMTAPE_STORE", &self.store.url)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        if let (Some(key), Some(secret)) = (&self.store.key, &self.store.secret) {
            command.env("ROOMTAPE_STORE_KEY", key).env("ROOMTAPE_STORE_SECRET", secret.reveal());
        }
        command
    }

    /// Starts a role and waits until it is ready.
    pub async fn start(&self, role: &str, name: &str) -> Process {
        self.start_with(role, name, &[]).await
    }

    /// The same, with more settings from the environment.
    pub async fn start_with(&self, role: &str, name: &str, settings: &[(&str, &str)]) -> Process {
        let port = || SocketAddr::from(([127, 0, 0, 1], free_port().unwrap()));
        let mut command = self.command(role, name);
        command.envs(settings.iter().copied());
        let process = Process::start(name, command, Addresses { http: port(), icecast: port() });
        process.ready().await;
        process
    }
}

/// A role at work; killed when dropped.
pub struct Process {
    process: servers::Process,
    pub http: SocketAddr,
    /// Where Icecast sources go, if it is one that records.
    pub icecast: SocketAddr,
}

impl Process {
    /// Starts what an [`Installation`] commands, to listen at these addresses.
    pub fn start(name: &str, mut command: Command, at: Addresses) -> Self {
        let Addresses { http, icecast } = at;
        command.env("ROOMTAPE_HTTP", http.to_string()).env("ROOMTAPE_HEALTH", http.to_string());
        command.env("ROOMTAPE_ICECAST", icecast.to_string());
        let process = servers::Process::start(name, &mut command).unwrap();
        Self { process, http, icecast }
    }

    /// Waits until it is ready.
    pub async fn ready(&self) {
        let client = reqwest::Client::builder().no_proxy().timeout(secs(10)).build().unwrap();
        let ready = format!("http://{}/readyz", self.http);
        until(&format!("{ready} to be ready"), secs(60), || async {
            let answer = client.get(&ready).send().await;
            answer.ok().filter(|answer| answer.status().is_success()).map(drop)
        })
        .await;
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    pub fn signal(&self, signal: &str) {
        self.process.signal(signal);
    }

    pub fn kill(self) {
        self.process.kill();
    }

    /// Asks it to end.
    pub fn ask_to_end(&self) {
        self.signal("-TERM");
    }

    /// Waits for its end.
    pub fn end(mut self) -> ExitStatus {
        self.process.wait(END_WITHIN)
    }

    /// Asks it to end, and waits until it has; fails the test where it does not end well.
    pub fn terminate(self) {
        self.ask_to_end();
        let status = self.end();
        assert!(status.success(), "it ended with {status}");
    }
}

/// ffmpeg sending the conversation to a room as it would be heard live. Where it is cut off it goes
/// on with what would be heard then, at the next address, as encoders and balancers do.
pub struct Source {
    stop: Arc<AtomicBool>,
    task: JoinHandle<u32>,
}

impl Source {
    pub fn start(slug: &str, key: &str, addresses: Vec<SocketAddr>, length: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let room = format!("source:{key}");
        let slug = slug.to_owned();
        let task = thread::spawn(move || {
            let began = Instant::now();
            let mut turns = 0;
            for address in addresses.iter().cycle() {
                let at = began.elapsed();
                if at + secs(1) > length || stopped.load(Ordering::Relaxed) {
                    break;
                }
                turns += 1;
                send(&data("conversation.opus"), at, length, &format!("{room}@{address}/{slug}"));
                // An encoder does not come back in the same instant.
                thread::sleep(Duration::from_millis(100));
            }
            turns
        });
        Self { stop, task }
    }

    /// Waits until all has been sent; how often it connected.
    pub fn join(self) -> u32 {
        self.task.join().unwrap()
    }

    /// Has it not come back once it is cut off.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn send(file: &Path, from: Duration, until: Duration, to: &str) {
    let seconds = |time: Duration| time.as_secs_f64().to_string();
    // How it ends does not matter: what was kept is looked at.
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg
        .args(["-nostdin", "-loglevel", "quiet", "-re", "-ss", &seconds(from), "-i"])
        .arg(file)
        .args([
            "-t",
            &seconds(until.saturating_sub(from)),
            "-c",
            "copy",
            "-page_duration",
            "100000",
        ])
        .args(["-f", "ogg", "-content_type", "audio/ogg", &format!("icecast://{to}")]);
    let _ = servers::status(&mut ffmpeg, until.saturating_sub(from) + secs(60));
}
