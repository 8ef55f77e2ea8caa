//! `roomtape move`: a laptop's recordings into a large installation, and back.

use std::path::Path;
use std::process::{Command, Output};

use models::db::{Filter, JobFilter, NewRecording};
use models::recording::{Origin, State};
use models::{Db, Recording, WallMicros};

use crate::support::cluster::Installation;
use crate::support::data;
use crate::support::server::{PROGRAM, SOON};

fn imported(folder: &Path) {
    let file = data("conversation.flac");
    let mut import = Command::new(PROGRAM);
    let run = servers::output(import.args(["import", "--data"]).arg(folder).arg(file), SOON);
    assert!(run.unwrap().status.success());
}

async fn laptop(folder: &Path) -> Db {
    Db::open(&format!("sqlite:{}", folder.join("roomtape.db").display())).await.unwrap()
}

async fn recordings(db: &Db) -> Vec<Recording> {
    db.recordings(&Filter::default(), None, 10).await.unwrap()
}

fn moved(installation: &Installation, args: &[&str], folder: &Path) -> Output {
    let mut command = installation.command("move", "mover");
    servers::output(command.args(["--jobs", "1"]).args(args).arg(folder), SOON).unwrap()
}

/// What a run that succeeds says.
fn said(output: &Output) -> String {
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{failed}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_laptop_moves_into_a_large_installation_and_back() {
    let installation = Installation::new();
    let folder = tempfile::tempdir().unwrap();
    imported(folder.path());
    let here = laptop(folder.path()).await;
    let there = Db::open(&installation.database).await.unwrap();
    let [recording] = &recordings(&here).await[..] else { panic!("one recording") };
    let chunks = here.chunks(recording.id).await.unwrap();
    let live = NewRecording {
        room_id: recording.room_id,
        title: "Going on".into(),
        origin: Origin::Pending,
        state: State::Live,
        channels: 1,
        source: String::new(),
        created_at: WallMicros::now(),
    };
    here.create_recording(&live).await.unwrap();

    let told = said(&moved(&installation, &["--dry-run", "--from"], folder.path()));
    assert!(told.contains("1 recordings would be moved"), "{told}");
    assert_eq!(recordings(&there).await, []);

    // Broken off: the object in the middle cannot be read.
    let middle = chunks.len() / 2;
    let object = folder
        .path()
        .join("objects")
        .join(format!("recordings/{}/chunks/{middle:08}.m4s", recording.id));
    let bytes = std::fs::read(&object).unwrap();
    let mut damaged = bytes.clone();
    damaged[100] ^= 1;
    std::fs::write(&object, damaged).unwrap();
    let broken = moved(&installation, &["--from"], folder.path());
    let complaint = String::from_utf8_lossy(&broken.stderr);
    assert!(!broken.status.success() && complaint.contains("SHA-256"), "{complaint}");
    assert_eq!(recordings(&there).await, [], "rows come last");

    std::fs::write(&object, bytes).unwrap();
    let told = said(&moved(&installation, &["--from"], folder.path()));
    // The header and the chunks before it are there.
    let missing = chunks.len() - middle;
    assert!(told.contains(&format!("1 recordings moved ({missing} objects copied")), "{told}");
    assert!(told.contains("1 are busy") && told.contains("Going on"), "{told}");
    assert_eq!(recordings(&there).await[..], std::slice::from_ref(recording)[..]);
    assert_eq!(there.chunks(recording.id).await.unwrap(), chunks);
    assert_eq!(there.jobs(JobFilter::default(), None, 10).await.unwrap().len(), 1);

    let told = said(&moved(&installation, &["--from"], folder.path()));
    assert!(
        told.contains("0 recordings moved (0 objects") && told.contains("1 were there already")
    );

    // Deleted here once it was read back there; and back again.
    said(&moved(&installation, &["--delete", "--from"], folder.path()));
    let [left] = &recordings(&here).await[..] else { panic!("only the live one is left") };
    assert_eq!(left.title, "Going on");
    assert!(!object.exists());
    said(&moved(&installation, &["--to"], folder.path()));
    assert_eq!(here.chunks(recording.id).await.unwrap(), chunks);
    assert!(object.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rooms_of_one_name_are_told_apart_only_when_asked_to() {
    let installation = Installation::new();
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    for folder in &folders {
        imported(folder.path());
    }
    said(&moved(&installation, &["--from"], folders[0].path()));
    let refused = moved(&installation, &["--from"], folders[1].path());
    let complaint = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success());
    assert!(
        complaint.contains("short names imports") && complaint.contains("--rename"),
        "{complaint}"
    );
    let there = Db::open(&installation.database).await.unwrap();
    assert_eq!(recordings(&there).await.len(), 1);

    let told = said(&moved(&installation, &["--rename", "--from"], folders[1].path()));
    assert!(told.contains("imports-2"), "{told}");
    let slugs: Vec<_> = there.rooms().await.unwrap().into_iter().map(|room| room.slug).collect();
    assert_eq!(slugs, ["imports", "imports-2"]);
    assert_eq!(recordings(&there).await.len(), 2);
    let same = installation.data("nowhere");
    let nothing = moved(&installation, &["--from"], &same);
    assert!(String::from_utf8_lossy(&nothing.stderr).contains("neither a data folder"));
}
