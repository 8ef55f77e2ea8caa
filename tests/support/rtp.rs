//! A sender of RTP, as Janus forwards a room.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A UDP port that was free a moment ago.
pub fn free_port() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.local_addr().expect("its address").port()
}

/// Sends packets in real time, 20 ms apart, on a thread of its own.
pub struct Sender {
    thread: Option<JoinHandle<usize>>,
    stop: Arc<AtomicBool>,
}

impl Sender {
    /// Begins to send `packets` (each 20 ms of Opus) to `port`; over and over where `forever`.
    pub fn start(port: u16, packets: Vec<Vec<u8>>, forever: bool) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let to = SocketAddr::from(([127, 0, 0, 1], port));
        let thread = thread::spawn(move || {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
            let begin = Instant::now();
            let mut sent = 0_usize;
            while !stopped.load(Ordering::Relaxed) && (forever || sent < packets.len()) {
                let due = begin + Duration::from_millis(20) * u32::try_from(sent).expect("short");
                thread::sleep(due.saturating_duration_since(Instant::now()));
                let packet = datagram(sent, &packets[sent % packets.len()]);
                // Nobody listens while the server is down: that is the point.
                let _ = socket.send_to(&packet, to);
                sent += 1;
            }
            sent
        });
        Self { thread: Some(thread), stop }
    }

    /// Waits until everything is sent; returns how many packets.
    pub fn finish(mut self) -> usize {
        self.thread.take().expect("running").join().expect("sending")
    }

    /// Stops sending; returns how many packets were sent.
    pub fn stop(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.finish()
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// RTP (RFC 3550, section 5.1) round one Opus packet: payload type 111, wraps soon after the start.
pub fn datagram(index: usize, payload: &[u8]) -> Vec<u8> {
    let sequence = (index as u16).wrapping_add(u16::MAX - 100);
    let timestamp = (index as u32).wrapping_mul(960).wrapping_add(u32::MAX - 48_000);
    let mut packet = vec![0x80, 111];
    packet.extend(sequence.to_be_bytes());
    packet.extend(timestamp.to_be_bytes());
    packet.extend(0x526f_6f6d_u32.to_be_bytes());
    packet.extend(payload);
    packet
}

/// Waits until something receives on UDP `port`: the kernel then no longer answers that nobody does.
pub async fn wait_until_open(port: u16) -> bool {
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline {
        if UdpSocket::bind(("127.0.0.1", port)).is_err() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}
