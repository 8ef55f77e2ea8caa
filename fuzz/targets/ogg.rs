//! Arbitrary bytes as Ogg Opus, in portions: packets are valid, and no more media time comes out than
//! was paid for.
#![no_main]

use ingest::Event;
use ingest::ogg::{Demuxer, is_opus};
use libfuzzer_sys::fuzz_target;
use models::Ticks;

/// What may be claimed for nothing, and for each byte: gaps 100 ms, packets 60 ms (120 ms in a byte and
/// its length).
const FREE: u64 = Ticks::from_secs(600).0;
const PER_BYTE: u64 = Ticks::from_millis(160).0;

fuzz_target!(|data: &[u8]| {
    let [portion, bytes @ ..] = data else { return };
    let _ = is_opus(bytes);
    let mut demuxer = Demuxer::default();
    let mut media = 0;
    let portions = bytes.chunks(usize::from(*portion) * 16 + 1).map(Some);
    for part in portions.chain([None]) {
        let events = match part {
            Some(part) => demuxer.push(part),
            None => demuxer.end(),
        };
        let Ok(events) = events else { break };
        for event in events {
            if let Event::Packet(packet) = &event {
                let whole = archive::opus::duration(&packet.data).expect("a valid packet");
                assert!(packet.duration <= whole, "no packet is longer than it says");
            }
            media += event.duration().0;
        }
    }
    assert!(media <= FREE + PER_BYTE * bytes.len() as u64, "{media} ticks");
});
