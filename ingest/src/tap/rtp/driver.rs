//! The sockets: one task a room that has an RTP port.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use models::db::Change;
use models::{Db, Room, RoomId};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::port;
use crate::Supervisor;

/// How often the rooms are looked at without being told of a change, and how soon a port that could
/// not be bound is tried again.
const RESCAN: Duration = Duration::from_secs(3);
/// What the kernel is asked to hold for us: about a minute of 20 ms packets, each of which takes it
/// more than a kilobyte, far more than we are ever busy for. It may grant less
/// (`net.core.rmem_max`; Linux' usual 208 KiB are four seconds).
const RECEIVE_BUFFER: usize = 4 << 20;

/// Keeps a socket bound for each room that has an RTP port, until `shutdown`; its sources then count
/// as gone away.
pub(crate) async fn run(db: Db, supervisor: Supervisor, bind: IpAddr, shutdown: CancellationToken) {
    let mut changes = db.changes();
    let mut ports = Ports { supervisor, bind, open: HashMap::new(), failed: HashMap::new() };
    loop {
        match db.rooms().await {
            Ok(rooms) => ports.reconcile(rooms).await,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "rooms not read");
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = tokio::time::sleep(RESCAN) => {}
            () = room_change(&mut changes) => {}
        }
    }
    for (_, open) in ports.open {
        open.close().await;
    }
}

/// Waits until a room may have changed.
async fn room_change(changes: &mut broadcast::Receiver<Change>) {
    loop {
        match changes.recv().await {
            Ok(Change::Room(_) | Change::Unknown) | Err(RecvError::Lagged(_)) => return,
            Ok(_) => {}
            // Nobody can change anything any more.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

struct Ports {
    supervisor: Supervisor,
    bind: IpAddr,
    open: HashMap<RoomId, Open>,
    /// Rooms whose port could not be bound, with that port: said once.
    failed: HashMap<RoomId, u16>,
}

/// A bound port and its task.
struct Open {
    port: u16,
    room: watch::Sender<Room>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Open {
    async fn close(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            let room = self.room.borrow().slug.clone();
            tracing::error!(room, port = self.port, %error, "rtp port failed");
        }
    }
}

impl Ports {
    /// Makes what is bound what `rooms` ask for.
    async fn reconcile(&mut self, rooms: Vec<Room>) {
        let wanted: HashMap<RoomId, (u16, Room)> =
            rooms.into_iter().filter_map(|room| Some((room.id, (room.rtp_port?, room)))).collect();
        // First close, so that two rooms may swap their ports.
        let stale = self.open.extract_if(|id, open| {
            open.task.is_finished() || wanted.get(id).is_none_or(|(port, _)| *port != open.port)
        });
        for (_, open) in stale.collect::<Vec<_>>() {
            let room = open.room.borrow().slug.clone();
            let port = open.port;
            open.close().await;
            tracing::info!(room, port, "rtp port closed");
        }
        self.failed.retain(|id, failed| wanted.get(id).is_some_and(|(port, _)| port == failed));
        for (id, (port, room)) in wanted {
            match self.open.get(&id) {
                Some(open) => {
                    open.room.send_if_modified(|known| {
                        let changed = *known != room;
                        *known = room;
                        changed
                    });
                }
                None => self.open(id, port, room),
            }
        }
    }

    fn open(&mut self, id: RoomId, port: u16, room: Room) {
        let address = SocketAddr::new(self.bind, port);
        let (sender, watched) = watch::channel(room.clone());
        let tap = bind(address)
            .and_then(|socket| port::Port::new(socket, watched, self.supervisor.clone()));
        match tap {
            Ok(tap) => {
                self.failed.remove(&id);
                let receive_buffer_bytes = tap.receive_buffer();
                tracing::info!(room = room.slug, %address, receive_buffer_bytes, "rtp port open");
                let (room, stop) = (sender, CancellationToken::new());
                let task = tokio::spawn(tap.run(stop.clone()));
                self.open.insert(id, Open { port, room, stop, task });
            }
            Err(error) => {
                if self.failed.insert(id, port) != Some(port) {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(
                        room = room.slug,
                        port,
                        error,
                        "rtp port cannot be bound; the room cannot be recorded through it"
                    );
                }
            }
        }
    }
}

/// Binds a socket whose buffer outlasts our being busy. Not shared: two processes on one port would
/// each get some of the packets.
pub(super) fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

#[cfg(test)]
mod tests;
