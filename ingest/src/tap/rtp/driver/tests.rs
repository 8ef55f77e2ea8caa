//! Real sockets, the real supervisor, a store and rows on disk.

use std::net::{Ipv4Addr, UdpSocket};

use models::db::Filter;
use models::recording::{EndReason, Origin, State};
use models::room::RecordingPolicy;
use models::{Gap, GapCause, Recording, Ticks};

use super::*;
use crate::testing::{Rig, numbers, packet, until};

/// Supervisor and driver at work in a rig.
struct Running {
    rig: Rig,
    stop: CancellationToken,
    tap: JoinHandle<()>,
    supervisor: JoinHandle<()>,
}

impl Running {
    fn start(rig: Rig) -> Self {
        let stop = CancellationToken::new();
        let supervisor = Supervisor::new(rig.place.clone(), stop.clone());
        let bind = Ipv4Addr::LOCALHOST.into();
        let tap = tokio::spawn(run(rig.place.db.clone(), supervisor.clone(), bind, stop.clone()));
        let supervisor = tokio::spawn(async move { supervisor.run().await });
        Self { rig, stop, tap, supervisor }
    }

    /// A room, and a mixer connected to its port.
    async fn room(&self, policy: RecordingPolicy, port: u16) -> (Room, Mixer) {
        let mut room = self.rig.room(policy, 1_000).await;
        room.rtp_port = Some(port);
        self.rig.place.db.update_room(&room).await.unwrap();
        (room, Mixer::new(port))
    }

    async fn recordings(&self, room: &Room) -> Vec<Recording> {
        let filter = Filter { room: Some(room.id), ..Filter::default() };
        self.rig.place.db.recordings(&filter, None, 10).await.unwrap()
    }

    async fn ended(&self, room: &Room) -> Recording {
        let look = || async {
            let mut all = self.recordings(room).await;
            all.retain(|recording| recording.state == State::Ended);
            all.pop()
        };
        until(look).await
    }

    async fn finish(self) {
        self.stop.cancel();
        self.tap.await.unwrap();
        self.supervisor.await.unwrap();
    }
}

fn free_port() -> u16 {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// What forwards a room's mix.
struct Mixer {
    socket: UdpSocket,
}

impl Mixer {
    fn new(port: u16) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self { socket }
    }

    /// Whether someone receives there: otherwise the kernel says so after the first datagram. RTCP
    /// is what a tap ignores.
    fn is_heard(&self) -> bool {
        let report = [0x80, 200, 0, 1, 0, 0, 0, 7];
        self.socket.send(&report).is_ok() && self.socket.send(&report).is_ok()
    }

    async fn heard(&self) {
        until(|| async { self.is_heard().then_some(()) }).await;
    }

    /// Sends the `n`th packet of 20 ms; numbers and timestamps wrap soon.
    fn send(&self, n: usize) {
        let mut datagram = vec![0x80, 111];
        datagram.extend((n as u16).wrapping_add(u16::MAX - 20).to_be_bytes());
        datagram.extend((n as u32).wrapping_mul(960).wrapping_sub(9_600).to_be_bytes());
        datagram.extend([0, 0, 0, 7]);
        datagram.extend(packet(n).data);
        self.socket.send(&datagram).unwrap();
    }
}

#[tokio::test]
async fn packets_are_kept_as_they_came_and_what_is_missing_is_a_gap() {
    let running = Running::start(Rig::new().await);
    let (room, mixer) = running.room(RecordingPolicy::Auto, free_port()).await;
    mixer.heard().await;
    for n in 0..250 {
        match n {
            50..55 => {}
            100 => mixer.send(101),
            101 => mixer.send(100),
            _ => mixer.send(n),
        }
        if n == 120 {
            mixer.send(n);
            mixer.socket.send(b"not a packet").unwrap();
        }
    }
    // Two seconds away and a grace time of one.
    let recording = running.ended(&room).await;
    assert_eq!((recording.origin, recording.channels), (Origin::Rtp, 1));
    assert_eq!(recording.end_reason, Some(EndReason::SourceAway));
    assert_eq!(recording.duration, Ticks::from_millis(250 * 20));
    let kept = running.rig.stored(recording.id).await;
    let expected = (0..250).map(|n| (!(50..55).contains(&n)).then_some(n));
    assert!(numbers(&kept).into_iter().eq(expected));
    assert!(kept.iter().enumerate().all(|(n, kept)| (50..55).contains(&n) || *kept == packet(n)));
    let gaps = running.rig.place.db.gaps(recording.id).await.unwrap();
    let [Gap { start, duration, cause, .. }] = gaps[..] else { panic!("{gaps:?}") };
    assert_eq!((start, duration), (Ticks::from_millis(1_000), Ticks::from_millis(100)));
    assert_eq!(cause, GapCause::Loss);
    running.finish().await;
}

#[tokio::test]
async fn nothing_is_written_of_a_room_that_must_not_be_recorded() {
    let running = Running::start(Rig::new().await);
    let (mut private, mixer) = running.room(RecordingPolicy::Never, free_port()).await;
    mixer.heard().await;
    for n in 0..100 {
        mixer.send(n);
    }
    // Another room's audio, sent after it, is there: by then this one's was seen and dropped.
    let (public, other) = running.room(RecordingPolicy::Auto, free_port()).await;
    other.heard().await;
    for n in 0..100 {
        other.send(n);
    }
    running.ended(&public).await;
    assert_eq!(running.recordings(&private).await, []);
    // Once it may be recorded, the same source gets in, with what it sends from then on.
    private.policy = RecordingPolicy::Auto;
    running.rig.place.db.update_room(&private).await.unwrap();
    let mut n = 100;
    let look = || {
        mixer.send(n);
        n += 1;
        async { running.recordings(&private).await.pop() }
    };
    let id = until(look).await.id;
    running.ended(&private).await;
    let kept = running.rig.stored(id).await;
    assert!(!kept.is_empty());
    assert!(numbers(&kept).into_iter().flatten().all(|n| n >= 100));
    running.finish().await;
}

#[tokio::test]
async fn ports_follow_the_rooms() {
    let running = Running::start(Rig::new().await);
    let taken = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let (mut room, mixer) = running.room(RecordingPolicy::Manual, port).await;
    // The port of a room made later is open: this one has been tried.
    let (_, other) = running.room(RecordingPolicy::Manual, free_port()).await;
    other.heard().await;
    drop(taken);
    mixer.heard().await;

    let moved = free_port();
    room.rtp_port = Some(moved);
    running.rig.place.db.update_room(&room).await.unwrap();
    Mixer::new(moved).heard().await;
    assert!(!mixer.is_heard());
    assert!(other.is_heard());
    running.finish().await;
    assert!(!other.is_heard());
}
