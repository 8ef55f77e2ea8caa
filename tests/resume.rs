//! What a crash of a worker costs.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;

use models::transcript::State;
use models::{Db, Recording, Span, Transcript};

use crate::support::media::ffmpeg;
use crate::support::server::program;
use crate::support::words::score_of;
use crate::support::{data, secs, until};

/// Longer than the slowest machine takes.
const PATIENCE: std::time::Duration = secs(400);

/// The conversation so many times over.
const TIMES: usize = 6;

/// A worker that reads two windows at a time where that is faster, and whose log, line by line JSON, tells which windows it read.
fn worker(home: &Path, log: &Path) -> servers::Process {
    let mut command = program(home);
    command.args(["transcribe", "--weights", "demo", "--threads", "2", "--health", "off"]);
    command.arg("--log-json").arg("--data").arg(home);
    // A worker that is killed is missed soon.
    command.env("ROOMTAPE_LEASE_S", "2").env("ROOMTAPE_LOG", "roomtape_transcribe=debug,info");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(log).unwrap());
    servers::Process::start("roomtape transcribe", &mut command).unwrap()
}

/// The windows that were read according to a log: where they begin and end.
fn windows(log: &Path) -> Vec<(u64, u64)> {
    let text = std::fs::read_to_string(log).unwrap();
    // The last line may be half written.
    let lines = text.lines().filter_map(|line| serde_json::from_str(line).ok());
    let read = lines.filter_map(|line: serde_json::Value| {
        let fields = &line["fields"];
        (fields["message"] == "a window was read")
            .then(|| (fields["from_ms"].as_u64().unwrap(), fields["to_ms"].as_u64().unwrap()))
    });
    read.collect()
}

/// The recording and its only version, once that is written as far as `far` asks.
async fn written(
    db: &Db,
    far: impl Fn(&Recording, &Transcript) -> bool,
) -> (Recording, Transcript) {
    until("words", PATIENCE, || async {
        let recordings = db.recordings(&models::db::Filter::default(), None, 1).await.unwrap();
        let recording = recordings.into_iter().next()?;
        let transcript = db.transcript_version(recording.id, Some(1)).await.unwrap()?;
        far(&recording, &transcript).then_some((recording, transcript))
    })
    .await
}

#[tokio::test]
async fn what_a_worker_killed_half_way_has_read_is_not_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path();
    let (long, source) = (home.join("long.flac"), data("conversation.flac"));
    let again = (TIMES - 1).to_string();
    let file = long.to_str().unwrap();
    ffmpeg(&["-stream_loop", &again, "-i", source.to_str().unwrap(), file]);
    let mut import = program(home);
    import.args(["import", "--data"]).arg(home).arg(&long);
    assert!(servers::output(&mut import, PATIENCE).unwrap().status.success());
    let db = Db::open(&servers::pair(home).database).await.unwrap();

    let (first_log, second_log) = (home.join("first.log"), home.join("second.log"));
    let first = worker(home, &first_log);
    let (recording, _) =
        written(&db, |recording, words| words.covered.0 * 2 >= recording.duration.0).await;
    // At the worst moment: something was read that cannot be written down yet.
    until("a window read early", PATIENCE, || async {
        let (_, words) = written(&db, |_, _| true).await;
        let late = words.covered.0 * 5 >= recording.duration.0 * 4;
        (late || !db.kept_ahead(words.id).await.unwrap().is_empty()).then_some(())
    })
    .await;
    first.kill();
    let (_, left) = written(&db, |_, _| true).await;
    let early = db.kept_ahead(left.id).await.unwrap();
    assert_eq!(left.state, State::Running, "it was killed in the middle");

    let _second = worker(home, &second_log);
    let (_, whole) = written(&db, |_, words| words.state == State::Complete).await;
    assert_eq!(
        (whole.id, whole.covered),
        (left.id, recording.duration),
        "the same version goes on"
    );

    let (before, after) = (windows(&first_log), windows(&second_log));
    println!(
        "{} windows read, {:.0} % of the recording written, {} windows kept; {} read after that",
        before.len(),
        left.covered.0 as f64 * 100.0 / recording.duration.0 as f64,
        early.len(),
        after.len()
    );
    assert!(before.len() >= TIMES * 3 && !after.is_empty(), "{before:?} {after:?}");
    // Who goes on may cut a frame or two elsewhere: that is no window.
    let both = |a: (u64, u64), b: (u64, u64)| a.1.min(b.1).saturating_sub(a.0.max(b.0)) > 100;
    let again = |windows: &[(u64, u64)]| {
        let read = |window: &&(u64, u64)| windows.iter().any(|first| both(*first, **window));
        after.iter().filter(read).copied().collect::<Vec<_>>()
    };
    let ms = |span: Span| (span.start.as_millis(), span.end.as_millis());
    let mut safe: Vec<_> = early.into_iter().map(|(span, _)| ms(span)).collect();
    safe.push((0, left.covered.as_millis()));
    assert_eq!(again(&safe), [], "kept, and read again");
    // What it was about to write: with two at a time one, or at the very worst the other one too.
    let lost = again(&before);
    println!("read again: {lost:?}");
    assert!(lost.len() <= 2, "{lost:?} of {before:?}");

    let segments = db.segments(whole.id, 0).await.unwrap();
    let score = score_of(segments.iter().map(Into::into).collect(), TIMES);
    assert!(score.word_error_rate <= 0.014, "{score}");
}
