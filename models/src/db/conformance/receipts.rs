use super::*;
use crate::chunk::{Gap, GapCause};
use crate::db::{Mend, Wanted};
use crate::receipt::{Receipt, Signature};
use crate::recording::EndReason;

/// A receipt that follows what is wanted.
fn receipt(wanted: &Wanted) -> Receipt {
    let number = wanted.last.as_ref().map_or(1, |last| last.number + 1);
    Receipt {
        number,
        sha256: [u8::try_from(number).unwrap(); 32],
        body: format!("{{\"number\":{number},\"title\":\"“ä\\u0000\"}}"),
        root: [0xab; 32],
        chunks: 3,
        signature: None,
        made_at: at(100),
    }
}

async fn ended(db: &Db) -> RecordingId {
    let id = recording(db, "hall", State::Live).await.id;
    add_chunks(db, id, 0..3).await;
    db.end_recording(id, EndReason::Host, at(20)).await.unwrap();
    id
}

pub(super) async fn what_has_ended_wants_one_receipt(place: &Place) {
    let db = place.open().await;
    let live = recording(&db, "live", State::Live).await.id;
    let id = ended(&db).await;
    assert_eq!(db.unreceipted(10).await.unwrap(), [id]);
    assert_eq!(db.receipt_brief(id).await.unwrap(), None);
    let wanted = db.receipt_wanted(id).await.unwrap();
    let made = receipt(&wanted);
    db.add_receipt(id, &made, &wanted).await.unwrap();
    assert!(is_conflict(db.add_receipt(id, &made, &wanted).await), "somebody was faster");
    assert_eq!(db.unreceipted(10).await.unwrap(), []);
    assert_eq!(db.receipts(id).await.unwrap()[..], std::slice::from_ref(&made)[..]);
    let brief = db.receipt_brief(id).await.unwrap().unwrap();
    assert_eq!((brief.number, brief.root, brief.public_key), (1, made.root, None));

    assert_eq!(db.unsigned(10).await.unwrap(), [(id, 1)]);
    let signature = Signature { public_key: "a2V5".into(), bytes: "c2ln".into() };
    db.sign_receipt(id, 1, &signature).await.unwrap();
    let again = db.sign_receipt(id, 1, &signature).await;
    assert!(matches!(again, Err(Error::NotFound { what: "receipt" })), "{again:?}");
    assert_eq!(db.receipt(id, None).await.unwrap().signature, Some(signature));
    assert_eq!(db.unsigned(10).await.unwrap(), []);

    assert!(is_conflict(db.want_receipt(live).await));
    db.want_receipt(id).await.unwrap();
    let wanted = db.receipt_wanted(id).await.unwrap();
    let second = receipt(&wanted);
    // Late audio lands while it is made.
    db.land(id, &[chunk(3)], &[], at(30)).await.unwrap();
    assert!(is_conflict(db.add_receipt(id, &second, &wanted).await));
    let wanted = db.receipt_wanted(id).await.unwrap();
    assert_eq!(wanted.changes, 2);
    db.add_receipt(id, &second, &wanted).await.unwrap();
    assert_eq!(db.receipt(id, None).await.unwrap().number, 2);
    assert_eq!(db.receipt(id, Some(1)).await.unwrap().body, made.body);
    assert!(matches!(db.receipt(id, Some(3)).await, Err(Error::NotFound { what: "receipt" })));
    db.forget(id).await.unwrap();
    assert_eq!(db.receipts(id).await.unwrap(), []);
}

pub(super) async fn rows_are_mended_as_they_were_seen_or_not_at_all(place: &Place) {
    let db = place.open().await;
    let id = ended(&db).await;
    let other = Chunk { take: 1, sha256: [9; 32], bytes: 5, ..chunk(1) };
    let gap = Gap {
        start: chunk(1).start,
        duration: chunk(1).duration,
        wall_us: 4_000_000,
        cause: GapCause::Broken,
    };
    let good = Mend {
        old: vec![chunk(1)],
        new: vec![other.clone()],
        gaps: vec![gap],
        has_new_sound: false,
    };
    let before = (db.chunks(id).await.unwrap(), db.recording(id).await.unwrap());
    let refused = async |mend: &Mend| is_conflict(db.mend(id, mend, at(40)).await);
    assert!(refused(&Mend { old: vec![other.clone()], ..good.clone() }).await, "it has changed");
    assert!(refused(&Mend { new: Vec::new(), ..good.clone() }).await, "nothing in its place");
    let short = Chunk { duration: Ticks(1), ..other.clone() };
    assert!(refused(&Mend { new: vec![short], ..good.clone() }).await, "it is shorter");
    let far = Chunk { start: Ticks(7), ..chunk(3) };
    assert!(refused(&Mend { new: vec![far], ..Mend::default() }).await, "it does not follow");
    assert!(refused(&Mend { new: vec![chunk(2)], ..Mend::default() }).await, "it is there");
    let after = (db.chunks(id).await.unwrap(), db.recording(id).await.unwrap());
    assert_eq!(after, before, "all or nothing");

    db.mend(id, &good, at(41)).await.unwrap();
    assert_eq!(db.chunks(id).await.unwrap(), [chunk(0), other, chunk(2)]);
    assert_eq!(db.gaps(id).await.unwrap(), [gap]);
    let mended = db.recording(id).await.unwrap();
    assert_eq!((mended.duration, mended.bytes), (Ticks::from_secs(12), 32_007));
    assert_eq!(db.receipt_changes(id).await.unwrap(), 2);
    let jobs = db.jobs_of(id).await.unwrap().len();

    let more = Mend { new: vec![chunk(3)], has_new_sound: true, ..Mend::default() };
    db.mend(id, &more, at(42)).await.unwrap();
    assert_eq!(db.recording(id).await.unwrap().duration, Ticks::from_secs(16));
    assert_eq!(db.jobs_of(id).await.unwrap().len(), jobs, "the whole is not transcribed yet");
    let live = recording(&db, "live", State::Live).await.id;
    assert!(is_conflict(db.mend(live, &Mend::default(), at(43)).await));
}
