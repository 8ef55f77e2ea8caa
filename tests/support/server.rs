//! `roomtape serve` as a process of its own.

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{LazyLock, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use super::{Api, secs};

/// How long a command may take that has little to do, or a server to end.
pub const SOON: Duration = secs(60);

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_roomtape");

/// The program, told where the rows and objects of the data folder `data` are: in it, or on the pair
/// of servers that these tests are to run on.
pub fn program(data: &Path) -> Command {
    static MIGRATED: LazyLock<Mutex<HashSet<PathBuf>>> = LazyLock::new(Mutex::default);
    let mut command = Command::new(PROGRAM);
    if !servers::on_postgres() {
        return command;
    }
    let pair = servers::pair(data);
    let (key, secret) = pair.keys.expect("a bucket has keys");
    let settings = [
        ("ROOMTAPE_DATABASE", pair.database),
        ("ROOMTAPE_STORE", pair.store),
        ("ROOMTAPE_STORE_KEY", key),
        ("ROOMTAPE_STORE_SECRET", secret),
    ];
    if MIGRATED.lock().expect("no test holds it").insert(data.to_owned()) {
        let mut migrate = Command::new(PROGRAM);
        migrate.args(["migrate", "--data"]).arg(data).envs(settings.clone());
        let migrated = servers::status(migrate.stdout(Stdio::null()), SOON);
        assert!(migrated.expect("running roomtape").success());
    }
    command.envs(settings);
    command
}

/// A running server; killed when dropped.
pub struct Server {
    process: servers::Process,
    /// Its API.
    pub api: Api,
    /// Where Icecast sources go.
    pub icecast: SocketAddr,
}

impl Server {
    /// Starts a server on `data` and waits until it serves.
    pub fn start(data: &Path) -> Self {
        Self::start_at(data, SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// The same, with its Icecast tap at `icecast`.
    pub fn start_at(data: &Path, icecast: SocketAddr) -> Self {
        Self::launch(program(data), data, icecast)
    }

    /// Starts a server by a command that ends in the program, which becomes its process.
    pub fn launch(mut command: Command, data: &Path, icecast: SocketAddr) -> Self {
        command
            .arg("serve")
            .arg("--data")
            .arg(data)
            .args(["--http", "127.0.0.1:0", "--icecast", &icecast.to_string()])
            .args(["--weights", "demo"])
            .stdout(Stdio::piped())
            .stdin(Stdio::null());
        let started = servers::Process::start("roomtape serve", &mut command);
        let mut process = started.expect("starting roomtape");
        let lines = BufReader::new(process.stdout().expect("its output"));
        let (found, addresses) = mpsc::channel();
        thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                if let Some(address) = after(&line, "http://") {
                    let _ = found.send(address);
                } else if let Some(address) = after(&line, "KEY@") {
                    let _ = found.send(address);
                }
            }
        });
        let next = || addresses.recv_timeout(SOON).expect("roomtape says where it serves");
        let (http, icecast) = (next(), next());
        Self { process, api: Api::new(http), icecast }
    }

    /// Where a source of that room goes, for ffmpeg.
    pub fn mount(&self, slug: &str, key: &str) -> String {
        format!("icecast://source:{key}@{}/{slug}", self.icecast)
    }

    /// Ends it as `kill -9` does.
    pub fn kill(self) {
        self.process.kill();
    }

    /// Asks it to end, and waits until it has; fails the test where it does not end well.
    pub fn terminate(mut self) {
        self.process.signal("-TERM");
        let status = self.process.wait(SOON);
        assert!(status.success(), "roomtape ended with {status}");
    }

    /// The server's process.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }
}

/// The address that follows `mark` in `line`.
fn after(line: &str, mark: &str) -> Option<SocketAddr> {
    let rest = &line[line.find(mark)? + mark.len()..];
    rest.split('/').next()?.parse().ok()
}
