use archive::receipt::{self, Facts, sign};
use models::Receipt;

use super::*;

/// Makes and signs the receipt that a recording wants.
async fn made(house: &House, recording: &Recording) -> Receipt {
    let (db, id) = (&house.db, recording.id);
    let room = db.room(recording.room_id).await.unwrap();
    let (chunks, wanted) = (db.chunks(id).await.unwrap(), db.receipt_wanted(id).await.unwrap());
    let (room, chunks) = (&room, &chunks[..]);
    let facts = Facts { recording, room, chunks, gaps: &[], anchors: &[] };
    let mut made = receipt::make(&facts, wanted.last.as_ref(), START).unwrap();
    let signer = sign::Signer::from_pem(&sign::Signer::generate().unwrap()).unwrap();
    made.signature = Some(signer.sign(&made.body));
    db.add_receipt(id, &made, &wanted).await.unwrap();
    made
}

#[tokio::test]
async fn a_receipt_is_handed_out_byte_for_byte_with_its_signature() {
    let house = House::new().await;
    let recording = house.ended().await;
    let path = format!("/api/recordings/{}", recording.id);
    let (body, signature) = (format!("{path}/receipt.json"), format!("{path}/receipt.sig"));
    for path in [&body, &signature] {
        assert_eq!(house.get(path).await.problem(404), "no_receipt");
    }
    assert!(house.get(&path).await.json()["receipt"].is_null());

    let made = made(&house, &recording).await;
    let answer = house.get(&body).await;
    assert_eq!((answer.text(), answer.header("content-type")), (&*made.body, "application/json"));
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    let same = house.get_with(&body, &[("if-none-match", answer.header("etag"))]).await;
    assert_eq!(same.status, StatusCode::NOT_MODIFIED);
    let file: sign::File = serde_json::from_slice(&house.get(&signature).await.body).unwrap();
    assert!(sign::is_good(&file.signature(), answer.text().as_bytes()));
    let shown = house.get(&path).await.json();
    assert_eq!(shown["receipt"]["sha256"], file.receipt_sha256);
    assert_eq!(shown["receipt"]["signed_by"], file.key_id);
    assert_eq!((&shown["receipt"]["number"], &shown["receipt"]["chunks"]), (&1.into(), &3.into()));
    assert_eq!(house.get(&format!("{body}?number=1")).await.text(), made.body);
    assert_eq!(house.get(&format!("{body}?number=2")).await.problem(404), "no_receipt");
}

#[tokio::test]
async fn a_receipt_is_for_those_who_may_listen() {
    let house = House::guarded().await;
    let room = house.room("club", Audience::Invited, RecordingPolicy::Auto).await;
    let recording = house.live(&room).await;
    let recording = house.end(&recording).await;
    made(&house, &recording).await;
    let authorization = format!("Bearer {TOKEN}");
    for file in ["receipt.json", "receipt.sig"] {
        let path = format!("/api/recordings/{}/{file}", recording.id);
        assert_eq!(house.get(&path).await.problem(404), "unknown_recording");
        let answer = house.get_with(&path, &[("authorization", &authorization)]).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert!(answer.header("cache-control").starts_with("private"));
    }
}
