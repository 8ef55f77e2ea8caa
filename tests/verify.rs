//! `roomtape verify` and `roomtape repair`: each damage named and mended; receipts from a key to a
//! check by someone who has nothing but files.

use std::fs;
use std::path::Path;
use std::process::Output;

use archive::store::Place;
use archive::{Key, Store};
use bytes::Bytes;
use models::db::Filter;
use models::{Db, Recording};

use crate::support::media::decoded_seconds;
use crate::support::server::program;
use crate::support::{Server, api, data};

/// A recording in a home of its own.
struct Kept {
    home: tempfile::TempDir,
    recording: Recording,
    db: Db,
    store: Store,
}

impl Kept {
    /// The conversation, imported by a program that signs.
    async fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let key = home.path().join("key.pem");
        said(&run(home.path(), &["receipt", "keygen", key.to_str().unwrap()]), 0);
        let settings = format!("receipt_key_file = {:?}\n", key.display().to_string());
        fs::write(home.path().join("roomtape.toml"), settings).unwrap();
        said(&run(home.path(), &["import", data("conversation.opus").to_str().unwrap()]), 0);
        let pair = servers::pair(home.path());
        let db = Db::open(&pair.database).await.unwrap();
        let (key, secret) = pair.keys.unzip();
        let place = Place { url: pair.store, key, secret: secret.map(Into::into) };
        let store = Store::open(&place).await.unwrap();
        let mut found = db.recordings(&Filter::default(), None, 2).await.unwrap();
        assert_eq!(found.len(), 1);
        let recording = found.remove(0);
        Self { home, recording, db, store }
    }

    fn chunk(&self, seq: u32) -> Key {
        Key::Chunk(self.recording.id, seq, 0)
    }

    async fn bytes(&self, seq: u32) -> Bytes {
        self.store.get(&self.chunk(seq), None).await.unwrap()
    }

    /// Loses an object, or has another in its place.
    async fn spoil(&self, key: &Key, bytes: Option<Bytes>) {
        self.store.delete(key).await.unwrap();
        if let Some(bytes) = bytes {
            self.store.put(key, bytes).await.unwrap();
        }
    }

    fn run(&self, args: &[&str], status: i32) -> String {
        said(&run(self.home.path(), args), status)
    }

    /// Verifies; what is named has to be these damages, in any order.
    fn names(&self, expected: &[&str]) {
        let told = self.run(&["verify", "--json"], i32::from(!expected.is_empty()));
        let lines = told.lines().map(|line| serde_json::from_str(line).unwrap());
        let lines: Vec<serde_json::Value> = lines.collect();
        let mut found: Vec<_> = lines.iter().filter_map(|line| line["damage"].as_str()).collect();
        found.sort_unstable();
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(found, expected, "{told}");
    }
}

fn run(home: &Path, args: &[&str]) -> Output {
    program(home).args(args).arg("--data").arg(home).output().unwrap()
}

/// What a run with this exit status says.
fn said(output: &Output, status: i32) -> String {
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{out}{complaint}");
    out
}

#[tokio::test]
async fn each_damage_is_named_and_mended() {
    let kept = Kept::new().await;
    let Kept { recording: Recording { id, .. }, db, store, .. } = &kept;
    let rows = db.chunks(*id).await.unwrap();
    kept.names(&[]);

    // What can be had again from elsewhere: the spool, or the object itself.
    let spool = kept.home.path().join("spool").join(id.to_string());
    fs::create_dir_all(&spool).unwrap();
    for seq in [1, 2] {
        fs::write(spool.join(format!("{seq:08}.m4s")), kept.bytes(seq).await).unwrap();
    }
    kept.spoil(&kept.chunk(1), None).await;
    let mut spoilt = kept.bytes(2).await.to_vec();
    *spoilt.last_mut().unwrap() ^= 1;
    kept.spoil(&kept.chunk(2), Some(spoilt.into())).await;
    kept.spoil(&Key::Init(*id), None).await;
    store.put(&Key::Chunk(*id, 4, 7), kept.bytes(4).await).await.unwrap();
    // Nobody's at all.
    let unknown = Key::Chunk(models::RecordingId::new(), 0, 0);
    store.put(&unknown, kept.bytes(0).await).await.unwrap();
    let damages = ["chunk_missing", "chunk_damaged", "init_missing", "orphan", "recording_unknown"];
    kept.names(&damages);
    let planned = kept.run(&["repair", "--dry-run"], 1);
    assert!(planned.contains("4 things can be mended, 1 cannot"), "{planned}");
    assert_eq!(store.head(&kept.chunk(1)).await.unwrap(), None, "nothing is done");
    kept.run(&["repair", "--remove-unknown"], 0);
    kept.names(&[]);
    assert_eq!(store.head(&unknown).await.unwrap(), None);
    let mended = db.chunks(*id).await.unwrap();
    assert_eq!(mended[1], rows[1]);
    assert_eq!((mended[2].sha256, mended[2].take > 0), (rows[2].sha256, true));
    fs::remove_dir_all(&spool).unwrap();

    // What is lost for good is a gap, but only where that is asked for.
    kept.spoil(&kept.chunk(5), Some("nothing of it".into())).await;
    kept.spoil(&kept.chunk(6), None).await;
    kept.names(&["chunk_damaged", "chunk_missing"]);
    let left = kept.run(&["repair", &id.to_string()], 1);
    assert!(left.contains("--conceal") && left.contains("0 things mended, 2 left"), "{left}");
    kept.run(&["repair", "--conceal"], 0);
    kept.names(&[]);
    let gaps = db.gaps(*id).await.unwrap();
    assert_eq!((gaps.len(), gaps[0].cause), (1, models::GapCause::Broken));
    assert_eq!(gaps[0].start, rows[5].start);
    assert_eq!(gaps[0].duration, rows[5].duration + rows[6].duration);

    let server = Server::start(kept.home.path());
    let path = format!("/api/recordings/{id}");
    let shown = server.api.get(&path).await;
    // One at the end, one after each repair.
    assert_eq!(shown["receipt"]["number"], 3, "{shown}");
    let seconds = shown["duration_ms"].as_f64().unwrap() / 1000.0;
    let decoded = decoded_seconds(&format!("{}{path}/audio.mp4", server.api.base));
    assert!((decoded - seconds).abs() <= 0.04, "{decoded} s of sound, not {seconds} s");
    server.terminate();
}

#[tokio::test]
async fn a_receipt_is_checked_by_whoever_has_it() {
    let kept = Kept::new().await;
    let server = Server::start(kept.home.path());
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let recording = server.api.get(&format!("/api/recordings/{}", kept.recording.id)).await;
    let path = format!("/api/recordings/{}", api::id(&recording));
    for (name, from) in [("r.json", "receipt.json"), ("r.json.sig", "receipt.sig")] {
        fs::write(file(name), server.api.bytes(&format!("{path}/{from}")).await).unwrap();
    }
    fs::write(file("a.mp4"), server.api.bytes(&format!("{path}/audio.mp4")).await).unwrap();
    server.terminate();

    let public = kept.home.path().join("key.pem.pub").display().to_string();
    let check = |args: &[&str], status| {
        let receipt = file("r.json");
        let all: Vec<_> = ["receipt", "check", &receipt].iter().chain(args).copied().collect();
        let output = run(folder.path(), &all);
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        said(&output, status) + &complaint
    };
    let told = check(&["--key", &public, "--audio", &file("a.mp4")], 0);
    let root = recording["receipt"]["root"].as_str().unwrap();
    let signer = recording["receipt"]["signed_by"].as_str().unwrap();
    assert!(told.contains(root) && told.contains(&format!("signed by {signer}")), "{told}");
    assert!(told.contains("every chunk as it was recorded"), "{told}");

    let mut audio = fs::read(file("a.mp4")).unwrap();
    let middle = audio.len() / 2;
    audio[middle] ^= 1;
    fs::write(file("a.mp4"), audio).unwrap();
    assert!(check(&["--audio", &file("a.mp4")], 1).contains("is not what was recorded"));
    let other = file("other.pem");
    said(&run(folder.path(), &["receipt", "keygen", &other]), 0);
    let told = check(&["--key", &format!("{other}.pub")], 1);
    assert!(told.contains("by another key"), "{told}");
    let receipt = fs::read_to_string(file("r.json")).unwrap();
    fs::write(file("r.json"), receipt.replacen("\"origin\":\"import\"", "\"origin\":\"rtp\"", 1))
        .unwrap();
    assert!(check(&[], 1).contains("is not a signature of"));

    // Whoever verifies the store checks the same.
    kept.names(&[]);
    assert!(kept.run(&["verify"], 0).contains("nothing is damaged"));
    let nowhere = run(folder.path(), &["verify", &models::RecordingId::new().to_string()]);
    assert_eq!(nowhere.status.code(), Some(2));
}
