use super::*;
use crate::room::SourceKey;

pub(super) async fn a_room_is_read_as_it_was_written(place: &Place) {
    let db = place.open().await;
    db.ping().await.unwrap();
    let mut room = Room {
        host: "Åsa \"the host\" O'Neill".into(),
        audience: Audience::Invited,
        policy: RecordingPolicy::Manual,
        rtp_port: Some(65_535),
        source_key: Some(SourceKey("00:11".into())),
        ..a_room("town-hall")
    };
    db.create_room(&room).await.unwrap();
    assert_eq!(db.room(room.id).await.unwrap(), room);

    room.title = "Renamed".into();
    room.slug = "renamed".into();
    room.glossary = "Ada Lovelace, kWh".into();
    room.audience = Audience::Followers;
    room.rtp_port = None;
    room.source_key = None;
    room.grace_ms = 1_000;
    db.update_room(&room).await.unwrap();
    assert_eq!(db.room_by_slug("renamed").await.unwrap(), room);

    let older = Room { created_at: at(-5), ..a_room("older") };
    db.create_room(&older).await.unwrap();
    assert_eq!(db.rooms().await.unwrap(), [older, room]);
}

pub(super) async fn slug_and_port_belong_to_one_room(place: &Place) {
    let db = place.open().await;
    let first = Room { rtp_port: Some(5004), ..a_room("first") };
    db.create_room(&first).await.unwrap();

    let conflict = |result| match result {
        Err(Error::Conflict { what }) => what,
        other => panic!("{other:?}"),
    };
    let same_slug = a_room("first");
    assert_eq!(conflict(db.create_room(&same_slug).await), "another room has the slug first");
    let same_port = Room { rtp_port: Some(5004), ..a_room("second") };
    assert_eq!(conflict(db.create_room(&same_port).await), "the room first has the RTP port 5004");
    assert_eq!(db.rooms().await.unwrap(), vec![first.clone()]);

    let mut second = a_room("second");
    db.create_room(&second).await.unwrap();
    second.slug = "first".into();
    assert!(is_conflict(db.update_room(&second).await));
    // A room does not stand in its own way.
    db.update_room(&Room { title: "New title".into(), ..first.clone() }).await.unwrap();
    assert_eq!(db.room(first.id).await.unwrap().title, "New title");
}

pub(super) async fn an_unknown_room_is_not_found(place: &Place) {
    let db = place.open().await;
    let stranger = a_room("stranger");
    let missing = |result: crate::db::Result<Room>| {
        assert!(matches!(result, Err(Error::NotFound { what: "room" })), "{result:?}");
    };
    missing(db.room(stranger.id).await);
    missing(db.room_by_slug("stranger").await);
    missing(db.update_room(&stranger).await.map(|()| stranger.clone()));
    let new = new_recording(stranger.id, State::Live);
    assert!(matches!(db.create_recording(&new).await, Err(Error::NotFound { what: "room" })));
}

pub(super) async fn a_text_with_a_nul_in_it_is_taken(place: &Place) {
    let db = place.open().await;
    let room = Room { title: "a\0b".into(), host: "\0".into(), ..a_room("room") };
    db.create_room(&room).await.unwrap();
    let kept = db.room(room.id).await.unwrap();
    assert_eq!((kept.title.as_str(), kept.host.as_str()), ("a\u{fffd}b", "\u{fffd}"));
    assert!(matches!(db.room_by_slug("ro\0om").await, Err(Error::NotFound { .. })));
    let sought = crate::db::Filter { text: Some("\0".into()), ..crate::db::Filter::default() };
    let mut new = new_recording(room.id, State::Live);
    new.title = "Mon\0day".into();
    let made = db.create_recording(&new).await.unwrap();
    assert_eq!(db.recordings(&sought, None, 10).await.unwrap(), [made]);
}
