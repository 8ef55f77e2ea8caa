//! What a recorded room costs: CPU time and memory of `roomtape serve` with a number of RTP rooms
//! live at once, against the same server with none. `cargo bench --bench rooms -- [ROOMS] [SECONDS]`.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[path = "../tests/support/mod.rs"]
#[expect(dead_code, unreachable_pub, clippy::unwrap_used, reason = "the tests use the rest")]
mod support;

use std::fs;
use std::time::{Duration, Instant};

use support::{Server, data, media, rtp, secs};

/// CPU time so far and resident memory of a process.
#[derive(Clone, Copy)]
struct Usage {
    cpu_s: f64,
    rss_mb: f64,
}

fn main() {
    let numbers: Vec<u64> = std::env::args().filter_map(|arg| arg.parse().ok()).collect();
    let rooms = numbers.first().copied().unwrap_or(20);
    let seconds = numbers.get(1).copied().unwrap_or(20);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(measure(rooms, seconds));
}

async fn measure(rooms: u64, seconds: u64) {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path());
    let idle = over(server.pid(), secs(5)).await;
    let packets = media::ogg_packets(&data("conversation.opus"));
    let mut senders = Vec::new();
    for room in 0..rooms {
        let port = rtp::free_port();
        server.api.rtp_room(&format!("room-{room}"), port, 5_000).await;
        assert!(rtp::wait_until_open(port).await, "port {port} was not opened");
        senders.push(rtp::Sender::start(port, packets.clone(), true));
    }
    for room in 0..rooms {
        server.api.recording(&format!("room-{room}"), "live", secs(30)).await;
    }
    let busy = over(server.pid(), secs(seconds)).await;
    drop(senders);
    let each = |busy: f64, idle: f64| (busy - idle) / rooms as f64;
    println!("rooms: {rooms}, measured for {seconds} s (the recording process; Whisper apart)");
    println!("idle:  {:.2} % of a core, {:.1} MB", idle.cpu_s * 100.0, idle.rss_mb);
    println!("busy:  {:.2} % of a core, {:.1} MB", busy.cpu_s * 100.0, busy.rss_mb);
    println!(
        "a room: {:.3} % of a core, {:.2} MB",
        each(busy.cpu_s, idle.cpu_s) * 100.0,
        each(busy.rss_mb, idle.rss_mb)
    );
}

/// CPU seconds a second over `time`, and the memory at its end.
async fn over(pid: u32, time: Duration) -> Usage {
    let (before, begin) = (usage(pid), Instant::now());
    tokio::time::sleep(time).await;
    let after = usage(pid);
    let cpu_s = (after.cpu_s - before.cpu_s) / begin.elapsed().as_secs_f64();
    Usage { cpu_s, rss_mb: after.rss_mb }
}

/// Linux' own figures: clock ticks of 10 ms, pages of 4 KiB.
fn usage(pid: u32) -> Usage {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("Linux");
    let fields: Vec<&str> = stat[stat.rfind(')').expect("a name") + 2..].split(' ').collect();
    let number = |index: usize| fields[index].parse::<f64>().expect("a number");
    Usage { cpu_s: (number(11) + number(12)) / 100.0, rss_mb: number(21) * 4096.0 / 1e6 }
}
