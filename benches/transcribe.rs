//! Transcription against whisper.cpp's own CLI: same file, same model, same threads, in turn.
//!
//! `WHISPER_CLI=/path/to/whisper-cli cargo bench --bench transcribe -- [REPEATS]`. Without the CLI
//! only our own time is measured. The audio is the bundled conversation, repeated.

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

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use support::data;
use support::media::ffmpeg;
use support::server::PROGRAM;

const RUNS: usize = 3;

fn main() {
    let repeats = std::env::args().find_map(|arg| arg.parse::<u32>().ok()).unwrap_or(6);
    let threads = std::thread::available_parallelism().map_or(1, usize::from).to_string();
    let dir = tempfile::tempdir().expect("a folder");
    let wav = dir.path().join("conversation.wav").display().to_string();
    let model = data("../../transcribe/weights/demo/roomtape-demo.en-q5_0.bin");
    let model = model.display().to_string();
    let source = data("conversation.flac").display().to_string();
    let times = (repeats - 1).to_string();
    ffmpeg(&["-stream_loop", &times, "-i", &source, "-ac", "1", "-ar", "16000", &wav]);
    println!(
        "{repeats} x the conversation ({} s), {threads} threads, median of {RUNS}",
        repeats * 100
    );

    let ours = median(|| ours(&wav, &model, &threads));
    println!("roomtape import --transcribe, less import alone: {ours:.2} s");
    let Some(cli) = std::env::var_os("WHISPER_CLI") else {
        println!("no peer: set WHISPER_CLI to whisper.cpp's whisper-cli");
        return;
    };
    for (name, args) in [
        ("defaults (beam 5)", vec![]),
        ("greedy, no context", vec!["-bs", "1", "-bo", "1", "-mc", "0"]),
    ] {
        let peer = median(|| {
            let begin = Instant::now();
            let status = Command::new(&cli)
                .args(["-m", &model, "-f", &wav, "-t", &threads, "-np"])
                .args(&args)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .expect("starting whisper-cli");
            assert!(status.success());
            begin.elapsed().as_secs_f64()
        });
        let command = args.join(" ");
        println!(
            "whisper-cli -t {threads} {command}  [{name}]: {peer:.2} s, ratio {:.2}",
            ours / peer
        );
    }
}

/// Seconds from a recording to its words: a whole run of the program less one without words.
fn ours(wav: &str, model: &str, threads: &str) -> f64 {
    timed(wav, &["--transcribe", "--weights", model, "--threads", threads]) - timed(wav, &[])
}

fn timed(wav: &str, args: &[&str]) -> f64 {
    let home = tempfile::tempdir().expect("a folder");
    let begin = Instant::now();
    let status = Command::new(PROGRAM)
        .args(["import", "--data", &home.path().display().to_string(), wav])
        .args(args)
        .stdout(Stdio::null())
        .status()
        .expect("starting roomtape");
    assert!(status.success() && Path::new(wav).exists());
    begin.elapsed().as_secs_f64()
}

fn median(mut run: impl FnMut() -> f64) -> f64 {
    let mut times: Vec<f64> = (0..RUNS).map(|_| run()).collect();
    times.sort_by(f64::total_cmp);
    times[RUNS / 2]
}
