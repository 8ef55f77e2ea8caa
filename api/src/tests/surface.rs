use axum::body::Body;
use serde_json::{Value, json};

use super::{House, request};
use crate::{Config, Probe, Pulse};

#[tokio::test]
async fn the_server_says_that_it_works() {
    let house = House::new().await;
    let health = house.get("/api/health").await;
    assert_eq!(health.json(), json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")}));
    house.db.close().await;
    let broken = house.get("/api/health").await;
    assert_eq!(broken.problem(500), "internal");
    assert!(
        !broken.text().contains("sqlite") && !broken.text().contains("pool"),
        "{}",
        broken.text()
    );
}

#[tokio::test]
async fn whatever_cannot_be_read_is_a_problem_with_a_code() {
    let house = House::new().await;
    let json = ("content-type", "application/json");
    let post = async |headers: &[(&str, &str)], body: String| {
        house.send(request("POST", "/api/rooms", headers, body.into())).await
    };
    assert_eq!(post(&[json], "{".into()).await.problem(400), "bad_json");
    assert_eq!(
        post(&[("content-type", "text/plain")], "{}".into()).await.problem(415),
        "wrong_content_type"
    );
    assert_eq!(
        post(&[json], format!("\"{}\"", "x".repeat(65_536))).await.problem(413),
        "too_large"
    );
    assert_eq!(house.get("/nowhere").await.problem(404), "not_found");
    assert_eq!(house.get("/api/nowhere").await.problem(404), "not_found");
    assert_eq!(house.get("/web/../Cargo.toml").await.problem(404), "not_found");
    assert_eq!(house.get("/api/docs/nothing.js").await.problem(404), "not_found");
    let wrong = house.send(request("DELETE", "/api/rooms", &[], Body::empty())).await;
    assert_eq!(wrong.problem(405), "method_not_allowed");
    let mut allowed: Vec<_> = wrong.header("allow").split(',').collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["GET", "HEAD", "POST"]);
}

#[tokio::test]
async fn request_ids_are_kept_where_they_are_fit_for_a_log() {
    let house = House::new().await;
    let kept = house.get_with("/api/health", &[("x-request-id", "abc-1")]).await;
    assert_eq!(kept.header("x-request-id"), "abc-1");
    let replaced = house.get_with("/api/health", &[("x-request-id", "a b\"c")]).await;
    assert_eq!(replaced.header("x-request-id").len(), 36);
}

#[tokio::test]
async fn other_web_sites_change_nothing_here() {
    let house = House::new().await;
    let body = || Body::from(json!({"slug": "hall", "title": "Hall"}).to_string());
    let json = ("content-type", "application/json");
    for foreign in [("origin", "http://evil.example"), ("sec-fetch-site", "cross-site")] {
        let refused = house.send(request("POST", "/api/rooms", &[json, foreign], body())).await;
        assert_eq!(refused.problem(403), "cross_origin");
        let end = format!("/api/recordings/{}/end", models::RecordingId::new());
        let refused = house.send(request("POST", &end, &[foreign], Body::empty())).await;
        assert_eq!(refused.problem(403), "cross_origin");
    }
    let rebound = house.get_with("/api/rooms", &[("host", "evil.example")]).await;
    assert_eq!(rebound.problem(421), "host_not_allowed");
    let own = [json, ("origin", "http://localhost:8090"), ("sec-fetch-site", "same-origin")];
    assert_eq!(house.send(request("POST", "/api/rooms", &own, body())).await.status, 201);

    let allowed_hosts = vec!["tape.example".to_owned()];
    let house = House::with(Config { allowed_hosts, ..Config::default() }).await;
    assert_eq!(house.get_with("/api/rooms", &[("host", "tape.example:8090")]).await.status, 200);
    let guarded = House::guarded().await;
    assert_eq!(guarded.get_with("/api/rooms", &[("host", "any.example")]).await.status, 200);
}

#[tokio::test]
async fn other_web_sites_may_ask_to_read_recordings_only() {
    let house = House::new().await;
    let path = format!("/api/recordings/{}/audio.mp4", models::RecordingId::new());
    let ask = async |path: &str, method: &'static str| {
        let headers =
            [("origin", "https://player.example"), ("access-control-request-method", method)];
        house.send(request("OPTIONS", path, &headers, Body::empty())).await
    };
    let reads = ask(&path, "GET").await;
    assert_eq!((reads.status.as_u16(), reads.header("access-control-allow-origin")), (204, "*"));
    for (path, method) in [(path.as_str(), "POST"), ("/api/rooms", "GET")] {
        let refused = ask(path, method).await;
        assert_eq!(refused.problem(405), "method_not_allowed");
        assert_eq!(refused.header("access-control-allow-origin"), "");
    }
}

#[tokio::test]
async fn every_answer_keeps_browsers_safe() {
    let house = House::new().await;
    for path in ["/", "/recordings/x", "/api/health", "/api/docs/", "/nowhere"] {
        let answer = house.get(path).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "same-origin", "{path}");
        let policy = answer.header("content-security-policy");
        assert!(
            policy.contains("default-src 'self'") || policy.contains("default-src 'none'"),
            "{path}"
        );
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("http"), "{path}");
    }
}

#[tokio::test]
async fn pages_are_served_from_the_binary() {
    let house = House::new().await;
    for path in ["/", "/recordings/018bcfe5-6800-7000-8000-000000000000"] {
        let page = house.get(path).await;
        assert_eq!(
            (page.status.as_u16(), page.header("content-type")),
            (200, "text/html; charset=utf-8")
        );
        assert_eq!(page.header("cache-control"), "no-cache");
        assert!(page.header("content-security-policy").starts_with("default-src 'self';"));
        let same = house.get_with(path, &[("if-none-match", page.header("etag"))]).await;
        assert_eq!((same.status.as_u16(), same.body.len()), (304, 0));
        // Whatever the page names is there, with a type that browsers accept under nosniff.
        let named = page.text().split('"').filter(|text| text.starts_with("/web/"));
        for asset in named.map(|text| text.split('#').next().unwrap()) {
            let answer = house.get(asset).await;
            assert_eq!(answer.status, 200, "{asset}");
            assert_ne!(answer.header("content-type"), "application/octet-stream", "{asset}");
        }
    }
    let script = house.get("/web/api.js").await;
    assert_eq!(script.header("content-type"), "text/javascript; charset=utf-8");
}

#[tokio::test]
async fn the_document_names_every_route_and_is_sound() {
    let house = House::new().await;
    let answer = house.get("/api/openapi.json").await;
    assert_eq!(answer.text(), crate::openapi());
    let document = answer.json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    let paths = document["paths"].as_object().unwrap();
    let mut routes = Vec::new();
    let mut ids = std::collections::HashSet::new();
    for (path, item) in paths {
        for (method, operation) in item.as_object().unwrap() {
            routes.push(format!("{method} {path}"));
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id.to_owned()), "{id} names two operations");
            assert!(operation["summary"].is_string(), "{path} has no summary");
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.keys().any(|status| status.starts_with('2')), "{path}");
            // Every parameter of the address is described.
            let described: Vec<_> =
                operation["parameters"].as_array().into_iter().flatten().collect();
            for name in path.split('{').skip(1).map(|rest| rest.split('}').next().unwrap()) {
                assert!(
                    described.iter().any(|p| p["name"] == name && p["in"] == "path"),
                    "{path} {name}"
                );
            }
        }
    }
    routes.sort_unstable();
    insta::assert_snapshot!(routes.join("\n"), @"
    delete /api/recordings/{id}/edits/{number}
    get /api/batches
    get /api/batches/{id}
    get /api/health
    get /api/jobs
    get /api/jobs/{id}
    get /api/openapi.json
    get /api/recordings
    get /api/recordings/{id}
    get /api/recordings/{id}/audio.mp4
    get /api/recordings/{id}/audio.wav
    get /api/recordings/{id}/chunks/{chunk}
    get /api/recordings/{id}/edits
    get /api/recordings/{id}/init.mp4
    get /api/recordings/{id}/playlist.m3u8
    get /api/recordings/{id}/receipt.json
    get /api/recordings/{id}/receipt.sig
    get /api/recordings/{id}/transcript.json
    get /api/recordings/{id}/transcript.srt
    get /api/recordings/{id}/transcript.txt
    get /api/recordings/{id}/transcript.vtt
    get /api/recordings/{id}/transcripts
    get /api/recordings/{id}/transcripts/diff
    get /api/rooms
    get /api/rooms/{slug}
    get /healthz
    get /metrics
    get /readyz
    patch /api/rooms/{slug}
    post /api/batches
    post /api/batches/estimate
    post /api/batches/{id}/cancel
    post /api/batches/{id}/pause
    post /api/batches/{id}/resume
    post /api/jobs/{id}/cancel
    post /api/jobs/{id}/retry
    post /api/recordings/{id}/edits
    post /api/recordings/{id}/end
    post /api/recordings/{id}/pause
    post /api/recordings/{id}/resume
    post /api/recordings/{id}/transcripts/{version}/promote
    post /api/rooms
    post /api/rooms/{slug}/recordings
    ");
    for reference in references(&document) {
        let pointer = reference.strip_prefix('#').expect("nothing outside is referred to");
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
    // Each documented route is really there: none answers that there is nothing at this address. This
    // house counts nothing, so that it has no figures.
    for path in paths.keys().filter(|path| *path != "/metrics") {
        let path = path.replace("{id}", &models::RecordingId::new().to_string());
        let path = path.replace("{slug}", "x").replace("{chunk}", "0.m4s");
        let answer = house.get(&path.replace("{version}", "1").replace("{number}", "1")).await;
        assert!(answer.status != 404 || answer.problem(404) != "not_found", "{path}");
    }
}

/// Every `$ref` in the document.
fn references(value: &Value) -> Vec<String> {
    match value {
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(key, value)| match value {
                Value::String(text) if key == "$ref" => vec![text.clone()],
                other => references(other),
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

#[tokio::test]
async fn the_documentation_page_needs_nobody_else() {
    let house = House::new().await;
    let moved = house.get("/api/docs").await;
    assert_eq!((moved.status.as_u16(), moved.header("location")), (303, "/api/docs/"));
    let page = house.get("/api/docs/").await;
    assert_eq!(page.status, 200);
    assert!(
        !page.text().contains("http://") && !page.text().contains("https://"),
        "{}",
        page.text()
    );
    let settings = house.get("/api/docs/swagger-initializer.js").await;
    assert!(settings.text().contains("/api/openapi.json"), "{}", settings.text());
    assert!(house.get("/api/docs/swagger-ui-bundle.js").await.body.len() > 100_000);
}

#[tokio::test]
async fn a_process_is_ready_between_its_start_and_its_end_only() {
    let pulse = Pulse::starting();
    let house = House::with(Config { pulse: pulse.clone(), ..Config::default() }).await;
    // A balancer asks by address and not by name.
    let ask = async |path: &str| house.get_with(path, &[("host", "192.0.2.7:8090")]).await;
    assert_eq!(ask("/healthz").await.json()["status"], "ok");
    assert_eq!(ask("/readyz").await.problem(503), "not_ready");
    pulse.ready();
    let ready = json!({"status": "ready", "database": true, "store": true});
    assert_eq!(ask("/readyz").await.json(), ready);
    pulse.draining();
    pulse.ready();
    let draining = ask("/readyz").await;
    assert_eq!(draining.problem(503), "not_ready");
    assert!(draining.text().contains("about to end"), "{}", draining.text());
    assert_eq!(ask("/healthz").await.status, 200, "it still lives");
    assert_eq!(ask("/api/rooms").await.problem(421), "host_not_allowed");
}

#[tokio::test]
async fn figures_are_for_the_operator_and_only_where_something_is_counted() {
    let counts: crate::Metrics = std::sync::Arc::new(|| "roomtape_recordings_open 3\n".into());
    let token = Some(super::TOKEN.to_owned());
    let config =
        Config { metrics: Some(counts.clone()), operator_token: token, ..Config::default() };
    let house = House::with(config).await;
    assert_eq!(house.get("/metrics").await.problem(401), "token_required");
    let bearer = format!("Bearer {}", super::TOKEN);
    let answer = house.get_with("/metrics", &[("authorization", &bearer)]).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (200, "roomtape_recordings_open 3\n"));
    assert!(answer.header("content-type").starts_with("text/plain; version=0.0.4"));
    assert_eq!(House::new().await.get("/metrics").await.problem(404), "not_found");
    // Where a role without pages tells how it is, whoever reaches it may ask.
    for (metrics, status) in [(Some(counts), 200), (None, 404)] {
        let probe = Probe::new(house.db.clone(), house.store.clone(), Pulse::default());
        let router = crate::health_router(probe, metrics);
        let role = House { router, ..House::new().await };
        assert_eq!(role.get("/metrics").await.status, status);
    }
}

#[tokio::test]
async fn a_process_that_lost_its_database_lives_but_is_not_ready() {
    let house = House::new().await;
    let probe = Probe::without_store(house.db.clone(), house.store.clone(), Pulse::default());
    let role = crate::health_router(probe, None);
    house.db.close().await;
    for router in [&house.router, &role] {
        let house = House { router: router.clone(), ..House::new().await };
        assert_eq!(house.get("/healthz").await.status, 200);
        let answer = house.get("/readyz").await;
        assert_eq!(answer.problem(503), "not_ready");
        assert!(answer.text().contains("Out of reach: the database."), "{}", answer.text());
        assert_eq!(house.get("/nowhere").await.problem(404), "not_found");
    }
}
