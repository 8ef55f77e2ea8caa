use std::process::Command;
use std::sync::Mutex;

use archive::Packet;
use models::room::RecordingPolicy;

use super::*;
use crate::ogg::Demuxer;
use crate::testing::Rig;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data");
/// How long ffmpeg may take for a few seconds of sound.
const DECODE_WITHIN: std::time::Duration = std::time::Duration::from_secs(60);
/// How far a duration may be off.
const TOLERANCE: Ticks = Ticks::from_millis(40);

/// The first 6 s of the conversation as ffmpeg writes them.
fn make(rig: &Rig, name: &str, arguments: &[&str]) -> PathBuf {
    let path = rig.folder.path().join(name);
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-y", "-t", "6", "-i", &format!("{DATA}/conversation.flac")]);
    let done = servers::status(ffmpeg.args(arguments).arg(&path), DECODE_WITHIN);
    assert!(done.expect("ffmpeg is installed").success());
    path
}

async fn import(rig: &Rig, path: &Path) -> Result<Imported, Error> {
    let room = rig.room(RecordingPolicy::Manual, 30_000).await;
    let place = &rig.place;
    import_file(&place.db, &place.store, &place.spool_dir, path, &room, None, |_| {}).await
}

fn packets(path: &Path) -> Vec<Packet> {
    let mut demuxer = Demuxer::default();
    let mut events = demuxer.push(&std::fs::read(path).unwrap()).unwrap();
    events.extend(demuxer.end().unwrap());
    let packet = |event| match event {
        Event::Packet(packet) => packet,
        Event::Lost { .. } => panic!("nothing was lost"),
    };
    events.into_iter().map(packet).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_format_becomes_a_recording_of_its_length() {
    let rig = Rig::new().await;
    let cases: [(&str, &[&str], &str, u8); 9] = [
        ("talk.mp3", &["-ar", "44100", "-ac", "2"], "mp3/mp3", 2),
        ("talk.m4a", &["-ar", "48000"], "isomp4/aac", 1),
        ("talk.wav", &[], "wave/pcm_s16le", 1),
        ("talk.flac", &[], "flac/flac", 1),
        ("talk.ogg", &["-c:a", "libvorbis"], "ogg/vorbis", 1),
        ("talk.opus", &["-c:a", "libopus"], "ogg/opus", 1),
        ("talk.webm", &["-c:a", "libopus", "-ac", "2"], "matroska/opus", 2),
        ("talk.mka", &["-c:a", "libmp3lame"], "matroska/mp3", 1),
        ("six.wav", &["-ac", "6", "-ar", "96000"], "wave/pcm_s16le", 2),
    ];
    for (file, arguments, source, channels) in cases {
        let path = make(&rig, file, arguments);
        let Imported { recording, warnings } = import(&rig, &path).await.unwrap();
        assert_eq!(warnings, Vec::<String>::new(), "{file}");
        assert_eq!((recording.source.as_str(), recording.channels), (source, channels), "{file}");
        assert_eq!((recording.state, recording.origin), (State::Ended, Origin::Import));
        assert_eq!(recording.title, file.split('.').next().unwrap());
        let off = recording.duration.0.abs_diff(Ticks::from_secs(6).0);
        assert!(off <= TOLERANCE.0, "{file}: {}", recording.duration);
        let kept = rig.stored(recording.id).await;
        assert_eq!(kept.iter().map(|packet| packet.duration).sum::<Ticks>(), recording.duration);
        assert!(!rig.spool_of(recording.id).exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ogg_opus_is_kept_packet_for_packet() {
    let rig = Rig::new().await;
    let path = PathBuf::from(format!("{DATA}/conversation.opus"));
    let imported = import(&rig, &path).await.unwrap();
    assert_eq!(rig.stored(imported.recording.id).await, packets(&path));
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_runs_to_the_end() {
    let rig = Rig::new().await;
    let path = make(&rig, "talk.flac", &[]);
    let room = rig.room(RecordingPolicy::Manual, 30_000).await;
    let told = Mutex::new(Vec::new());
    let place = &rig.place;
    let title = Some("A talk".to_owned());
    let imported =
        import_file(&place.db, &place.store, &place.spool_dir, &path, &room, title, |progress| {
            told.lock().unwrap().push(progress);
        })
        .await
        .unwrap();
    assert_eq!(imported.recording.title, "A talk");
    let told = told.into_inner().unwrap();
    assert!(told.len() > 10 && told.is_sorted_by_key(|progress| progress.done));
    let last = told.last().unwrap();
    assert_eq!(last.done, imported.recording.duration);
    assert_eq!(last.total, Some(Ticks::from_secs(6)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_file_is_imported_up_to_the_cut_with_a_warning() {
    let rig = Rig::new().await;
    for (file, arguments) in [
        ("talk.mp3", &[][..]),
        ("talk.wav", &[]),
        ("talk.flac", &[]),
        ("talk.opus", &["-c:a", "libopus", "-page_duration", "200000"]),
        ("talk.webm", &["-c:a", "libopus"]),
        ("talk.mp4", &["-movflags", "+faststart"]),
    ] {
        let path = make(&rig, file, arguments);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let Imported { recording, warnings } = import(&rig, &path).await.unwrap();
        let seconds = recording.duration.as_secs_f64();
        assert!((1.5..4.5).contains(&seconds), "{file}: {seconds} s");
        let [warning] = &warnings[..] else { panic!("{file}: {warnings:?}") };
        let cut = format!("cut off at {}: ", recording.duration);
        // An encoder's last packets come after the place.
        assert!(warning.starts_with(&cut[..12]), "{file}: {warning}, not {cut}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_without_audio_fails_with_one_reason_and_leaves_nothing() {
    let rig = Rig::new().await;
    let video = rig.folder.path().join("silent.mp4");
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-y", "-f", "lavfi", "-i", "color=s=64x64:d=1"]);
    let done = servers::status(ffmpeg.args(["-c:v", "mpeg4"]).arg(&video), DECODE_WITHIN);
    assert!(done.unwrap().success());
    let whole = std::fs::read(make(&rig, "talk.opus", &["-c:a", "libopus"])).unwrap();
    let cases: [(&str, Vec<u8>, &str); 6] = [
        ("a.mp3", b"MP3".to_vec(), "not audio we can read"),
        ("empty.wav", Vec::new(), "not audio we can read"),
        ("page.html", b"<html><body>no</body></html>".repeat(50), "not audio we can read"),
        ("head.opus", whole[..100].to_vec(), "the Ogg stream ends before any audio"),
        ("torn.opus", whole[..30].to_vec(), "not audio we can read"),
        ("silent.mp4", std::fs::read(&video).unwrap(), "there is no audio in it"),
    ];
    for (file, bytes, reason) in cases {
        let path = rig.folder.path().join(file);
        std::fs::write(&path, bytes).unwrap();
        let error = import(&rig, &path).await.unwrap_err();
        assert!(chain(&error).contains(reason), "{file}: {}", chain(&error));
    }
    let error = import(&rig, &rig.folder.path().join("nowhere.mp3")).await.unwrap_err();
    assert!(chain(&error).contains("No such file"), "{}", chain(&error));
    assert!(rig.files().await.is_empty());
    let filter = models::db::Filter::default();
    assert_eq!(rig.place.db.recordings(&filter, None, 10).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_imported_into_a_room_that_must_not_be_recorded() {
    let rig = Rig::new().await;
    let room = rig.room(RecordingPolicy::Never, 30_000).await;
    let path = PathBuf::from(format!("{DATA}/conversation.opus"));
    let place = &rig.place;
    let refused =
        import_file(&place.db, &place.store, &place.spool_dir, &path, &room, None, |_| {}).await;
    assert!(matches!(refused, Err(Error::NotRecordable)));
    assert!(rig.files().await.is_empty());
}

#[tokio::test]
async fn an_mp4_files_edit_list_is_read_wherever_it_lies() {
    let rig = Rig::new().await;
    for flags in ["+empty_moov", "+faststart", "0"] {
        let path = make(&rig, "talk.m4a", &["-ar", "48000", "-movflags", flags]);
        let edit = edit::of(&mut std::fs::File::open(path).unwrap());
        // Its encoder puts 1024 samples before the first one; a fragmented file does not say so.
        let length = Some(Ticks::from_secs(6));
        let expected = edit::Edit { skip: Ticks(1024), length };
        assert_eq!(edit, (flags != "+empty_moov").then_some(expected), "{flags}");
    }
    let path = make(&rig, "talk.wav", &[]);
    assert_eq!(edit::of(&mut std::fs::File::open(path).unwrap()), None);
}

#[test]
fn titles_come_from_names() {
    assert_eq!(title_of(Path::new("/a/Town hall.mp3")), "Town hall");
    assert_eq!(title_of(Path::new(" .mp3")), "Imported");
    let long = format!("{}.mp3", "ä".repeat(300));
    assert_eq!(title_of(Path::new(&long)).chars().count(), TITLE_MAX_CHARS);
}
