use ::ogg::{PacketReader, PacketWriteEndInfo as End, PacketWriter};
use proptest::prelude::*;

use super::*;

const FRAME: u64 = 960;
const CONVERSATION: &[u8] = include_bytes!("../../../tests/data/conversation.opus");

/// One 20 ms packet (SILK, wideband, mono, one frame) that no other equals.
fn packet(nth: u64) -> Vec<u8> {
    let mut data = vec![0x48];
    data.extend_from_slice(&nth.to_be_bytes());
    data
}

fn head(channels: u8, family: u8) -> Vec<u8> {
    let mut data = b"OpusHead\x01".to_vec();
    data.extend_from_slice(&[channels, 0x38, 0x01, 0x80, 0xbb, 0, 0, 0, 0, family]);
    data
}

/// A stream of `count` packets, `per_page` on a page, whose last granule position is `trim` early.
fn stream(serial: u32, first: u64, count: u64, per_page: u64, trim: u64) -> Vec<u8> {
    let mut writer = PacketWriter::new(Vec::new());
    writer.write_packet(head(1, 0), serial, End::EndPage, 0).unwrap();
    let tags = b"OpusTags\x04\0\0\0test\0\0\0\0".to_vec();
    writer.write_packet(tags, serial, End::EndPage, 0).unwrap();
    for nth in 0..count {
        let (end, granule) = match nth + 1 {
            last if last == count => (End::EndStream, last * FRAME - trim),
            n if n % per_page == 0 => (End::EndPage, n * FRAME),
            n => (End::NormalPacket, n * FRAME),
        };
        writer.write_packet(packet(first + nth), serial, end, granule).unwrap();
    }
    writer.into_inner()
}

fn demux(bytes: &[u8], portion: usize) -> Result<(Vec<Event>, bool), Error> {
    let mut demuxer = Demuxer::default();
    let mut events = Vec::new();
    for part in bytes.chunks(portion) {
        events.extend(demuxer.push(part)?);
    }
    events.extend(demuxer.end()?);
    Ok((events, demuxer.is_whole()))
}

fn packets(events: &[Event]) -> Vec<Bytes> {
    let packet = |event: &Event| match event {
        Event::Packet(packet) => Some(packet.data.clone()),
        Event::Lost { .. } => None,
    };
    events.iter().filter_map(packet).collect()
}

fn lost(events: &[Event]) -> Vec<(u64, GapCause)> {
    let lost = |event: &Event| match event {
        Event::Lost { duration, cause } => Some((duration.0, *cause)),
        Event::Packet(_) => None,
    };
    events.iter().filter_map(lost).collect()
}

fn total(events: &[Event]) -> u64 {
    events.iter().map(|event| event.duration().0).sum()
}

/// Where the pages begin.
fn pages(bytes: &[u8]) -> Vec<usize> {
    (0..bytes.len()).filter(|&at| bytes[at..].starts_with(CAPTURE)).collect()
}

#[test]
fn packets_of_a_real_file_are_kept_byte_for_byte() {
    let mut reader = PacketReader::new(std::io::Cursor::new(CONVERSATION));
    let mut expected = Vec::new();
    let mut granule = 0;
    while let Some(packet) = reader.read_packet().unwrap() {
        granule = packet.absgp_page();
        expected.push(Bytes::from(packet.data));
    }
    for portion in [1, 4096, CONVERSATION.len()] {
        let (events, whole) = demux(CONVERSATION, portion).unwrap();
        assert_eq!(packets(&events), expected[2..]);
        assert_eq!(lost(&events), []);
        assert_eq!(total(&events), granule, "pre-skip is kept, the end is trimmed");
        assert!(whole);
    }
    assert!(is_opus(&CONVERSATION[..SNIFF_BYTES]));
}

#[test]
fn the_end_is_trimmed_by_shortening_the_last_packets() {
    for (trim, kept, last) in [(0, 7, 960), (1, 7, 959), (959, 7, 1), (960, 6, 960), (1000, 6, 920)]
    {
        let (events, _) = demux(&stream(1, 0, 7, 4, trim), 100).unwrap();
        assert_eq!(events.len(), kept, "{trim}");
        assert_eq!(events.last().unwrap().duration(), Ticks(last), "{trim}");
        assert_eq!(total(&events), 7 * FRAME - trim);
    }
    let (events, _) = demux(&stream(1, 0, 3, 4, 100), 100).unwrap();
    assert_eq!(total(&events), 3 * FRAME - 100, "the first page is the last");
}

#[test]
fn a_chained_stream_goes_on() {
    let mut bytes = stream(1, 0, 10, 4, 200);
    bytes.extend(stream(2, 10, 10, 4, 0));
    let (events, whole) = demux(&bytes, 33).unwrap();
    assert_eq!(packets(&events), (0..20).map(packet).map(Bytes::from).collect::<Vec<_>>());
    assert_eq!(total(&events), 20 * FRAME - 200);
    assert_eq!(lost(&events), []);
    assert!(whole);
}

#[test]
fn a_lost_page_becomes_a_gap_of_its_length() {
    let bytes = stream(1, 0, 20, 4, 0);
    let at = pages(&bytes);
    let without = [&bytes[..at[3]], &bytes[at[4]..]].concat();
    let (events, _) = demux(&without, 1000).unwrap();
    assert_eq!(lost(&events), [(4 * FRAME, GapCause::Loss)]);
    assert_eq!(total(&events), 20 * FRAME);
    assert!(matches!(events[4], Event::Lost { .. }), "it stands where the packets were");

    let mut flipped = bytes.clone();
    flipped[at[3] + 40] ^= 1;
    let (events, whole) = demux(&flipped, 1000).unwrap();
    assert_eq!(lost(&events), [(4 * FRAME, GapCause::Loss)], "its checksum is wrong");
    assert_eq!(packets(&events).len(), 16);
    assert!(whole);

    // A page that claims a longer body than it has must not swallow the one after it.
    let mut longer = bytes;
    longer[at[3] + 27] = 255;
    let (events, _) = demux(&longer, 1000).unwrap();
    assert_eq!(packets(&events).len(), 16);
}

#[test]
fn a_jump_of_the_granule_position_is_a_gap_unless_it_is_absurd() {
    for (jump, expected) in
        [(5_000, vec![]), (48_000, vec![(48_000, GapCause::Broken)]), (48_000 * 3600 * 24, vec![])]
    {
        let mut writer = PacketWriter::new(Vec::new());
        writer.write_packet(head(1, 0), 1, End::EndPage, 0).unwrap();
        writer.write_packet(b"OpusTags".to_vec(), 1, End::EndPage, 0).unwrap();
        writer.write_packet(packet(0), 1, End::EndPage, FRAME).unwrap();
        writer.write_packet(packet(1), 1, End::EndPage, 2 * FRAME + jump).unwrap();
        writer.write_packet(packet(2), 1, End::EndStream, 3 * FRAME + jump).unwrap();
        let (events, _) = demux(&writer.into_inner(), 50).unwrap();
        assert_eq!(lost(&events), expected);
        assert_eq!(packets(&events).len(), 3);
    }
}

#[test]
fn a_packet_that_is_no_opus_is_left_out_and_its_time_marked() {
    let mut writer = PacketWriter::new(Vec::new());
    writer.write_packet(head(1, 0), 1, End::EndPage, 0).unwrap();
    writer.write_packet(b"OpusTags".to_vec(), 1, End::EndPage, 0).unwrap();
    writer.write_packet(packet(0), 1, End::EndPage, FRAME).unwrap();
    writer.write_packet(vec![0x4b], 1, End::NormalPacket, 2 * FRAME).unwrap();
    writer.write_packet(packet(2), 1, End::EndStream, 3 * FRAME).unwrap();
    let (events, _) = demux(&writer.into_inner(), 50).unwrap();
    assert_eq!(lost(&events), [(FRAME, GapCause::Broken)]);
    assert_eq!(total(&events), 3 * FRAME);
}

#[test]
fn a_long_comment_header_is_passed_without_being_kept() {
    let mut writer = PacketWriter::new(Vec::new());
    writer.write_packet(head(2, 0), 1, End::EndPage, 0).unwrap();
    let mut tags = b"OpusTags".to_vec();
    tags.resize(1_000_000, 7);
    writer.write_packet(tags, 1, End::EndPage, 0).unwrap();
    writer.write_packet(packet(0), 1, End::EndStream, FRAME).unwrap();
    let (events, _) = demux(&writer.into_inner(), 5000).unwrap();
    assert_eq!(packets(&events), [packet(0)]);
}

#[test]
fn what_is_not_ogg_opus_is_named() {
    let of = |bytes: &[u8]| demux(bytes, 64).map(|(events, _)| events.len()).unwrap_err();
    assert_eq!(of(b""), Error::NotOgg(0));
    assert_eq!(of(b"MP3"), Error::NotOgg(3));
    assert_eq!(of(&vec![0; MAX_JUNK_BYTES + 64]), Error::NotOgg(MAX_JUNK_BYTES + 64));
    assert_eq!(
        of(&b"OggS\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0".repeat(80)),
        Error::Broken
    );

    let first = |data: Vec<u8>| {
        let mut writer = PacketWriter::new(Vec::new());
        writer.write_packet(data, 1, End::EndPage, 0).unwrap();
        writer.write_packet(vec![0; 10], 1, End::EndStream, FRAME).unwrap();
        writer.into_inner()
    };
    assert_eq!(of(&first(b"\x01vorbis....".to_vec())), Error::NotOpus("Vorbis"));
    assert_eq!(of(&first(head(6, 1))), Error::Channels { channels: 6, family: 1 });
    assert_eq!(of(&first(head(3, 0))), Error::Channels { channels: 3, family: 0 });
    assert_eq!(of(&first(b"OpusHead\x01\x01".to_vec())), Error::Head("cut off"));
    assert_eq!(
        of(&first(b"OpusHead\xf1\x01\0\0\0\0\0\0\0\0\0".to_vec())),
        Error::Head("of an unknown version")
    );
    let whole = stream(1, 0, 8, 4, 0);
    assert_eq!(of(&whole[..pages(&whole)[2]]), Error::NoAudio);
    assert_eq!(of(&whole[pages(&whole)[1]..]), Error::NoBeginning);
}

#[test]
fn a_stream_cut_anywhere_keeps_its_whole_pages() {
    let bytes = stream(1, 0, 20, 4, 0);
    let at = pages(&bytes);
    for cut in at[3]..bytes.len() {
        let (events, whole) = demux(&bytes[..cut], 61).unwrap();
        let kept = at[3..].iter().filter(|&&page| page <= cut).count() as u64 * 4;
        assert_eq!(total(&events), kept.min(16) * FRAME, "{cut}");
        assert!(!whole);
    }
}

proptest! {
    /// Whatever arrives, in whatever portions: no panic, and the portions make no difference.
    #[test]
    fn damage_gives_an_error_or_events_whatever_the_portions(
        flips in prop::collection::vec((0usize..3000, any::<u8>()), 0..6),
        portion in 1usize..700,
    ) {
        let mut bytes = stream(1, 0, 60, 7, 100);
        bytes.extend(stream(9, 60, 60, 50, 0));
        for (at, with) in flips {
            let at = at % bytes.len();
            bytes[at] = with;
        }
        let all = demux(&bytes, bytes.len());
        let some = demux(&bytes, portion);
        match (all, some) {
            (Ok((all, whole)), Ok((some, also))) => {
                prop_assert_eq!(packets(&all), packets(&some));
                prop_assert_eq!(lost(&all), lost(&some));
                prop_assert_eq!(whole, also);
                prop_assert!(total(&all) <= 120 * FRAME);
            }
            (all, some) => prop_assert_eq!(all.err(), some.err()),
        }
    }
}

/// A stream whose pages each hold a packet and claim that `jump` went before it.
fn jumping(pages: u64, jump: u64) -> Vec<u8> {
    let mut writer = PacketWriter::new(Vec::new());
    writer.write_packet(head(1, 0), 1, End::EndPage, 0).unwrap();
    writer.write_packet(b"OpusTags\0\0\0\0\0\0\0\0".to_vec(), 1, End::EndPage, 0).unwrap();
    for nth in 1..=pages {
        writer.write_packet(packet(nth), 1, End::EndPage, nth * (FRAME + jump)).unwrap();
    }
    writer.into_inner()
}

#[test]
fn granules_that_claim_more_than_was_sent_are_not_believed() {
    let minutes = |minutes: u64| Ticks::from_secs(60 * minutes).0;
    let bytes = jumping(1_000, minutes(9));
    let (events, _) = demux(&bytes, 4096).unwrap();
    assert_eq!(packets(&events).len(), 1_000);
    let most = minutes(10) + bytes.len() as u64 * Ticks::from_millis(100).0;
    let claimed: u64 = lost(&events).iter().map(|(length, _)| length).sum();
    assert!((most - minutes(9)..=most).contains(&claimed), "{claimed} of {most}");
}

#[test]
fn a_granule_at_the_end_of_all_numbers_costs_no_packet() {
    let mut writer = PacketWriter::new(Vec::new());
    writer.write_packet(head(1, 0), 1, End::EndPage, 0).unwrap();
    writer.write_packet(b"OpusTags\0\0\0\0\0\0\0\0".to_vec(), 1, End::EndPage, 0).unwrap();
    // The largest number says that no packet ends on a page, which here is not so.
    for (nth, granule) in [(0, FRAME), (1, u64::MAX - 1), (2, u64::MAX), (3, 4 * FRAME)] {
        writer.write_packet(packet(nth), 1, End::EndPage, granule).unwrap();
    }
    let (events, _) = demux(&writer.into_inner(), 50).unwrap();
    assert_eq!(packets(&events), [packet(0), packet(1), packet(2), packet(3)]);
    assert_eq!(lost(&events), []);
}

#[test]
fn whole_pages_between_broken_ones_buy_no_work() {
    // What begins like a page of 64 KiB every 40 bytes, and a whole page now and then.
    let mut claims = CAPTURE.to_vec();
    claims.resize(26, 0);
    claims.push(255);
    let claims = [&claims[..], &[255; 13]].concat().repeat(60);
    let good = &stream(1, 0, 2, 1, 0);
    let page = pages(good)[2]..pages(good)[3];
    let mut bytes = good[..page.start].to_vec();
    for _ in 0..200 {
        bytes.extend_from_slice(&good[page.clone()]);
        bytes.extend_from_slice(&claims);
    }
    let mut demuxer = Demuxer::default();
    let failed = bytes.chunks(4096).position(|part| demuxer.push(part).is_err());
    assert!(failed.is_some_and(|at| at * 4096 < bytes.len() / 2), "{failed:?}");
    assert_eq!(demuxer.error(), Some(Error::Broken));
}
