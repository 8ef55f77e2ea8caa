//! The whole program against real peers: ffmpeg, Janus, Chromium and plain sockets.
//!
//! Each test starts `roomtape` as a user would, in a folder of its own and on free ports, and looks
//! at it from outside: over HTTP, through the files it offers, in a browser.

#![expect(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test has no reach, fails loudly, and shows what it measured"
)]
#![cfg(unix)]

mod browser;
mod check;
mod cli;
mod cluster;
mod crash;
mod demo;
mod full;
mod hostile;
mod icecast;
mod import;
mod janus;
mod jobs;
mod moving;
mod outage;
mod reprocess;
mod resume;
mod roles;
mod rtp;
mod stale;
#[expect(dead_code, reason = "`make chaos` uses the rest")]
mod support;
mod together;
mod transcript;
mod verify;
