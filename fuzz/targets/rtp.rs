//! Arbitrary datagrams at arbitrary times: the receiver never panics, never loops, and never makes
//! more media time than the clock allows.
#![no_main]

use std::net::SocketAddr;
use std::time::Duration;

use ingest::tap::rtp::{Output, Receiver};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut receiver = Receiver::new();
    let mut now = Duration::ZERO;
    let mut rest = data;
    let mut media_ticks = 0_u64;
    // Each datagram: its length, its sender and the time before it, then its bytes.
    while let [length, sender, wait, tail @ ..] = rest {
        let length = usize::from(*length).min(tail.len());
        let (datagram, next) = tail.split_at(length);
        now += Duration::from_millis(u64::from(*wait) * u64::from(*wait) / 4);
        let from = SocketAddr::from(([127, 0, 0, sender % 3], 5000));
        receiver.datagram(from, datagram, now);
        while let Some(output) = receiver.poll(now) {
            if let Output::Media { event, .. } = output {
                media_ticks += event.duration().0;
            }
        }
        let _ = receiver.next_deadline();
        rest = next;
    }
    // A packet may bring 120 ms in no time, so the bound counts packets too.
    let packets = data.len() as u64 / 3 + 1;
    let bound = now.as_micros() as u64 * 48 / 1000 + (packets + 8) * 5_760 + 48_000 * 4;
    assert!(media_ticks <= bound, "{media_ticks} ticks of media in {now:?}");
});
