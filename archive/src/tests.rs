//! The whole path with a real conversation: packets, fragments, chunks, store, one file, sound;
//! judged by ffmpeg and ffprobe.

use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use futures_util::TryStreamExt;
use models::{Chunk, RecordingId, Span, Ticks, WallMicros};
use sha2::{Digest, Sha256};

use crate::cmaf::{self, Fragment, fragment_seq};
use crate::concat::{Layout, Piece};
use crate::{Key, Packet, Store, opus, pcm, wav};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data").join(name)
}

/// The Opus packets of the conversation, as ffmpeg's libopus encoded them: 99.9 s, mono, 20 ms.
pub(crate) fn conversation() -> Vec<Packet> {
    let file = std::fs::File::open(data("conversation.opus")).unwrap();
    let mut reader = ogg::PacketReader::new(file);
    let mut packets = Vec::new();
    while let Some(packet) = reader.read_packet().unwrap() {
        packets.push(Bytes::from(packet.data));
    }
    assert!(packets[0].starts_with(b"OpusHead") && packets[1].starts_with(b"OpusTags"));
    let packet = |data: Bytes| Packet { duration: opus::duration(&data).unwrap(), data };
    packets.drain(2..).map(packet).collect()
}

/// A recording in a store of its own.
pub(crate) struct Kept {
    pub(crate) store: Store,
    pub(crate) recording: RecordingId,
    pub(crate) chunks: Vec<Chunk>,
    pub(crate) dir: tempfile::TempDir,
}

/// Cuts packets into fragments of 50, seals 4 of them to a chunk, and keeps the chunks.
pub(crate) async fn keep(packets: &[Packet]) -> Kept {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::disk(dir.path()).unwrap();
    let recording = RecordingId::new();
    let (mut chunks, mut start) = (Vec::new(), Ticks::ZERO);
    for (seq, packets) in (0..).zip(packets.chunks(200)) {
        let mut spool = Vec::new();
        for (index, packets) in (0..).zip(packets.chunks(50)) {
            let wall = WallMicros(1_700_000_000_000_000).plus(start);
            let seq = fragment_seq(seq, index);
            let fragment = Fragment { seq, start, wall, packets: packets.to_vec() };
            start = fragment.span().end;
            spool.extend(cmaf::write_fragment(&fragment));
        }
        let fragment = Fragment::join(&cmaf::read_fragments(&spool).unwrap()).unwrap();
        let bytes = Bytes::from(cmaf::write_fragment(&fragment));
        chunks.push(Chunk {
            seq,
            take: 0,
            start: fragment.start,
            duration: fragment.duration(),
            bytes: bytes.len() as u64,
            sha256: Sha256::digest(&bytes).into(),
        });
        store.put(&Key::Chunk(recording, seq, 0), bytes).await.unwrap();
    }
    store.put(&Key::Init(recording), cmaf::init_segment(1).into()).await.unwrap();
    Kept { store, recording, chunks, dir }
}

impl Kept {
    fn total(&self) -> Ticks {
        self.chunks.iter().map(|chunk| chunk.duration).sum()
    }

    /// Writes the virtual file to a real one.
    async fn concatenated(&self, channels: u8) -> PathBuf {
        let layout = Layout::new(channels, &self.chunks);
        let mut bytes = Vec::new();
        for piece in layout.pieces(0..layout.len()) {
            bytes.extend(match piece {
                Piece::Header(bytes) => bytes,
                Piece::Chunk { seq, take, range } => {
                    let key = Key::Chunk(self.recording, seq, take);
                    self.store.get(&key, Some(range)).await.unwrap()
                }
            });
        }
        self.write("audio.mp4", &bytes)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

/// Runs a program that must succeed and say nothing on its error output.
fn run(program: &str, arguments: &[&str]) -> Vec<u8> {
    let within = std::time::Duration::from_secs(60);
    let output = servers::output(Command::new(program).args(arguments), within);
    let output = output.unwrap_or_else(|e| panic!("{program} is needed by this test: {e}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{program} {arguments:?}: {said}");
    output.stdout
}

fn ffprobe(path: &Path, arguments: &[&str]) -> serde_json::Value {
    let mut all = vec!["-v", "warning", "-of", "json", path.to_str().unwrap()];
    all.extend(arguments);
    serde_json::from_slice(&run("ffprobe", &all)).unwrap()
}

/// What ffmpeg's libopus makes of a file, from `from` seconds on.
fn ffmpeg_decoded(path: &Path, from: &str) -> Vec<f32> {
    let path = path.to_str().unwrap();
    let input = ["-nostdin", "-v", "warning", "-ss", from, "-c:a", "libopus", "-i", path];
    let output = run("ffmpeg", &[&input[..], &["-f", "f32le", "-ar", "48000", "-"]].concat());
    output.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

fn seconds(value: &serde_json::Value) -> f64 {
    value.as_str().unwrap().parse().unwrap()
}

/// The largest difference between two equally long pieces of sound.
fn difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[tokio::test]
async fn packets_come_back_byte_for_byte() {
    let packets = conversation();
    let kept = keep(&packets).await;
    assert_eq!((packets.len(), kept.chunks.len()), (4997, 25));
    let mut read = Vec::new();
    for chunk in &kept.chunks {
        let fragments = crate::chunk::open(&kept.store, kept.recording, chunk).await.unwrap();
        read.extend(fragments.into_iter().flat_map(|fragment| fragment.packets));
    }
    assert!(read == packets);
}

#[tokio::test]
async fn ffprobe_finds_every_packet_and_the_exact_length() {
    let packets = conversation();
    let kept = keep(&packets).await;
    let path = kept.concatenated(1).await;
    let found = ffprobe(&path, &["-show_format", "-show_streams", "-show_packets"]);
    let stream = &found["streams"][0];
    assert_eq!((&stream["codec_name"], &stream["channels"]), (&"opus".into(), &1.into()));
    assert_eq!(stream["sample_rate"], "48000");
    let off = seconds(&found["format"]["duration"]) - kept.total().as_secs_f64();
    assert!(off.abs() < 0.020, "{off}");
    let theirs = found["packets"].as_array().unwrap();
    assert_eq!(theirs.len(), packets.len());
    let mut at = 0;
    for (theirs, ours) in theirs.iter().zip(&packets) {
        assert_eq!(theirs["pts"], at);
        assert_eq!(theirs["size"], ours.data.len().to_string());
        at += ours.duration.0;
    }
}

#[tokio::test]
async fn ffmpeg_hears_what_libopus_hears() {
    let packets = conversation();
    let kept = keep(&packets).await;
    let mut decoder = ::opus::Decoder::new(48_000, ::opus::Channels::Mono).unwrap();
    let mut expected = Vec::new();
    for packet in &packets {
        let mut samples = vec![0.0; 960];
        assert_eq!(decoder.decode_float(&packet.data, &mut samples, false).unwrap(), 960);
        expected.extend(samples);
    }
    let heard = ffmpeg_decoded(&kept.concatenated(1).await, "0");
    // Two versions of libopus: equal but for rounding, to 16 bits on ffmpeg's side.
    let off = difference(&heard, &expected);
    assert!(off < 2.5 / 32_768.0, "{off}");
    let mut ours = pcm::Decoder::new(48_000, 1).unwrap();
    let ours: Vec<f32> = packets.iter().flat_map(|p| ours.decode(p).unwrap()).collect();
    assert!(ours == expected, "our own decoder adds and drops nothing");
}

/// What a spool holds while it is being written: fragments that nobody has sealed yet.
#[test]
fn what_is_not_sealed_yet_plays_as_well() {
    let packets = conversation();
    let mut bytes = cmaf::init_segment(2);
    let (mut start, wall) = (Ticks::from_secs(3_600), WallMicros(1_700_000_000_000_000));
    for (seq, packets) in (1..).zip(packets[..500].chunks(40)) {
        let fragment = Fragment { seq, start, wall, packets: packets.to_vec() };
        bytes.extend(cmaf::write_fragment(&fragment));
        start = fragment.span().end;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("spool.mp4");
    std::fs::write(&path, bytes).unwrap();
    let found = ffprobe(&path, &["-show_packets"]);
    let theirs = found["packets"].as_array().unwrap();
    assert_eq!((theirs.len(), &theirs[0]["pts"]), (500, &172_800_000.into()));
    // Two channels, as the header says, whatever the packets were coded with.
    assert_eq!(ffmpeg_decoded(&path, "0").len(), 2 * 500 * 960);
}

#[tokio::test]
async fn the_file_seeks_by_its_index() {
    let kept = keep(&conversation()).await;
    let path = kept.concatenated(1).await;
    let whole = ffmpeg_decoded(&path, "0");
    for (from, start) in [("1.5", 72_000), ("4", 192_000), ("61.5", 2_952_000), ("97.9", 4_699_200)]
    {
        let sound = ffmpeg_decoded(&path, from);
        assert_eq!(sound.len(), whole.len() - start, "from {from} s");
        // ffmpeg decodes no pre-roll: the decoder takes a moment to be where it would have been.
        let off = difference(&sound[9_600..], &whole[start + 9_600..]);
        assert!(off < 0.01, "from {from} s: {off}");
    }
}

#[tokio::test]
async fn lost_packets_keep_the_time_of_all_others() {
    let mut packets = conversation();
    packets.truncate(1_000);
    let lost = opus::conceal(packets[500].data[0], Ticks(2_000));
    packets.splice(500..502, lost);
    let kept = keep(&packets).await;
    let found = ffprobe(&kept.concatenated(2).await, &["-show_format", "-show_packets"]);
    let theirs = found["packets"].as_array().unwrap();
    assert_eq!(theirs.len(), 1_001);
    assert_eq!((&theirs[502]["pts"], &theirs[503]["pts"]), (&481_920.into(), &482_000.into()));
    let off = seconds(&found["format"]["duration"]) - kept.total().as_secs_f64();
    assert!(off.abs() < 0.020, "{off}");
}

#[tokio::test]
async fn init_and_chunks_play_as_hls() {
    let kept = keep(&conversation()[..600]).await;
    let folder = kept.dir.path().join(Key::prefix(kept.recording));
    let mut playlist = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:4\n\
                        #EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-MAP:URI=\"init.mp4\"\n"
        .to_owned();
    for chunk in &kept.chunks {
        let (length, seq) = (chunk.duration.as_secs_f64(), chunk.seq);
        playlist += &format!("#EXTINF:{length:.5},\nchunks/{seq:08}.m4s\n");
    }
    playlist += "#EXT-X-ENDLIST\n";
    std::fs::write(folder.join("playlist.m3u8"), playlist).unwrap();
    let arguments = ["-allowed_extensions", "ALL", "-show_format", "-show_packets"];
    let found = ffprobe(&folder.join("playlist.m3u8"), &arguments);
    assert_eq!(found["packets"].as_array().unwrap().len(), 600);
    assert!((seconds(&found["format"]["duration"]) - 12.0).abs() < 0.020);
}

#[tokio::test]
async fn the_wav_is_the_same_sound() {
    let kept = keep(&conversation()).await;
    for channels in [1, 2] {
        let mut bytes = wav::header(kept.total(), channels);
        let stream = wav::stream(kept.store.clone(), kept.recording, channels, kept.chunks.clone());
        let pieces: Vec<Bytes> = stream.try_collect().await.unwrap();
        assert_eq!(pieces.len(), kept.chunks.len());
        bytes.extend(pieces.concat());
        assert_eq!(bytes.len() as u64, wav::len(kept.total(), channels));
        let path = kept.write("audio.wav", &bytes);
        let found = ffprobe(&path, &["-show_streams"]);
        let stream = &found["streams"][0];
        assert_eq!(
            (&stream["codec_name"], &stream["channels"]),
            (&"pcm_s16le".into(), &channels.into())
        );
        assert_eq!(stream["duration_ts"], kept.total().0);
    }
}

#[tokio::test]
async fn a_damaged_chunk_is_refused_and_a_missing_one_named() {
    let kept = keep(&conversation()[..600]).await;
    let path = kept.dir.path().join(Key::Chunk(kept.recording, 1, 0).path());
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let span = Span::new(Ticks::from_secs(5), Ticks::from_secs(6));
    let read = || pcm::read_mono_16k(&kept.store, kept.recording, &kept.chunks, span);
    let error = read().await.unwrap_err();
    assert!(matches!(error, pcm::Error::Chunk(crate::chunk::Error::Hash { seq: 1 })), "{error:?}");
    kept.store.delete(&Key::Chunk(kept.recording, 1, 0)).await.unwrap();
    let error = read().await.unwrap_err();
    assert!(
        matches!(error, pcm::Error::Chunk(crate::chunk::Error::Get { seq: 1, .. })),
        "{error:?}"
    );
}
