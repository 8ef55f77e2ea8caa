//! The roles as processes of their own, over PostgreSQL and Garage.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use servers::{Bucket, free_port};

use super::server::PROGRAM;
use super::{data, secs, until};

/// Where the roles of one installation meet.
pub struct Installation {
    folder: tempfile::TempDir,
    pub database: String,
    pub bucket: Bucket,
}

impl Installation {
    /// A new database with its schema, and an empty bucket.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = servers::postgres().new_database();
        let installation = Self { folder, database, bucket: servers::garage().new_bucket() };
        let migrated = installation.command("migrate", "migrate").output().unwrap();
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
            .env("ROOMTAPE_STORE", &self.bucket.url)
            .env("ROOMTAPE_STORE_KEY", &self.bucket.key)
            .env("ROOMTAPE_STORE_SECRET", &self.bucket.secret)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command
    }

    /// Starts a role and waits until it is ready.
    pub async fn start(&self, role: &str, name: &str) -> Process {
        self.start_with(role, name, &[]).await
    }

    /// The same, with more settings from the environment.
    pub async fn start_with(&self, role: &str, name: &str, settings: &[(&str, &str)]) -> Process {
        let port = || SocketAddr::from(([127, 0, 0, 1], free_port().unwrap()));
        let (http, icecast) = (port(), port());
        let mut command = self.command(role, name);
        command.envs(settings.iter().copied()).args(["--icecast", &icecast.to_string()]);
        let setting = if role == "api" { "--http" } else { "--health" };
        let child = command.args([setting, &http.to_string()]).spawn().unwrap();
        let process = Process { child, http, icecast };
        let ready = format!("http://{http}/readyz");
        until(&format!("{name} to be ready"), secs(60), || async {
            let answer = reqwest::Client::builder().no_proxy().build().unwrap().get(&ready).send();
            answer.await.ok().filter(|answer| answer.status().is_success()).map(drop)
        })
        .await;
        process
    }
}

/// A role at work; killed when dropped.
pub struct Process {
    child: Child,
    pub http: SocketAddr,
    /// Where Icecast sources go, if it is one that records.
    pub icecast: SocketAddr,
}

impl Process {
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end.
    pub fn ask_to_end(&self) {
        let asked = Command::new("kill").arg(self.child.id().to_string()).status();
        assert!(asked.is_ok_and(|status| status.success()));
    }

    /// Waits for its end.
    pub fn end(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Asks it to end, and waits until it has; fails the test where it does not end well.
    pub fn terminate(self) {
        self.ask_to_end();
        let status = self.end();
        assert!(status.success(), "it ended with {status}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
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
    let _ = Command::new("ffmpeg")
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
        .args(["-f", "ogg", "-content_type", "audio/ogg", &format!("icecast://{to}")])
        .stdin(Stdio::null())
        .status();
}
