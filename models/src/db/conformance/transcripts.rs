use serde_json::json;

use super::*;
use crate::id::TranscriptId;
use crate::recording::EndReason;
use crate::speaker::{KnownBy, Speaker};
use crate::time::Span;
use crate::transcript::{Coverage, MadeBy, Segment, State as Words, Suppressed, Word};

pub(super) fn made_by(weights: &str) -> MadeBy {
    MadeBy {
        engine: "whisper.cpp 1.8.3 (cpu)".into(),
        weights: weights.into(),
        weights_sha256: "ab".repeat(32),
        parameters: json!({"beam": 5, "temperature": [0.0, 0.2], "prompt": null}),
    }
}

pub(super) fn secs(start: u64, end: u64) -> Span {
    Span::new(Ticks::from_secs(start), Ticks::from_secs(end))
}

pub(super) fn segment(ordinal: u32) -> Segment {
    let start = u64::from(ordinal) * 10;
    let word = |offset: u64, text: &str, confidence| Word {
        span: secs(start + offset, start + offset + 1),
        text: text.into(),
        confidence,
    };
    Segment {
        ordinal,
        span: secs(start, start + 9),
        text: "Naïve \"words\" <b>".into(),
        speaker: (ordinal % 2 == 1).then(|| "S1".into()),
        confidence: 0.1,
        language: (ordinal == 1).then(|| "de".into()),
        suppressed: match ordinal {
            2 => Some(Suppressed::LowConfidence),
            3 => Some(Suppressed::Phantom),
            _ => None,
        },
        words: vec![word(0, "Naïve", 0.3), word(2, "\"words\"", 1.0), word(3, "<b>", 1e-7)],
    }
}

/// An imported recording of 40 s with a claimed job.
pub(super) async fn import(db: &Db) -> (RecordingId, Lease) {
    let id = recording(db, "room", State::Importing).await.id;
    add_chunks(db, id, 0..10).await;
    db.end_recording(id, EndReason::Imported, at(20)).await.unwrap();
    (id, claim(db, at(20)).await.unwrap().1)
}

pub(super) async fn begin(db: &Db, lease: &Lease, id: RecordingId) -> crate::Transcript {
    db.begin_transcript(lease, id, false, &made_by("base.en"), at(21)).await.unwrap()
}

pub(super) async fn commit(
    db: &Db,
    lease: &Lease,
    transcript: TranscriptId,
    covered: u64,
    segments: &[Segment],
) -> crate::db::Result<()> {
    let (covered, total) = (Ticks::from_secs(covered), Ticks::from_secs(40));
    let coverage = Coverage { speech: Ticks::from_secs(3), bare: vec![secs(1, 2)] };
    db.commit_window(lease, transcript, covered, (segments, &coverage), total, at(22)).await
}

pub(super) async fn words_are_read_as_they_were_written(place: &Place) {
    let db = place.open().await;
    let (id, lease) = import(&db).await;
    let begun = begin(&db, &lease, id).await;
    assert_eq!((begun.version, begun.state, begun.promoted), (1, Words::Running, false));
    assert_eq!((begun.recording_id, begun.covered), (id, Ticks::ZERO));
    assert_eq!((begun.created_at, begun.completed_at), (at(21), None));
    assert_eq!(begun.made_by, made_by("base.en"));

    let segments = [segment(0), segment(1), segment(2), segment(3)];
    assert_eq!(db.last_segment(begun.id).await.unwrap(), None);
    commit(&db, &lease, begun.id, 30, &segments).await.unwrap();
    assert_eq!(db.last_segment(begun.id).await.unwrap().as_ref(), segments.last());
    assert_eq!(db.segments(begun.id, 0).await.unwrap(), segments);
    assert_eq!(db.segments(begun.id, 2).await.unwrap(), segments[2..]);
    assert_eq!(db.segments(begun.id, 4).await.unwrap(), []);
    let grown = db.transcript_version(id, Some(1)).await.unwrap().unwrap().coverage;
    assert_eq!((grown.speech, grown.bare), (Ticks::from_secs(3), vec![secs(1, 2)]));
    commit(&db, &lease, begun.id, 40, &[]).await.unwrap();
    let grown = db.transcript_version(id, Some(1)).await.unwrap().unwrap().coverage;
    assert_eq!((grown.speech, grown.bare.len()), (Ticks::from_secs(6), 2));
    assert!((grown.share().unwrap() - 2.0 / 3.0).abs() < 1e-9);
    let job = db.job(lease.job_id).await.unwrap();
    assert_eq!((job.done, job.total), (Ticks::from_secs(40), Ticks::from_secs(40)));
}

pub(super) async fn a_confidence_that_is_no_number_is_none(place: &Place) {
    let db = place.open().await;
    let (id, lease) = import(&db).await;
    let begun = begin(&db, &lease, id).await;
    let mut unsure = segment(0);
    unsure.confidence = f32::NAN;
    unsure.words[1].confidence = f32::INFINITY;
    commit(&db, &lease, begun.id, 10, &[unsure]).await.unwrap();
    let kept = db.segments(begun.id, 0).await.unwrap();
    assert_eq!((kept[0].confidence, kept[0].words[1].confidence), (0.0, 0.0));
    assert_eq!(kept[0].words[0].confidence, 0.3);
}

pub(super) async fn a_window_is_resumed_where_it_was_committed(place: &Place) {
    let db = place.open().await;
    let (id, lease) = import(&db).await;
    let begun = begin(&db, &lease, id).await;
    commit(&db, &lease, begun.id, 10, &[segment(0)]).await.unwrap();
    // The worker dies; another takes the job over.
    let (job, second) = claim(&db, at(90)).await.unwrap();
    assert_eq!((job.attempt, job.done), (2, Ticks::from_secs(10)));
    let resumed = begin(&db, &second, id).await;
    assert_eq!((resumed.id, resumed.covered), (begun.id, Ticks::from_secs(10)));
    // The first one was only slow, and does not get in its way.
    assert!(is_lost(commit(&db, &lease, begun.id, 20, &[segment(1)]).await));
    assert_eq!(db.segments(begun.id, 0).await.unwrap(), [segment(0)]);
    commit(&db, &second, begun.id, 40, &[segment(1), segment(2)]).await.unwrap();
    db.complete_transcript(&second, begun.id, at(95)).await.unwrap();
    db.finish_job(&second, at(95)).await.unwrap();
    let complete = db.transcript_version(id, None).await.unwrap().unwrap();
    assert_eq!((complete.id, complete.covered), (begun.id, Ticks::from_secs(40)));
    assert_eq!(db.segments(begun.id, 0).await.unwrap(), [segment(0), segment(1), segment(2)]);
}

pub(super) async fn windows_that_were_read_early_wait_for_their_turn(place: &Place) {
    let db = place.open().await;
    let (id, lease) = import(&db).await;
    let begun = begin(&db, &lease, id).await;
    let ahead = async |lease: &Lease, kept, what: &str| {
        db.keep_ahead(lease, begun.id, kept, what, at(22)).await
    };
    let kept = async || db.kept_ahead(begun.id).await.unwrap();
    let [second, third] = [secs(10, 20), secs(20, 30)];
    ahead(&lease, third, "third").await.unwrap();
    ahead(&lease, second, "not yet").await.unwrap();
    // Whoever keeps it once more was not told that it is kept.
    ahead(&lease, second, "\"naïve\"").await.unwrap();
    assert_eq!(kept().await, [(second, "\"naïve\"".to_owned()), (third, "third".to_owned())]);
    let shown = db.transcript_version(id, Some(1)).await.unwrap();
    assert_eq!(shown.unwrap().covered, Ticks::ZERO, "they are no words of it yet");

    // The worker dies; another takes the job over and finds them.
    let (_, other) = claim(&db, at(90)).await.unwrap();
    begin(&db, &other, id).await;
    assert!(is_lost(ahead(&lease, third, "late").await));
    commit(&db, &other, begun.id, 10, &[segment(0)]).await.unwrap();
    assert_eq!(kept().await.len(), 2);
    commit(&db, &other, begun.id, 20, &[segment(1)]).await.unwrap();
    assert_eq!(kept().await, [(third, "third".to_owned())], "what was committed is gone");
    assert!(is_conflict(ahead(&other, second, "again").await), "that is covered");
    commit(&db, &other, begun.id, 40, &[]).await.unwrap();
    assert_eq!(kept().await, []);
    db.complete_transcript(&other, begun.id, at(95)).await.unwrap();
    assert!(is_conflict(ahead(&other, secs(40, 50), "more").await), "it is finished");
    let nobodys = TranscriptId::new();
    let refused = db.keep_ahead(&other, nobodys, third, "", at(96)).await;
    assert!(matches!(refused, Err(Error::NotFound { what: "transcript" })), "{refused:?}");
}

pub(super) async fn a_window_that_does_not_follow_is_refused(place: &Place) {
    let db = place.open().await;
    let (id, lease) = import(&db).await;
    let begun = begin(&db, &lease, id).await;
    assert!(is_conflict(commit(&db, &lease, begun.id, 10, &[segment(1)]).await));
    commit(&db, &lease, begun.id, 20, &[segment(0), segment(1)]).await.unwrap();
    assert!(is_conflict(commit(&db, &lease, begun.id, 30, &[segment(1)]).await), "twice");
    assert!(is_conflict(commit(&db, &lease, begun.id, 30, &[segment(2), segment(4)]).await));
    assert_eq!(db.segments(begun.id, 0).await.unwrap().len(), 2, "all or nothing");
    assert!(is_conflict(commit(&db, &lease, begun.id, 19, &[]).await), "covered goes back");
    commit(&db, &lease, begun.id, 40, &[]).await.unwrap();
    db.complete_transcript(&lease, begun.id, at(30)).await.unwrap();
    assert!(is_conflict(commit(&db, &lease, begun.id, 41, &[]).await), "it is finished");
}

pub(super) async fn the_finished_version_is_shown(place: &Place) {
    let db = place.open().await;
    let (id, lease) = import(&db).await;
    let first = begin(&db, &lease, id).await;
    assert_eq!(db.transcript_version(id, None).await.unwrap(), None);
    assert_eq!(db.transcript_version(id, Some(1)).await.unwrap(), Some(first.clone()));
    db.complete_transcript(&lease, first.id, at(30)).await.unwrap();
    db.complete_transcript(&lease, first.id, at(31)).await.unwrap();
    db.finish_job(&lease, at(32)).await.unwrap();
    let shown = db.transcript_version(id, None).await.unwrap().unwrap();
    assert_eq!((shown.id, shown.state, shown.promoted), (first.id, Words::Complete, true));
    assert_eq!(shown.completed_at, Some(at(30)));

    db.enqueue(Kind::Transcribe, Class::Fresh, id, at(40)).await.unwrap();
    let (_, lease) = claim(&db, at(40)).await.unwrap();
    let second = begin(&db, &lease, id).await;
    assert_eq!(second.version, 2);
    assert_eq!(db.transcript_version(id, None).await.unwrap().unwrap().version, 1);
    db.complete_transcript(&lease, second.id, at(50)).await.unwrap();
    let versions = db.transcripts(id).await.unwrap();
    let shown: Vec<_> = versions.iter().map(|v| (v.version, v.promoted)).collect();
    assert_eq!(shown, [(1, false), (2, true)]);
    assert_eq!(db.transcript_version(id, Some(3)).await.unwrap(), None);
}

pub(super) async fn live_captions_are_shown_at_once_and_close_with_the_recording(place: &Place) {
    let db = place.open().await;
    let id = recording(&db, "room", State::Live).await.id;
    add_chunks(&db, id, 0..1).await;
    let (_, lease) = claim(&db, at(20)).await.unwrap();
    let live = async |lease: &Lease, now| {
        db.begin_transcript(lease, id, true, &made_by("tiny.en"), now).await.unwrap()
    };
    let begun = live(&lease, at(20)).await;
    assert_eq!((begun.version, begun.promoted, begun.state), (0, true, Words::Running));
    commit(&db, &lease, begun.id, 4, &[segment(0)]).await.unwrap();
    // Finished for now; the next chunk's run goes on in the same version.
    db.complete_transcript(&lease, begun.id, at(21)).await.unwrap();
    db.finish_job(&lease, at(21)).await.unwrap();
    add_chunks(&db, id, 1..2).await;
    let (_, lease) = claim(&db, at(22)).await.unwrap();
    let resumed = live(&lease, at(22)).await;
    assert_eq!((resumed.id, resumed.state, resumed.promoted), (begun.id, Words::Running, true));
    assert_eq!((resumed.covered, resumed.completed_at), (Ticks::from_secs(4), None));

    db.end_recording(id, EndReason::Host, at(30)).await.unwrap();
    let closed = db.transcript_version(id, Some(0)).await.unwrap().unwrap();
    assert_eq!((closed.state, closed.completed_at), (Words::Complete, Some(at(30))));
    assert!(closed.promoted, "shown until there is better");

    let (job, lease) = claim(&db, at(31)).await.unwrap();
    assert_eq!(job.kind, Kind::Transcribe);
    let whole = begin(&db, &lease, id).await;
    assert_eq!((whole.version, whole.promoted), (1, false));
    db.complete_transcript(&lease, whole.id, at(40)).await.unwrap();
    assert_eq!(db.transcript_version(id, None).await.unwrap().unwrap().version, 1);
}

pub(super) async fn other_weights_make_another_version(place: &Place) {
    let db = place.open().await;
    let (id, lease) = import(&db).await;
    let first = begin(&db, &lease, id).await;
    commit(&db, &lease, first.id, 10, &[segment(0)]).await.unwrap();
    db.keep_ahead(&lease, first.id, secs(20, 30), "early", at(22)).await.unwrap();
    let other = made_by("small.en");
    let second = db.begin_transcript(&lease, id, false, &other, at(30)).await.unwrap();
    assert_eq!((second.version, second.covered), (2, Ticks::ZERO));
    assert_eq!(db.kept_ahead(first.id).await.unwrap(), [], "nobody goes on with that");
    let versions = db.transcripts(id).await.unwrap();
    assert_eq!((versions[0].state, versions[1].state), (Words::Failed, Words::Running));
    assert!(is_conflict(db.complete_transcript(&lease, first.id, at(31)).await));
    let again = db.begin_transcript(&lease, id, false, &other, at(32)).await.unwrap();
    assert_eq!(again, second);
}

pub(super) async fn a_job_writes_to_its_own_recording_only(place: &Place) {
    let db = place.open().await;
    let (id, lease) = import(&db).await;
    let own = begin(&db, &lease, id).await;
    let other = recording(&db, "other", State::Importing).await.id;
    assert!(is_conflict(
        db.begin_transcript(&lease, other, false, &made_by("base.en"), at(21)).await
    ));
    db.enqueue(Kind::Transcribe, Class::Fresh, other, at(21)).await.unwrap();
    let (_, others_lease) = claim(&db, at(21)).await.unwrap();
    let not_found = |result: crate::db::Result<()>| {
        assert!(matches!(result, Err(Error::NotFound { what: "transcript" })), "{result:?}");
    };
    not_found(commit(&db, &others_lease, own.id, 10, &[segment(0)]).await);
    not_found(db.complete_transcript(&others_lease, own.id, at(22)).await);
    not_found(commit(&db, &lease, TranscriptId::new(), 10, &[]).await);
    assert_eq!(db.segments(own.id, 0).await.unwrap(), []);
}

pub(super) async fn speakers_are_replaced_whole(place: &Place) {
    let db = place.open().await;
    let id = recording(&db, "room", State::Live).await.id;
    let ada = Speaker {
        label: "S1".into(),
        name: "Ada".into(),
        known_by: KnownBy::Voice,
        turns: vec![secs(0, 2), secs(5, 9)],
    };
    let silent = Speaker {
        label: "S0".into(),
        name: "Bo".into(),
        known_by: KnownBy::Platform,
        turns: Vec::new(),
    };
    db.put_speaker(id, &ada).await.unwrap();
    db.put_speaker(id, &silent).await.unwrap();
    assert_eq!(db.speakers(id).await.unwrap(), [silent.clone(), ada.clone()]);
    let renamed = Speaker {
        name: "Ada L.".into(),
        known_by: KnownBy::Person,
        turns: vec![secs(5, 10)],
        ..ada
    };
    db.put_speaker(id, &renamed).await.unwrap();
    assert_eq!(db.speakers(id).await.unwrap(), [silent, renamed.clone()]);
    assert!(matches!(
        db.put_speaker(RecordingId::new(), &renamed).await,
        Err(Error::NotFound { what: "recording" })
    ));
}
