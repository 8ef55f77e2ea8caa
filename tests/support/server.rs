//! `roomtape serve` as a process of its own.

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, Mutex, mpsc};
use std::thread;

use super::{Api, secs};

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
        assert!(migrate.stdout(Stdio::null()).status().expect("running roomtape").success());
    }
    command.envs(settings);
    command
}

/// A running server; killed when dropped.
pub struct Server {
    child: Child,
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
        let mut child = program(data)
            .arg("serve")
            .arg("--data")
            .arg(data)
            .args(["--http", "127.0.0.1:0", "--icecast", &icecast.to_string()])
            .args(["--weights", "demo"])
            .stdout(Stdio::piped())
            .stdin(Stdio::null())
            .spawn()
            .expect("starting roomtape");
        let lines = BufReader::new(child.stdout.take().expect("its output"));
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
        let next = || addresses.recv_timeout(secs(60)).expect("roomtape says where it serves");
        let (http, icecast) = (next(), next());
        Self { child, api: Api::new(http), icecast }
    }

    /// Where a source of that room goes, for ffmpeg.
    pub fn mount(&self, slug: &str, key: &str) -> String {
        format!("icecast://source:{key}@{}/{slug}", self.icecast)
    }

    /// Ends it as `kill -9` does.
    pub fn kill(mut self) {
        self.child.kill().expect("killing roomtape");
        self.child.wait().expect("waiting for its end");
    }

    /// Asks it to end, and waits until it has; fails the test where it does not end well.
    pub fn terminate(mut self) {
        let asked = Command::new("kill").arg(self.pid().to_string()).status();
        assert!(asked.is_ok_and(|status| status.success()));
        let status = self.child.wait().expect("waiting for its end");
        assert!(status.success(), "roomtape ended with {status}");
    }

    /// The server's process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The address that follows `mark` in `line`.
fn after(line: &str, mark: &str) -> Option<SocketAddr> {
    let rest = &line[line.find(mark)? + mark.len()..];
    rest.split('/').next()?.parse().ok()
}
