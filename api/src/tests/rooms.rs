use models::room::{Audience, RecordingPolicy};
use serde_json::{Value, json};

use super::House;

#[tokio::test]
async fn a_room_is_made_read_and_changed() {
    let house = House::new().await;
    let made = house.post("/api/rooms", json!({"slug": "hall", "title": "Town hall"})).await;
    assert_eq!(made.status, 201);
    assert_eq!(made.header("location"), "/api/rooms/hall");
    let room = made.json();
    assert_eq!(room["audience"], "everyone");
    assert_eq!(room["policy"], "auto");
    assert_eq!((&room["icecast"], &room["rtp_port"]), (&json!(false), &Value::Null));
    assert_eq!(room["grace_ms"], 30_000);
    assert!(room.get("source_key").is_none());

    let change = json!({"host": "Ada", "glossary": "kWh", "rtp_port": 5004, "policy": "manual"});
    let changed = house.write("PATCH", "/api/rooms/hall", change).await;
    assert_eq!(changed.status, 200);
    let read = house.get("/api/rooms/hall").await.json();
    assert_eq!((&read["host"], &read["title"]), (&json!("Ada"), &json!("Town hall")));
    assert_eq!(read["glossary"], "kWh");
    assert_eq!((&read["rtp_port"], &read["policy"]), (&json!(5004), &json!("manual")));
    assert_eq!(house.get("/api/rooms").await.json()["items"], json!([read]));

    house.write("PATCH", "/api/rooms/hall", json!({"rtp_port": null})).await;
    assert_eq!(house.get("/api/rooms/hall").await.json()["rtp_port"], Value::Null);
}

#[tokio::test]
async fn a_source_key_is_made_shown_once_and_kept_as_a_hash() {
    let house = House::new().await;
    let new = json!({"slug": "hall", "title": "Hall", "source_key": "auto"});
    let made = house.post("/api/rooms", new).await;
    assert_eq!(made.header("cache-control"), "no-store");
    let made = made.json();
    let key = made["source_key"].as_str().unwrap();
    assert_eq!(key.len(), 32);
    assert_eq!(made["icecast"], true);
    let kept = house.db.room_by_slug("hall").await.unwrap().source_key.unwrap();
    assert!(kept.matches(key) && !kept.matches("auto") && !kept.0.contains(key));
    assert!(house.get("/api/rooms/hall").await.json().get("source_key").is_none());

    let other = house.write("PATCH", "/api/rooms/hall", json!({"source_key": "auto"})).await.json();
    assert_ne!(other["source_key"], key);
    let none = house.write("PATCH", "/api/rooms/hall", json!({"source_key": ""})).await.json();
    assert_eq!(none["icecast"], false);
}

#[tokio::test]
async fn fields_out_of_bounds_are_refused_with_what_is_wrong() {
    let house = House::new().await;
    for (field, value, says) in [
        ("title", json!("x".repeat(201)), "1 to 200 characters"),
        ("title", json!(" "), "1 to 200 characters"),
        ("slug", json!("Not A Slug"), "lower-case letters"),
        ("host", json!("x".repeat(201)), "at most 200 characters"),
        ("glossary", json!("x".repeat(1001)), "at most 1000 characters"),
        ("rtp_port", json!(1023), "1024 or above"),
        ("rtp_port", json!(65_536), "u16"),
        ("grace_ms", json!(1), "1000 to 3600000"),
        ("source_key", json!("short"), "8 to 128 characters"),
        ("audience", json!("nobody"), "unknown variant"),
        ("titel", json!("x"), "unknown field `titel`"),
    ] {
        let mut new = json!({"slug": "hall", "title": "Hall"});
        new[field] = value;
        let refused = house.post("/api/rooms", new).await;
        assert_eq!(refused.problem(422), "invalid", "{field}");
        let detail = refused.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(says), "{field}: {detail}");
    }
    let no_title = house.post("/api/rooms", json!({"slug": "hall"})).await;
    assert_eq!(no_title.problem(422), "invalid");
    assert_eq!(house.get("/api/rooms").await.json()["items"], json!([]), "nothing was made");
}

#[tokio::test]
async fn a_name_or_port_that_is_taken_is_a_conflict() {
    let house = House::new().await;
    let new = |slug: &str, port: u16| json!({"slug": slug, "title": "T", "rtp_port": port});
    assert_eq!(house.post("/api/rooms", new("a", 5004)).await.status, 201);
    assert_eq!(house.post("/api/rooms", new("a", 5006)).await.problem(409), "conflict");
    assert_eq!(house.post("/api/rooms", new("b", 5004)).await.problem(409), "conflict");
    assert_eq!(house.get("/api/rooms/b").await.problem(404), "unknown_room");
}

#[tokio::test]
async fn with_a_token_only_the_operator_changes_rooms_and_sees_closed_ones() {
    let house = House::guarded().await;
    house.room("open", Audience::Everyone, RecordingPolicy::Auto).await;
    house.room("closed", Audience::Followers, RecordingPolicy::Auto).await;
    let new = json!({"slug": "x", "title": "X"});
    let refused = house.post("/api/rooms", new).await;
    assert_eq!(refused.problem(401), "token_required");
    assert_eq!(refused.header("www-authenticate"), "Bearer realm=\"roomtape\"");
    let refused = house.write("PATCH", "/api/rooms/open", json!({"title": "Mine"})).await;
    assert_eq!(refused.problem(401), "token_required");

    let slugs = |rooms: Value| {
        let rooms = rooms["items"].as_array().unwrap().clone();
        rooms.iter().map(|r| r["slug"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(slugs(house.get("/api/rooms").await.json()), ["open"]);
    assert_eq!(house.get("/api/rooms/closed").await.problem(404), "unknown_room");
    let operator = [("authorization", "Bearer correct horse")];
    let all = house.get_with("/api/rooms", &operator).await;
    assert_eq!(slugs(all.json()), ["open", "closed"]);
    assert_eq!(house.get_with("/api/rooms/closed", &operator).await.status, 200);
    let wrong = [("authorization", "Bearer correct hors")];
    assert_eq!(house.get_with("/api/rooms", &wrong).await.problem(401), "bad_token");
}
