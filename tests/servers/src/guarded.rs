//! A server process that does not outlive its starter.

use std::io;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Runs a command until standard input closes, then ends it and removes the folder. The shell holds
/// the other end of a pipe that the kernel closes when the starter dies, `kill -9` included.
const KEEPER: &str = r#"
folder=$1; shift
"$@" </dev/null >"$folder/server.log" 2>&1 &
server=$!
while read -r _; do :; done
kill -TERM "$server" 2>/dev/null
( sleep 5; kill -KILL "$server" 2>/dev/null ) & alarm=$!
wait "$server"
kill "$alarm" 2>/dev/null
rm -rf "$folder"
"#;

/// A server with a folder of its own. Dropped, the server ends and the folder goes.
#[derive(Debug)]
pub struct Guarded {
    keeper: Child,
    folder: PathBuf,
}

impl Guarded {
    /// Starts `command` in the keeping of a shell. What it prints goes to `server.log` in `folder`,
    /// which is removed when it has ended.
    ///
    /// # Errors
    /// The shell cannot be started.
    pub fn start(command: &Command, folder: tempfile::TempDir) -> io::Result<Self> {
        let folder = folder.keep();
        let mut keeper = Command::new("sh");
        keeper.args(["-c", KEEPER, "keeper"]).arg(&folder);
        keeper.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => keeper.env(name, value),
                None => keeper.env_remove(name),
            };
        }
        keeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        #[cfg(unix)]
        {
            use std::os::unix::process::CommandExt as _;
            // A Ctrl-C in the terminal is for the tests; the server ends when they have.
            keeper.process_group(0);
        }
        Ok(Self { keeper: keeper.spawn()?, folder })
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What it has printed, for whoever has to say why it does not work.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("server.log")).unwrap_or_default()
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// A TCP port of the loopback address on which nothing listens now.
///
/// # Errors
/// There is none.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// A TCP and UDP port of the loopback address that stays free while nobody listens there, for a
/// process that is to come back to it: it lies below those that the kernel gives to whoever connects.
///
/// # Errors
/// There is none.
pub fn steady_port() -> io::Result<u16> {
    const PORTS: std::ops::Range<u32> = 10_000..32_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Other processes of tests begin elsewhere.
    let begin = std::process::id().wrapping_mul(977);
    let mut trouble = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in PORTS {
        let next = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(begin);
        let port = (PORTS.start + next % (PORTS.end - PORTS.start)) as u16;
        let address = (Ipv4Addr::LOCALHOST, port);
        match TcpListener::bind(address).and_then(|_| UdpSocket::bind(address)) {
            Ok(_) => return Ok(port),
            Err(error) => trouble = error,
        }
    }
    Err(trouble)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steady_ports_differ_and_can_be_had() {
        let [one, two] = [(); 2].map(|()| steady_port().expect("a port"));
        assert_ne!(one, two);
        UdpSocket::bind((Ipv4Addr::LOCALHOST, one)).expect("it is free");
    }

    #[test]
    fn a_server_ends_with_its_guard_and_leaves_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$; exec sleep 600"]);
        let guarded = Guarded::start(&command, folder).expect("a shell");
        let path = guarded.folder().to_owned();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        let pid = loop {
            if let Some(pid) = guarded.log().strip_suffix('\n') {
                break pid.to_owned();
            }
            assert!(std::time::Instant::now() < deadline, "the shell says nothing");
            std::thread::yield_now();
        };
        assert!(Path::new("/proc").join(&pid).exists());
        drop(guarded);
        assert!(!Path::new("/proc").join(&pid).exists());
        assert!(!path.exists());
    }
}
