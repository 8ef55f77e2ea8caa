//! A database that does not answer: neither yes nor no, as behind a cut line.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::*;
use crate::testing::{on_database, open};

/// A way to a server that can be shut: what is sent then stays on the way.
struct Gate {
    address: SocketAddr,
    shut: watch::Sender<bool>,
}

impl Gate {
    async fn to(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (shut, is_shut) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let is_shut = is_shut.clone();
                tokio::spawn(async move {
                    let there = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
                    let (from, to) = (stream.into_split(), there.into_split());
                    tokio::join!(
                        carry(from.0, to.1, is_shut.clone()),
                        carry(to.0, from.1, is_shut)
                    );
                });
            }
        });
        Self { address, shut }
    }
}

async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut is_shut: watch::Receiver<bool>,
) {
    let mut bytes = [0; 4096];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        if is_shut.wait_for(|shut| !shut).await.is_err()
            || to.write_all(&bytes[..read]).await.is_err()
        {
            return;
        }
    }
}

#[tokio::test]
async fn a_room_is_written_while_the_database_does_not_answer() {
    let folder = tempfile::tempdir().unwrap();
    let place = open(folder.path()).await;
    let url = servers::postgres().new_database();
    let gate = Gate::to(servers::postgres().port()).await;
    let own = format!(":{}", servers::postgres().port());
    let gated = url.replace(&own, &format!(":{}", gate.address.port()));
    assert_ne!(url, gated);
    let rig = Rig { place: on_database(&place, &url).await, folder };
    let room = rig.room(RecordingPolicy::Auto, LONG).await;
    // A source that falls silent is held loosely, and firmly again when it is heard.
    let limits = Limits { silent: Duration::from_millis(50), ..Limits::default() };
    let running = Running::with_limits(&on_database(&place, &gated).await, limits);
    let feed = running.attach(&room).await.unwrap();
    send(&feed, 0..60).await;
    let row = becomes(&rig, &room, State::Live).await;
    let grip = async || rig.place.db.holder(row.id).await.unwrap().map(|holder| holder.grip);
    until(async || grip().await.filter(|grip| *grip == models::Grip::Loose)).await;

    gate.shut.send(true).unwrap();
    running.supervisor.shared.rooms.nudge_all();
    let began = std::time::Instant::now();
    for n in (60..1500).step_by(40) {
        send(&feed, n..n + 40).await;
        running.supervisor.shared.rooms.nudge_all();
    }
    spooled(&rig, &row, 1475).await;
    // Long before a query is given up.
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());

    gate.shut.send(false).unwrap();
    let row = end(&rig, &room).await;
    assert_eq!(numbers(&rig.stored(row.id).await), is(0..1500));
    assert_eq!(rig.place.db.gaps(row.id).await.unwrap(), []);
    running.stop().await;
}

/// Waits until everything before packet `end` is in the spool.
async fn spooled(rig: &Rig, row: &Recording, end: usize) {
    let dir = rig.spool_of(row.id);
    until(async || {
        let last = crate::spool::list(&dir, "m4s").unwrap().pop()?;
        let last = crate::spool::load(&dir, last).unwrap()?.fragments.pop()?;
        (last.span().end.0 >= end as u64 * PACKET.0).then_some(())
    })
    .await;
}
