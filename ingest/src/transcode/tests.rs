use std::io::Cursor;
use std::process::Command;

use super::*;

const CONVERSATION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/conversation.flac");
/// How far a duration may be off: 40 ms.
const TOLERANCE: u64 = Ticks::from_millis(40).0;

/// Runs ffmpeg on the first 6 s of the conversation, and gives what it wrote.
fn ffmpeg(arguments: &[&str]) -> Vec<u8> {
    convert(&["-t", "6", "-i", CONVERSATION], arguments)
}

fn convert(input: &[&str], output: &[&str]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out");
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-y"]).args(input).args(output).arg(&path);
    let done = servers::status(&mut ffmpeg, std::time::Duration::from_secs(60));
    assert!(done.expect("ffmpeg is installed").success());
    std::fs::read(path).unwrap()
}

/// One channel at 48 kHz, as ffmpeg decodes it.
fn pcm(bytes: &[u8]) -> Vec<f32> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in");
    std::fs::write(&path, bytes).unwrap();
    let raw = ["-ar", "48000", "-ac", "1", "-f", "f32le"];
    let bytes = convert(&["-i", path.to_str().unwrap()], &raw);
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

fn all(mut transcoder: Transcoder) -> (Vec<Event>, Option<Error>) {
    let mut events = Vec::new();
    loop {
        match transcoder.next_events() {
            Ok(Some(more)) => events.extend(more),
            Ok(None) => return (events, None),
            Err(error) => return (events, Some(error)),
        }
    }
}

/// Reads a byte at a time, as a network may bring them.
struct Slow(Cursor<Vec<u8>>);

impl std::io::Read for Slow {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let portion = buffer.len().min(7);
        self.0.read(&mut buffer[..portion])
    }
}

/// The samples of events, one channel at 48 kHz.
fn heard(events: &[Event]) -> Vec<f32> {
    let mut decoder = archive::pcm::Decoder::new(48_000, 1).unwrap();
    let mut samples = Vec::new();
    for event in events {
        match event {
            Event::Packet(packet) => samples.extend(decoder.decode(packet).unwrap()),
            Event::Lost { duration, .. } => samples.extend(vec![0.0; duration.0 as usize]),
        }
    }
    samples
}

/// Where `part` fits best into `whole`, and how well (1: the same).
fn place(part: &[f32], whole: &[f32], reach: usize) -> (usize, f32) {
    let power = |samples: &[f32]| samples.iter().map(|sample| sample * sample).sum::<f32>();
    let likeness = |at: usize| {
        let other = &whole[at..at + part.len()];
        let both: f32 = part.iter().zip(other).map(|(a, b)| a * b).sum();
        both / (power(part) * power(other)).sqrt().max(1e-9)
    };
    let best = (0..reach).max_by(|&a, &b| likeness(a).total_cmp(&likeness(b))).unwrap();
    (best, likeness(best))
}

#[test]
fn every_format_is_as_long_as_what_went_in_and_sounds_the_same() {
    let cases: [(&str, &[&str]); 9] = [
        ("mp3/mp3", &["-ar", "44100", "-b:a", "128k", "-f", "mp3"]),
        ("aac/aac", &["-ar", "48000", "-b:a", "128k", "-f", "adts"]),
        ("isomp4/aac", &["-ar", "44100", "-ac", "2", "-b:a", "128k", "-f", "mp4"]),
        ("flac/flac", &["-f", "flac"]),
        ("ogg/flac", &["-f", "ogg", "-c:a", "flac"]),
        ("ogg/vorbis", &["-ar", "44100", "-c:a", "libvorbis", "-f", "ogg"]),
        ("wave/pcm_s16le", &["-ar", "22050", "-ac", "2", "-f", "wav"]),
        ("matroska/opus", &["-c:a", "libopus", "-f", "webm"]),
        ("isomp4/opus", &["-c:a", "libopus", "-f", "mp4"]),
    ];
    for (name, arguments) in cases {
        let bytes = ffmpeg(arguments);
        let decoder = Decoder::open(Box::new(Cursor::new(bytes.clone()))).unwrap();
        assert_eq!(decoder.name(), name);
        let (events, error) = all(Transcoder::new(decoder, 1));
        assert!(error.is_none(), "{name}: {error:?}");
        let reference = pcm(&bytes);
        let off = length(&events).0.abs_diff(reference.len() as u64);
        assert!(off <= TOLERANCE, "{name}: {} for {}", length(&events).0, reference.len());
        let heard = heard(&events);
        let (at, like) = place(&reference[48_000..60_000], &heard[46_000..], 5_000);
        assert!(like > 0.9, "{name}: {like}");
        // Opus' own lookahead; and what an MP4 file's edit list leaves out, which the import does.
        let late = if name == "isomp4/aac" { 1_500 } else { 400 };
        assert!(at.abs_diff(2_000) <= late, "{name}: {} samples late", at as i64 - 2_000);

        if !name.starts_with("isomp4") {
            let decoder = Decoder::open_stream(Slow(Cursor::new(bytes))).unwrap();
            let (streamed, error) = all(Transcoder::new(decoder, 1));
            assert!(error.is_none(), "{name} as a stream: {error:?}");
            assert!(length(&streamed).0.abs_diff(length(&events).0) <= TOLERANCE, "{name}");
        }
    }
}

#[test]
fn aac_of_half_the_rate_decodes_to_the_right_length() {
    // ffmpeg has no free HE-AAC encoder: this is what one leaves for a decoder without SBR, the
    // core at half the rate that an MP4 header would announce.
    let bytes = ffmpeg(&["-ar", "24000", "-b:a", "48k", "-f", "adts"]);
    let decoder = Decoder::open(Box::new(Cursor::new(bytes))).unwrap();
    let (events, _) = all(Transcoder::new(decoder, 1));
    assert!(length(&events).0.abs_diff(6 * 48_000) <= 2 * TOLERANCE, "{}", length(&events));
}

#[test]
fn opus_in_matroska_is_kept_as_it_came() {
    let webm = ffmpeg(&["-c:a", "libopus", "-fflags", "+bitexact", "-f", "webm"]);
    let ogg = ffmpeg(&["-c:a", "libopus", "-fflags", "+bitexact", "-f", "ogg"]);
    let decoder = Decoder::open(Box::new(Cursor::new(webm))).unwrap();
    let (events, _) = all(Transcoder::new(decoder, 1));
    let mut demuxer = crate::ogg::Demuxer::default();
    let mut expected = demuxer.push(&ogg).unwrap();
    expected.extend(demuxer.end().unwrap());
    let packets = |events: &[Event]| -> Vec<_> {
        let packet = |event: &Event| match event {
            Event::Packet(packet) => packet.data.clone(),
            Event::Lost { .. } => panic!("nothing was lost"),
        };
        events.iter().map(packet).collect()
    };
    assert_eq!(packets(&events), packets(&expected));
}

#[test]
fn a_cut_file_gives_what_it_has() {
    for arguments in [
        &["-b:a", "128k", "-f", "mp3"][..],
        &["-f", "flac"],
        &["-f", "wav"],
        &["-f", "adts"],
        &["-c:a", "libopus", "-f", "webm"],
        &["-c:a", "libvorbis", "-f", "ogg"],
    ] {
        let bytes = ffmpeg(arguments);
        let half = bytes[..bytes.len() / 2].to_vec();
        let decoder = Decoder::open_stream(Cursor::new(half)).unwrap();
        let (events, error) = all(Transcoder::new(decoder, 1));
        let seconds = length(&events).as_secs_f64();
        assert!((2.0..4.2).contains(&seconds), "{arguments:?}: {seconds} s, {error:?}");
    }
}

#[test]
fn what_is_no_audio_is_refused() {
    for bytes in [&b""[..], b"MP3", b"<html>not audio</html>", &[0; 5_000]] {
        let opened = Decoder::open(Box::new(Cursor::new(bytes.to_vec())));
        assert!(matches!(opened, Err(decode::Error::Unknown(_))), "{bytes:?}");
    }
    let wav = ffmpeg(&["-f", "wav"]);
    let opened = Decoder::open(Box::new(Cursor::new(wav[..20].to_vec())));
    assert!(opened.is_err());
}
