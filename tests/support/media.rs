//! ffmpeg and ffprobe, and what is in a recording.

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use models::Ticks;
use serde_json::Value;

use super::{Api, secs};

/// The longest that a file is decoded for: much longer than it takes.
const DECODE_WITHIN: Duration = secs(300);

/// ffmpeg, saying only what is said at `level`.
fn quiet_ffmpeg(level: &str) -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-hide_banner", "-loglevel", level, "-y"]);
    command
}

/// Runs ffmpeg; its own message is the test's failure.
pub fn ffmpeg(args: &[&str]) {
    let output = servers::output(quiet_ffmpeg("error").args(args), DECODE_WITHIN);
    let output = output.expect("starting ffmpeg");
    assert!(
        output.status.success(),
        "ffmpeg {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Codec and seconds of the first audio stream as ffprobe reads them. The seconds are what a full
/// decode gives, not what a header claims.
pub fn probe(input: &str) -> (String, f64) {
    let mut ffprobe = Command::new("ffprobe");
    ffprobe.args(["-v", "error", "-show_entries", "stream=codec_name:format=duration"]);
    let output = servers::output(ffprobe.args(["-of", "json", input]), DECODE_WITHIN);
    let output = output.expect("starting ffprobe");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "ffprobe {input}: {said}");
    let probed: Value = serde_json::from_slice(&output.stdout).expect("ffprobe's JSON");
    let codec = probed["streams"][0]["codec_name"].as_str().expect("a codec").to_owned();
    let seconds = probed["format"]["duration"].as_str().expect("a duration").parse();
    (codec, seconds.expect("seconds"))
}

/// Seconds of sound that ffmpeg decodes from `input`, and that it had nothing to complain of.
pub fn decoded_seconds(input: &str) -> f64 {
    // Plain PCM says nothing of its channels' places; guessing them aloud is no complaint.
    let mut ffmpeg = quiet_ffmpeg("warning");
    ffmpeg.args(["-guess_layout_max", "0", "-i", input]);
    ffmpeg.args(["-f", "s16le", "-ac", "1", "-ar", "48000", "-"]);
    let output = servers::output(&mut ffmpeg, DECODE_WITHIN).expect("starting ffmpeg");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "ffmpeg on {input}: {said}");
    output.stdout.len() as f64 / 2.0 / 48_000.0
}

/// The same of a file that may be hours long, and as a value.
pub fn played(input: &str) -> Result<f64, String> {
    let mut ffmpeg = quiet_ffmpeg("warning");
    ffmpeg.args(["-i", input, "-f", "null", "-progress", "pipe:1", "-"]);
    let output = servers::output(&mut ffmpeg, DECODE_WITHIN).expect("starting ffmpeg");
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() || !said.is_empty() {
        return Err(said.into_owned());
    }
    let progress = String::from_utf8_lossy(&output.stdout);
    let played = progress.lines().filter_map(|line| line.strip_prefix("out_time_us=")).next_back();
    let us: f64 = played.and_then(|us| us.parse().ok()).ok_or("it does not say how much")?;
    Ok(us / 1e6)
}

/// The audio packets of an Ogg Opus file.
pub fn ogg_packets(path: &Path) -> Vec<Vec<u8>> {
    let mut reader = ogg::PacketReader::new(File::open(path).expect("opening the file"));
    let mut packets = Vec::new();
    while let Some(packet) = reader.read_packet().expect("a whole Ogg file") {
        packets.push(packet.data);
    }
    packets.drain(..2); // OpusHead and OpusTags
    packets
}

/// Every packet kept of a recording, in order, with its length; read through the API.
pub async fn kept_packets(api: &Api, id: &str) -> Vec<(Vec<u8>, Ticks)> {
    let playlist = api.text(&format!("/api/recordings/{id}/playlist.m3u8")).await;
    let mut packets = Vec::new();
    let mut end = Ticks::ZERO;
    for uri in playlist.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let chunk = api.bytes(&format!("/api/recordings/{id}/{uri}")).await;
        for fragment in archive::cmaf::read_fragments(&chunk).expect("a whole chunk") {
            assert_eq!(fragment.start, end, "{uri} does not follow on");
            for packet in fragment.packets {
                end += packet.duration;
                packets.push((packet.data.to_vec(), packet.duration));
            }
        }
    }
    packets
}

/// Checks that HLS, MP4 and WAV of a recording are what they should be for other programs.
pub fn check_outputs(api: &Api, id: &str, seconds: f64) {
    for (name, expected) in
        [("playlist.m3u8", "opus"), ("audio.mp4", "opus"), ("audio.wav", "pcm_s16le")]
    {
        let url = format!("{}/api/recordings/{id}/{name}", api.base);
        let (codec, probed) = probe(&url);
        assert_eq!(codec, expected, "{name}");
        assert!((probed - seconds).abs() <= 0.04, "{name}: {probed} s, not {seconds} s");
        let decoded = decoded_seconds(&url);
        assert!((decoded - seconds).abs() <= 0.04, "{name}: {decoded} s of sound, not {seconds} s");
    }
}
