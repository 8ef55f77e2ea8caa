//! Store and database misbehave in every way a network can, while rooms are live: nothing is lost, and
//! what waited comes after by itself.

use std::time::Duration;

use servers::{Fault, Link};

use crate::support::cluster::Installation;
use crate::support::crowd::Crowd;
use crate::support::rig::{LIMITS, Rig, Rooms};
use crate::support::{secs, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_while_store_and_database_misbehave() {
    let mut rig = Rig::new("outage", Installation::new(), Rooms { rtp: 3, icecast: 1 }).await;
    rig.start().await;
    let (store, database) = (rig.store.as_ref().unwrap(), rig.database.as_ref().unwrap());
    let crowd = rig.go_live(1, secs(4)).await;
    for (links, fault) in [
        (&[store][..], Fault::Answer(503, "SlowDown")),
        (&[database], Fault::Slow(Duration::from_millis(100))),
        (&[store], Fault::Answer(500, "InternalError")),
        (&[store], Fault::Short(3_000)),
        (&[database], Fault::Short(200)),
        (&[store, database], Fault::Cut),
    ] {
        spoil(links, fault, &crowd).await;
    }

    // What waits in the spool goes by itself, and what comes after the chunk that failed.
    let sent = secs(u64::from(crowd.next()[0]) / 50);
    rig.stored(sent, secs(60)).await;
    let checked = rig.check(crowd, LIMITS).await;
    assert_eq!(checked.complaints(), [""; 0], "log: {}", rig.log.display());
    for room in &checked.rooms {
        assert_eq!(room.found.gaps, 0, "room {}", room.room);
    }
    println!("{} packets, each as it was sent", checked.kept());
}

/// Makes `links` faulty for two seconds of sound or more, until each has spoiled something, and then
/// whole again.
async fn spoil(links: &[&Link], fault: Fault, crowd: &Crowd) {
    let spoiled = || links.iter().map(|link| link.spoiled()).collect::<Vec<_>>();
    let (begun, before) = (crowd.next()[0], spoiled());
    links.iter().for_each(|link| link.set(fault));
    until(&format!("{fault:?} to be noticed"), secs(30), || async {
        let noticed = spoiled().iter().zip(&before).all(|(now, before)| now > before);
        let enough = noticed || matches!(fault, Fault::Slow(_));
        (enough && crowd.next()[0] - begun >= 100).then_some(())
    })
    .await;
    links.iter().for_each(|link| link.set(Fault::None));
}
