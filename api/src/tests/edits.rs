use axum::body::Body;
use models::job::{Kind, Lease, Limits};
use models::room::{Audience, RecordingPolicy};
use models::transcript::MadeBy;
use models::{Recording, RecordingId};
use serde_json::{Value, json};

use super::words::segment;
use super::{House, START, TOKEN, request};

/// A recording with versions of its words, as a worker makes them.
struct Desk {
    house: House,
    recording: Recording,
    lease: Lease,
    base: String,
}

impl Desk {
    async fn new(versions: &[&str]) -> Self {
        Self::within(House::new().await, versions).await
    }

    async fn within(house: House, versions: &[&str]) -> Self {
        let recording = house.ended().await;
        let kinds = [Kind::Transcribe];
        let now = START.plus_millis(12_000);
        let claimed = house.db.claim(&kinds, Limits::default(), "test", 600_000, now).await;
        let (_, lease) = claimed.unwrap().unwrap();
        let base = format!("/api/recordings/{}", recording.id);
        let desk = Self { house, recording, lease, base };
        for text in versions {
            desk.version(text, true).await;
        }
        desk
    }

    /// Another version: a word each 300 ms from half a second on.
    async fn version(&self, text: &str, complete: bool) {
        let (db, now) = (&self.house.db, START.plus_millis(12_000));
        let made_by = MadeBy {
            engine: "whisper.cpp 1.8.3 (cpu)".into(),
            weights: "demo".into(),
            weights_sha256: "ab".repeat(32),
            parameters: Value::Null,
        };
        let id = self.recording.id;
        let begun = db.begin_transcript(&self.lease, id, false, &made_by, now).await.unwrap();
        let (total, words) = (self.recording.duration, [segment(0, 500, text, None)]);
        db.commit_window(&self.lease, begun.id, total, &words, total, now).await.unwrap();
        if complete {
            db.complete_transcript(&self.lease, begun.id, now).await.unwrap();
        }
    }

    async fn shown(&self) -> Value {
        self.house.get(&format!("{}/transcript.json", self.base)).await.json()
    }

    async fn text(&self) -> String {
        self.shown().await["segments"][0]["text"].as_str().unwrap().to_owned()
    }

    async fn edit(&self, body: Value) -> super::Answer {
        self.house.post(&format!("{}/edits", self.base), body).await
    }

    async fn promote(&self, version: &str) -> super::Answer {
        let path = format!("{}/transcripts/{version}/promote", self.base);
        self.house.send(request("POST", &path, &[], Body::empty())).await
    }

    async fn undo(&self, number: u32) -> super::Answer {
        let path = format!("{}/edits/{number}", self.base);
        self.house.send(request("DELETE", &path, &[], Body::empty())).await
    }
}

/// Word `index` of a segment, as the page sends it back.
fn correct(index: u64, replaced: &str, text: &str) -> Value {
    let start = 500 + 300 * index;
    json!({"start_ms": start, "end_ms": start + 250, "replaced": replaced, "text": text})
}

#[tokio::test]
async fn an_edit_is_seen_in_every_form_and_on_the_next_version() {
    let desk = Desk::new(&["they came to teh house"]).await;
    let tag = desk.house.get(&format!("{}/transcript.json", desk.base)).await;
    let made = desk.edit(correct(3, "teh", "the old")).await;
    assert_eq!(made.status, 201);
    assert!(made.header("location").ends_with("/edits/1"));
    let edit = made.json();
    assert_eq!(
        (&edit["number"], &edit["start_ms"], &edit["end_ms"]),
        (&json!(1), &json!(1400), &json!(1650))
    );
    desk.version("they came to teh horse", true).await;
    let shown = desk.shown().await;
    assert_eq!(shown["version"], 2);
    assert_eq!(shown["segments"][0]["text"], "they came to the old horse");
    let words = &shown["segments"][0]["words"];
    assert_eq!(
        words[3],
        json!({"start_ms": 1400, "end_ms": 1525, "text": "the", "confidence": 1.0, "edit": 1})
    );
    assert_eq!((&words[2]["edit"], &words[5]["text"]), (&Value::Null, &json!("horse")));
    assert_eq!(shown["edits"][0]["text"], "the old");
    assert_eq!(
        (&shown["edits"][0]["conflict"], &shown["edits"][0]["made_by"]),
        (&Value::Null, &Value::Null)
    );
    for form in ["vtt", "srt", "txt"] {
        let file = desk.house.get(&format!("{}/transcript.{form}", desk.base)).await;
        assert!(file.text().contains("the old horse"), "{form}: {}", file.text());
        let first = desk.house.get(&format!("{}/transcript.{form}?version=1", desk.base)).await;
        assert!(first.text().contains("the old house"), "{form}: {}", first.text());
    }
    // Whoever had the words is told that they have changed, also where they ask for later ones only.
    let had = [("if-none-match", tag.header("etag"))];
    let path = format!("{}/transcript.json", desk.base);
    assert_eq!(desk.house.get_with(&path, &had).await.status, 200);
    let rest = desk.house.get(&format!("{path}?from=1")).await.json();
    assert_eq!((&rest["segments"], &rest["edits"][0]["number"]), (&json!([]), &json!(1)));
    let recording = desk.house.get(&desk.base).await.json();
    assert_eq!(recording["transcript"]["edits"], 1);
}

#[tokio::test]
async fn what_a_version_hears_differently_is_told_and_does_not_hide_the_edit() {
    let desk = Desk::new(&["they came to teh house"]).await;
    desk.edit(correct(3, "teh", "the")).await;
    desk.version("they came to that house", true).await;
    let shown = desk.shown().await;
    assert_eq!(shown["segments"][0]["text"], "they came to the house");
    assert_eq!(shown["edits"][0]["conflict"], "that");
    assert_eq!(desk.promote("1").await.status, 200);
    assert_eq!(desk.shown().await["edits"][0]["conflict"], Value::Null);
    // Made again on the version that says something else, it is decided.
    desk.promote("2").await;
    assert_eq!(desk.edit(correct(3, "the", "the")).await.status, 201);
    let shown = desk.shown().await;
    assert_eq!(shown["segments"][0]["text"], "they came to the house");
    assert!(
        shown["edits"].as_array().unwrap().iter().all(|edit| edit["conflict"].is_null()),
        "{shown}"
    );
}

#[tokio::test]
async fn an_edit_of_words_that_changed_meanwhile_is_refused_and_says_what_is_there() {
    let desk = Desk::new(&["they came to teh house"]).await;
    assert_eq!(desk.edit(correct(3, "teh", "the")).await.status, 201);
    let late = desk.edit(correct(3, "teh", "ten")).await;
    assert_eq!(late.problem(409), "words_changed");
    assert_eq!(late.json()["there"], "the");
    assert!(late.json()["detail"].as_str().unwrap().contains("“the”"), "{}", late.text());
    assert_eq!(desk.text().await, "they came to the house");
    let gone = desk.edit(correct(20, "words", "x")).await;
    assert_eq!((gone.problem(409).as_str(), &gone.json()["there"]), ("words_changed", &json!("")));
    for (body, status, code) in [
        (json!({"replaced": "teh", "text": "the"}), 422, "invalid"),
        (json!({"start_ms": 5, "replaced": "teh", "text": "the"}), 422, "invalid"),
        (json!({"start_ms": 6, "end_ms": 5, "replaced": "teh", "text": "the"}), 422, "invalid"),
        (json!({"start_ms": 5, "end_ms": u64::MAX, "replaced": "", "text": "x"}), 422, "invalid"),
        (
            json!({"start_ms": 1400, "end_ms": 1650, "speaker": "s1", "replaced": "", "text": "x"}),
            422,
            "invalid",
        ),
        (correct(3, "the", &"x".repeat(2_001)), 422, "invalid"),
        (json!({"speaker": "s1", "replaced": "s1", "text": "  "}), 422, "invalid"),
        (json!({"speaker": "s9", "replaced": "s9", "text": "Ada"}), 404, "unknown_speaker"),
        (json!({"text": "the"}), 422, "invalid"),
    ] {
        assert_eq!(desk.edit(body.clone()).await.problem(status), code, "{body}");
    }
    let nowhere = format!("/api/recordings/{}/edits", RecordingId::new());
    let nowhere = desk.house.post(&nowhere, correct(3, "the", "x")).await;
    assert_eq!(nowhere.problem(404), "unknown_recording");
    let edits = desk.house.get(&format!("{}/edits", desk.base)).await.json();
    assert_eq!(edits["items"].as_array().unwrap().len(), 1, "what was refused has changed nothing");
}

#[tokio::test]
async fn edits_are_undone_from_the_top() {
    let desk = Desk::new(&["they came to teh house"]).await;
    desk.edit(correct(3, "teh", "the")).await;
    desk.edit(correct(3, "the", "this")).await;
    assert_eq!(desk.undo(1).await.problem(409), "edit_state");
    let undone = desk.undo(2).await;
    assert_eq!(undone.status, 200);
    assert!(undone.json()["undone_at"].is_string());
    assert_eq!(desk.text().await, "they came to the house");
    assert_eq!(desk.undo(2).await.problem(404), "unknown_edit");
    desk.undo(1).await;
    assert_eq!(desk.text().await, "they came to teh house");
    desk.edit(correct(4, "house", "")).await;
    assert_eq!(desk.text().await, "they came to teh");
}

#[tokio::test]
async fn a_renamed_speaker_is_renamed_in_every_version() {
    let desk = Desk::new(&["they came", "they came home"]).await;
    let rename = |from: &str, to: &str| json!({"speaker": "s1", "replaced": from, "text": to, "made_by": "Bo"});
    assert_eq!(desk.edit(rename("s1", "Ada")).await.status, 201);
    assert_eq!(desk.edit(rename("s1", "Eve")).await.problem(409), "words_changed");
    for version in ["1", "2"] {
        let shown =
            desk.house.get(&format!("{}/transcript.json?version={version}", desk.base)).await;
        let segment = &shown.json()["segments"][0];
        assert_eq!((&segment["speaker"], &segment["speaker_label"]), (&json!("Ada"), &json!("s1")));
        let vtt = desk.house.get(&format!("{}/transcript.vtt?version={version}", desk.base)).await;
        assert!(vtt.text().contains("<v Ada>"), "{}", vtt.text());
    }
    let edits = desk.house.get(&format!("{}/edits", desk.base)).await.json();
    assert_eq!(
        (&edits["items"][0]["speaker"], &edits["items"][0]["made_by"]),
        (&json!("s1"), &json!("Bo"))
    );
}

#[tokio::test]
async fn only_a_complete_version_is_shown_and_any_of_them_again() {
    let desk = Desk::new(&["one", "two"]).await;
    let first = desk.promote("1").await;
    assert_eq!((first.status.as_u16(), &first.json()["promoted"]), (200, &json!(true)));
    assert_eq!(desk.text().await, "one");
    desk.version("three", false).await;
    assert_eq!(desk.promote("3").await.problem(409), "transcript_state");
    assert_eq!(desk.promote("9").await.problem(404), "no_transcript");
    assert_eq!(desk.promote("last").await.problem(400), "bad_id");
    assert_eq!(desk.text().await, "one");
    assert_eq!(desk.promote("2").await.status, 200);
    assert_eq!(desk.text().await, "two");
    let nowhere = format!("/api/recordings/{}/transcripts/1/promote", RecordingId::new());
    let nowhere = desk.house.send(request("POST", &nowhere, &[], Body::empty())).await;
    assert_eq!(nowhere.problem(404), "unknown_recording");
}

#[tokio::test]
async fn two_versions_are_compared_word_by_word() {
    let desk = Desk::new(&["they came to teh house", "they came to the old house"]).await;
    desk.edit(correct(0, "they", "we")).await;
    let path = format!("{}/transcripts/diff", desk.base);
    let diff = desk.house.get(&format!("{path}?from=1&to=2")).await;
    let told = diff.json();
    assert_eq!(
        (&told["equal"], &told["removed"], &told["added"]),
        (&json!(4), &json!(1), &json!(2))
    );
    assert_eq!(
        told["runs"],
        json!([
            {"kind": "equal", "start_ms": 500, "end_ms": 1350, "words": 3, "text": "they came to"},
            {"kind": "removed", "start_ms": 1400, "end_ms": 1650, "words": 1, "text": "teh"},
            {"kind": "added", "start_ms": 1400, "end_ms": 1950, "words": 2, "text": "the old"},
            {"kind": "equal", "start_ms": 2000, "end_ms": 2250, "words": 1, "text": "house"},
        ])
    );
    let had = [("if-none-match", diff.header("etag"))];
    assert_eq!(desk.house.get_with(&format!("{path}?from=1&to=2"), &had).await.status, 304);
    assert_eq!(desk.house.get(&format!("{path}?from=1&to=7")).await.problem(404), "no_transcript");
    assert_eq!(desk.house.get(&format!("{path}?from=1")).await.problem(400), "bad_query");
}

#[tokio::test]
async fn only_the_operator_edits_and_promotes() {
    let desk = Desk::within(House::guarded().await, &["they came to teh house"]).await;
    assert_eq!(desk.edit(correct(3, "teh", "the")).await.problem(401), "token_required");
    assert_eq!(desk.promote("1").await.problem(401), "token_required");
    assert_eq!(desk.undo(1).await.problem(401), "token_required");
    let edits = format!("{}/edits", desk.base);
    assert_eq!(desk.house.get(&edits).await.problem(401), "token_required");
    let token = format!("Bearer {TOKEN}");
    let headers = [("authorization", &*token), ("content-type", "application/json")];
    let body = Body::from(correct(3, "teh", "the").to_string());
    let made = desk.house.send(request("POST", &edits, &headers, body)).await;
    assert_eq!(made.status, 201);
    assert_eq!(desk.text().await, "they came to the house", "which everyone sees");

    let closed = desk.house.room("closed", Audience::Invited, RecordingPolicy::Auto).await;
    let id = desk.house.live(&closed).await.id;
    let diff = desk.house.get(&format!("/api/recordings/{id}/transcripts/diff?from=0&to=1")).await;
    assert_eq!(diff.problem(404), "unknown_recording");
}
