use axum::body::Body;
use models::JobId;
use models::job::{Kind, Limits};
use serde_json::json;

use super::{Answer, House, START, TOKEN, request};

/// Asks for something to be done with a job.
async fn ask(house: &House, job: &str, what: &str) -> Answer {
    let path = format!("/api/jobs/{job}/{what}");
    house.send(request("POST", &path, &[], Body::empty())).await
}

/// The one job of the house.
async fn only_job(house: &House) -> String {
    house.ended().await;
    let jobs = house.get("/api/jobs?kind=transcribe").await.json();
    jobs["items"][0]["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn jobs_are_listed_and_read() {
    let house = House::new().await;
    let recording = house.ended().await;
    let jobs = house.get("/api/jobs").await.json();
    let job = &jobs["items"][0];
    assert_eq!((&job["kind"], &job["state"]), (&json!("transcribe"), &json!("ready")));
    assert_eq!(job["recording_id"], recording.id.to_string());
    assert_eq!(job["total_ms"], 10_500);
    assert_eq!((&job["host"], &job["worker"]), (&json!("Ada"), &json!(null)));
    let path = format!("/api/jobs/{}", job["id"].as_str().unwrap());
    assert_eq!(house.get(&path).await.json(), *job);
    let none = ["state=running", "state=ready&kind=transcribe_live"];
    for search in none {
        let found = house.get(&format!("/api/jobs?{search}")).await.json();
        assert_eq!(found["items"], json!([]), "{search}");
    }
    let unknown = format!("/api/jobs/{}", JobId::new());
    assert_eq!(house.get(&unknown).await.problem(404), "unknown_job");
    assert_eq!(house.get("/api/jobs?kind=dance").await.problem(400), "bad_query");
}

#[tokio::test]
async fn a_job_is_cancelled_and_tried_again() {
    let house = House::new().await;
    let id = only_job(&house).await;
    let later = START.plus_millis(60_000);
    let claim = async || {
        let kinds = [Kind::Transcribe];
        house.db.claim(&kinds, Limits::default(), "worker-7", 60_000, later).await.unwrap()
    };
    let (_, lease) = claim().await.unwrap();
    let running = house.get(&format!("/api/jobs/{id}")).await.json();
    assert_eq!((&running["state"], &running["worker"]), (&json!("running"), &json!("worker-7")));
    let refused = ask(&house, &id, "retry").await;
    assert_eq!(refused.problem(409), "job_state");
    assert_eq!(refused.json()["detail"], "The job is being worked on.");

    for _ in 0..2 {
        let cancelled = ask(&house, &id, "cancel").await;
        assert_eq!(cancelled.status, 200);
        assert_eq!(cancelled.json()["state"], "cancelled");
        assert_eq!(cancelled.json(), house.get(&format!("/api/jobs/{id}")).await.json());
    }
    assert!(house.db.heartbeat(&lease, 60_000, later).await.is_err(), "its worker has lost it");
    assert!(claim().await.is_none());

    let ready = ask(&house, &id, "retry").await;
    assert_eq!(ready.status, 200);
    assert_eq!((&ready.json()["state"], &ready.json()["attempt"]), (&json!("ready"), &json!(0)));
    let (job, lease) = claim().await.unwrap();
    assert_eq!(job.id.to_string(), id);
    house.db.fail_job(&lease, "no such weights", true, later).await.unwrap();
    assert_eq!(ask(&house, &id, "cancel").await.problem(409), "job_state");
    assert_eq!(ask(&house, &id, "retry").await.json()["error"], json!(null));
    let (_, lease) = claim().await.unwrap();
    house.db.finish_job(&lease, later).await.unwrap();
    for what in ["retry", "cancel"] {
        assert_eq!(ask(&house, &id, what).await.problem(409), "job_state", "it is done");
        let nobody = JobId::new().to_string();
        assert_eq!(ask(&house, &nobody, what).await.problem(404), "unknown_job");
        assert_eq!(ask(&house, "7", what).await.problem(400), "bad_id");
    }
}

#[tokio::test]
async fn only_the_operator_sees_and_moves_jobs() {
    let house = House::guarded().await;
    house.ended().await;
    let token = format!("Bearer {TOKEN}");
    let jobs = house.get_with("/api/jobs", &[("authorization", &token)]).await.json();
    let path = format!("/api/jobs/{}", jobs["items"][0]["id"].as_str().unwrap());
    assert_eq!(house.get("/api/jobs").await.problem(401), "token_required");
    assert_eq!(house.get(&path).await.problem(401), "token_required");
    for what in ["retry", "cancel"] {
        let path = format!("{path}/{what}");
        let send = async |headers: &[(&str, &str)]| {
            house.send(request("POST", &path, headers, Body::empty())).await
        };
        assert_eq!(send(&[]).await.problem(401), "token_required");
        assert_eq!(send(&[("authorization", "Bearer wrong")]).await.problem(401), "bad_token");
        assert_eq!(send(&[("authorization", &token)]).await.status, 200);
    }
    let open = House::new().await;
    let path = format!("/api/jobs/{}/cancel", only_job(&open).await);
    let foreign = [("origin", "http://evil.example")];
    let refused = open.send(request("POST", &path, &foreign, Body::empty())).await;
    assert_eq!(refused.problem(403), "cross_origin");
}
