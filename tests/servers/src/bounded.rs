//! Child processes that neither outlive the tests nor keep them waiting for ever: every wait has an
//! end, at which it says what was waited for.

use std::io::{self, Write as _};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// Between two looks at whether a process has ended.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// How long a process that was killed may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(30);

/// Hears of the processes there are until its input closes, which the kernel does when the tests have
/// ended, `kill -9` included; then it ends those that are left.
const KEEPER: &str = r#"
all=
while read -r sign pid; do
  if [ "$sign" = + ]; then all="$all $pid"; continue; fi
  left=
  for one in $all; do [ "$one" = "$pid" ] || left="$left $one"; done
  all=$left
done
[ -z "$all" ] || kill -KILL $all 2>/dev/null
"#;

/// A child process; killed when dropped, or when the tests end without that.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
}

impl Process {
    /// Starts `command`, called `name` where something has to be said of it.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(name: &str, command: &mut Command) -> io::Result<Self> {
        let child = command.spawn()?;
        tell('+', child.id());
        Ok(Self { child, name: name.to_owned() })
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its output, where that was asked to be a pipe and has not been taken before.
    pub fn stdout(&mut self) -> Option<std::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// Its complaints, likewise.
    pub fn stderr(&mut self) -> Option<std::process::ChildStderr> {
        self.child.stderr.take()
    }

    /// Whether it is still there.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends a signal: `-TERM`, `-STOP`, `-CONT`.
    ///
    /// # Panics
    /// There is nobody to take it.
    pub fn signal(&self, signal: &str) {
        assert!(send(signal, self.id()), "{signal} to {}", self.name);
    }

    /// Ends it as `kill -9` does, and waits until it is gone.
    ///
    /// # Panics
    /// It does not go.
    pub fn kill(mut self) {
        self.child.kill().unwrap_or_else(|error| panic!("kill {}: {error}", self.name));
        self.wait(GONE_WITHIN);
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// It has not ended within that time. It is killed.
    pub fn wait(&mut self, within: Duration) -> ExitStatus {
        match self.ended(within) {
            Some(status) => status,
            None => panic!("{} (process {}) did not end within {within:?}", self.name, self.id()),
        }
    }

    fn ended(&mut self, within: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + within;
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            if Instant::now() >= deadline {
                return None;
            }
            thread::sleep(LOOK_EVERY);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        if self.ended(GONE_WITHIN).is_some() {
            tell('-', self.id());
        }
    }
}

/// Runs `command` to its end and gives what it printed.
///
/// # Errors
/// It cannot be started.
///
/// # Panics
/// It has not ended within that time. It is killed.
pub fn output(command: &mut Command, within: Duration) -> io::Result<Output> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn()?;
    let pid = child.id();
    tell('+', pid);
    let (done, ended) = mpsc::channel();
    thread::spawn(move || done.send(child.wait_with_output()));
    let Ok(output) = ended.recv_timeout(within) else {
        send("-KILL", pid);
        panic!("{command:?} did not end within {within:?}");
    };
    tell('-', pid);
    output
}

/// Runs `command` to its end; what it prints goes where ours does, unless it says otherwise.
///
/// # Errors
/// It cannot be started.
///
/// # Panics
/// As [`output`].
pub fn status(command: &mut Command, within: Duration) -> io::Result<ExitStatus> {
    let name = format!("{command:?}");
    Ok(Process::start(&name, command.stdin(Stdio::null()))?.wait(within))
}

/// Whether there was a process to take the signal.
fn send(signal: &str, pid: u32) -> bool {
    let mut kill = Command::new("kill");
    kill.args([signal, &pid.to_string()]).stderr(Stdio::null());
    kill.status().is_ok_and(|status| status.success())
}

/// Tells the keeper that a process has begun or ended.
fn tell(sign: char, pid: u32) {
    // It ends before us only where somebody ends it, and then nothing worse follows than without it.
    if let Some(input) = &mut keeper().stdin {
        let _ = writeln!(input, "{sign} {pid}");
    }
}

fn keeper() -> MutexGuard<'static, Child> {
    static KEPT: OnceLock<Mutex<Child>> = OnceLock::new();
    let start = || {
        let mut keeper = Command::new("sh");
        keeper.args(["-c", KEEPER]).stdin(Stdio::piped()).stdout(Stdio::null());
        #[cfg(unix)]
        {
            use std::os::unix::process::CommandExt as _;
            // A Ctrl-C in the terminal is for the tests; the keeper ends when they have.
            keeper.process_group(0);
        }
        Mutex::new(keeper.spawn().expect("a shell"))
    };
    KEPT.get_or_init(start).lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_too_long_is_named_and_killed() {
        let said = std::panic::catch_unwind(|| {
            output(Command::new("sleep").arg("600"), Duration::from_millis(50))
        });
        let said = *said.expect_err("nobody waits so long").downcast::<String>().expect("text");
        assert!(said.contains("\"sleep\" \"600\" did not end within 50ms"), "{said}");
        let mut sleep = Command::new("sleep");
        let mut sleep = Process::start("a sleeper", sleep.arg("600")).expect("sleep");
        assert!(sleep.is_running());
        assert_eq!(sleep.ended(Duration::from_millis(20)), None);
        sleep.signal("-TERM");
        assert!(!sleep.wait(GONE_WITHIN).success());
    }

    #[test]
    fn what_is_left_when_the_tests_die_is_ended() {
        let mut ours = Command::new("sleep").arg("600").spawn().expect("sleep");
        let mut gone = Command::new("true").spawn().expect("true");
        gone.wait().expect("its end");
        let mut keeper =
            Command::new("sh").args(["-c", KEEPER]).stdin(Stdio::piped()).spawn().expect("a shell");
        let mut input = keeper.stdin.take().expect("its input");
        let (ours_id, gone_id) = (ours.id(), gone.id());
        write!(input, "+ {ours_id}\n+ {gone_id}\n- {gone_id}\n").expect("it listens");
        drop(input);
        assert!(!ours.wait().expect("its end").success());
        keeper.wait().expect("its end");
    }

    #[test]
    fn output_is_given() {
        let mut echo = Command::new("sh");
        echo.args(["-c", "echo a; echo b >&2; exit 3"]);
        let output = output(&mut echo, GONE_WITHIN).expect("a shell");
        assert_eq!((output.stdout, output.stderr), (b"a\n".to_vec(), b"b\n".to_vec()));
        assert_eq!(output.status.code(), Some(3));
        assert!(status(&mut Command::new("true"), GONE_WITHIN).expect("true").success());
    }
}
