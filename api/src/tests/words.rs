use models::job::{Kind, Limits};
use models::speaker::{KnownBy, Speaker};
use models::transcript::{MadeBy, Segment, Suppressed, Word};
use models::{Recording, Span, Ticks};
use serde_json::{Value, json};

use super::{House, START};

pub(super) fn span(start_ms: u64, end_ms: u64) -> Span {
    Span::new(Ticks::from_millis(start_ms), Ticks::from_millis(end_ms))
}

pub(super) fn segment(
    ordinal: u32,
    at_ms: u64,
    text: &str,
    suppressed: Option<Suppressed>,
) -> Segment {
    let word = |(i, word): (u64, &str)| Word {
        span: span(at_ms + i * 300, at_ms + i * 300 + 250),
        text: word.into(),
        confidence: 0.93,
    };
    let words: Vec<Word> = (0..).zip(text.split(' ')).map(word).collect();
    Segment {
        ordinal,
        span: span(at_ms, words.last().unwrap().span.end.as_millis()),
        text: text.into(),
        speaker: Some("s1".into()),
        confidence: 0.9,
        language: None,
        suppressed,
        words,
    }
}

/// Words as a worker commits them, in two windows; finished or not.
async fn transcribe(house: &House, recording: &Recording, finished: bool) {
    let made_by = MadeBy {
        engine: "whisper.cpp 1.8.3 (cpu)".into(),
        weights: "demo".into(),
        weights_sha256: "ab".repeat(32),
        parameters: Value::Null,
    };
    let speaker = Speaker {
        label: "s1".into(),
        name: "Grace".into(),
        known_by: KnownBy::Person,
        turns: vec![],
    };
    let (db, total) = (&house.db, recording.duration);
    // After its end.
    let now = START.plus_millis(12_000);
    db.put_speaker(recording.id, &speaker).await.unwrap();
    let (_, lease) = db
        .claim(&[Kind::Transcribe], Limits::default(), "test", 60_000, now)
        .await
        .unwrap()
        .unwrap();
    let begun = db.begin_transcript(&lease, recording.id, false, &made_by, now).await.unwrap();
    let first = [segment(0, 500, "Good evening everyone.", None)];
    let covered = Ticks::from_millis(4_000);
    db.commit_window(&lease, begun.id, covered, &first, total, now).await.unwrap();
    let second = [
        segment(1, 5_000, "Thank you.", Some(Suppressed::Silence)),
        segment(2, 6_000, "The window is open.", None),
    ];
    db.commit_window(&lease, begun.id, total, &second, total, now).await.unwrap();
    if finished {
        db.complete_transcript(&lease, begun.id, now).await.unwrap();
    }
}

#[tokio::test]
async fn words_come_with_their_times_and_what_is_hidden_says_why() {
    let house = House::new().await;
    let recording = house.ended().await;
    transcribe(&house, &recording, true).await;
    let path = format!("/api/recordings/{}/transcript.json", recording.id);
    let answer = house.get(&path).await;
    let words = answer.json();
    assert_eq!(words["recording_id"], recording.id.to_string());
    assert_eq!(
        (&words["version"], &words["state"], &words["promoted"]),
        (&json!(1), &json!("complete"), &json!(true))
    );
    assert_eq!((&words["weights"], &words["covered_ms"]), (&json!("demo"), &json!(10_500)));
    assert_eq!(
        words["segments"][0],
        json!({
            "ordinal": 0, "start_ms": 500, "end_ms": 1350, "text": "Good evening everyone.",
            "speaker": "Grace", "speaker_label": "s1", "confidence": 0.9, "language": null,
            "suppressed": null,
            "words": [
                {"start_ms": 500, "end_ms": 750, "text": "Good", "confidence": 0.93},
                {"start_ms": 800, "end_ms": 1050, "text": "evening", "confidence": 0.93},
                {"start_ms": 1100, "end_ms": 1350, "text": "everyone.", "confidence": 0.93},
            ],
        })
    );
    assert_eq!(words["segments"][1]["suppressed"], "silence");
    assert_eq!(words["coverage"], json!({"speech_ms": 0, "share": null, "bare": []}));
    assert_eq!(words["segments"].as_array().unwrap().len(), 3);

    let rest = house.get(&format!("{path}?version=1&from=2")).await.json();
    assert_eq!(rest["segments"].as_array().unwrap().len(), 1);
    assert_eq!(rest["segments"][0]["ordinal"], 2);
    let none = house.get(&format!("{path}?from=3")).await.json();
    assert_eq!(none["segments"], json!([]));
    assert_eq!(house.get(&format!("{path}?version=7")).await.problem(404), "no_transcript");
    assert_eq!(house.get(&format!("{path}?version=-1")).await.problem(400), "bad_query");

    let shown = house.get(&format!("/api/recordings/{}", recording.id)).await.json();
    assert_eq!(
        shown["transcript"],
        json!({"version": 1, "state": "complete", "covered_ms": 10_500,
               "engine": "whisper.cpp 1.8.3 (cpu)", "weights": "demo", "edits": 0})
    );
}

#[tokio::test]
async fn a_page_that_has_the_words_is_told_so_until_they_change() {
    let house = House::new().await;
    let recording = house.ended().await;
    let path = format!("/api/recordings/{}/transcript.json?version=1", recording.id);
    assert_eq!(house.get(&path).await.problem(404), "no_transcript");
    transcribe(&house, &recording, true).await;
    let first = house.get(&path).await;
    let tag = first.header("etag");
    let same = house.get_with(&path, &[("if-none-match", tag)]).await;
    assert_eq!((same.status.as_u16(), same.body.len()), (304, 0));
    let renamed = Speaker {
        label: "s1".into(),
        name: "Hopper".into(),
        known_by: KnownBy::Person,
        turns: vec![],
    };
    house.db.put_speaker(recording.id, &renamed).await.unwrap();
    let other = house.get_with(&path, &[("if-none-match", tag)]).await;
    assert_eq!(
        (other.status.as_u16(), &other.json()["segments"][0]["speaker"]),
        (200, &json!("Hopper"))
    );
}

#[tokio::test]
async fn captions_and_text_show_what_is_not_hidden() {
    let house = House::new().await;
    let recording = house.ended().await;
    transcribe(&house, &recording, true).await;
    let base = format!("/api/recordings/{}/transcript", recording.id);
    for (form, kind) in [
        ("vtt", "text/vtt; charset=utf-8"),
        ("srt", "application/x-subrip; charset=utf-8"),
        ("txt", "text/plain; charset=utf-8"),
    ] {
        let answer = house.get(&format!("{base}.{form}")).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, kind));
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        assert!(answer.text().contains("The window is open."), "{form}: {}", answer.text());
        assert!(!answer.text().contains("Thank you."), "{form}: {}", answer.text());
        assert!(
            answer.header("content-disposition").starts_with("inline; filename=\"The hall -live.")
        );
        let had = [("if-none-match", answer.header("etag"))];
        assert_eq!(house.get_with(&format!("{base}.{form}"), &had).await.status, 304);
        assert_eq!(
            house.get(&format!("{base}.{form}?version=9")).await.problem(404),
            "no_transcript"
        );
    }
    let vtt = house.get(&format!("{base}.vtt?download=1")).await;
    assert!(vtt.text().starts_with("WEBVTT\n"));
    assert!(vtt.text().contains("Grace"), "{}", vtt.text());
    assert!(vtt.header("content-disposition").starts_with("attachment; "));
}

#[tokio::test]
async fn versions_are_listed() {
    let house = House::new().await;
    let recording = house.ended().await;
    let path = format!("/api/recordings/{}/transcripts", recording.id);
    assert_eq!(house.get(&path).await.json()["items"], json!([]));
    transcribe(&house, &recording, false).await;
    let versions = house.get(&path).await.json();
    assert_eq!(versions["items"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&versions["items"][0]["version"], &versions["items"][0]["state"]),
        (&json!(1), &json!("running"))
    );
}
