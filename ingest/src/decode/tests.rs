use std::io::Cursor;

use symphonia::core::codecs::audio::well_known::{CODEC_ID_PCM_S16LE, CODEC_ID_VORBIS};

use super::*;

fn open(bytes: Vec<u8>) -> Result<Decoder, Error> {
    Decoder::open_stream(Cursor::new(bytes))
}

/// Reads to the end; frames that came, and why it ended.
fn all(decoder: &mut Decoder) -> (usize, Option<Error>) {
    let mut frames = 0;
    loop {
        match decoder.next_piece() {
            Ok(Some(Piece::Samples { samples, layout, .. })) => {
                frames += samples.len() / layout.count();
            }
            Ok(Some(_)) => {}
            Ok(None) => return (frames, None),
            Err(error) => return (frames, Some(error)),
        }
    }
}

/// A FLAC stream of one channel at 8 kHz whose frames are 65,535 samples of one value in 12 bytes.
fn flac(frames: u32) -> Vec<u8> {
    let mut bytes = b"fLaC\x80\0\0\x22".to_vec();
    bytes.extend([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0]);
    // 20 bits of rate, 3 of channels - 1, 5 of bits - 1, 36 of samples.
    let fields = 8_000_u64 << 44 | 15 << 36;
    bytes.extend(fields.to_be_bytes());
    bytes.extend([0; 16]);
    for number in 0..frames {
        // A fixed block size given in 16 bits, the rate of the header, one channel of 16 bits.
        let mut frame = vec![0xff, 0xf8, 0x70, 0x08];
        let mut utf8 = [0; 4];
        let number = char::from_u32(number % 0xd000).unwrap();
        frame.extend(number.encode_utf8(&mut utf8).bytes());
        frame.extend([0xff, 0xfe]);
        frame.push(crc(&frame, 8, 0x07) as u8);
        frame.extend([0, 0, 0]);
        let check = crc(&frame, 16, 0x8005);
        frame.extend((check as u16).to_be_bytes());
        bytes.extend(frame);
    }
    bytes
}

fn crc(bytes: &[u8], width: u32, polynomial: u32) -> u32 {
    let (top, mask) = (1 << (width - 1), u32::MAX >> (32 - width));
    bytes.iter().fold(0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte) << (width - 8), |crc, _| {
            (if crc & top == 0 { crc << 1 } else { crc << 1 ^ polynomial }) & mask
        })
    })
}

#[test]
fn hours_out_of_next_to_nothing_are_refused() {
    let frames = 400;
    let bytes = flac(frames);
    let most = Ticks::from_secs(600).0 + bytes.len() as u64 * Ticks::from_millis(100).0;
    let mut decoder = open(bytes).unwrap();
    let (heard, error) = all(&mut decoder);
    assert!(matches!(error, Some(Error::Bomb)), "{heard} {error:?}");
    assert!(heard > 0 && Ticks::from_samples(heard as u64, 8_000).0 <= most, "{heard}");
    // As long as it is short, silence may be as small as it likes.
    assert!(matches!(all(&mut open(flac(40)).unwrap()), (heard, None) if heard > 30 * 65_535));
}

#[test]
fn bytes_without_sound_are_not_read_for_ever() {
    // An element of Matroska's that says it has a terabyte, and begins to bring it.
    let mut bytes = vec![0x1a, 0x45, 0xdf, 0xa3, 0x87, 0x42, 0x82, 0x84];
    bytes.extend(b"webm\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff");
    bytes.extend([0x15, 0x49, 0xa9, 0x66, 0x01, 0, 0, 0x0f, 0xff, 0xff, 0xff, 0xff]);
    bytes.extend([0x4d, 0x80, 0x01, 0, 0, 0x0f, 0xff, 0xff, 0xff, 0xf0]);
    let endless = Cursor::new(bytes).chain(io::repeat(b'x'));
    let error = Decoder::open_stream(endless).err();
    // It reads in pieces of some megabytes, and is stopped after the one that was too much.
    assert!(matches!(error, Some(Error::Silent(read)) if read < 16 << 20), "{error:?}");
}

#[test]
fn what_a_header_asks_for_is_looked_at_before_it_is_given() {
    let mut parameters = AudioCodecParameters::new();
    parameters.for_codec(CODEC_ID_PCM_S16LE).with_sample_rate(8_000);
    parameters.with_channels(Channels::Discrete(2)).with_max_frames_per_packet(1_152);
    assert!(make(&parameters).is_ok());
    parameters.with_max_frames_per_packet(1 << 32);
    assert!(matches!(make(&parameters), Err(Error::Huge(_))));
    parameters.with_max_frames_per_packet(1).with_channels(Channels::Discrete(65_535));
    assert!(matches!(make(&parameters), Err(Error::Huge(_))));
}

#[test]
fn a_decoder_that_panics_is_an_error() {
    let broke = guarded::<()>(|| panic!("at {}", 7));
    assert!(matches!(broke, Err(Error::Broke(said)) if said == "at 7"));
}

/// Writes bits from the least significant one on.
#[derive(Default)]
struct Pen(Vec<bool>);

impl Pen {
    fn put(&mut self, value: u64, width: u32) -> &mut Self {
        self.0.extend((0..width).map(|bit| value >> bit & 1 == 1));
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let byte =
            |bits: &[bool]| bits.iter().rev().fold(0, |byte, &bit| byte << 1 | u8::from(bit));
        self.0.chunks(8).map(byte).collect()
    }
}

/// Vorbis headers with code books of 131,072 vectors of 32, in some bytes each.
fn vorbis_headers(books: u64) -> Vec<u8> {
    let mut pen = Pen::default();
    pen.put(books - 1, 8);
    for _ in 0..books {
        pen.put(0x56_4342, 24).put(32, 16).put(131_072, 24);
        // Ordered: all of 17 bits.
        pen.put(1, 1).put(16, 5).put(131_072, 18);
        pen.put(1, 4).put(0, 64).put(0, 4).put(0, 1).put(0, 1);
    }
    let mut headers = b"\x01vorbis\0\0\0\0\x01\x80\xbb\0\0".to_vec();
    headers.extend([0; 12]);
    headers.extend([0xb8, 1]);
    headers.extend(b"\x05vorbis");
    headers.extend(pen.bytes());
    headers
}

#[test]
fn code_books_of_gigabytes_are_refused_and_those_of_encoders_are_not() {
    let headers = vorbis_headers(200);
    assert!(headers.len() < 5_000);
    assert!(vorbis::code_book_bytes(&headers) > vorbis::MAX_CODE_BOOK_BYTES);
    // The same in Matroska's lacing.
    let (ident, setup) = headers.split_at(30);
    let laced = [&[2, 30, 255, 5][..], ident, &[0; 260], setup].concat();
    assert!(vorbis::code_book_bytes(&laced) > vorbis::MAX_CODE_BOOK_BYTES);
    let mut parameters = AudioCodecParameters::new();
    parameters.for_codec(CODEC_ID_VORBIS).with_extra_data(headers.into());
    assert!(matches!(make(&parameters), Err(Error::Huge(_))));
    for torn in 0..60 {
        let _ = vorbis::code_book_bytes(&laced[..torn]);
    }
}
