use super::transcripts::{begin, commit, import, made_by};
use super::*;
use crate::edit::{Subject, Wanted};
use crate::job::Lease;
use crate::time::Span;
use crate::transcript::{Segment, State as Words, Word};

/// A segment of words of one second, one a second, from the recording's start on.
fn said(text: &str) -> Segment {
    let word = |(at, text): (u64, &str)| Word {
        span: Span::new(Ticks::from_secs(at), Ticks::from_secs(at + 1)),
        text: text.into(),
        confidence: 0.9,
    };
    let words: Vec<_> = (0..).zip(text.split(' ')).map(word).collect();
    Segment {
        ordinal: 0,
        span: Span::new(Ticks::ZERO, Ticks::from_secs(words.len() as u64)),
        text: text.into(),
        speaker: Some("S1".into()),
        confidence: 0.9,
        language: None,
        suppressed: None,
        words,
    }
}

/// The next version of the words, complete and shown.
async fn version(db: &Db, id: RecordingId, lease: &Lease, text: &str) -> u32 {
    let transcript = begin(db, lease, id).await;
    commit(db, lease, transcript.id, 40, &[said(text)]).await.unwrap();
    db.complete_transcript(lease, transcript.id, at(30)).await.unwrap();
    transcript.version
}

async fn two_versions(db: &Db) -> (RecordingId, Lease) {
    let (id, lease) = import(db).await;
    version(db, id, &lease, "they came to teh house").await;
    version(db, id, &lease, "they came to that house").await;
    (id, lease)
}

fn words(start: u64, end: u64, replaced: &str, text: &str) -> Wanted {
    Wanted {
        subject: Subject::Words(Span::new(Ticks::from_secs(start), Ticks::from_secs(end))),
        version: None,
        replaced: replaced.into(),
        text: text.into(),
        made_by: "Ada".into(),
    }
}

async fn shown(db: &Db, id: RecordingId) -> (u32, String, usize) {
    let transcript = db.transcript_version(id, None).await.unwrap().unwrap();
    let edits = db.edits(id).await.unwrap();
    let overlaid = db.overlaid(&transcript, &edits).await.unwrap();
    (transcript.version, overlaid.segments[0].text.clone(), overlaid.conflicts.len())
}

fn there<T: std::fmt::Debug>(result: crate::db::Result<T>) -> String {
    match result {
        Err(Error::Changed { there }) => there,
        other => panic!("{other:?}"),
    }
}

pub(super) async fn a_complete_version_may_be_shown_and_rolled_back(place: &Place) {
    let db = place.open().await;
    let (id, lease) = two_versions(&db).await;
    assert_eq!(shown(&db, id).await.0, 2);
    let mut changes = db.changes();
    let rolled_back = db.promote_transcript(id, 1).await.unwrap();
    assert!(rolled_back.promoted && rolled_back.version == 1);
    assert_eq!(changes.recv().await.unwrap(), crate::db::Change::Recording(id));
    assert_eq!(shown(&db, id).await.0, 1);
    db.promote_transcript(id, 1).await.unwrap();
    let versions = db.transcripts(id).await.unwrap();
    assert_eq!(versions.iter().map(|v| v.promoted).collect::<Vec<_>>(), [true, false]);

    let growing = begin(&db, &lease, id).await;
    assert!(is_conflict(db.promote_transcript(id, growing.version).await), "it is still growing");
    db.begin_transcript(&lease, id, false, &made_by("other"), at(31)).await.unwrap();
    assert_eq!(db.transcripts(id).await.unwrap()[2].state, Words::Failed);
    assert!(is_conflict(db.promote_transcript(id, growing.version).await), "it was given up");
    let missing = db.promote_transcript(id, 9).await;
    assert!(matches!(missing, Err(Error::NotFound { what: "transcript" })), "{missing:?}");
    assert_eq!(shown(&db, id).await.0, 1, "nothing has changed");
}

pub(super) async fn an_edit_outlives_the_version_it_was_made_on(place: &Place) {
    let db = place.open().await;
    let (id, lease) = import(&db).await;
    version(&db, id, &lease, "they came to teh house").await;
    let edit = db.make_edit(id, &words(3, 4, "teh", "the old"), at(40)).await.unwrap();
    assert_eq!((edit.number, &*edit.heard, &*edit.made_by), (1, "teh", "Ada"));
    assert_eq!(db.edits(id).await.unwrap(), [edit]);
    assert_eq!(shown(&db, id).await, (1, "they came to the old house".into(), 0));
    version(&db, id, &lease, "they came to teh horse").await;
    assert_eq!(shown(&db, id).await, (2, "they came to the old horse".into(), 0));
    version(&db, id, &lease, "they came to that horse").await;
    assert_eq!(shown(&db, id).await, (3, "they came to the old horse".into(), 1));
    // The versions themselves are as they were.
    let second = db.transcript_version(id, Some(2)).await.unwrap().unwrap();
    assert_eq!(db.segments(second.id, 0).await.unwrap(), [said("they came to teh horse")]);
}

pub(super) async fn an_edit_of_what_has_changed_is_refused(place: &Place) {
    let db = place.open().await;
    let (id, _) = two_versions(&db).await;
    assert_eq!(there(db.make_edit(id, &words(3, 4, "teh", "the"), at(40)).await), "that");
    let older = Wanted { version: Some(1), ..words(3, 4, "teh", "the") };
    db.make_edit(id, &older, at(40)).await.unwrap();
    assert_eq!(there(db.make_edit(id, &words(3, 4, "that", "this"), at(41)).await), "the");
    let missing = Wanted { version: Some(7), ..words(3, 4, "teh", "the") };
    let missing = db.make_edit(id, &missing, at(41)).await;
    assert!(matches!(missing, Err(Error::NotFound { what: "transcript" })), "{missing:?}");
    assert_eq!(db.edits(id).await.unwrap().len(), 1);
    assert_eq!(db.edits_revision(id).await.unwrap(), 1);
}

pub(super) async fn an_edit_is_undone_after_those_made_over_it(place: &Place) {
    let db = place.open().await;
    let (id, _) = two_versions(&db).await;
    db.make_edit(id, &words(2, 4, "to that", "into the"), at(40)).await.unwrap();
    let span = {
        let transcript = db.transcript_version(id, None).await.unwrap().unwrap();
        let edits = db.edits(id).await.unwrap();
        db.overlaid(&transcript, &edits).await.unwrap().segments[0].words[3].span
    };
    let part = Wanted { subject: Subject::Words(span), ..words(0, 1, "the", "a") };
    db.make_edit(id, &part, at(41)).await.unwrap();
    db.make_edit(id, &words(0, 1, "they", "we"), at(42)).await.unwrap();
    assert_eq!(shown(&db, id).await.1, "we came into a house");
    assert!(is_conflict(db.undo_edit(id, 1, at(50)).await));
    let undone = db.undo_edit(id, 2, at(50)).await.unwrap();
    assert_eq!(undone.undone_at, Some(at(50)));
    assert_eq!(shown(&db, id).await.1, "we came into the house");
    db.undo_edit(id, 1, at(51)).await.unwrap();
    assert_eq!(shown(&db, id).await.1, "we came to that house");
    for gone in [1, 2, 4] {
        let gone = db.undo_edit(id, gone, at(52)).await;
        assert!(matches!(gone, Err(Error::NotFound { what: "edit" })), "{gone:?}");
    }
    // A number is given once.
    assert_eq!(db.make_edit(id, &words(1, 2, "came", "go"), at(53)).await.unwrap().number, 4);
    assert_eq!(db.edits_revision(id).await.unwrap(), 6);
    assert_eq!(db.all_edits(id).await.unwrap().len(), 4);
}

pub(super) async fn a_speaker_is_renamed_in_the_whole_recording(place: &Place) {
    let db = place.open().await;
    let (id, _) = two_versions(&db).await;
    let rename = |label: &str, replaced: &str, text: &str| Wanted {
        subject: Subject::Speaker(label.into()),
        ..words(0, 1, replaced, text)
    };
    let edit = db.make_edit(id, &rename("S1", "S1", "Ada"), at(40)).await.unwrap();
    assert_eq!((&edit.subject, &*edit.heard), (&Subject::Speaker("S1".into()), "S1"));
    assert_eq!(there(db.make_edit(id, &rename("S1", "S1", "Bo"), at(41)).await), "Ada");
    db.make_edit(id, &rename("S1", "Ada", "Bo"), at(41)).await.unwrap();
    assert!(is_conflict(db.undo_edit(id, 1, at(42)).await));
    db.undo_edit(id, 2, at(42)).await.unwrap();
    let unknown = db.make_edit(id, &rename("S7", "S7", "Cy"), at(43)).await;
    assert!(matches!(unknown, Err(Error::NotFound { what: "speaker" })), "{unknown:?}");
    let edits = db.edits(id).await.unwrap();
    assert_eq!(crate::edit::name_of("S1", &[], &edits), "Ada");
}

pub(super) async fn eight_people_edit_a_recording_and_none_in_vain(place: &Place) {
    let db = place.open().await;
    let (id, lease) = import(&db).await;
    version(&db, id, &lease, "a b c d e f g h").await;
    let edits = (0..8u64).map(|at_s| {
        let db = db.clone();
        let from = "a b c d e f g h".split(' ').nth(at_s as usize).unwrap();
        let wanted = words(at_s, at_s + 1, from, &from.to_uppercase());
        tokio::spawn(async move { db.make_edit(id, &wanted, at(40)).await })
    });
    for edit in edits.collect::<Vec<_>>() {
        // One that lost eight times in a row is told so, and was not kept.
        edit.await.unwrap().unwrap();
    }
    assert_eq!(shown(&db, id).await.1, "A B C D E F G H");
    // The same word, eight times: one of them comes first, and the others are told.
    let same = (0..8).map(|n| {
        let db = db.clone();
        tokio::spawn(
            async move { db.make_edit(id, &words(0, 1, "A", &format!("x{n}")), at(41)).await },
        )
    });
    let mut kept = 0;
    for edit in same.collect::<Vec<_>>() {
        match edit.await.unwrap() {
            Ok(_) => kept += 1,
            refused => assert!(there(refused).starts_with('x')),
        }
    }
    assert_eq!(kept, 1);
}
