//! A system clock that can be set, for one process: libfaketime, where it is installed.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// Where distributions put it.
const LIBRARIES: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
];

/// The clock of a process started with [`Clock::settings`].
pub(crate) struct Clock {
    library: &'static str,
    file: tempfile::NamedTempFile,
}

impl Clock {
    /// A clock that goes right; `None`: libfaketime is not installed.
    pub(crate) fn new() -> Option<Self> {
        let library = LIBRARIES.into_iter().find(|library| Path::new(library).is_file())?;
        let clock = Self { library, file: tempfile::NamedTempFile::new().expect("a file") };
        clock.set(0).expect("a file");
        Some(clock)
    }

    /// What the process is to find in its environment.
    pub(crate) fn settings(&self) -> Vec<(String, String)> {
        let file: PathBuf = self.file.path().to_owned();
        [
            ("LD_PRELOAD", self.library),
            ("FAKETIME_TIMESTAMP_FILE", &file.display().to_string()),
            // The clock by which it waits cannot be set on a real machine either.
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("FAKETIME_CACHE_DURATION", "1"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    /// Sets it so many seconds ahead of the true time, or behind. It takes a second at most.
    pub(crate) fn set(&self, seconds: i64) -> io::Result<()> {
        fs::write(self.file.path(), format!("{seconds:+}\n"))
    }
}
