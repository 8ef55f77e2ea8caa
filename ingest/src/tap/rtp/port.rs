//! One room's port: drains the socket into the [`Receiver`] and hands its output to the room's feed.
//! Whether anything is kept is decided behind the feed: without one, audio is dropped here.
//!
//! After this process has stood still (stopped, starved, paused with its machine) the runtime may
//! fire timers before it has looked at sockets, and says of them what it knew before. So the socket
//! itself is asked, and time passes for the receiver only up to the moment at which the socket was
//! last seen empty: what waits there did arrive, and comes first.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::pin::{Pin, pin};
use std::time::Duration;

use models::{Room, WallMicros, steady};
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;

use super::{Output, Receiver};
use crate::tap::{Event, Source};
use crate::{Feed, Supervisor};

/// How soon a room that did not let its source in is asked again.
const ATTACH_EVERY: Duration = Duration::from_secs(2);
/// How long a socket that fails is left alone.
const SOCKET_REST: Duration = Duration::from_millis(100);
/// Datagrams read before their output is handed on: a second of four streams of 5 ms packets.
const BATCH: usize = 1024;
/// Longer datagrams are no audio that anyone sends: 120 ms of Opus at its highest rate take 8 kB.
const DATAGRAM_MAX: usize = 16 * 1024;

/// Bytes of output that may wait while the room is busy: more than five minutes of 20 ms packets at
/// 32 kb/s. After that the kernel's buffer fills, and then packets are lost.
const BACKLOG: usize = 4 << 20;

pub(super) struct Port {
    wire: Wire,
    room: watch::Receiver<Room>,
    supervisor: Supervisor,
    /// The source that is active, and its way into the room, if it was let in.
    source: Option<Source>,
    feed: Option<Feed>,
    /// Not to ask again before.
    ask_at: Duration,
    /// Why the source was not let in: said once.
    refused: Option<String>,
    /// What is to be handed on, and when its last packet arrived.
    events: Vec<Event>,
    arrived: Duration,
}

/// The socket, and what makes sense of what comes out of it.
struct Wire {
    socket: UdpSocket,
    /// The same socket, to be asked without the runtime.
    direct: std::net::UdpSocket,
    receiver: Receiver,
    /// When the socket was last seen empty.
    empty: Duration,
}

impl Wire {
    fn new(socket: UdpSocket) -> io::Result<Self> {
        let direct = socket.as_fd().try_clone_to_owned()?.into();
        Ok(Self { socket, direct, receiver: Receiver::new(), empty: steady::now() })
    }

    /// The next datagram, if one waits.
    fn next(&self, datagram: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        match self.direct.recv_from(datagram) {
            // Here the runtime learns, too, that there is nothing.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.socket.try_recv_from(datagram)
            }
            received => received,
        }
    }

    /// Reads datagrams until there are none, or [`BATCH`].
    fn drain(&mut self) -> io::Result<()> {
        let mut datagram = [0; DATAGRAM_MAX];
        for _ in 0..BATCH {
            let before = steady::now();
            match self.next(&mut datagram) {
                Ok((length, from)) => {
                    self.receiver.datagram(from, &datagram[..length], steady::now());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.empty = before;
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The receiver's next output, by the time up to which everything was read.
    fn poll(&mut self) -> Option<Output> {
        self.receiver.poll(self.empty)
    }

    /// Waits for a datagram or the receiver's deadline, and reads what there is.
    async fn read(&mut self, mut timer: Pin<&mut Sleep>) -> io::Result<()> {
        let deadline = self.receiver.next_deadline();
        if let Some(deadline) = deadline {
            let deadline = Instant::now() + deadline.saturating_sub(steady::now());
            // The away deadline moves on with each packet: a timer that fires too early costs less
            // than moving it each time.
            if timer.is_elapsed() || deadline < timer.deadline() {
                timer.as_mut().reset(deadline);
            }
        }
        tokio::select! {
            ready = self.socket.readable() => ready?,
            () = timer, if deadline.is_some() => {}
        }
        self.drain()
    }

    /// Does slow work while the socket is read, so that packets keep the time at which they arrived
    /// and a source does not look as if it were away because we were busy.
    async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        while self.receiver.waiting_bytes() < BACKLOG {
            tokio::select! {
                biased;
                done = &mut work => return done,
                ready = self.socket.readable() => {
                    // Errors are for when there is time.
                    if ready.and_then(|()| self.drain()).is_err() {
                        break;
                    }
                }
            }
        }
        work.await
    }
}

impl Port {
    pub(super) fn new(
        socket: UdpSocket,
        room: watch::Receiver<Room>,
        supervisor: Supervisor,
    ) -> io::Result<Self> {
        Ok(Self {
            wire: Wire::new(socket)?,
            room,
            supervisor,
            source: None,
            feed: None,
            ask_at: Duration::ZERO,
            refused: None,
            events: Vec::new(),
            arrived: Duration::ZERO,
        })
    }

    /// How many bytes the kernel holds for us while we are busy; 0: it does not say.
    pub(super) fn receive_buffer(&self) -> usize {
        socket2::SockRef::from(&self.wire.socket).recv_buffer_size().unwrap_or(0)
    }

    /// Serves the port until `stop`. Its source then counts as gone away.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut timer = pin!(tokio::time::sleep(Duration::ZERO));
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.turn(timer.as_mut()) => {}
            }
        }
    }

    async fn turn(&mut self, timer: Pin<&mut Sleep>) {
        if let Err(error) = self.wire.read(timer).await {
            // A socket that is not connected has hardly any errors; none ends the port.
            tracing::warn!(room = self.slug(), error = &error as &dyn Error, "rtp socket not read");
            tokio::time::sleep(SOCKET_REST).await;
        }
        self.hand_on().await;
    }

    async fn hand_on(&mut self) {
        while let Some(output) = self.wire.poll() {
            match output {
                Output::Media { event, arrival } => {
                    self.events.push(event);
                    self.arrived = arrival;
                }
                Output::Started(source) => {
                    tracing::info!(
                        room = self.slug(),
                        source = source.description,
                        "rtp source arrived"
                    );
                    (self.source, self.refused) = (Some(source), None);
                    self.ask_at = Duration::ZERO;
                }
                Output::Changed(source) => {
                    tracing::info!(room = self.slug(), source, "rtp source began anew");
                }
                Output::Away(run) => {
                    self.send().await;
                    (self.source, self.feed) = (None, None);
                    tracing::info!(room = self.slug(), ?run, "rtp source away");
                }
                Output::Trouble { trouble, times } => {
                    let error = &trouble as &dyn Error;
                    tracing::warn!(
                        room = self.slug(),
                        error,
                        times,
                        "what an rtp port receives is faulty"
                    );
                }
            }
        }
        self.send().await;
    }

    /// Hands the events on, or drops them where they may not be kept.
    async fn send(&mut self) {
        if self.events.is_empty() {
            return;
        }
        if self.feed.is_none() {
            self.attach().await;
        }
        let events = std::mem::take(&mut self.events);
        let Some(feed) = &self.feed else { return };
        let arrived = steady::wall(self.arrived);
        if self.wire.meanwhile(feed.send(events, arrived)).await.is_err() {
            tracing::info!(room = self.slug(), "room takes no more from the rtp source");
            self.feed = None;
            self.ask_at = steady::now() + ATTACH_EVERY;
        }
    }

    /// Asks for a feed, unless that was just done.
    async fn attach(&mut self) {
        let now = steady::now();
        let Some(source) = self.source.clone() else { return };
        if now < self.ask_at {
            return;
        }
        self.ask_at = now + ATTACH_EVERY;
        let room = self.room.borrow().clone();
        let attached = self.supervisor.attach(&room, source, WallMicros::now());
        match self.wire.meanwhile(attached).await {
            Ok(feed) => (self.feed, self.refused) = (Some(feed), None),
            Err(error) => {
                let mut reason = error.to_string();
                if let Some(cause) = error.source() {
                    reason = format!("{reason}: {cause}");
                }
                self.refuse(reason);
            }
        }
    }

    fn refuse(&mut self, reason: String) {
        if self.refused.as_ref() != Some(&reason) {
            tracing::warn!(room = self.slug(), reason, "rtp audio is dropped");
            self.refused = Some(reason);
        }
    }

    fn slug(&self) -> String {
        self.room.borrow().slug.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_waits_is_read_before_the_runtime_knows_of_it() {
        let address = (std::net::Ipv4Addr::LOCALHOST, 0);
        let socket = UdpSocket::bind(address).await.unwrap();
        let mixer = std::net::UdpSocket::bind(address).unwrap();
        mixer.connect(socket.local_addr().unwrap()).unwrap();
        let mut wire = Wire::new(socket).unwrap();
        let began = wire.empty;
        for n in 0..50 {
            mixer.send(&[0x80, 111, 0, n, 0, 0, n, 0, 0, 0, 0, 7, 0xF8, 1]).unwrap();
        }
        // No turn of the runtime in between: it has not looked at the socket, as after a stop.
        wire.drain().unwrap();
        assert!(wire.empty > began);
        let heard = std::iter::from_fn(|| wire.poll());
        assert_eq!(heard.filter(|output| matches!(output, Output::Media { .. })).count(), 50);
    }

    #[tokio::test]
    async fn the_socket_is_read_while_the_room_is_busy() {
        let address = (std::net::Ipv4Addr::LOCALHOST, 0);
        let socket = UdpSocket::bind(address).await.unwrap();
        let mixer = std::net::UdpSocket::bind(address).unwrap();
        mixer.connect(socket.local_addr().unwrap()).unwrap();
        let mut wire = Wire::new(socket).unwrap();
        let busy = async {
            for n in 0..100 {
                mixer.send(&[0x80, 111, 0, n, 0, 0, n, 0, 0, 0, 0, 7, 0xF8, 1]).unwrap();
                tokio::task::yield_now().await;
            }
            "done"
        };
        assert_eq!(wire.meanwhile(busy).await, "done");
        assert!(wire.receiver.waiting_bytes() > 1_000, "{}", wire.receiver.waiting_bytes());
    }
}
