//! Eight handles, as of eight processes, at the same rows at once.

use std::future::Future;

use super::transcripts::{begin, commit, import, secs, segment};
use super::*;
use crate::recording::{EndReason, Request};
use crate::speaker::{KnownBy, Speaker};
use crate::transcript::State as Words;

/// Runs `what` eight times at once, each with a handle of its own, and gives all outcomes.
async fn eight<T, F>(place: &Place, what: impl Fn(usize, Db) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let gate = std::sync::Arc::new(tokio::sync::Barrier::new(8));
    let mut tasks = Vec::new();
    for n in 0..8 {
        let (task, gate) = (what(n, place.open().await), gate.clone());
        tasks.push(tokio::spawn(async move {
            gate.wait().await;
            task.await
        }));
    }
    let mut outcomes = Vec::new();
    for task in tasks {
        outcomes.push(task.await.unwrap());
    }
    outcomes
}

/// How many went well. All others were refused because of those.
fn went_well<T: std::fmt::Debug>(outcomes: Vec<crate::db::Result<T>>) -> usize {
    let (well, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    for refusal in refused {
        assert!(matches!(refusal, Err(Error::Conflict { .. })), "{refusal:?}");
    }
    well.len()
}

pub(super) async fn a_name_or_a_port_goes_to_one_of_eight(place: &Place) {
    let slugs = eight(place, |_, db| async move { db.create_room(&a_room("same")).await });
    assert_eq!(went_well(slugs.await), 1);
    let ports = eight(place, |n, db| async move {
        let room = Room { rtp_port: Some(5004), ..a_room(&format!("room-{n}")) };
        db.create_room(&room).await
    });
    assert_eq!(went_well(ports.await), 1);
    assert_eq!(place.open().await.rooms().await.unwrap().len(), 2);
}

pub(super) async fn a_room_is_recorded_by_one_of_eight_and_ended_once(place: &Place) {
    let db = place.open().await;
    let room = a_room("room");
    db.create_room(&room).await.unwrap();
    let made = eight(place, |_, db| {
        let new = new_recording(room.id, State::Live);
        async move { db.create_recording(&new).await }
    });
    assert_eq!(went_well(made.await), 1);
    let id = db.open_recording(room.id).await.unwrap().unwrap().id;
    add_chunks(&db, id, 0..1).await;

    let ended = eight(place, |n, db| async move {
        let when = at(100 + i64::try_from(n).unwrap());
        db.end_recording(id, EndReason::Host, when).await.unwrap()
    });
    let ended = ended.await;
    assert!(ended.iter().all(|it| *it == ended[0]), "one end, told to all: {ended:?}");
    let jobs = db.jobs_of(id).await.unwrap();
    let whole = jobs.iter().filter(|job| job.kind == Kind::Transcribe);
    assert_eq!((whole.count(), jobs.len()), (1, 2));
}

pub(super) async fn eight_writers_of_a_recording_lose_nothing(place: &Place) {
    let db = place.open().await;
    let id = recording(&db, "room", State::Live).await.id;
    let speaker = |n: usize, label: &str| Speaker {
        label: label.into(),
        name: format!("Name {n}"),
        known_by: KnownBy::Platform,
        turns: (0..5).map(|turn| secs(turn * 10 + n as u64, turn * 10 + 9)).collect(),
    };
    eight(place, move |n, db| async move {
        for round in 0..5 {
            add_chunks(&db, id, 0..round * 4 + 4).await;
            db.put_speaker(id, &speaker(n, &format!("S{n}"))).await.unwrap();
            db.put_speaker(id, &speaker(n, "all of us")).await.unwrap();
        }
    })
    .await;

    let whole = db.recording(id).await.unwrap();
    let bytes: u64 = (0..20).map(|seq| chunk(seq).bytes).sum();
    assert_eq!((whole.duration, whole.bytes), (Ticks::from_secs(80), bytes));
    assert_eq!(db.chunks(id).await.unwrap(), (0..20).map(chunk).collect::<Vec<_>>());
    let [job] = <[_; 1]>::try_from(db.jobs_of(id).await.unwrap()).unwrap();
    assert_eq!((job.kind, job.total), (Kind::TranscribeLive, Ticks::from_secs(80)));
    let speakers = db.speakers(id).await.unwrap();
    assert_eq!(speakers.len(), 9);
    let shared = speakers.last().unwrap();
    let writer: usize = shared.name.strip_prefix("Name ").unwrap().parse().unwrap();
    assert_eq!(*shared, speaker(writer, "all of us"), "name and turns are one writer's");
}

pub(super) async fn a_window_is_kept_from_one_of_eight(place: &Place) {
    let db = place.open().await;
    let (id, lease) = import(&db).await;
    let begun = eight(place, |_, db| {
        let lease = lease.clone();
        async move { begin(&db, &lease, id).await }
    });
    let begun = begun.await;
    assert!(begun.iter().all(|it| *it == begun[0]), "one version: {begun:?}");
    let words = begun[0].id;
    for ordinal in 0..4 {
        let kept = eight(place, |_, db| {
            let (lease, covered) = (lease.clone(), u64::from(ordinal) * 10 + 10);
            async move { commit(&db, &lease, words, covered, &[segment(ordinal)]).await }
        });
        assert_eq!(went_well(kept.await), 1);
    }
    assert_eq!(db.segments(words, 0).await.unwrap(), (0..4).map(segment).collect::<Vec<_>>());
    let done = eight(place, |_, db| {
        let lease = lease.clone();
        async move {
            let completed = db.complete_transcript(&lease, words, at(30)).await;
            assert!(completed.is_ok() || is_lost(completed), "somebody ended the job before");
            let lost = is_lost(db.finish_job(&lease, at(31)).await);
            (lost, db.transcript_version(id, None).await.unwrap().map(|it| it.id))
        }
    });
    let done = done.await;
    assert_eq!(done.iter().filter(|(lost, _)| !lost).count(), 1, "the job ends once");
    assert!(done.iter().all(|(_, shown)| *shown == Some(words)));
}

/// Everything that locks, in every order that comes: whoever is refused is refused for a reason.
pub(super) async fn nobody_waits_in_a_circle(place: &Place) {
    let db = place.open().await;
    let mut ids = Vec::new();
    for n in 0..3 {
        ids.push(recording(&db, &format!("room-{n}"), State::Live).await);
    }
    let outcomes = eight(place, move |n, db| {
        let ids = ids.clone();
        async move {
            let mut refusals = Vec::new();
            for step in 0..24 {
                let made = &ids[(n + step) % ids.len()];
                let now = at(i64::try_from(step).unwrap() + 10);
                refusals.extend(one_step(&db, made, (n * 5 + step) % 8, now).await.err());
            }
            refusals
        }
    });
    for refusal in outcomes.await.into_iter().flatten() {
        assert!(!matches!(refusal, Error::Query { .. } | Error::Corrupt { .. }), "{refusal:?}");
    }
}

async fn one_step(
    db: &Db,
    made: &Recording,
    which: usize,
    now: WallMicros,
) -> crate::db::Result<()> {
    let id = made.id;
    match which {
        0 | 1 => {
            let next = db.last_chunk(id).await?.map_or(0, |last| last.seq + 1);
            db.add_chunk(id, &chunk(next), &[], &[], now).await
        }
        2 => db.request(id, Request::Pause, now).await.map(drop),
        3 => {
            let room = db.room(made.room_id).await?;
            db.update_room(&Room { title: format!("At {now:?}"), ..room }).await
        }
        4 => {
            db.end_recording(id, EndReason::Host, now).await?;
            db.create_recording(&new_recording(made.room_id, State::Live)).await.map(drop)
        }
        5 => {
            let jobs = db.jobs_of(id).await?;
            let Some(job) = jobs.first() else { return Ok(()) };
            db.cancel_job(job.id, now).await?;
            db.retry_job(job.id, now).await.map(drop)
        }
        _ => {
            let Some((job, lease)) = claim(db, now).await else { return Ok(()) };
            let live = job.kind == Kind::TranscribeLive;
            let by = super::transcripts::made_by("base.en");
            let words = db.begin_transcript(&lease, job.recording_id, live, &by, now).await?;
            assert_eq!(words.state, Words::Running);
            db.heartbeat(&lease, 60_000, now).await?;
            let first = db.last_segment(words.id).await?.map_or(0, |last| last.ordinal + 1);
            let more = Ticks(words.covered.0 + 1);
            db.commit_window(&lease, words.id, more, &[segment(first)], more, now).await?;
            db.complete_transcript(&lease, words.id, now).await?;
            db.finish_job(&lease, now).await
        }
    }
}
