//! Programs that people use as sources.

use std::path::Path;
use std::process::Stdio;

use models::Ticks;
use models::recording::Origin;
use models::room::RecordingPolicy;
use tokio::process::Command;

use super::{DATA, KEY, Tap, conversation, ffmpeg, sent, text};
use crate::testing::until;

#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_sends_ogg_opus_and_every_packet_is_kept_as_it_was() {
    let tap = Tap::new().await;
    let room = tap.room(RecordingPolicy::Auto).await;
    let (from, to) = (conversation(), tap.mount(&room));
    ffmpeg(&["-i", text(&from), "-c", "copy", "-f", "ogg", "-content_type", "audio/ogg", &to])
        .await;
    let recording = tap.ended(&room).await;
    assert_eq!(tap.kept(&recording).await, sent(&std::fs::read(from).unwrap()));
    assert_eq!((recording.origin, recording.channels), (Origin::Icecast, 1));
    assert!(recording.source.starts_with("ogg/opus, "), "{}", recording.source);
    assert!(recording.source.contains("Lavf/"), "{}", recording.source);
    assert_eq!(tap.rig.place.db.gaps(recording.id).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_sends_other_formats_and_they_are_as_long_as_they_were() {
    let tap = Tap::new().await;
    let from = Path::new(DATA).join("conversation.flac");
    // What the format itself adds to 10 s: ADTS has no way to say what its encoder put before and
    // after, one frame and a part of one; Opus' lookahead comes with every one.
    let cases: [(&str, &str, &[&str], u64); 6] = [
        ("audio/mpeg", "mp3/mp3", &["-ar", "44100", "-f", "mp3"], 40),
        ("audio/aac", "aac/aac", &["-ar", "48000", "-f", "adts"], 50),
        ("application/ogg", "ogg/vorbis", &["-c:a", "libvorbis", "-f", "ogg"], 40),
        ("audio/ogg", "ogg/flac", &["-c:a", "flac", "-f", "ogg"], 40),
        ("audio/flac", "flac/flac", &["-ac", "2", "-f", "flac"], 40),
        ("audio/wav", "wave/pcm_s16le", &["-f", "wav"], 40),
    ];
    for (content_type, source, arguments, tolerance_ms) in cases {
        let room = tap.room(RecordingPolicy::Auto).await;
        let to = tap.mount(&room);
        let mut all = vec!["-t", "10", "-i", text(&from)];
        all.extend_from_slice(arguments);
        all.extend_from_slice(&["-content_type", content_type, &to]);
        ffmpeg(&all).await;
        let recording = tap.ended(&room).await;
        let off = recording.duration.as_millis().abs_diff(10_000);
        assert!(off <= tolerance_ms, "{content_type}: {}", recording.duration);
        assert!(recording.source.starts_with(source), "{content_type}: {}", recording.source);
        assert_eq!(recording.channels, if content_type == "audio/flac" { 2 } else { 1 });
        let kept = tap.rig.stored(recording.id).await;
        assert_eq!(kept.iter().map(|packet| packet.duration).sum::<Ticks>(), recording.duration);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn liquidsoap_is_a_source() {
    let tap = Tap::new().await;
    let room = tap.room(RecordingPolicy::Auto).await;
    let script = tap.rig.folder.path().join("source.liq");
    let program = format!(
        "set(\"init.allow_root\", true)\nset(\"log.file\", false)\n\
         s = once(single(\"{DATA}/conversation.flac\"))\n\
         output.icecast(%mp3(bitrate=64, stereo=false, samplerate=44100), fallible=true, \
         host=\"127.0.0.1\", port={}, password=\"{KEY}\", mount=\"{}\", s)\n",
        tap.at.port(),
        room.slug
    );
    std::fs::write(&script, program).unwrap();
    let mut liquidsoap = Command::new("liquidsoap")
        .arg(&script)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("liquidsoap is installed");
    // It sends in real time: a chunk in the store is enough.
    let recording = until(|| async {
        tap.recording(&room).await.filter(|recording| recording.duration >= Ticks::from_secs(4))
    })
    .await;
    liquidsoap.kill().await.unwrap();
    let said = &recording.source;
    assert!(said.starts_with("mp3/mp3, ") && said.contains("Liquidsoap"), "{said}");
    assert_eq!(recording.channels, 1);
    tap.ended(&room).await;
}
