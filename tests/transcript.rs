//! `roomtape transcript`.

use std::path::Path;
use std::process::Output;

use models::db::Filter;
use models::edit::{Subject, Wanted};
use models::job::{Kind, Limits};
use models::transcript::MadeBy;
use models::{Db, RecordingId, Segment, Span, Ticks, WallMicros, Word};

use crate::support::data;
use crate::support::server::{SOON, program};

fn roomtape(home: &Path, args: &[&str]) -> Output {
    let mut command = program(home);
    servers::output(command.arg("transcript").args(args).arg("--data").arg(home), SOON).unwrap()
}

/// What it says, where it ends well.
fn says(home: &Path, args: &[&str]) -> String {
    let output = roomtape(home, args);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {complained}");
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// Why it refuses.
fn refuses(home: &Path, args: &[&str]) -> String {
    let output = roomtape(home, args);
    assert!(!output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stderr).trim_end().to_owned()
}

/// A word a second.
fn said(text: &str) -> Segment {
    let span = |at| Span::new(Ticks::from_secs(at), Ticks::from_secs(at + 1));
    let word =
        |(at, text): (u64, &str)| Word { span: span(at), text: text.into(), confidence: 0.9 };
    let words: Vec<_> = (0..).zip(text.split(' ')).map(word).collect();
    Segment {
        ordinal: 0,
        span: Span::new(Ticks::ZERO, Ticks::from_secs(words.len() as u64)),
        text: text.into(),
        speaker: None,
        confidence: 0.9,
        language: None,
        suppressed: None,
        words,
    }
}

/// Two complete versions and one that is growing.
async fn versions(db: &Db) -> RecordingId {
    let found = db.recordings(&Filter::default(), None, 1).await.unwrap();
    let (id, total, now) = (found[0].id, found[0].duration, WallMicros::now());
    let claimed = db.claim(&[Kind::Transcribe], Limits::default(), "test", 60_000, now).await;
    let (_, lease) = claimed.unwrap().expect("the import is to be transcribed");
    let made_by = MadeBy {
        engine: "whisper.cpp 1.8.3 (cpu)".into(),
        weights: "base.en".into(),
        weights_sha256: "ab".repeat(32),
        parameters: serde_json::Value::Null,
    };
    for text in ["they came to teh house", "they came to the old house"] {
        let begun = db.begin_transcript(&lease, id, false, &made_by, now).await.unwrap();
        db.commit_window(&lease, begun.id, total, &[said(text)], total, now).await.unwrap();
        db.complete_transcript(&lease, begun.id, now).await.unwrap();
    }
    db.begin_transcript(&lease, id, false, &made_by, now).await.unwrap();
    id
}

#[tokio::test]
async fn versions_are_listed_compared_promoted_and_rolled_back() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path();
    let mut import = program(home);
    import.args(["import", data("conversation.flac").to_str().unwrap(), "--data"]).arg(home);
    assert!(servers::status(&mut import, SOON).unwrap().success());
    let db = Db::open(&servers::pair(home).database).await.unwrap();
    let recording = versions(&db).await;
    let id = recording.to_string();

    let listed = says(home, &["list", &id]);
    let lines: Vec<_> = listed.lines().collect();
    assert_eq!(lines.len(), 4, "{listed}");
    assert!(lines[1].contains(" 1 ") && lines[1].contains("base.en"), "{listed}");
    assert!(lines[2].starts_with("shown  2 "), "{listed}");
    assert!(lines[3].contains("growing"), "{listed}");

    says(home, &["promote", &id, "1"]);
    assert!(says(home, &["list", &id]).lines().nth(1).unwrap().starts_with("shown  1 "));
    assert!(refuses(home, &["promote", &id, "3"]).contains("version 3 is still being made"));
    assert!(refuses(home, &["promote", &id, "7"]).contains("no such transcript"));
    let nobody = RecordingId::new().to_string();
    assert!(refuses(home, &["list", &nobody]).contains("no such recording"));

    let differ =
        "   0:03.000  they came to [-teh-] {+the old+} house\n4 words the same, 1 removed, 2 added";
    assert_eq!(says(home, &["diff", &id, "1", "2"]).trim(), differ.trim());
    let coloured = says(home, &["diff", &id, "1", "2", "--color", "always"]);
    assert!(coloured.contains("\u{1b}[32mthe old\u{1b}[0m"), "{coloured}");
    assert!(refuses(home, &["diff", &id, "1", "8"]).contains("no version 8"));

    assert_eq!(says(home, &["edits", &id]), "no edits");
    let fix = Wanted {
        subject: Subject::Words(Span::new(Ticks::from_secs(3), Ticks::from_secs(4))),
        version: None,
        replaced: "teh".into(),
        text: "the".into(),
        made_by: "Ada".into(),
    };
    db.make_edit(recording, &fix, WallMicros::now()).await.unwrap();
    let edits = says(home, &["edits", &id]);
    assert!(
        edits.contains("“teh”") && edits.contains("“the”") && edits.ends_with("Ada"),
        "{edits}"
    );
    says(home, &["undo", &id, "1"]);
    assert_eq!(says(home, &["edits", &id]), "no edits");
    assert!(refuses(home, &["undo", &id, "1"]).contains("no such edit"));
    db.close().await;
}
