use axum::body::Body;
use models::batch::Transcriber;
use models::db::Claimant;
use models::job::{Cost, Kind, Limits};
use models::transcript::MadeBy;
use models::{BatchId, Ticks, WallMicros};
use serde_json::{Value, json};

use super::{Answer, House, TOKEN, request};

/// A house with an ended recording and a worker that has weights.
async fn house() -> House {
    let house = House::new().await;
    house.ended().await;
    let made_by = made_by();
    let alive_until = WallMicros::now().plus_millis(600_000);
    let worker = Transcriber { name: "gpu:1".into(), made_by, places: 2, alive_until };
    house.db.tell_transcriber(&worker, WallMicros::now()).await.unwrap();
    house
}

fn made_by() -> MadeBy {
    MadeBy {
        engine: "whisper.cpp 1.8.3 (cuda)".into(),
        weights: "small.en".into(),
        weights_sha256: "ab".repeat(32),
        parameters: json!({"language": "en"}),
    }
}

async fn ask(house: &House, batch: &str, what: &str) -> Answer {
    let path = format!("/api/batches/{batch}/{what}");
    house.send(request("POST", &path, &[], Body::empty())).await
}

fn wish(terms: &str) -> Value {
    json!({"where": terms, "weights": "small.en"})
}

#[tokio::test]
async fn a_batch_is_estimated_made_and_made_once() {
    let house = house().await;
    let estimate = house.post("/api/batches/estimate", wish("room=hall")).await;
    assert_eq!(estimate.status, 200, "{}", estimate.text());
    let expected = json!({
        "recordings": 1, "audio_ms": 10_500, "done": 0, "open": 0, "workers": 1, "places": 2,
        "speed": null, "speed_of": null, "takes_ms": null,
    });
    assert_eq!(estimate.json(), expected);
    assert_eq!(house.get("/api/batches").await.json(), json!({"items": [], "next": null}));

    let made = house.post("/api/batches", wish("room=hall")).await;
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(made.json()["estimate"], expected);
    let batch = made.json()["batch"].clone();
    assert_eq!((&batch["state"], &batch["where"]), (&json!("running"), &json!("room=hall")));
    assert_eq!((&batch["priority"], &batch["promote"]), (&json!(10), &json!(true)));
    assert_eq!(
        (&batch["progress"]["ready"], &batch["progress"]["total_ms"]),
        (&json!(1), &json!(10_500))
    );
    let id = batch["id"].as_str().unwrap();
    assert_eq!(house.get(&format!("/api/batches/{id}")).await.json(), batch);
    assert_eq!(house.get("/api/batches?limit=1").await.json()["items"], json!([batch]));

    let again = house.post("/api/batches", wish("all")).await;
    assert_eq!((again.status.as_u16(), &again.json()["batch"]), (200, &json!(null)));
    assert_eq!(again.json()["estimate"]["open"], 1);
}

#[tokio::test]
async fn a_batch_is_paused_resumed_and_cancelled_and_its_cost_is_shown() {
    let house = house().await;
    let made = house.post("/api/batches", wish("all")).await.json();
    let id = made["batch"]["id"].as_str().unwrap();
    assert_eq!(ask(&house, id, "pause").await.json()["state"], "paused");
    let jobs = house.get("/api/jobs?kind=transcribe").await.json();
    let job = jobs["items"].as_array().unwrap().iter().find(|job| job["batch_id"] == id).unwrap();
    assert_eq!((&job["held"], &job["weights"]), (&json!(true), &json!("small.en")));
    let retry = format!("/api/jobs/{}/retry", job["id"].as_str().unwrap());
    assert_eq!(house.post(&retry, json!({})).await.problem(409), "job_state");
    assert_eq!(ask(&house, id, "resume").await.json()["state"], "running");

    let now = WallMicros::now();
    let sha256 = made_by().weights_sha256;
    let kinds = [Kind::Transcribe];
    let claimant =
        Claimant { name: "gpu:1", kinds: &kinds, weights: Some(&sha256), only_asked: true };
    let claimed = house.db.claim_as(claimant, Limits::default(), 60_000, now).await.unwrap();
    let (job, lease) = claimed.unwrap();
    let (id_of, ours) = (job.recording_id, made_by());
    let begun = house.db.begin_transcript(&lease, id_of, false, &ours, now).await.unwrap();
    let (audio, device) = (Ticks::from_millis(10_500), "cuda".to_owned());
    let cost = Cost { wall_ms: 500, audio, windows: 1, threads: 2, device };
    house.db.spend(&lease, Some(begun.id), &cost, now).await.unwrap();
    let shown = json!({
        "wall_ms": 500, "audio_ms": 10_500, "windows": 1, "threads": 2, "device": "cuda",
    });
    assert_eq!(house.get(&format!("/api/jobs/{}", job.id)).await.json()["cost"], shown);
    let versions = house.get(&format!("/api/recordings/{}/transcripts", job.recording_id)).await;
    assert_eq!(versions.json()["items"][0]["cost"], shown);
    let estimate = house.post("/api/batches/estimate", wish("all")).await.json();
    assert_eq!((&estimate["speed"], &estimate["speed_of"]), (&json!(21.0), &json!("small.en")));

    assert_eq!(ask(&house, id, "cancel").await.json()["state"], "cancelled");
    assert!(house.db.heartbeat(&lease, 60_000, now).await.is_err(), "its worker has lost it");
    for what in ["pause", "resume"] {
        let refused = ask(&house, id, what).await;
        assert_eq!(refused.problem(409), "batch_state");
        assert_eq!(refused.json()["detail"], "The batch is cancelled.");
    }
    let nobody = BatchId::new().to_string();
    for what in ["pause", "resume", "cancel"] {
        assert_eq!(ask(&house, &nobody, what).await.problem(404), "unknown_batch");
        assert_eq!(ask(&house, "7", what).await.problem(400), "bad_id");
    }
}

#[tokio::test]
async fn what_is_not_clear_is_refused_and_makes_nothing() {
    let house = house().await;
    for (terms, said) in [
        ("", "room=SLUG"),
        ("title=x", "room=SLUG"),
        ("room=nowhere", "no room is called"),
        ("id=00000000-0000-7000-8000-000000000000", "no such recording"),
        ("all,longer=1m", "stands by itself"),
    ] {
        let refused = house.post("/api/batches", wish(terms)).await;
        assert_eq!(refused.problem(422), "invalid", "{terms}");
        assert!(refused.text().contains(said), "{}", refused.text());
    }
    let unknown = json!({"where": "all", "weights": "huge.en"});
    let refused = house.post("/api/batches/estimate", unknown).await;
    assert_eq!(refused.problem(422), "invalid");
    assert!(refused.text().contains("huge.en"), "{}", refused.text());
    let typo = json!({"where": "all", "weights": "small.en", "prority": "fresh"});
    assert_eq!(house.post("/api/batches", typo).await.problem(422), "invalid");
    assert_eq!(house.get("/api/batches").await.json()["items"], json!([]));
}

#[tokio::test]
async fn only_the_operator_sees_and_makes_batches() {
    let house = House::guarded().await;
    assert_eq!(house.get("/api/batches").await.problem(401), "token_required");
    for path in ["/api/batches", "/api/batches/estimate"] {
        assert_eq!(house.post(path, wish("all")).await.problem(401), "token_required");
    }
    let nobody = BatchId::new().to_string();
    let path = format!("/api/batches/{nobody}");
    assert_eq!(house.get(&path).await.problem(401), "token_required");
    for what in ["pause", "resume", "cancel"] {
        assert_eq!(ask(&house, &nobody, what).await.problem(401), "token_required");
    }
    let token = format!("Bearer {TOKEN}");
    let listed = house.get_with("/api/batches", &[("authorization", &token)]).await;
    assert_eq!(listed.status, 200);
}
