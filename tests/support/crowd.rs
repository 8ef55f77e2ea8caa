//! Live rooms whose sources never stop, whatever happens to the server: what would be heard at each
//! moment is sent, and what became of it is noted.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::check::Fate;
use super::encoder::Encoder;
use super::random::Random;
use super::rtp;
use super::voice::Voice;

const EACH: Duration = Duration::from_millis(20);
/// How much later than its turn a packet may come on a bad network: less than a server waits.
const LATE: Duration = Duration::from_millis(60);
/// Packets of a burst that is lost.
const BURST: u64 = 8;

/// Where a room's sound goes.
#[derive(Debug, Clone)]
pub enum Door {
    /// RTP to this port.
    Rtp(u16),
    /// An Icecast mount and its key.
    Icecast { server: SocketAddr, slug: String, key: String },
}

/// How bad the network is that RTP takes: of a thousand packets.
#[derive(Debug, Clone, Copy, Default)]
pub struct Network {
    /// So many are lost.
    pub lost: u64,
    /// At so many a burst begins that is lost.
    pub bursts: u64,
    /// So many are overtaken by later ones.
    pub late: u64,
    /// So many come twice.
    pub twice: u64,
}

/// A room's way to the server.
#[derive(Debug)]
struct Line {
    voice: Voice,
    /// One for each packet whose turn has come.
    fates: Mutex<Vec<Fate>>,
}

impl Line {
    /// The next packet's turn.
    fn turn(&self, fate: Fate) -> u32 {
        let mut fates = self.fates.lock().expect("nobody panics with it");
        fates.push(fate);
        u32::try_from(fates.len() - 1).expect("hours")
    }

    fn fate(&self, index: u32) -> Fate {
        self.fates.lock().expect("nobody panics with it")[index as usize]
    }

    fn became(&self, index: u32, fate: Fate) {
        self.fates.lock().expect("nobody panics with it")[index as usize] = fate;
    }
}

/// The sources of all rooms, on threads of their own.
pub struct Crowd {
    lines: Vec<Arc<Line>>,
    network: Arc<Mutex<Network>>,
    /// How often encoders were cut off.
    cuts: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Crowd {
    /// Begins to send to all of `doors`, with the voices of the rooms in that order.
    pub fn start(doors: &[Door], seed: u64) -> Self {
        let (network, cuts): (Arc<Mutex<Network>>, Arc<AtomicUsize>) = Default::default();
        let stop = Arc::new(AtomicBool::new(false));
        let (mut lines, mut threads, mut wires) = (Vec::new(), Vec::new(), Vec::new());
        for (room, door) in doors.iter().enumerate() {
            let voice = Voice::new(u16::try_from(room).expect("few rooms"));
            let line = Arc::new(Line { voice, fates: Mutex::default() });
            lines.push(Arc::clone(&line));
            match door.clone() {
                Door::Rtp(port) => wires.push(Wire::new(line, port)),
                Door::Icecast { server, slug, key } => {
                    let encoder = Encoder::new(server, &slug, &key);
                    let (stop, cuts) = (Arc::clone(&stop), Arc::clone(&cuts));
                    threads.push(thread::spawn(move || encode(&line, encoder, &cuts, &stop)));
                }
            }
        }
        let (bad, stopped) = (Arc::clone(&network), Arc::clone(&stop));
        threads.push(thread::spawn(move || Mixer::new(wires, bad, seed).run(&stopped)));
        Self { lines, network, cuts, stop, threads }
    }

    /// Makes the network so from now on.
    pub fn network(&self, network: Network) {
        *self.network.lock().expect("nobody panics with it") = network;
    }

    /// Cuts all encoders off. They come back at once.
    pub fn cut_encoders(&self) {
        self.cuts.fetch_add(1, Ordering::Relaxed);
    }

    /// The number of each room's next packet.
    pub fn next(&self) -> Vec<u32> {
        let next = |line: &Arc<Line>| line.fates.lock().expect("nobody panics with it").len();
        self.lines.iter().map(|line| u32::try_from(next(line)).expect("hours")).collect()
    }

    /// Ends all sources; what became of each room's packets.
    pub fn stop(mut self) -> Vec<Vec<Fate>> {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("sending");
        }
        let fates = |line: &Arc<Line>| line.fates.lock().expect("nobody panics with it").clone();
        self.lines.iter().map(fates).collect()
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// A room's way by RTP.
struct Wire {
    line: Arc<Line>,
    socket: UdpSocket,
    /// The last packet that was sent.
    last: Option<u32>,
    /// Packets of a burst that are still to be lost.
    burst: u64,
}

impl Wire {
    fn new(line: Arc<Line>, port: u16) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        // Connected, it hears at once from the kernel where nobody listens.
        socket.connect(("127.0.0.1", port)).expect("an address");
        Self { line, socket, last: None, burst: 0 }
    }

    fn send(&mut self, index: u32) {
        let datagram = rtp::datagram(index as usize, &self.line.voice.packet(index));
        let sent = self.socket.send(&datagram).or_else(|_| {
            // This tells of the packet before, and this one was not sent.
            if let Some(last) = self.last {
                self.line.became(last, Fate::Refused);
            }
            self.socket.send(&datagram)
        });
        if sent.is_ok() && matches!(self.socket.take_error(), Ok(None)) {
            self.line.became(index, Fate::Received);
        }
        self.last = Some(index);
    }
}

/// Sends for all rooms that take RTP, each packet in its time.
struct Mixer {
    wires: Vec<Wire>,
    /// When, which wire, which packet, and whether it is that packet's turn or a late copy.
    due: BinaryHeap<Reverse<(Instant, usize, u32, bool)>>,
    began: Instant,
    network: Arc<Mutex<Network>>,
    random: Random,
}

impl Mixer {
    fn new(wires: Vec<Wire>, network: Arc<Mutex<Network>>, seed: u64) -> Self {
        let began = Instant::now();
        let turn = |wire| Reverse((began, wire, 0, true));
        let due = (0..wires.len()).map(turn).collect();
        Self { wires, due, began, network, random: Random::new(seed) }
    }

    fn run(mut self, stop: &AtomicBool) {
        // Empty only where there are no rooms.
        while let Some(Reverse((at, wire, index, turn))) = self.due.pop() {
            thread::sleep(at.saturating_duration_since(Instant::now()));
            if stop.load(Ordering::Relaxed) {
                return;
            }
            if turn {
                self.turn(at, wire, index);
            } else {
                self.copy(at, wire, index);
            }
        }
    }

    /// Sends a packet that is late. Where we are too busy to do so in time, the network lost it: the
    /// server has every right not to wait for it.
    fn copy(&mut self, at: Instant, number: usize, index: u32) {
        let wire = &mut self.wires[number];
        if at.elapsed() <= EACH {
            wire.send(index);
        } else if wire.line.fate(index) != Fate::Received {
            wire.line.became(index, Fate::Dropped);
        }
    }

    fn turn(&mut self, at: Instant, number: usize, index: u32) {
        self.due.push(Reverse((self.began + EACH * (index + 1), number, index + 1, true)));
        let network = *self.network.lock().expect("nobody panics with it");
        let wire = &mut self.wires[number];
        if self.random.chance(network.bursts) {
            wire.burst = 2 + self.random.below(BURST);
        }
        if wire.burst > 0 || self.random.chance(network.lost) {
            wire.burst = wire.burst.saturating_sub(1);
            wire.line.turn(Fate::Dropped);
            return;
        }
        // Until it is sent.
        wire.line.turn(Fate::Refused);
        let mut copy = |random: &mut Random| {
            let at = at + random.between(EACH, LATE);
            self.due.push(Reverse((at, number, index, false)));
        };
        if self.random.chance(network.twice) {
            copy(&mut self.random);
        }
        if self.random.chance(network.late) {
            copy(&mut self.random);
        } else {
            wire.send(index);
        }
    }
}

/// Sends for one room as an Icecast source does.
fn encode(line: &Line, mut encoder: Encoder, cuts: &AtomicUsize, stop: &AtomicBool) {
    let (began, mut cut) = (Instant::now(), cuts.load(Ordering::Relaxed));
    let mut index = 0;
    while !stop.load(Ordering::Relaxed) {
        let due = began + EACH * index;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let now = cuts.load(Ordering::Relaxed);
        if std::mem::replace(&mut cut, now) != now {
            encoder.leave();
        }
        index = line.turn(Fate::Refused) + 1;
        if !encoder.is_connected() && encoder.connect() {
            // It goes on with what is heard by then.
            while began + EACH * index <= Instant::now() {
                index = line.turn(Fate::Refused) + 1;
            }
        } else if encoder.send(&line.voice.packet(index - 1)) {
            line.became(index - 1, Fate::Received);
        }
    }
}
