//! Resident memory over time.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How far it may be from what it was at first.
const FLAT: f64 = 0.05;
/// The first so much of what is judged says what it was.
const FIRST: Duration = Duration::from_secs(60);

/// Some processes' memory, sampled.
pub(crate) struct Memory {
    names: Vec<&'static str>,
    samples: Vec<(Duration, Vec<f64>)>,
    file: File,
    path: PathBuf,
}

impl Memory {
    /// Samples of the processes with these names, which go to a CSV file in `folder` too.
    pub(crate) fn new(folder: &Path, names: Vec<&'static str>) -> Self {
        fs::create_dir_all(folder).expect("a folder");
        let path = folder.join(format!("soak-{}.csv", std::process::id()));
        let mut file = File::create(&path).expect("a file");
        writeln!(file, "seconds,{} (MB)", names.join(",")).expect("a file");
        Self { names, samples: Vec::new(), file, path }
    }

    /// Takes a sample of the processes with these numbers.
    pub(crate) fn sample(&mut self, at: Duration, processes: &[u32]) {
        let sample: Vec<f64> = processes.iter().map(|process| resident_mb(*process)).collect();
        let text: Vec<_> = sample.iter().map(|mb| format!("{mb:.2}")).collect();
        writeln!(self.file, "{},{}", at.as_secs(), text.join(",")).expect("a file");
        self.samples.push((at, sample));
    }

    /// The last sample, in words.
    pub(crate) fn last(&self) -> String {
        let last = self.samples.last().map(|(_, sample)| sample.as_slice()).unwrap_or_default();
        let words = self.names.iter().zip(last).map(|(name, mb)| format!("{name} {mb:.1} MB"));
        words.collect::<Vec<_>>().join(", ")
    }

    /// Says how memory was from `from` on, and whether it was flat.
    pub(crate) fn judge(&self, from: Duration) -> bool {
        println!(
            "memory from minute {:.1} on ({}):",
            from.as_secs_f64() / 60.0,
            self.path.display()
        );
        println!(
            "{:<10} {:>9} {:>9} {:>9} {:>8} {:>8}",
            "", "first MB", "last MB", "peak MB", "least", "most"
        );
        let mut flat = true;
        for (process, name) in self.names.iter().enumerate() {
            let seen = self.samples.iter().filter(|(at, _)| *at >= from);
            let seen: Vec<_> = seen.map(|(at, sample)| (*at, sample[process])).collect();
            let Some(&(begin, _)) = seen.first() else { return false };
            let first: Vec<f64> =
                seen.iter().filter(|(at, _)| *at <= begin + FIRST).map(|(_, mb)| *mb).collect();
            let first = first.iter().sum::<f64>() / first.len() as f64;
            let most = seen.iter().map(|(_, mb)| *mb).fold(f64::MIN, f64::max);
            let least = seen.iter().map(|(_, mb)| *mb).fold(f64::MAX, f64::min);
            let last = seen.last().map_or(0.0, |(_, mb)| *mb);
            let off = |mb: f64| mb / first - 1.0;
            println!(
                "{name:<10} {first:>9.1} {last:>9.1} {most:>9.1} {:>+7.1}% {:>+7.1}%",
                off(least) * 100.0,
                off(most) * 100.0
            );
            flat &= off(least) >= -FLAT && off(most) <= FLAT;
        }
        if !flat {
            println!("WRONG: memory is not flat to {} %", FLAT * 100.0);
        }
        flat
    }
}

/// Linux' own figure.
fn resident_mb(process: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kb = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kb.unwrap_or(0.0) * 1024.0 / 1e6
}
