//! A server process that does not outlive its starter.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_ends_with_its_guard_and_leaves_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$; exec sleep 600"]);
        let guarded = Guarded::start(&command, folder).expect("a shell");
        let path = guarded.folder().to_owned();
        let pid = loop {
            if let Some(pid) = guarded.log().strip_suffix('\n') {
                break pid.to_owned();
            }
            std::thread::yield_now();
        };
        assert!(Path::new("/proc").join(&pid).exists());
        drop(guarded);
        assert!(!Path::new("/proc").join(&pid).exists());
        assert!(!path.exists());
    }
}
