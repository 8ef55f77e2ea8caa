//! Transcription against others, in one run on one machine: same audio, same weights, same threads.
//!
//! `WHISPER_CLI=/path/to/whisper-cli PEER_PYTHON=/path/to/venv/bin/python cargo bench --bench transcribe
//! -- [REPEATS]`. A peer that is not named is left out. The audio is the bundled conversation, which has
//! natural pauses, REPEATS times over (18: half an hour), and 16 recordings of it apart.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[path = "../tests/support/mod.rs"]
#[expect(
    dead_code,
    unused_imports,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "the tests use the rest"
)]
mod support;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use models::Db;
use support::data;
use support::media::ffmpeg;
use support::server::PROGRAM;
use support::words::{LENGTH_S, truth};
use transcribe::score::{Score, Segment, Transcript, Truth, Word, score};

/// Runs of each, of which the middle one counts.
const RUNS: usize = 3;
/// Programs for the peers.
const PEERS: &str = "benches/peers";
/// Recordings whose throughput is compared.
const RECORDINGS: usize = 16;

/// What one run gave.
struct Run {
    seconds: f64,
    /// The same without starting, from the first recording's beginning to the last one's end.
    at_work: f64,
    score: Score,
}

fn main() {
    let repeats = std::env::args().find_map(|arg| arg.parse::<usize>().ok()).unwrap_or(18);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let bench = Bench::new(threads);
    bench.one_long_recording(repeats);
    bench.many_recordings();
}

struct Bench {
    dir: tempfile::TempDir,
    threads: usize,
    weights: String,
}

impl Bench {
    fn new(threads: usize) -> Self {
        let weights = data("../../transcribe/weights/demo/roomtape-demo.en-q5_0.bin");
        let dir = tempfile::tempdir().expect("a folder");
        Self { dir, threads, weights: weights.display().to_string() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn one_long_recording(&self, repeats: usize) {
        let (wav, truth) = (self.path("long.wav"), truth(repeats));
        let source = data("conversation.flac").display().to_string();
        let (times, file) = ((repeats - 1).to_string(), wav.display().to_string());
        ffmpeg(&["-stream_loop", &times, "-i", &source, "-ac", "1", "-ar", "16000", &file]);
        println!(
            "one recording of {:.0} s, {} threads, middle of {RUNS} runs",
            LENGTH_S * repeats as f64,
            self.threads
        );
        let ours = median(|| self.ours(std::slice::from_ref(&wav), &truth));
        println!("roomtape import --transcribe, less import alone: {:.2} s", ours.seconds);
        println!("    {}", ours.score);
        let Some(cli) = std::env::var_os("WHISPER_CLI") else {
            println!("no peer: set WHISPER_CLI to whisper.cpp's whisper-cli");
            return;
        };
        for (args, what) in [
            (&[][..], "its defaults: beam 5"),
            (&["-bs", "1", "-bo", "1"], "its fastest: greedy, flash attention"),
            (&["-bs", "1", "-bo", "1", "-mc", "0"], "the same without carried context"),
            (&["-mc", "0"], "its defaults without carried context"),
        ] {
            let peer = median(|| self.whisper_cli(Path::new(&cli), args, &wav, &truth));
            println!(
                "whisper-cli -t {} {} ({what}): {:.2} s; ours takes {:.2} of it",
                self.threads,
                args.join(" "),
                peer.seconds,
                ours.seconds / peer.seconds
            );
            println!("    word error rate {:.2} %", peer.score.word_error_rate * 100.0);
        }
    }

    fn many_recordings(&self) {
        let files: Vec<PathBuf> = (0..RECORDINGS)
            .map(|n| {
                let file = self.path(&format!("{n}.flac"));
                std::fs::copy(data("conversation.flac"), &file).expect("a copy");
                file
            })
            .collect();
        let ours = median(|| self.ours(&files, &truth(1)));
        let speed = |seconds: f64| LENGTH_S * RECORDINGS as f64 / seconds;
        println!("{RECORDINGS} recordings of {LENGTH_S} s, {} threads", self.threads);
        println!("roomtape: {:.2} s, {:.1} x real time", ours.seconds, speed(ours.seconds));
        println!("    of which at work, the model loaded: {:.2} s", ours.at_work);
        println!("    {}", ours.score);
        let Some(python) = std::env::var_os("PEER_PYTHON") else {
            println!("no peer: set PEER_PYTHON to a Python that has faster-whisper");
            return;
        };
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join(PEERS);
        let model = self.path("ctranslate2");
        let convert = Command::new(&python)
            .arg(scripts.join("ggml_to_ctranslate2.py"))
            .args([Path::new(&self.weights), &model])
            .status();
        assert!(convert.expect("starting Python").success());
        for (args, what) in [
            (&["--word-timestamps"][..], "words with their times, as ours have"),
            (&[], "sentences only"),
        ] {
            let mut runs: Vec<_> =
                (0..RUNS).map(|_| self.faster_whisper(&python, &model, args, &files)).collect();
            runs.sort_by(|a, b| a.0.total_cmp(&b.0));
            let (seconds, said) = &runs[RUNS / 2];
            println!("faster-whisper, {what}: {said}");
            println!(
                "throughput: {:.2} of faster-whisper's, whose clock starts when the model is loaded \
                 and warm; with loading in ours {:.2}",
                seconds / ours.at_work,
                seconds / ours.seconds
            );
        }
    }

    /// Seconds that faster-whisper takes once it is loaded and warm, and what it says about that.
    fn faster_whisper(
        &self,
        python: &OsStr,
        model: &Path,
        args: &[&str],
        files: &[PathBuf],
    ) -> (f64, String) {
        let script =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(PEERS).join("faster_whisper_bench.py");
        let threads = self.threads.to_string();
        let output = Command::new(python)
            .arg(script)
            .args(["--threads", &threads, "--at-once", &threads])
            .arg("--truth")
            .arg(data("conversation.json"))
            .arg("--model")
            .arg(model)
            .args(args)
            .args(files)
            .output();
        let output = output.expect("starting Python");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let last = text.lines().last().unwrap_or_default().to_owned();
        let said: serde_json::Value = serde_json::from_str(&last).expect("a line of JSON");
        (said["seconds"].as_f64().expect("seconds"), last)
    }

    /// From recordings to their words: a whole run of the program less one without words.
    fn ours(&self, files: &[PathBuf], truth: &Truth) -> Run {
        let threads = self.threads.to_string();
        let words = ["--transcribe", "--weights", &self.weights, "--threads", &threads];
        let (home, with) = import(files, &words);
        let (_, without) = import(files, &[]);
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let (transcript, at_work) = runtime.block_on(words_in(home.path()));
        Run { seconds: with - without, at_work, score: score(truth, &transcript) }
    }

    fn whisper_cli(&self, cli: &Path, args: &[&str], wav: &Path, truth: &Truth) -> Run {
        let (out, begin) = (self.path("peer"), Instant::now());
        let status = Command::new(cli)
            .args(["-m", &self.weights, "-t", &self.threads.to_string(), "-np", "-otxt", "-of"])
            .args([&out, Path::new("-f"), wav])
            .args(args)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        assert!(status.expect("starting whisper-cli").success());
        let seconds = begin.elapsed().as_secs_f64();
        let text = std::fs::read_to_string(out.with_extension("txt")).expect("its text");
        let word = |text: &str| Word { start_ms: 0, end_ms: 0, text: text.to_owned() };
        let words = text.split_whitespace().map(word).collect();
        let segments = vec![Segment { start_ms: 0, suppressed: None, words }];
        Run { seconds, at_work: seconds, score: score(truth, &Transcript { segments }) }
    }
}

/// Imports files into an installation of their own; how long that took.
fn import(files: &[PathBuf], args: &[&str]) -> (tempfile::TempDir, f64) {
    let home = tempfile::tempdir().expect("a folder");
    let begin = Instant::now();
    let status = Command::new(PROGRAM)
        .args(["import", "--data", &home.path().display().to_string()])
        .args(files)
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    assert!(status.expect("starting roomtape").success());
    (home, begin.elapsed().as_secs_f64())
}

/// The words of an installation's first recording, and seconds from when the first one's were begun to
/// when the last one's were complete.
async fn words_in(home: &Path) -> (Transcript, f64) {
    let db = Db::open(&format!("sqlite:{}", home.join("roomtape.db").display())).await;
    let db = db.expect("the database");
    let filter = models::db::Filter::default();
    let recordings = db.recordings(&filter, None, 100).await.expect("the recordings");
    let mut versions = Vec::new();
    for recording in &recordings {
        let version = db.transcript_version(recording.id, None).await.expect("a transcript");
        versions.push(version.expect("a version"));
    }
    let begun = versions.iter().map(|version| version.created_at.0).min();
    let complete = versions.iter().filter_map(|version| version.completed_at).map(|at| at.0).max();
    let (begun, complete) = begun.zip(complete).expect("a recording");
    let first = &versions[0];
    println!("    coverage: {:?} of {} of speech", first.coverage.share(), first.coverage.speech);
    let segments = db.segments(first.id, 0).await.expect("its segments");
    let segments = segments.iter().map(Into::into).collect();
    (Transcript { segments }, (complete - begun) as f64 / 1e6)
}

fn median(mut run: impl FnMut() -> Run) -> Run {
    let mut runs: Vec<Run> = (0..RUNS).map(|_| run()).collect();
    runs.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    runs.swap_remove(RUNS / 2)
}
