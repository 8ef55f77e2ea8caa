//! Strangers who hold ten thousand connections open, and send what they should not: rooms are recorded
//! and heard all the same, memory stays bounded, and nobody holds on for ever.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Instant;

use futures_util::{StreamExt as _, stream};
use reqwest::Method;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::media::{self, ffmpeg};
use crate::support::{Server, api, data, secs, until};

/// Connections to be held, half of them at each address.
const STRANGERS: u64 = 10_000;
/// What each may cost at most, in KiB: a socket's bookkeeping, a task, and what reads the head it began.
/// Twice what it was when this was written.
const KIB_EACH: u64 = 24;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_idle_connections_keep_nobody_out_and_end() {
    let strangers = STRANGERS.min(descriptors().saturating_sub(1_000));
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let file = dir.path().join("sent.opus");
    let (whole, sent) = (data("conversation.opus"), file.to_str().unwrap());
    ffmpeg(&["-i", whole.to_str().unwrap(), "-t", "12", "-c", "copy", sent]);
    let before = server.api.icecast_room("before").await;
    let mut source = push(sent, &server.mount("before", &before));
    server.api.recording("before", "live", secs(20)).await;

    let memory = resident_kib(server.pid());
    let began = Instant::now();
    let http = server.api.base.trim_start_matches("http://").parse().unwrap();
    let kinds = [
        (http, ""),
        (http, "GET / HTTP/1.1\r\nHost: "),
        (server.icecast, ""),
        (server.icecast, "PUT /"),
    ];
    let held: Vec<TcpStream> = stream::iter((0..strangers as usize).map(|nth| kinds[nth % 4]))
        .map(|(at, said)| stranger(at, said))
        .buffer_unordered(64)
        .collect()
        .await;
    let opened = began.elapsed();
    let grown = resident_kib(server.pid()).saturating_sub(memory);

    // A listener and another source come in.
    let live = server.api.get("/api/recordings?room=before&limit=1").await;
    let playlist = format!("/api/recordings/{}/playlist.m3u8", api::id(&live["items"][0]));
    // There is none before the first chunk.
    until("a playlist", secs(10), || async {
        let answer = server.api.request(Method::GET, &playlist, None).await;
        answer.status().is_success().then_some(())
    })
    .await;
    let asked = Instant::now();
    assert!(server.api.text(&playlist).await.contains("#EXTINF"));
    let answered = asked.elapsed();
    let during = server.api.icecast_room("during").await;
    let mut second = push(sent, &server.mount("during", &during));
    server.api.recording("during", "live", secs(10)).await;
    println!(
        "{strangers} idle connections in {opened:.1?}: {grown} KiB more, a listener served in \
         {answered:.1?}"
    );
    assert!(grown <= strangers * KIB_EACH, "{grown} KiB for {strangers} connections");

    // Every one of them is closed, the last 15 s after it came.
    let ends = stream::iter(held).map(|mut stream| async move {
        let mut told = Vec::new();
        let _ = stream.read_to_end(&mut told).await;
    });
    let ended = timeout(secs(20), ends.buffer_unordered(strangers as usize).count()).await;
    assert_eq!(ended.expect("all of them end") as u64, strangers);

    assert!(source.wait().unwrap().success() && second.wait().unwrap().success());
    for slug in ["before", "during"] {
        let ended = server.api.recording(slug, "ended", secs(20)).await;
        let kept = media::kept_packets(&server.api, &api::id(&ended)).await;
        assert!(kept.into_iter().map(|(packet, _)| packet).eq(media::ogg_packets(&file)), "{slug}");
    }
}

#[tokio::test]
async fn heads_and_bodies_beyond_measure_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let http = server.api.base.trim_start_matches("http://").parse().unwrap();
    let long = format!("A: {}\r\n\r\n", "a".repeat(40_000));
    let many = format!("{}\r\n", "A: b\r\n".repeat(200));
    for (at, line) in [(http, "GET / HTTP/1.1"), (server.icecast, "PUT /room HTTP/1.1")] {
        for fields in [&long, &many] {
            let mut stream = stranger(at, "").await;
            // It may be answered before it was read.
            let _ =
                stream.write_all(format!("{line}\r\nHost: localhost\r\n{fields}").as_bytes()).await;
            let mut told = Vec::new();
            let _ = timeout(secs(10), stream.read_to_end(&mut told)).await.expect("an end");
            assert!(told.starts_with(b"HTTP/1.1 431 "), "{}", String::from_utf8_lossy(&told));
        }
    }
    let body = serde_json::json!({ "slug": "room", "title": "a".repeat(100_000) });
    let (status, _) = server.api.problem(Method::POST, "/api/rooms", Some(body)).await;
    assert_eq!(status, 413);
}

async fn stranger(at: SocketAddr, said: &str) -> TcpStream {
    let mut stream = TcpStream::connect(at).await.expect("it is taken in");
    stream.write_all(said.as_bytes()).await.expect("it is heard");
    stream
}

/// Sends a file in real time.
fn push(file: &str, mount: &str) -> std::process::Child {
    Command::new("ffmpeg")
        .args(["-nostdin", "-loglevel", "error", "-re", "-i", file, "-c", "copy", "-f", "ogg"])
        .args(["-content_type", "audio/ogg", mount])
        .stdin(Stdio::null())
        .spawn()
        .expect("starting ffmpeg")
}

/// As many file descriptors as this process, and one it starts, may have.
fn descriptors() -> u64 {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
        .expect("asking for more files");
    maximum.unwrap_or(u64::MAX)
}

fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
