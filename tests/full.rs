//! A disk that is really full: the spool on a filesystem of 16 MB in a mount namespace of its own.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Server, api, data, media, rtp, secs, server, until};

/// Mounts the filesystem on the folder $0 and becomes what follows.
const MOUNT: &str = r#"mount -t tmpfs -o size=16m,mode=700 tmpfs "$0" && exec "$@""#;
/// Ways into a mount namespace: root's, and anybody's where the system allows it.
const WAYS: [&[&str]; 2] = [&["--mount"], &["--user", "--map-root-user", "--mount"]];

#[tokio::test]
async fn a_full_disk_costs_what_does_not_fit_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let Some(server) = on_small_disk(dir.path()) else {
        println!("NOT TESTED: a full disk. Neither root nor user namespaces may mount here");
        return;
    };
    let disk = Disk::of(&server, dir.path());
    let port = rtp::free_port();
    server.api.rtp_room("hall", port, 60_000).await;
    let key = server.api.icecast_room("second").await;
    assert!(rtp::wait_until_open(port).await);
    let packets = media::ogg_packets(&data("conversation.opus"));
    let sender = rtp::Sender::start(port, packets.clone(), true);
    let id = api::id(&server.api.recording("hall", "live", secs(20)).await);
    length_beyond(&server, &id, 4_000).await;

    // Nearly full: nothing new is taken, and what goes on does.
    disk.fill(15 << 20);
    alarm(&server, 1).await;
    let room = "/api/rooms/hall/recordings";
    until("the API to refuse", secs(10), || async {
        let (status, code) = server.api.problem(Method::POST, room, Some(json!({}))).await;
        (status == 507).then(|| assert_eq!(code, "no_space"))
    })
    .await;
    assert!(icecast_answer(server.icecast, &key).starts_with("HTTP/1.1 507 "));
    let before = server.api.get(&format!("/api/recordings/{id}")).await;
    length_beyond(&server, &id, before["duration_ms"].as_u64().unwrap() + 4_000).await;

    // Full to the last byte. It goes on by itself once there is room.
    disk.fill(u64::MAX);
    alarm(&server, 2).await;
    tokio::time::sleep(secs(3)).await;
    disk.clear();
    let gap = until("the recording to go on", secs(20), || async {
        let gaps = server.api.get(&format!("/api/recordings/{id}")).await["gaps"].take();
        gaps.as_array().unwrap().iter().find(|gap| gap["cause"] == "no_space").cloned()
    })
    .await;
    alarm(&server, 0).await;
    let (start, end) = (ms(&gap["start_ms"]), ms(&gap["start_ms"]) + ms(&gap["duration_ms"]));
    length_beyond(&server, &id, end + 3_000).await;
    let ended = server.api.end(&id).await;
    sender.stop();

    let gaps = ended["gaps"].as_array().unwrap();
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    let kept = media::kept_packets(&server.api, &id).await;
    same_outside(kept, &packets, start, end);
    media::check_outputs(&server.api, &id, ended["duration_ms"].as_f64().unwrap() / 1000.0);
    server.terminate();
}

/// A server whose spool is on a disk of 16 MB; `None`: it may not be mounted.
fn on_small_disk(data: &Path) -> Option<Server> {
    let spool = data.join("spool");
    std::fs::create_dir(&spool).unwrap();
    let inside = |way: &[&str], what: &OsStr| {
        let mut command = Command::new("unshare");
        command.args(way).args(["sh", "-c", MOUNT]).arg(&spool).arg(what);
        command
    };
    let allowed = |way: &&&[&str]| {
        inside(way, OsStr::new("true")).output().is_ok_and(|tried| tried.status.success())
    };
    let way = WAYS.iter().find(allowed)?;
    let program = server::program(data);
    let mut command = inside(way, program.get_program());
    let set = program.get_envs().filter_map(|(name, value)| Some((name, value?)));
    command.envs(set);
    Some(Server::launch(command, data, SocketAddr::from(([127, 0, 0, 1], 0))))
}

/// The small disk as it is reached from outside, and what fills it.
struct Disk {
    filler: PathBuf,
}

impl Disk {
    fn of(server: &Server, data: &Path) -> Self {
        let spool = data.join("spool");
        let inside = spool.strip_prefix("/").unwrap();
        let root = PathBuf::from(format!("/proc/{}/root", server.pid()));
        Self { filler: root.join(inside).join("filler") }
    }

    /// Takes so many bytes of the disk, or all that there are.
    fn fill(&self, bytes: u64) {
        let mut file = File::options().create(true).append(true).open(&self.filler).unwrap();
        let mut left = bytes.saturating_sub(file.metadata().unwrap().len());
        while left > 0 {
            let piece = left.min(4096);
            if file.write_all(&[1; 4096][..piece as usize]).is_err() {
                return;
            }
            left -= piece;
        }
    }

    fn clear(&self) {
        std::fs::remove_file(&self.filler).unwrap();
    }
}

async fn alarm(server: &Server, level: u32) {
    let line = format!("\nroomtape_disk_alarm {level}\n");
    until("the alarm", secs(10), || async {
        server.api.text("/metrics").await.contains(&line).then_some(())
    })
    .await;
}

async fn length_beyond(server: &Server, id: &str, least_ms: u64) {
    until("more of the recording", secs(20), || async {
        let now = server.api.get(&format!("/api/recordings/{id}")).await;
        (ms(&now["duration_ms"]) > least_ms).then_some(())
    })
    .await;
}

fn ms(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

/// What a source is told that wants to begin.
fn icecast_answer(to: SocketAddr, key: &str) -> String {
    use base64::Engine as _;
    let login = base64::engine::general_purpose::STANDARD.encode(format!("source:{key}"));
    let mut stream = TcpStream::connect(to).unwrap();
    let head = format!(
        "PUT /second HTTP/1.1\r\nAuthorization: Basic {login}\r\nContent-Type: audio/ogg\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Each packet before and after the gap is the one that was sent then.
fn same_outside(kept: Vec<(Vec<u8>, models::Ticks)>, sent: &[Vec<u8>], start: u64, end: u64) {
    let (mut before, mut after, mut at) = (Vec::new(), Vec::new(), models::Ticks::ZERO);
    for (packet, duration) in kept {
        match at.as_millis() {
            ms if ms < start => before.push(packet),
            // What is left of the concealment may be shorter than a millisecond.
            ms if ms >= end && (packet.len() > 1 || !after.is_empty()) => after.push(packet),
            _ => {}
        }
        at += duration;
    }
    let same = |packet: &Vec<u8>, n: usize| *packet == sent[n % sent.len()];
    assert!(before.len() > 200, "{} packets before the gap", before.len());
    assert!(before.iter().enumerate().all(|(n, packet)| same(packet, n)));
    assert!(after.len() > 100, "{} packets behind the gap", after.len());
    // Arrival decides how long the gap is: on a busy machine two seconds are close enough.
    let about = (end / 20) as usize;
    let as_sent = |from: &usize| after.iter().zip(*from..).take_while(|(p, n)| same(p, *n)).count();
    let most = (about.saturating_sub(100)..about + 100).map(|from| as_sent(&from)).max();
    assert_eq!(most, Some(after.len()), "what follows the gap is not what was sent then");
}
