//! `roomtape reprocess`.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use models::batch::State;
use models::job::State as Job;
use models::transcript::State as Words;
use models::{Batch, Db};

use crate::support::media::ffmpeg;
use crate::support::server::{SOON, program};
use crate::support::words::score_of;
use crate::support::{data, secs, until};

/// Longer than the slowest machine takes.
const PATIENCE: Duration = secs(400);

fn command(home: &Path, args: &[&str]) -> Command {
    let mut command = program(home);
    command.args(args).args(["--weights", "demo", "--data"]).arg(home);
    // A worker that is killed is missed soon.
    command.env("ROOMTAPE_LEASE_S", "2").stdin(Stdio::null());
    command
}

fn roomtape(home: &Path, args: &[&str]) -> Output {
    servers::output(&mut command(home, args), SOON).unwrap()
}

/// What it says, where it ends well.
fn says(home: &Path, args: &[&str]) -> String {
    let output = roomtape(home, args);
    let (said, complained) = (&output.stdout, String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{args:?}: {complained}");
    String::from_utf8_lossy(said).trim_end().to_owned()
}

/// The conversation, and so many pieces of it of half a minute, imported into a room each; their words
/// are not made yet.
async fn imported(home: &Path, pieces: usize) -> Db {
    let whole = data("conversation.flac");
    says(home, &["import", "--room", "whole", whole.to_str().unwrap()]);
    for piece in 0..pieces {
        let file = home.join(format!("piece {piece}.flac"));
        let begin = (piece * 15).to_string();
        ffmpeg(&["-ss", &begin, "-t", "30", "-i", whole.to_str().unwrap(), file.to_str().unwrap()]);
        says(home, &["import", "--room", &format!("piece-{piece}"), file.to_str().unwrap()]);
    }
    Db::open(&servers::pair(home).database).await.unwrap()
}

/// The only batch.
async fn batch(db: &Db) -> Option<Batch> {
    let batches = db.batches(None, 2).await.unwrap();
    assert!(batches.len() <= 1, "one batch: {batches:?}");
    batches.into_iter().next()
}

#[tokio::test]
async fn everything_is_transcribed_again_once_though_a_worker_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path();
    let db = imported(home, 3).await;
    let estimate = says(home, &["reprocess", "--where", "all", "--dry-run"]);
    assert!(estimate.starts_with("4 recordings to be transcribed"), "{estimate}");
    assert!(estimate.contains("not known yet"), "{estimate}");
    assert_eq!(batch(&db).await, None, "nothing was changed");

    let mut command = command(home, &["reprocess", "--where", "all", "--where", "longer=1s"]);
    let wrong = servers::output(&mut command, SOON).unwrap();
    let complaint = String::from_utf8_lossy(&wrong.stderr);
    assert!(!wrong.status.success() && complaint.contains("stands by itself"), "{complaint}");

    let mut command = self::command(home, &["reprocess", "--where", "longer=1s"]);
    let mut view =
        servers::Process::start("roomtape reprocess", command.stdout(Stdio::null())).unwrap();
    // The first is the longest; its first words are there.
    let worker = until("some of it to be done", PATIENCE, || async {
        let batch = batch(&db).await?;
        let running = db.jobs_of_batch(batch.id, Job::Running, 10).await.unwrap();
        let begun = running.iter().find(|job| job.done.0 > 0 && job.done < job.total)?;
        begun.lease.as_ref().map(|(worker, _)| worker.clone())
    })
    .await;
    let (_, pid) = worker.rsplit_once(':').unwrap();
    let killed = Command::new("kill").args(["-9", pid]).status().unwrap();
    assert!(killed.success());
    assert!(view.wait(PATIENCE).success());

    let done = batch(&db).await.unwrap();
    assert_eq!((done.state, done.progress.done), (State::Done, 4));
    let jobs = db.jobs_of_batch(done.id, Job::Done, 10).await.unwrap();
    let lost: i64 = jobs.iter().map(|job| job.token - 1).sum();
    assert!(lost >= 1, "another worker went on: {jobs:?}");
    for job in &jobs {
        let cost = job.cost.as_ref().expect("its worker told");
        assert!(cost.wall_ms > 0 && cost.device == "cpu", "{cost:?}");
        let versions = db.transcripts(job.recording_id).await.unwrap();
        let [version] = &versions[..] else { panic!("one version: {versions:?}") };
        assert_eq!((version.version, version.state, version.promoted), (1, Words::Complete, true));
        let recording = db.recording(job.recording_id).await.unwrap();
        assert_eq!(version.covered, recording.duration);
        assert!(version.cost.is_some());
    }
    let whole = db.transcript_version(jobs[0].recording_id, None).await.unwrap().unwrap();
    let segments = db.segments(whole.id, 0).await.unwrap();
    let score = score_of(segments.iter().map(Into::into).collect(), 1);
    assert!(score.word_error_rate <= 0.014, "{score}");
    let shown = says(home, &["jobs", "--state", "done"]);
    assert_eq!(shown.matches(" windows, ").count(), 4, "{shown}");

    // Asked again, there is nothing to do; and how long it would take is known.
    let again = says(home, &["reprocess", "--where", "longer=1s"]);
    assert!(again.starts_with("0 recordings") && again.ends_with("nothing to queue"), "{again}");
    assert!(again.contains("4 have been transcribed just so"), "{again}");
    assert_eq!(batch(&db).await, Some(done));
    let now = models::WallMicros::now();
    let outlook = db.outlook(&whole.made_by.weights_sha256, now).await.unwrap();
    // The one that was killed could not say so, and counts a while longer.
    let others = db.transcribers().await.unwrap().into_iter().filter(|other| other.name != worker);
    let staying: Vec<_> = others.filter(|other| other.alive_until > now).collect();
    assert!(staying.is_empty(), "the command's own has left: {staying:?}");
    assert!(outlook.time_ms(3_600_000).is_some_and(|ms| ms > 0));
}

#[tokio::test]
async fn a_batch_rests_and_is_cancelled_in_the_middle() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path();
    let db = imported(home, 2).await;
    let args = ["reprocess", "--where", "longer=1s", "--no-promote", "--detach"];
    let queued = says(home, &args);
    assert!(queued.contains("queued as") && queued.contains("no running worker"), "{queued}");
    let id = batch(&db).await.unwrap().id.to_string();
    let paused = says(home, &["reprocess", "pause", &id]);
    assert!(paused.contains("paused: 0 of 3 done"), "{paused}");
    let shown = says(home, &["jobs", "--state", "ready"]);
    assert_eq!(shown.matches("paused").count(), 3, "{shown}");
    let watched = says(home, &["reprocess", "watch", &id]);
    assert!(watched.contains(&format!("reprocess resume {id}")), "{watched}");
    says(home, &["reprocess", "resume", &id]);
    // Detached it is queued once too.
    assert!(says(home, &args).contains("3 wait or are being done"));

    let mut command = command(home, &["reprocess", "watch", &id]);
    let mut view =
        servers::Process::start("roomtape reprocess", command.stdout(Stdio::null())).unwrap();
    until("one of it to be done", PATIENCE, || async {
        (batch(&db).await?.progress.done > 0).then_some(())
    })
    .await;
    says(home, &["reprocess", "cancel", &id]);
    assert!(!view.wait(PATIENCE).success(), "not all of it was done");
    let cancelled = batch(&db).await.unwrap();
    let progress = cancelled.progress;
    assert_eq!((cancelled.state, progress.open()), (State::Cancelled, 0));
    assert_eq!(progress.done + progress.cancelled, 3);
    for job in db.jobs_of_batch(cancelled.id, Job::Done, 10).await.unwrap() {
        let versions = db.transcripts(job.recording_id).await.unwrap();
        assert_eq!((versions[0].state, versions[0].promoted), (Words::Complete, false));
    }
    let listed = says(home, &["reprocess", "list"]);
    assert!(listed.contains("cancelled") && listed.contains("not to be shown"), "{listed}");
    let refused = roomtape(home, &["reprocess", "resume", &id]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("the batch is cancelled"));
}
