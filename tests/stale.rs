//! A worker that is stopped past its lease, replaced, and then goes on.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Instant;

use models::db::JobFilter;
use models::job::{Class, Kind, Limits, State};
use models::{Db, Job, RecordingId, Segment, Transcript, WallMicros};

use crate::support::server::{PROGRAM, SOON};
use crate::support::words::score_of;
use crate::support::{data, secs, until};

/// `roomtape transcribe` as a process of its own, with a lease of two seconds.
struct Worker {
    process: servers::Process,
    log: Receiver<String>,
}

impl Worker {
    fn start(folder: &Path, database: &str, name: &str) -> Self {
        let mut command = Command::new(PROGRAM);
        command
            .args(["transcribe", "--weights", "demo", "--threads", "1", "--health", "off"])
            .args(["--worker-name", name, "--data"])
            .arg(folder)
            .args(["--database", database])
            .env("ROOMTAPE_LEASE_S", "2")
            .env("ROOMTAPE_LOG", "info")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut process = servers::Process::start(name, &mut command).unwrap();
        let lines = BufReader::new(process.stderr().unwrap());
        let (said, log) = mpsc::channel();
        thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                let _ = said.send(line);
            }
        });
        Self { process, log }
    }

    fn signal(&self, signal: &str) {
        self.process.signal(signal);
    }

    /// Waits until it says `what`.
    fn says(&self, what: &str) {
        let deadline = Instant::now() + SOON;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.log.recv_timeout(left);
            let line = line.unwrap_or_else(|_| panic!("waited in vain for it to say {what}"));
            if line.contains(what) {
                return;
            }
        }
    }

    /// Ends it as a service manager does.
    fn terminate(mut self) {
        self.signal("-TERM");
        assert!(self.process.wait(SOON).success());
    }
}

/// Everything a worker may write.
#[derive(Debug, PartialEq)]
struct Rows {
    jobs: Vec<Job>,
    transcripts: Vec<Transcript>,
    segments: Vec<Segment>,
}

async fn rows(db: &Db, id: RecordingId) -> Rows {
    let transcripts = db.transcripts(id).await.unwrap();
    let segments = match transcripts.last() {
        Some(last) => db.segments(last.id, 0).await.unwrap(),
        None => Vec::new(),
    };
    Rows { jobs: db.jobs_of(id).await.unwrap(), transcripts, segments }
}

/// Stops the worker in the middle of its job. One that holds the database at that moment goes on and
/// is stopped again: with it stopped nobody could write at all.
async fn stop_at_work(worker: &Worker, db: &Db, id: RecordingId) -> Rows {
    loop {
        worker.signal("-STOP");
        // Locks all that the worker may have locked, and changes nothing: the job is there.
        let probe = db.enqueue(Kind::Transcribe, Class::Fresh, id, WallMicros::now());
        if tokio::time::timeout(secs(1), probe).await.is_ok() {
            let rows = rows(db, id).await;
            let [job] = &rows.jobs[..] else { panic!("one job: {:?}", rows.jobs) };
            assert_eq!(job.state, State::Running, "stopped too late: {job:?}");
            return rows;
        }
        worker.signal("-CONT");
    }
}

#[tokio::test]
async fn a_worker_stopped_past_its_lease_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = format!("sqlite:{}", dir.path().join("rows.db").display());
    stop_and_go_on(dir.path(), &file).await;
}

#[tokio::test]
async fn nor_does_it_on_postgresql() {
    let dir = tempfile::tempdir().unwrap();
    let database = servers::postgres().new_database();
    Db::migrate(&database).await.unwrap();
    stop_and_go_on(dir.path(), &database).await;
}

async fn stop_and_go_on(folder: &Path, database: &str) {
    let mut import = Command::new(PROGRAM);
    import.args(["import", "--database", database, "--data"]).arg(folder);
    let imported = servers::status(import.arg(data("conversation.flac")), SOON);
    assert!(imported.unwrap().success());
    let db = Db::open(database).await.unwrap();
    let jobs = db.jobs(JobFilter::default(), None, 10).await.unwrap();
    let [job] = &jobs[..] else { panic!("one job: {jobs:?}") };
    let id = job.recording_id;

    let first = Worker::start(folder, database, "first");
    until("the first words", secs(60), || async {
        let rows = rows(&db, id).await;
        (!rows.segments.is_empty()).then_some(())
    })
    .await;
    let left = stop_at_work(&first, &db, id).await;
    assert!(left.jobs[0].lease.as_ref().is_some_and(|(worker, _)| worker.starts_with("first:")));
    assert!(left.jobs[0].done < left.jobs[0].total);

    let second = Worker::start(folder, database, "second");
    let done = until("the second to finish", secs(120), || async {
        let rows = rows(&db, id).await;
        (rows.jobs[0].state == State::Done).then_some(rows)
    })
    .await;
    assert!(done.jobs[0].token > left.jobs[0].token);
    assert_eq!(done.segments[..left.segments.len()], left.segments, "it went on from there");
    let score = score_of(done.segments.iter().map(Into::into).collect(), 1);
    assert!(score.word_error_rate <= 0.014, "{score}");

    // The first wakes up in the middle of a window. When it has noticed, and when it has ended, all
    // is as it was.
    first.signal("-CONT");
    first.says("no longer ours");
    assert_eq!(rows(&db, id).await, done);
    first.terminate();
    second.terminate();
    assert_eq!(rows(&db, id).await, done);
    let kinds = [Kind::Transcribe, Kind::TranscribeLive];
    let far = WallMicros::now().plus_millis(3_600_000);
    assert!(db.claim(&kinds, Limits::default(), "nobody", 1, far).await.unwrap().is_none());
}
