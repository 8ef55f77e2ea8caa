use serde_json::json;

use super::queue::{enqueue_all, of_host};
use super::transcripts::{begin, commit};
use super::*;
use crate::batch::{NewBatch, Plan, Selection, State as Stands, Transcriber};
use crate::db::Claimant;
use crate::id::{BatchId, JobId};
use crate::job::{Cost, State as Job, Weights};
use crate::recording::EndReason;
use crate::transcript::MadeBy;

/// Weights that conformance cases know, by their first letter.
fn weights(letter: &str) -> Weights {
    Weights { name: format!("{letter}.en"), sha256: letter.repeat(64) }
}

fn new_batch(letter: &str) -> NewBatch {
    let (filter, class) = ("all".into(), Class::Batch);
    NewBatch { filter, weights: weights(letter), class, promote: true }
}

/// A batch of these recordings with the weights of that letter.
async fn batch(db: &Db, letter: &str, recordings: &[Recording]) -> BatchId {
    let ids: Vec<_> = recordings.iter().map(|recording| recording.id).collect();
    let (batch, rest) = db.create_batch(&new_batch(letter), &ids, at(0)).await.unwrap();
    db.add_to_batch(batch.id, rest, at(0)).await.unwrap();
    batch.id
}

/// Claims what a worker with the weights of that letter may, for 60 s.
async fn claim_with(db: &Db, letter: &str, now: WallMicros) -> Option<(crate::Job, Lease)> {
    let kinds = [Kind::TranscribeLive, Kind::Transcribe];
    let sha256 = weights(letter).sha256;
    let claimant =
        Claimant { name: "worker", kinds: &kinds, weights: Some(&sha256), only_asked: false };
    db.claim_as(claimant, Limits::default(), 60_000, now).await.unwrap()
}

async fn only_asked(db: &Db, letter: &str) -> Option<JobId> {
    let sha256 = weights(letter).sha256;
    let kinds = [Kind::TranscribeLive, Kind::Transcribe];
    let claimant =
        Claimant { name: "worker", kinds: &kinds, weights: Some(&sha256), only_asked: true };
    let claimed = db.claim_as(claimant, Limits::default(), 60_000, at(1)).await.unwrap();
    claimed.map(|(job, _)| job.id)
}

/// The jobs of a batch in this state, the oldest first.
async fn jobs(db: &Db, id: BatchId, state: Job) -> Vec<crate::Job> {
    db.jobs_of_batch(id, state, 100).await.unwrap()
}

pub(super) async fn weights_that_are_asked_for_are_waited_for(place: &Place) {
    let db = place.open().await;
    let ada = of_host(&db, "ada", 2).await;
    let x = batch(&db, "x", &ada).await;
    let asked = jobs(&db, x, Job::Ready).await;
    assert_eq!((asked.len(), asked[0].weights.clone()), (2, Some(weights("x"))));
    assert_eq!((asked[0].batch_id, asked[0].priority, asked[0].held), (Some(x), 10, false));
    assert!(claim(&db, at(1)).await.is_none(), "a worker that tells no weights");
    assert!(claim_with(&db, "y", at(1)).await.is_none(), "a worker that has others");
    let (first, lease) = claim_with(&db, "x", at(1)).await.unwrap();
    assert_eq!(first.id, asked[0].id);
    db.release_job(&lease, at(1)).await.unwrap();

    // What asks for none and is more urgent goes first; whoever does only what is asked passes it.
    let bob = enqueue_all(&db, &of_host(&db, "bob", 2).await).await;
    assert_eq!(only_asked(&db, "x").await, Some(first.id));
    assert_eq!(only_asked(&db, "y").await, None);
    let mut order = Vec::new();
    for _ in 0..3 {
        order.push(claim_with(&db, "x", at(2)).await.unwrap().0.id);
    }
    assert_eq!(order, [bob[0], bob[1], asked[1].id]);

    // Of the same class hosts take turns, whether they ask for weights or not; and a queue that
    // nobody serves does not put a new host before those of the others.
    let cleo = enqueue_all(&db, &of_host(&db, "cleo", 3).await).await;
    let dan = of_host(&db, "dan", 2).await;
    let fresh = NewBatch { class: Class::Fresh, ..new_batch("x") };
    let ids: Vec<_> = dan.iter().map(|recording| recording.id).collect();
    let dan = db.create_batch(&fresh, &ids, at(3)).await.unwrap().0.id;
    let dan: Vec<_> = jobs(&db, dan, Job::Ready).await.iter().map(|job| job.id).collect();
    let mut order = Vec::new();
    for _ in 0..4 {
        order.push(claim_with(&db, "x", at(3)).await.unwrap().0.id);
    }
    order.sort_unstable();
    let mut both = [cleo[0], cleo[1], dan[0], dan[1]];
    both.sort_unstable();
    assert_eq!(order, both);
}

pub(super) async fn a_recording_is_worked_on_once_at_a_time(place: &Place) {
    let handles = [place.open().await, place.open().await];
    let db = &handles[0];
    let recordings = of_host(db, "ada", 4).await;
    enqueue_all(db, &recordings).await;
    for letter in ["x", "y"] {
        batch(db, letter, &recordings).await;
    }
    for round in 0..3 {
        let workers: Vec<_> = (0..8)
            .map(|n| {
                let db = handles[n % 2].clone();
                let letter = ["x", "y"][n / 2 % 2];
                tokio::spawn(async move {
                    let mut mine = Vec::new();
                    while let Some(claimed) = claim_with(&db, letter, at(round)).await {
                        mine.push(claimed);
                    }
                    mine
                })
            })
            .collect();
        let mut got = Vec::new();
        for worker in workers {
            got.extend(worker.await.unwrap());
        }
        // A worker may find nothing because another was a moment faster; nobody finds more.
        while let Some(claimed) = claim_with(db, "x", at(round)).await {
            got.push(claimed);
        }
        while let Some(claimed) = claim_with(db, "y", at(round)).await {
            got.push(claimed);
        }
        let mut worked_on: Vec<_> = got.iter().map(|(job, _)| job.recording_id).collect();
        worked_on.sort_unstable();
        worked_on.dedup();
        assert_eq!((got.len(), worked_on.len()), (4, 4), "each recording once in round {round}");
        for (_, lease) in got {
            db.finish_job(&lease, at(round)).await.unwrap();
        }
    }
    assert!(
        claim_with(db, "x", at(9)).await.is_none() && claim_with(db, "y", at(9)).await.is_none()
    );
}

pub(super) async fn a_paused_batch_waits_and_goes_on(place: &Place) {
    let db = place.open().await;
    let id = batch(&db, "x", &of_host(&db, "ada", 3).await).await;
    let (done, lease) = claim_with(&db, "x", at(1)).await.unwrap();
    db.finish_job(&lease, at(1)).await.unwrap();
    let (begun, lease) = claim_with(&db, "x", at(2)).await.unwrap();
    let last = jobs(&db, id, Job::Ready).await.remove(0);

    let paused = db.pause_batch(id, at(3)).await.unwrap();
    assert_eq!((paused.state, paused.updated_at), (Stands::Paused, at(3)));
    let progress = paused.progress;
    assert_eq!((progress.ready, progress.running, progress.done), (2, 0, 1));
    assert!(is_lost(db.heartbeat(&lease, 60_000, at(4)).await), "what was worked on is taken back");
    assert!(claim_with(&db, "x", at(4)).await.is_none());
    assert_eq!(db.pause_batch(id, at(5)).await.unwrap(), paused);
    assert!(is_conflict(db.retry_job(begun.id, at(5)).await), "nothing of it begins by itself");
    // What is added meanwhile waits too.
    let late = of_host(&db, "bob", 1).await;
    assert_eq!(db.add_to_batch(id, &[late[0].id, late[0].id], at(5)).await.unwrap(), 1);
    db.close().await;

    let db = place.open().await;
    assert_eq!(db.batch(id).await.unwrap().state, Stands::Paused);
    assert!(claim_with(&db, "x", at(1_000)).await.is_none(), "also after a restart");
    let resumed = db.resume_batch(id, at(1_000)).await.unwrap();
    assert_eq!((resumed.state, resumed.progress.ready), (Stands::Running, 3));
    assert_eq!(db.resume_batch(id, at(1_001)).await.unwrap(), resumed);
    let mut order = Vec::new();
    while let Some((job, lease)) = claim_with(&db, "x", at(1_002)).await {
        assert_eq!(job.attempt, 1, "no attempt was lost");
        db.finish_job(&lease, at(1_002)).await.unwrap();
        order.push(job.id);
    }
    let place = |id: JobId| order.iter().position(|next| *next == id);
    assert_eq!((order.len(), place(done.id)), (3, None));
    assert!(place(begun.id) < place(last.id), "what was begun goes on first");
    let over = db.batch(id).await.unwrap();
    assert_eq!((over.state, over.progress.done), (Stands::Done, 4));
    for result in [db.pause_batch(id, at(9)).await, db.resume_batch(id, at(9)).await] {
        assert!(is_conflict(result), "it is done");
    }
    assert!(is_conflict(db.cancel_batch(id, at(9)).await), "it is done");
    assert_eq!(db.batches(None, 10).await.unwrap(), [over]);
}

pub(super) async fn a_paused_batch_holds_what_waits_to_be_tried_again(place: &Place) {
    let db = place.open().await;
    let id = batch(&db, "x", &of_host(&db, "ada", 2).await).await;
    let (failed, lease) = claim_with(&db, "x", at(0)).await.unwrap();
    db.fail_job(&lease, "no network", false, at(0)).await.unwrap();
    let (lost, _) = claim_with(&db, "x", at(0)).await.unwrap();
    let waits = db.job(failed.id).await.unwrap().run_after;
    assert!(waits > at(1));
    db.pause_batch(id, at(1)).await.unwrap();
    assert!(claim_with(&db, "x", at(600)).await.is_none(), "neither backoff nor lease ends it");
    // Resumed before its time, it goes on waiting.
    db.resume_batch(id, at(1)).await.unwrap();
    let (next, _) = claim_with(&db, "x", at(1)).await.unwrap();
    assert_eq!((next.id, next.attempt), (lost.id, 1));
    assert!(claim_with(&db, "x", WallMicros(waits.0 - 1)).await.is_none());
    let (again, _) = claim_with(&db, "x", waits).await.unwrap();
    assert_eq!((again.id, again.attempt), (failed.id, 2));
}

pub(super) async fn a_cancelled_batch_is_over(place: &Place) {
    let db = place.open().await;
    let recordings = of_host(&db, "ada", 4).await;
    let id = batch(&db, "x", &recordings).await;
    let other = batch(&db, "y", &recordings).await;
    let (_, lease) = claim_with(&db, "x", at(1)).await.unwrap();
    db.finish_job(&lease, at(1)).await.unwrap();
    let (begun, lease) = claim_with(&db, "x", at(1)).await.unwrap();
    db.pause_batch(id, at(2)).await.unwrap();
    let cancelled = db.cancel_batch(id, at(3)).await.unwrap();
    let progress = cancelled.progress;
    assert_eq!(cancelled.state, Stands::Cancelled);
    assert_eq!((progress.done, progress.cancelled, progress.open()), (1, 3, 0));
    assert_eq!(db.cancel_batch(id, at(4)).await.unwrap(), cancelled);
    assert!(is_lost(db.finish_job(&lease, at(4)).await));
    assert!(claim_with(&db, "x", at(1_000)).await.is_none());
    for result in [db.pause_batch(id, at(5)).await, db.resume_batch(id, at(5)).await] {
        assert!(is_conflict(result), "it is cancelled");
    }
    assert!(is_conflict(db.add_to_batch(id, &[recordings[0].id], at(5)).await));
    assert_eq!(db.batch(other).await.unwrap().progress.ready, 4, "others are left alone");
    // One of its jobs may be tried again all the same.
    db.retry_job(begun.id, at(6)).await.unwrap();
    assert_eq!(claim_with(&db, "x", at(6)).await.unwrap().0.id, begun.id);

    // More than one transaction makes are all made.
    let many = of_host(&db, "bob", 450).await;
    let many = batch(&db, "z", &many).await;
    assert_eq!(db.batch(many).await.unwrap().progress.ready, 450);

    let nobody = BatchId::new();
    for result in [db.batch(nobody).await, db.pause_batch(nobody, at(7)).await] {
        assert!(matches!(result, Err(Error::NotFound { what: "batch" })));
    }
}

/// What makes words with the weights of that letter, of no audio in particular.
fn by(letter: &str, engine: &str) -> MadeBy {
    MadeBy {
        engine: engine.into(),
        weights: weights(letter).name,
        weights_sha256: weights(letter).sha256,
        parameters: json!({"language": "en"}),
    }
}

/// An ended recording of 40 s in a room of its own.
async fn ended(db: &Db, slug: &str) -> Recording {
    let id = recording(db, slug, State::Importing).await.id;
    add_chunks(db, id, 0..10).await;
    db.end_recording(id, EndReason::Imported, at(20)).await.unwrap();
    db.recording(id).await.unwrap()
}

/// Makes a complete version of a claimed job's recording.
async fn transcribe(db: &Db, (job, lease): &(crate::Job, Lease), made_by: &MadeBy) {
    let id = job.recording_id;
    let made_by =
        made_by.clone().of(&db.chunks(id).await.unwrap(), &db.vocabulary(id).await.unwrap());
    let begun = db.begin_transcript(lease, id, false, &made_by, at(21)).await.unwrap();
    commit(db, lease, begun.id, 40, &[]).await.unwrap();
    db.complete_transcript(lease, begun.id, at(22)).await.unwrap();
    db.finish_job(lease, at(22)).await.unwrap();
}

async fn plan(db: &Db, terms: &str, letter: &str, now: WallMicros) -> Plan {
    let selection: Selection = terms.parse().unwrap();
    db.plan(&selection, &weights(letter), now).await.unwrap()
}

fn counts(plan: &Plan) -> (usize, u64, u64) {
    (plan.wanted.len(), plan.done, plan.open)
}

pub(super) async fn what_has_been_done_or_waits_is_not_done_again(place: &Place) {
    let db = place.open().await;
    let (a, b) = (ended(&db, "a").await, ended(&db, "b").await);
    recording(&db, "live", State::Live).await;
    let first = plan(&db, "all", "x", at(30)).await;
    assert_eq!(first.wanted, [a.id, b.id], "those that are over, the oldest first");
    assert_eq!((first.audio, first.found()), (Ticks::from_secs(80), 2));

    // A job that asks for nothing is not one that asks for these weights.
    db.create_batch(&new_batch("x"), &first.wanted[..1], at(30)).await.unwrap();
    assert_eq!(counts(&plan(&db, "all", "x", at(30)).await), (1, 0, 1));
    assert_eq!(counts(&plan(&db, "all", "y", at(30)).await), (2, 0, 0));
    while let Some(claimed) = claim(&db, at(30)).await {
        transcribe(&db, &claimed, &by("y", "e1")).await;
    }
    let claimed = claim_with(&db, "x", at(30)).await.unwrap();
    transcribe(&db, &claimed, &by("x", "e1")).await;
    assert_eq!(counts(&plan(&db, "all", "x", at(30)).await), (1, 1, 0));
    assert_eq!(counts(&plan(&db, "all", "y", at(30)).await), (0, 2, 0));
    // Nor are the words the same where the engine is told of others.
    let room = db.room(db.recording(claimed.0.recording_id).await.unwrap().room_id).await.unwrap();
    db.update_room(&Room { glossary: "kWh".into(), ..room.clone() }).await.unwrap();
    assert_eq!(counts(&plan(&db, "all", "x", at(30)).await), (2, 0, 0));
    db.update_room(&room).await.unwrap();
    assert_eq!(counts(&plan(&db, "all", "x", at(30)).await), (1, 1, 0));

    // Another engine makes other words; the last one counts where none lives.
    let tell = async |name: &str, engine: &str, until: i64| {
        let (name, made_by) = (name.to_owned(), by("y", engine));
        let worker = Transcriber { name, made_by, places: 2, alive_until: at(until) };
        db.tell_transcriber(&worker, at(until)).await.unwrap();
    };
    tell("old", "e1", 40).await;
    assert_eq!(counts(&plan(&db, "all", "y", at(50)).await), (0, 2, 0));
    tell("new", "e2", 41).await;
    assert_eq!(counts(&plan(&db, "all", "y", at(50)).await), (2, 0, 0));
    assert_eq!(counts(&plan(&db, "all", "y", at(39)).await), (0, 2, 0), "both live");

    // So does other audio.
    let lost = db.chunks(b.id).await.unwrap()[9].clone();
    let mut tx = db.begin("lose a chunk").await.unwrap();
    let sql = "DELETE FROM chunks WHERE recording_id = $1 AND seq = $2";
    run!(tx, "lose a chunk", sql, b.id.0, i64::from(lost.seq)).unwrap();
    tx.commit().await.unwrap();
    assert_eq!(plan(&db, "all", "y", at(39)).await.wanted, [b.id]);
}

pub(super) async fn terms_select_recordings(place: &Place) {
    let db = place.open().await;
    let (a, b) = (ended(&db, "a").await, ended(&db, "b").await);
    let claimed = claim(&db, at(30)).await.unwrap();
    assert_eq!(claimed.0.recording_id, a.id);
    transcribe(&db, &claimed, &by("x", "e")).await;
    let chosen = async |terms: &str| plan(&db, terms, "z", at(30)).await.wanted;
    assert_eq!(chosen("all").await, [a.id, b.id]);
    assert_eq!(chosen("room=b").await, [b.id]);
    assert_eq!(chosen("room=b,room=a").await, [a.id, b.id]);
    assert_eq!(chosen(&format!("id={}", a.id)).await, [a.id]);
    assert_eq!(chosen(&format!("id={},room=b", a.id)).await, []);
    assert_eq!(chosen("weights!=x.en").await, [b.id]);
    assert_eq!(chosen("weights=x.en").await, [a.id]);
    assert_eq!(chosen(&format!("weights={}", weights("x").sha256)).await, [a.id]);
    assert_eq!(chosen("weights!=y.en").await, [a.id, b.id]);
    assert_eq!(chosen("version<1").await, [b.id]);
    assert_eq!(chosen("version<2").await, [a.id, b.id]);
    assert_eq!(chosen("longer=39s,shorter=41s").await, [a.id, b.id]);
    assert_eq!(chosen("longer=40s").await, []);
    assert_eq!(chosen("shorter=40s").await, []);
    // The recordings are of 2023-11-14 in the evening, as the tests' clock has it.
    assert_eq!(chosen("from=2023-11-14,to=2023-11-14").await, [a.id, b.id]);
    assert_eq!(chosen("from=2023-11-15").await, []);
    assert_eq!(chosen("to=2023-11-13").await, []);
    // What is pasted into SQL elsewhere is a text here.
    assert_eq!(chosen("weights=x' OR 1=1 --").await, []);
    for wrong in
        ["room=nowhere".to_owned(), format!("id={}", recording(&db, "l", State::Live).await.id)]
    {
        let selection: Selection = wrong.parse().unwrap();
        assert!(is_conflict(db.plan(&selection, &weights("z"), at(30)).await), "{wrong}");
    }
    let nobody: Selection = format!("id={}", RecordingId::new()).parse().unwrap();
    let refused = db.plan(&nobody, &weights("z"), at(30)).await;
    assert!(matches!(refused, Err(Error::NotFound { what: "recording" })));
}

fn cost(wall_ms: u64, secs: u64) -> Cost {
    let (audio, device) = (Ticks::from_secs(secs), "cpu".to_owned());
    Cost { wall_ms, audio, windows: 2, threads: 4, device }
}

pub(super) async fn what_a_job_took_adds_up(place: &Place) {
    let db = place.open().await;
    let id = ended(&db, "a").await.id;
    let (job, lease) = claim(&db, at(20)).await.unwrap();
    assert_eq!(job.cost, None);
    let begun = begin(&db, &lease, id).await;
    assert_eq!(begun.cost, None);
    db.spend(&lease, Some(begun.id), &cost(1_000, 10), at(21)).await.unwrap();
    db.release_job(&lease, at(21)).await.unwrap();
    assert!(is_lost(db.spend(&lease, Some(begun.id), &cost(1_000, 10), at(21)).await));
    let (_, lease) = claim(&db, at(22)).await.unwrap();
    db.spend(&lease, None, &cost(1, 0), at(23)).await.unwrap();
    db.spend(&lease, Some(begun.id), &cost(500, 30), at(23)).await.unwrap();
    let both = Cost { windows: 4, ..cost(1_500, 40) };
    let transcript = db.transcript_version(id, Some(1)).await.unwrap().unwrap();
    assert_eq!(transcript.cost, Some(both.clone()));
    let job = db.job(job.id).await.unwrap();
    assert_eq!(job.cost, Some(Cost { windows: 6, wall_ms: 1_501, ..both }));
}

pub(super) async fn a_version_may_be_made_without_being_shown(place: &Place) {
    let db = place.open().await;
    let id = ended(&db, "a").await.id;
    let claimed = claim(&db, at(20)).await.unwrap();
    transcribe(&db, &claimed, &by("x", "e")).await;
    for (letter, promote, shown) in [("y", false, 1), ("z", true, 3)] {
        let new = NewBatch { promote, ..new_batch(letter) };
        let (made, _) = db.create_batch(&new, &[id], at(30)).await.unwrap();
        assert_eq!((made.promote, made.state), (promote, Stands::Running));
        let claimed = claim_with(&db, letter, at(30)).await.unwrap();
        transcribe(&db, &claimed, &by(letter, "e")).await;
        assert_eq!(db.transcript_version(id, None).await.unwrap().unwrap().version, shown);
    }
    assert_eq!(db.transcripts(id).await.unwrap().len(), 3);
}

pub(super) async fn an_older_version_does_not_take_the_place_of_a_newer(place: &Place) {
    let db = place.open().await;
    let id = ended(&db, "a").await.id;
    let (first, lease) = claim(&db, at(20)).await.unwrap();
    begin(&db, &lease, id).await;
    batch(&db, "x", &[db.recording(id).await.unwrap()]).await;
    // The first one's worker is lost while the batch's job is done.
    let (_, urgent) = claim(&db, at(100)).await.unwrap();
    db.fail_job(&urgent, "no network", false, at(100)).await.unwrap();
    let claimed = claim_with(&db, "x", at(100)).await.unwrap();
    transcribe(&db, &claimed, &by("x", "e")).await;
    assert_eq!(db.transcript_version(id, None).await.unwrap().unwrap().version, 2);
    let (again, lease) = claim(&db, at(200)).await.unwrap();
    assert_eq!(again.id, first.id);
    let resumed = begin(&db, &lease, id).await;
    assert_eq!(resumed.version, 1, "it goes on with its own");
    db.complete_transcript(&lease, resumed.id, at(201)).await.unwrap();
    assert_eq!(db.transcript_version(id, None).await.unwrap().unwrap().version, 2);
}

pub(super) async fn versions_in_the_making_do_not_harm_each_other(place: &Place) {
    let db = place.open().await;
    let id = ended(&db, "a").await.id;
    let (_, lease) = claim(&db, at(20)).await.unwrap();
    let ours = begin(&db, &lease, id).await;
    commit(&db, &lease, ours.id, 10, &[]).await.unwrap();
    batch(&db, "x", &[db.recording(id).await.unwrap()]).await;
    assert!(claim_with(&db, "x", at(21)).await.is_none(), "the recording is being worked on");
    db.fail_job(&lease, "no network", true, at(21)).await.unwrap();
    // Nobody goes on with what a dead job had begun: it is given up.
    let claimed = claim_with(&db, "x", at(21)).await.unwrap();
    transcribe(&db, &claimed, &by("x", "e")).await;
    let states: Vec<_> = db.transcripts(id).await.unwrap().iter().map(|v| v.state).collect();
    use crate::transcript::State as Words;
    assert_eq!(states, [Words::Failed, Words::Complete]);
}

pub(super) async fn how_long_it_takes_follows_from_what_was_done(place: &Place) {
    let db = place.open().await;
    let sha256 = |letter: &str| weights(letter).sha256;
    assert_eq!(db.outlook(&sha256("x"), at(30)).await.unwrap(), Default::default());
    ended(&db, "a").await;
    let (job, lease) = claim(&db, at(20)).await.unwrap();
    let made_by = by("x", "e");
    let begun =
        db.begin_transcript(&lease, job.recording_id, false, &made_by, at(21)).await.unwrap();
    db.spend(&lease, Some(begun.id), &cost(4_000, 40), at(22)).await.unwrap();
    for (name, until) in [("one", 60), ("two", 60), ("gone", 29)] {
        let (name, made_by) = (name.to_owned(), made_by.clone());
        let worker = Transcriber { name, made_by, places: 3, alive_until: at(until) };
        db.tell_transcriber(&worker, at(20)).await.unwrap();
    }
    let outlook = db.outlook(&sha256("x"), at(30)).await.unwrap();
    assert_eq!((outlook.workers, outlook.places), (2, 6));
    assert_eq!(outlook.time_ms(600_000), Some(10_000), "ten times as fast in six places");
    // Of weights that nobody has used yet there are others to go by.
    let outlook = db.outlook(&sha256("y"), at(30)).await.unwrap();
    assert_eq!((outlook.workers, outlook.places), (0, 0));
    assert_eq!(outlook.pace.map(|pace| pace.weights).as_deref(), Some("x.en"));
    // A worker that is long gone is forgotten where another does the same.
    let last = Transcriber { name: "last".into(), made_by, places: 1, alive_until: at(9_000) };
    db.tell_transcriber(&last, at(8_000)).await.unwrap();
    let names: Vec<_> = db.transcribers().await.unwrap().into_iter().map(|w| w.name).collect();
    assert_eq!(names, ["last"]);
}
