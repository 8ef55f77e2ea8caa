//! The worker with a real database, store and model.

use crate::support::house::{House, chunks};
use crate::support::{check_order, packets, truth};
use models::batch::{self, NewBatch};
use models::job::{self, Kind, Lease, Limits};
use models::transcript::State;
use models::{Db, Job, Segment, WallMicros};
use roomtape_transcribe::score::{Score, Transcript, score};
use roomtape_transcribe::weights::Weights;

fn near(segments: &[Segment]) -> Score {
    check_order(segments);
    let transcript = Transcript { segments: segments.iter().map(Into::into).collect() };
    score(&truth(), &transcript)
}

/// The one job that there is to claim; `None` too where somebody writes to its row this moment.
async fn claim(db: &Db, worker: &str, lease_ms: i64, now: WallMicros) -> Option<(Job, Lease)> {
    let kinds = [Kind::Transcribe];
    db.claim(&kinds, Limits::default(), worker, lease_ms, now).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_finished_recording_gets_its_words() {
    let house = House::new().await;
    let id = house.finished("room", &packets()).await;
    let worker = house.work("one");
    let (transcript, segments) = house.words(id).await;
    worker.shut_down().await;

    let score = near(&segments);
    assert!(score.word_error_rate <= 0.014, "{score}");
    assert!(score.clause_start_max_s <= 0.15 && score.word_start_max_s <= 0.4, "{score}");
    assert_eq!((transcript.version, transcript.promoted), (1, true));
    assert_eq!(transcript.covered, house.db.recording(id).await.unwrap().duration);
    assert!(transcript.made_by.engine.starts_with("whisper.cpp 1."), "{:?}", transcript.made_by);
    let jobs = house.db.jobs_of(id).await.unwrap();
    let done = jobs.iter().find(|job| job.kind == Kind::Transcribe).unwrap();
    assert_eq!(
        (done.state, done.done, done.error.as_deref()),
        (job::State::Done, transcript.covered, None)
    );
    assert_eq!(done.done, done.total);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_worker_goes_on_where_it_was() {
    let house = House::new().await;
    let id = house.finished("room", &packets()).await;
    let first = house.work("killed");
    let begun = async |db: &Db| {
        let transcript = db.transcript_version(id, Some(1)).await.unwrap()?;
        let segments = db.segments(transcript.id, 0).await.unwrap();
        (segments.len() > 5).then_some(transcript)
    };
    house.until("under way", begun).await;
    first.kill().await;

    let left = house.db.transcript_version(id, Some(1)).await.unwrap().unwrap();
    let kept = house.db.segments(left.id, 0).await.unwrap();
    assert_eq!(left.state, State::Running);
    // Half a minute later the lease has run out, and whoever comes first has the job.
    let later = WallMicros::now().plus_millis(40_000);
    let (job, lease) = claim(&house.db, "finder", 1_000, later).await.unwrap();
    assert_eq!((job.recording_id, job.done), (id, left.covered));
    house.db.release_job(&lease, WallMicros::now()).await.unwrap();

    let second = house.work("second");
    let (transcript, segments) = house.words(id).await;
    second.shut_down().await;
    assert_eq!(transcript.id, left.id, "the same version goes on");
    assert_eq!(segments[..kept.len()], kept, "what was there is left as it is");
    let score = near(&segments);
    assert!(score.word_error_rate <= 0.014, "{score}");
    assert!(score.word_start_max_s <= 0.4, "{score}");
    assert_eq!(house.db.transcripts(id).await.unwrap().last().unwrap().version, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_ends_gives_its_job_back_at_once() {
    let house = House::new().await;
    let id = house.finished("room", &packets()).await;
    let worker = house.work("ends");
    let begun = async |db: &Db| {
        let transcript = db.transcript_version(id, Some(1)).await.unwrap()?;
        (transcript.covered > models::Ticks::ZERO).then_some(())
    };
    house.until("under way", begun).await;
    worker.shut_down().await;
    let jobs = house.db.jobs_of(id).await.unwrap();
    let job = jobs.iter().find(|job| job.kind == Kind::Transcribe).unwrap();
    let left = house.db.transcript_version(id, Some(1)).await.unwrap().unwrap();
    assert_eq!((job.state, job.attempt, job.error.as_deref()), (job::State::Ready, 0, None));
    assert_eq!((job.done, left.state), (left.covered, State::Running));
    assert!(job.done < job.total, "it was given back in the middle");
    // The next one has not to wait for anything.
    let (next, _) = claim(&house.db, "next", 1_000, WallMicros::now()).await.unwrap();
    assert_eq!((next.id, next.attempt), (job.id, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_lost_its_lease_writes_nothing_more() {
    let house = House::new().await;
    let all = packets();
    // Long enough not to be done before anybody can steal it.
    let long: Vec<_> = all.iter().cycle().take(6 * all.len()).cloned().collect();
    let stolen = house.finished("stolen", &long).await;
    let worker = house.work("slow");
    let running = async |db: &Db| {
        let jobs = db.jobs_of(stolen).await.unwrap();
        let job = jobs.into_iter().find(|job| job.kind == Kind::Transcribe)?;
        (job.state == job::State::Running).then_some(())
    };
    house.until("claimed", running).await;
    let steal = async |db: &Db| {
        let later = WallMicros::now().plus_millis(40_000);
        claim(db, "thief", 600_000, later).await
    };
    let (_, lease) = house.until("stolen", steal).await;
    let covered = async || {
        let version = house.db.transcript_version(stolen, Some(1)).await.unwrap();
        version.map(|version| version.covered)
    };
    let before = covered().await;
    // There is one place for finished recordings: the next job is done only after the worker has
    // let go of the first.
    let next = house.finished("next", &all[..400]).await;
    house.words(next).await;
    assert_eq!(covered().await, before);
    let job = house.db.job(lease.job_id).await.unwrap();
    assert_eq!(job.lease.map(|(owner, _)| owner).as_deref(), Some("thief"));
    worker.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_room_gets_words_chunk_by_chunk_and_all_of_them_when_it_ends() {
    let house = House::new().await;
    let id = house.live("room").await;
    let worker = house.work("one");
    let all = packets();
    let mut seen: Vec<Segment> = Vec::new();
    let mut grew = 0;
    for packets in chunks(&all) {
        house.add_chunk(id, packets).await;
        let caught_up = async |db: &Db| {
            let jobs = db.jobs_of(id).await.unwrap();
            jobs.iter().all(|job| job.state == job::State::Done).then_some(())
        };
        house.until("caught up", caught_up).await;
        let shown = house.db.transcript_version(id, None).await.unwrap().unwrap();
        assert_eq!((shown.version, shown.promoted), (0, true));
        let segments = house.db.segments(shown.id, 0).await.unwrap();
        assert_eq!(segments[..seen.len()], seen, "words that were shown stay");
        grew += usize::from(segments.len() > seen.len());
        seen = segments;
    }
    assert!(grew >= 12, "words came in {grew} portions for {} chunks", chunks(&all).count());
    check_order(&seen);
    house.end(id).await;
    let (transcript, segments) = house.words(id).await;
    worker.shut_down().await;
    assert_eq!((transcript.version, transcript.promoted), (1, true));
    let score = near(&segments);
    assert!(score.word_error_rate <= 0.014, "{score}");
    let versions = house.db.transcripts(id).await.unwrap();
    let states: Vec<_> = versions.iter().map(|v| (v.version, v.state, v.promoted)).collect();
    assert_eq!(states, [(0, State::Complete, false), (1, State::Complete, true)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_live_rooms_and_a_finished_recording_all_move_on() {
    let house = House::new().await;
    let all = packets();
    let (left, right) = (house.live("left").await, house.live("right").await);
    let over = house.finished("over", &all).await;
    let worker = house.work("one");
    let half = &all[..all.len() / 2];
    for packets in chunks(half) {
        house.add_chunk(left, packets).await;
        house.add_chunk(right, packets).await;
    }
    for live in [left, right] {
        let words = async |db: &Db| {
            let shown = db.transcript_version(live, None).await.unwrap()?;
            (shown.covered.as_millis() > 40_000).then_some(())
        };
        house.until("written while live", words).await;
    }
    let (_, segments) = house.words(over).await;
    worker.shut_down().await;
    assert!(near(&segments).word_error_rate <= 0.014);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_chunk_costs_its_own_words_only() {
    let house = House::new().await;
    let all = packets();
    let id = house.finished("room", &all).await;
    house.damage(id, 10).await;
    let worker = house.work("one");
    let (transcript, segments) = house.words(id).await;
    worker.shut_down().await;
    assert_eq!(transcript.covered, house.db.recording(id).await.unwrap().duration);
    let score = near(&segments);
    assert!(score.word_error_rate > 0.02 && score.word_error_rate < 0.09, "{score}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_there_is_not_made_again_and_other_weights_are_left_to_others() {
    let house = House::new().await;
    let all = packets();
    let id = house.finished("room", &all[..800]).await;
    let worker = house.work("one");
    let (first, _) = house.words(id).await;
    let demo = Weights::demo();
    let ours = job::Weights { name: demo.name, sha256: demo.sha256 };
    let others = job::Weights { name: "small.en".into(), sha256: "ab".repeat(32) };
    let batch = async |weights: &job::Weights| {
        let (filter, class) = ("all".to_owned(), job::Class::Batch);
        let new = NewBatch { filter, weights: weights.clone(), class, promote: true };
        house.db.create_batch(&new, &[id], WallMicros::now()).await.unwrap().0.id
    };
    let (left, done) = (batch(&others).await, batch(&ours).await);
    let is_done =
        async |db: &Db| (db.batch(done).await.unwrap().state == batch::State::Done).then_some(());
    house.until("found to be there", is_done).await;
    assert_eq!(
        house.db.transcripts(id).await.unwrap(),
        std::slice::from_ref(&first),
        "nothing was made"
    );
    let job = &house.db.jobs_of_batch(done, job::State::Done, 1).await.unwrap()[0];
    assert!(job.cost.as_ref().is_none_or(|cost| cost.windows == 0), "{:?}", job.cost);

    let cost = first.cost.expect("the worker told");
    assert!(cost.windows >= 1 && cost.wall_ms > 0, "{cost:?}");
    assert_eq!((cost.audio, cost.threads, cost.device.as_str()), (first.covered, 1, "cpu"));
    let known = house.db.transcribers().await.unwrap();
    assert_eq!((known.len(), known[0].name.as_str(), known[0].places), (1, "one", 1));
    assert!(known[0].alive_until > WallMicros::now());
    assert!(known[0].made_by.makes_the_same_as(&first.made_by.of_any()));
    // It had the time to take the other one too.
    let next = house.finished("next", &all[..400]).await;
    house.words(next).await;
    worker.shut_down().await;
    assert_eq!(house.db.batch(left).await.unwrap().progress.ready, 1);
    let gone = house.db.transcribers().await.unwrap()[0].alive_until;
    assert!(gone <= WallMicros::now(), "it said that it leaves");
}
