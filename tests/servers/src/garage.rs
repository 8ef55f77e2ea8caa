//! A real S3 server: Garage, one node.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::bounded;
use crate::guarded::{Guarded, free_port};

/// How long a server may take until it answers. It takes a third of a second on an idle machine.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// Between two looks at whether it does.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How often another set of ports is tried where somebody else took one in the meantime.
const PORT_TRIES: u32 = 5;
/// The region that the server takes requests to be signed for.
const REGION: &str = "garage";
/// Below which a bucket's name makes a host of its own (virtual-host addressing).
const ROOT_DOMAIN: &str = "s3.localhost";
/// What its log says where somebody else has one of its ports.
const PORT_TAKEN: &str = "Address already in use";
/// Writes the process id that the server will have, then becomes the server.
const WITH_PID: &str = r#"echo $$ >"$0"; exec "$@""#;

/// A Garage server of one node, empty at first.
#[derive(Debug)]
pub struct Garage {
    /// Runs the server; another one after [`Self::start_again`]. Stands before `home`, so that it
    /// ends before its folder goes.
    server: Mutex<Guarded>,
    /// Keeps configuration and data as long as this lives, however often the server is stopped.
    home: Guarded,
    ports: Ports,
    key: String,
    secret: String,
    buckets: AtomicU32,
}

/// A bucket and a key that may do everything with it.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// `s3://NAME?endpoint=http://127.0.0.1:PORT&region=garage`.
    pub url: String,
    /// Its name.
    pub name: String,
    /// Access key id.
    pub key: String,
    /// Secret access key.
    pub secret: String,
}

#[derive(Debug, Clone, Copy)]
struct Ports {
    s3: u16,
    rpc: u16,
    admin: u16,
}

/// The server that all tests of this process share, started on first use.
///
/// # Panics
/// There is no Garage on this machine, or it does not start.
pub fn garage() -> &'static Garage {
    static SHARED: OnceLock<Garage> = OnceLock::new();
    SHARED.get_or_init(Garage::start)
}

impl Garage {
    /// A server of its own, for a test that stops it.
    ///
    /// # Panics
    /// As [`garage`].
    #[must_use]
    pub fn start() -> Self {
        let mut trouble = String::new();
        for _ in 0..PORT_TRIES {
            let ports = Ports::free().expect("a free port of the loopback address");
            match Self::start_on(ports) {
                Ok(garage) => return garage,
                Err(error) => trouble = error,
            }
        }
        panic!("Garage does not start: {trouble}");
    }

    fn start_on(ports: Ports) -> Result<Self, String> {
        let home = home().map_err(|error| format!("make its folder: {error}"))?;
        let (key, secret) = (format!("GK{}", random_hex(12)), random_hex(32));
        let text = config(home.folder(), ports);
        // Garage refuses secrets in files that others may read.
        let file = home.folder().join("garage.toml");
        write_private(&file, &text).map_err(|error| format!("write its configuration: {error}"))?;
        let server = run(home.folder(), &key, &secret)?;
        let (server, buckets) = (Mutex::new(server), AtomicU32::new(0));
        let garage = Self { server, home, ports, key, secret, buckets };
        garage.wait_until_ready()?;
        Ok(garage)
    }

    /// An empty bucket that nobody else uses.
    ///
    /// # Panics
    /// The server refuses.
    pub fn new_bucket(&self) -> Bucket {
        let name = format!("bucket-{}", self.buckets.fetch_add(1, Ordering::Relaxed));
        self.cli(&["bucket", "create", &name]);
        let rights = ["bucket", "allow", "--read", "--write", "--owner", &name, "--key", &self.key];
        self.cli(&rights);
        let url = format!("s3://{name}?endpoint={}&region={REGION}", self.endpoint());
        Bucket { url, name, key: self.key.clone(), secret: self.secret.clone() }
    }

    /// Id and secret of a new key that may do nothing.
    ///
    /// # Panics
    /// The server refuses.
    pub fn new_key(&self) -> (String, String) {
        let (key, secret) = (format!("GK{}", random_hex(12)), random_hex(32));
        self.cli(&["key", "import", "--yes", &key, &secret]);
        (key, secret)
    }

    /// Where its S3 interface is: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.s3)
    }

    /// Where its S3 interface is under a name: `http://s3.localhost:PORT`. A bucket is a host below
    /// it, which not every resolver knows: tell the client that it is 127.0.0.1.
    #[must_use]
    pub fn named_endpoint(&self) -> String {
        format!("http://{ROOT_DOMAIN}:{}", self.ports.s3)
    }

    /// Runs one of its commands, for example `["bucket", "info", name]`, and gives what it prints.
    ///
    /// # Panics
    /// It fails.
    pub fn cli(&self, arguments: &[&str]) -> String {
        let output = bounded::output(&mut self.command(arguments), READY_WITHIN);
        let output = output.expect("Garage has been run before");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "garage {arguments:?}: {error}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Ends the server as a loss of power would: `kill -9`. What it has acknowledged stays.
    ///
    /// # Panics
    /// It is stopped already.
    pub fn kill(&self) {
        let pid = pid(self.home.folder()).expect("the server has written its process id");
        assert!(signal("-KILL", &pid), "stop Garage, process {pid}");
        let deadline = Instant::now() + READY_WITHIN;
        // Nobody answers at the port from the moment the kernel has closed it.
        while TcpStream::connect(("127.0.0.1", self.ports.s3)).is_ok() {
            assert!(Instant::now() < deadline, "Garage, process {pid}, does not end");
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Starts the server again after [`Self::kill`], on the same ports with the same data.
    ///
    /// # Panics
    /// It does not start.
    pub fn start_again(&self) {
        let server = run(self.home.folder(), &self.key, &self.secret).expect("Garage starts again");
        *self.server.lock().unwrap_or_else(PoisonError::into_inner) = server;
        self.wait_until_ready().expect("Garage starts again");
    }

    /// Waits until the node says that it is healthy and S3 is listened for.
    fn wait_until_ready(&self) -> Result<(), String> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let log = self.server.lock().unwrap_or_else(PoisonError::into_inner).log();
            // First, because another server may be what answers. Garage runs on without its port.
            let ended = pid(self.home.folder()).is_some_and(|pid| has_ended(&pid));
            if ended || log.contains(PORT_TAKEN) {
                return Err(format!("it ended; its log:\n{log}"));
            }
            if Instant::now() > deadline {
                return Err(format!("it does not answer in time; its log:\n{log}"));
            }
            let health = || bounded::output(&mut self.command(&["health"]), READY_WITHIN);
            let healthy = || health().is_ok_and(|done| done.status.success());
            if answers(self.ports.s3).unwrap_or(false) && healthy() {
                return Ok(());
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.arg("-c").arg(self.home.folder().join("garage.toml")).args(arguments);
        command.stdin(Stdio::null());
        command
    }
}

impl Ports {
    fn free() -> io::Result<Self> {
        Ok(Self { s3: free_port()?, rpc: free_port()?, admin: free_port()? })
    }
}

/// A folder that goes when this process has ended, however it does. What runs in it only waits.
fn home() -> io::Result<Guarded> {
    let mut idle = Command::new("tail");
    idle.args(["-f", "/dev/null"]);
    Guarded::start(&idle, tempfile::Builder::new().prefix("garage-").tempdir()?)
}

/// Starts the server whose configuration lies in `home`. Key and secret are made known to it where
/// they are not yet.
fn run(home: &Path, key: &str, secret: &str) -> Result<Guarded, String> {
    let pid_file = home.join("pid");
    let _ = fs::remove_file(&pid_file);
    let mut command = Command::new("sh");
    command.args(["-c", WITH_PID]).arg(pid_file).arg(binary());
    command.arg("-c").arg(home.join("garage.toml"));
    command.args(["server", "--single-node", "--default-access-key"]);
    command.env("GARAGE_DEFAULT_ACCESS_KEY", key).env("GARAGE_DEFAULT_SECRET_KEY", secret);
    command.env("RUST_LOG", "garage=info,warn").env("NO_COLOR", "1");
    let folder = tempfile::tempdir().map_err(|error| format!("make a folder: {error}"))?;
    Guarded::start(&command, folder).map_err(|error| format!("run a shell: {error}"))
}

fn config(home: &Path, ports: Ports) -> String {
    let Ports { s3, rpc, admin } = ports;
    let (home, secret) = (home.display(), random_hex(32));
    format!(
        r#"metadata_dir = "{home}/meta"
data_dir = "{home}/data"
db_engine = "lmdb"
replication_factor = 1
rpc_bind_addr = "127.0.0.1:{rpc}"
rpc_public_addr = "127.0.0.1:{rpc}"
rpc_secret = "{secret}"

[s3_api]
s3_region = "{REGION}"
api_bind_addr = "127.0.0.1:{s3}"
root_domain = ".{ROOT_DOMAIN}"

[admin]
api_bind_addr = "127.0.0.1:{admin}"
"#
    )
}

/// `$ROOMTAPE_GARAGE`, else what the shell would find, else where `make test` puts it.
fn binary() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| {
        let named = std::env::var_os("ROOMTAPE_GARAGE").map(PathBuf::from);
        let paths = std::env::var_os("PATH").unwrap_or_default();
        let in_path = std::env::split_paths(&paths).map(|folder| folder.join("garage"));
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
        let cached = cache.or(home).map(|cache| cache.join("roomtape/tools/bin/garage"));
        let found = named.into_iter().chain(in_path).chain(cached).find(|path| path.is_file());
        found.expect(
            "these tests need the S3 server Garage: `make test` builds it, \
             or name one with ROOMTAPE_GARAGE=…/garage",
        )
    })
}

fn pid(home: &Path) -> Option<String> {
    let text = fs::read_to_string(home.join("pid")).ok()?;
    Some(text.strip_suffix('\n')?.to_owned())
}

/// Whether what listens there speaks S3: it refuses whoever does not sign.
fn answers(port: u16) -> io::Result<bool> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    let request = format!("GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.contains("<Code>AccessDenied</Code>"))
}

/// Whether a process has ended, also where nobody has asked for its status yet.
fn has_ended(pid: &str) -> bool {
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    state.contains(") Z ") || !signal("-0", pid)
}

/// Whether there was a process to take it.
fn signal(signal: &str, pid: &str) -> bool {
    let done = Command::new("kill").args([signal, pid]).stderr(Stdio::null()).status();
    done.is_ok_and(|status| status.success())
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(path)?.write_all(text.as_bytes())
}

fn random_hex(bytes: usize) -> String {
    let mut random = vec![0; bytes];
    let mut source = fs::File::open("/dev/urandom").expect("a Unix system");
    source.read_exact(&mut random).expect("it never ends");
    random.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_whose_port_is_taken_says_so_at_once() {
        let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let s3 = taken.local_addr().expect("it is bound").port();
        let ports = Ports { s3, ..Ports::free().expect("ports") };
        let error = Garage::start_on(ports).expect_err("the port is taken");
        assert!(error.contains(PORT_TAKEN), "{error}");
    }

    #[test]
    fn what_it_was_told_outlives_a_kill() {
        let garage = Garage::start();
        let bucket = garage.new_bucket();
        garage.kill();
        assert!(TcpStream::connect(("127.0.0.1", garage.ports.s3)).is_err());
        garage.start_again();
        let info = garage.cli(&["bucket", "info", &bucket.name]);
        assert!(info.contains(&bucket.key), "{info}");
        let next = garage.new_bucket();
        assert_ne!(next.url, bucket.url);
        let home = garage.home.folder().to_owned();
        drop(garage);
        assert!(!home.exists());
    }
}
