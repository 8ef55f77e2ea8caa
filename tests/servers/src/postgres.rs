//! A real PostgreSQL: one cluster a process.

use std::fs;
use std::io;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::bounded;
use crate::guarded::{Guarded, free_port};

/// How long a server may take until it answers. It takes a tenth of a second on an idle machine.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// Between two looks at whether it does.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How often another port is tried where somebody else took one in the meantime.
const PORT_TRIES: u32 = 5;
/// Where Debian puts the server's programs.
const DEBIAN: &str = "/usr/lib/postgresql";
/// What it runs with. Nobody's data are at stake, so nothing is synced. It listens on the loopback
/// address only.
const SETTINGS: [&str; 10] = [
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "max_connections=200",
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "shared_buffers=64MB",
    "autovacuum=off",
    "deadlock_timeout=200ms",
    "log_min_messages=warning",
];

/// A PostgreSQL cluster, empty at first.
#[derive(Debug)]
pub struct Postgres {
    server: Guarded,
    port: u16,
    databases: AtomicU32,
}

/// The server that all tests of this process share, started on first use.
///
/// # Panics
/// There is no PostgreSQL on this machine, or it does not start.
pub fn postgres() -> &'static Postgres {
    static SHARED: OnceLock<Postgres> = OnceLock::new();
    SHARED.get_or_init(Postgres::start)
}

impl Postgres {
    /// A server of its own, for a test that stops it.
    ///
    /// # Panics
    /// As [`postgres`].
    #[must_use]
    pub fn start() -> Self {
        let mut trouble = String::new();
        for _ in 0..PORT_TRIES {
            let port = free_port().expect("a free port of the loopback address");
            match Self::start_on(port) {
                Ok(postgres) => return postgres,
                Err(error) => trouble = error,
            }
        }
        panic!("PostgreSQL does not start: {trouble}");
    }

    fn start_on(port: u16) -> Result<Self, String> {
        let folder = tempfile::Builder::new().prefix("postgres-").tempdir();
        let folder = folder.map_err(|error| format!("make its folder: {error}"))?;
        let data = folder.path().join("data");
        hand_over(folder.path()).map_err(|error| format!("make its folder: {error}"))?;
        make_cluster(&data)?;
        let mut command = as_its_user("postgres");
        command.arg("-D").arg(&data).args(["-p", &port.to_string()]);
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        let server = Guarded::start(&command, folder);
        let server = server.map_err(|error| format!("run a shell: {error}"))?;
        let postgres = Self { server, port, databases: AtomicU32::new(0) };
        postgres.wait_until_ready()?;
        Ok(postgres)
    }

    /// An empty database that nobody else uses: `postgres://postgres@127.0.0.1:PORT/db_N`. Any
    /// password will do.
    ///
    /// # Panics
    /// The server refuses.
    pub fn new_database(&self) -> String {
        let name = format!("db_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.psql(&self.url(), &format!("CREATE DATABASE {name}"));
        self.database(&name)
    }

    /// A database that nobody else uses, with everything that is in `template` (an address that
    /// [`Self::new_database`] gave), to which nobody may be connected.
    ///
    /// # Panics
    /// The server refuses.
    pub fn copy_of(&self, template: &str) -> String {
        let (_, from) = template.rsplit_once('/').expect("an address ends in a name");
        let name = format!("db_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        // Files are copied without a checkpoint, of which there would be one a test.
        let sql = format!("CREATE DATABASE {name} TEMPLATE {from} STRATEGY wal_log");
        self.psql(&self.url(), &sql);
        self.database(&name)
    }

    /// The address of the database that every cluster has.
    #[must_use]
    pub fn url(&self) -> String {
        self.database("postgres")
    }

    fn database(&self, name: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{name}", self.port)
    }

    /// The port on which it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Runs SQL as the superuser on the database at `url` and gives what it prints: a line a row,
    /// fields apart by `|`.
    ///
    /// # Panics
    /// It fails.
    pub fn psql(&self, url: &str, sql: &str) -> String {
        let mut command = Command::new(program("psql"));
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql, url]);
        let output = bounded::output(&mut command, READY_WITHIN);
        let output = output.expect("psql lies beside the server");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "psql {sql:?}: {error}");
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// Has it ask a user for a password, which it does of nobody at first.
    ///
    /// # Panics
    /// Its configuration cannot be changed.
    pub fn require_password(&self, user: &str) {
        let file = self.server.folder().join("data/pg_hba.conf");
        let rules = fs::read_to_string(&file).expect("initdb has written it");
        // The first rule that fits counts.
        let rule = format!("host all {user} 127.0.0.1/32 scram-sha-256\n");
        fs::write(&file, rule + &rules).expect("it is ours, or we are root");
        self.psql(&self.url(), "SELECT pg_reload_conf()");
        let read = "SELECT count(*) FROM pg_hba_file_rules WHERE auth_method = 'scram-sha-256'";
        assert_eq!(self.psql(&self.url(), read), "1");
    }

    /// Ends it as a loss of power would; nobody answers afterwards.
    ///
    /// # Panics
    /// It has ended already.
    pub fn kill(&self) {
        let pid_file = self.server.folder().join("data/postmaster.pid");
        let text = fs::read_to_string(pid_file).expect("the server has written its process id");
        let pid = text.lines().next().expect("it is the first line").trim();
        // Its children end when they see that it is gone.
        let done = Command::new("kill").args(["-KILL", pid]).status();
        assert!(done.is_ok_and(|status| status.success()), "end PostgreSQL, process {pid}");
        let deadline = Instant::now() + READY_WITHIN;
        while TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
            assert!(Instant::now() < deadline, "PostgreSQL, process {pid}, does not end");
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Waits until it takes connections: it then says so in its `postmaster.pid`.
    fn wait_until_ready(&self) -> Result<(), String> {
        let pid_file = self.server.folder().join("data/postmaster.pid");
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let text = fs::read_to_string(&pid_file).unwrap_or_default();
            if text.lines().last().is_some_and(|line| line.trim() == "ready") {
                return Ok(());
            }
            let log = self.server.log();
            let gone = log.contains("FATAL");
            if gone || Instant::now() > deadline {
                let what = if gone { "it ended" } else { "it does not answer in time" };
                return Err(format!("{what}; its log:\n{log}"));
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

fn make_cluster(data: &Path) -> Result<(), String> {
    let mut command = as_its_user("initdb");
    command.arg("-D").arg(data);
    command.args(["-A", "trust", "-U", "postgres", "--no-sync"]);
    // A sort order that is not that of the bytes shows whoever relies on one.
    command.args(["-E", "UTF8", "--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en"]);
    let output = bounded::output(&mut command, READY_WITHIN);
    let output = output.map_err(|error| format!("run initdb: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("initdb: {}", String::from_utf8_lossy(&output.stderr)))
}

/// One of the server's programs, run as somebody it agrees to be run by: it refuses root.
fn as_its_user(name: &str) -> Command {
    let program = program(name);
    if !we_are_root() {
        return Command::new(program);
    }
    let mut command = Command::new("runuser");
    command.args(["-u", "postgres", "--"]).arg(program).current_dir("/");
    command
}

/// Gives the folder to the server's user, where that is not us.
fn hand_over(folder: &Path) -> io::Result<()> {
    if !we_are_root() {
        return Ok(());
    }
    let done = Command::new("chown").arg("postgres").arg(folder).status()?;
    if !done.success() {
        return Err(io::Error::other("there is no user postgres to run it"));
    }
    // The log, in the same folder, is written by the shell that keeps the server.
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))
}

fn we_are_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata("/proc/self").is_ok_and(|us| us.uid() == 0)
}

/// What the shell would find, else the newest that Debian has installed.
fn program(name: &str) -> PathBuf {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&paths).map(|folder| folder.join(name));
    let installed = fs::read_dir(DEBIAN).into_iter().flatten().flatten();
    let mut installed: Vec<_> = installed.map(|version| version.path()).collect();
    let version = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    installed.sort_by_key(|path| std::cmp::Reverse(version(path)));
    let installed = installed.into_iter().map(|path| path.join("bin").join(name));
    let found = installed.chain(in_path).find(|path| path.is_file());
    found.unwrap_or_else(|| {
        panic!("these tests need PostgreSQL ({name} is missing): apt-get install postgresql")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_are_apart_and_copies_begin_alike() {
        let postgres = Postgres::start();
        let one = postgres.new_database();
        postgres.psql(&one, "CREATE TABLE said (text TEXT); INSERT INTO said VALUES ('a|b')");
        let two = postgres.copy_of(&one);
        postgres.psql(&two, "INSERT INTO said VALUES ('c')");
        assert_eq!(postgres.psql(&one, "SELECT * FROM said"), "a|b");
        assert_eq!(postgres.psql(&two, "SELECT * FROM said"), "a|b\nc");
        let three = postgres.new_database();
        assert_eq!(postgres.psql(&three, "SELECT to_regclass('said') IS NULL"), "t");

        let folder = postgres.server.folder().to_owned();
        drop(postgres);
        assert!(!folder.exists());
    }

    #[test]
    fn one_whose_port_is_taken_says_so() {
        let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = taken.local_addr().expect("it is bound").port();
        let error = Postgres::start_on(port).expect_err("the port is taken");
        assert!(error.contains("it ended") && error.contains("in use"), "{error}");
    }

    #[test]
    fn one_that_was_killed_is_gone() {
        let postgres = Postgres::start();
        postgres.kill();
        assert!(TcpStream::connect(("127.0.0.1", postgres.port)).is_err());
    }
}
