//! The spool on a filesystem that fails, against a model of what it must have kept.
//!
//! Seeded scripts of appends, pauses, seals and removals run on a [`Sim`]. The power goes at every
//! operation in turn, mending what is left is cut off at every operation too, and a second life goes
//! on from there. What must hold is said in [`Model::check`].

use std::collections::BTreeMap;

use super::sim::{Dice, Sim, Ways};
use super::*;

/// What was asked of the spool, and what it has answered for.
#[derive(Debug, Clone, Default)]
struct Model {
    chunks: BTreeMap<u32, Asked>,
    /// Pauses noted before a chunk, and whether that was answered for.
    pauses: Vec<(u32, Gap, bool)>,
    /// Chunks that the store has: they may be there or not.
    removed: Vec<u32>,
}

#[derive(Debug, Clone, Default)]
struct Asked {
    fragments: Vec<Fragment>,
    /// How many of them must be there.
    safe: usize,
    gaps: Vec<Gap>,
}

/// What is done to a spool.
#[derive(Debug, Clone, Copy)]
enum Do {
    Append { gap: bool, sync: bool },
    Pause,
    Seal,
    Remove,
}

fn script(dice: &mut Dice) -> Vec<Do> {
    let one = |dice: &mut Dice| match dice.below(10) {
        0 => Do::Pause,
        1 | 2 => Do::Seal,
        3 => Do::Remove,
        n => Do::Append { gap: n == 4, sync: n < 9 },
    };
    (0..9).map(|_| one(dice)).collect()
}

/// A process that writes.
struct Life {
    files: Files,
    chunk: u32,
    fragments: u32,
    at: Ticks,
}

const DIR: &str = "/recording";

/// Holds the folder, as a process does that starts: it tries until it can or the power goes.
fn hold(sim: &Sim) -> Option<Held> {
    let (disk, path) = (Arc::new(sim.clone()), PathBuf::from(DIR));
    patiently(sim, || make(sim, &path.clone()))?;
    Some(Held { disk, path, _lock: None })
}

/// Tries again what failed; `None`: the power went.
fn patiently<T>(sim: &Sim, mut work: impl FnMut() -> Result<T>) -> Option<T> {
    for _ in 0..200 {
        match work() {
            Ok(done) => return Some(done),
            Err(_) if sim.is_off() => return None,
            Err(_) => {}
        }
    }
    panic!("a fault that passes was not survived");
}

impl Life {
    /// Mends what is there and goes on behind it.
    fn begin(sim: &Sim, model: &mut Model) -> Option<Self> {
        let held = hold(sim)?;
        let left = patiently(sim, || mend(&held))?;
        let last = left.chunks.last().copied();
        let removed = model.removed.iter().max().copied();
        let chunk = last.max(removed).map_or(0, |seq| seq + 1);
        let at = left.last.map_or(Ticks(u64::from(chunk) * 1_000_000), |last| last.span().end);
        Some(Self { files: Files::new(held), chunk, fragments: 0, at })
    }

    /// Does one thing; `None`: the power went in the middle.
    fn act(&mut self, sim: &Sim, model: &mut Model, what: Do) -> Option<()> {
        match what {
            Do::Append { gap, sync } => self.append(sim, model, gap, sync),
            Do::Pause => {
                self.act(sim, model, Do::Seal)?;
                let wall_us = 1 + model.pauses.len() as i64;
                let gap =
                    Gap { start: self.at, duration: Ticks::ZERO, wall_us, cause: GapCause::Paused };
                model.pauses.push((self.chunk, gap, false));
                patiently(sim, || self.files.note(self.chunk, &[gap]))?;
                model.pauses.last_mut()?.2 = true;
                Some(())
            }
            Do::Seal if self.fragments == 0 => Some(()),
            Do::Seal => {
                patiently(sim, || self.files.seal())?;
                let asked = model.chunks.get_mut(&self.chunk).unwrap();
                asked.safe = asked.fragments.len();
                (self.chunk, self.fragments) = (self.chunk + 1, 0);
                Some(())
            }
            Do::Remove => {
                let oldest = model.chunks.keys().copied().find(|seq| !model.removed.contains(seq));
                let Some(seq) = oldest.filter(|seq| *seq < self.chunk) else { return Some(()) };
                model.removed.push(seq);
                patiently(sim, || remove_on(sim, Path::new(DIR), seq))
            }
        }
    }

    fn append(&mut self, sim: &Sim, model: &mut Model, gap: bool, sync: bool) -> Option<()> {
        let n = self.at.0 as usize / 960;
        let fragment = Fragment {
            seq: fragment_seq(self.chunk, self.fragments),
            start: self.at,
            wall: wall(n),
            packets: (n..n + 2).map(packet).collect(),
        };
        let (start, duration) = (self.at, Ticks(3 * 960));
        let gap = gap.then_some(Gap { start, duration, wall_us: 60_000, cause: GapCause::Loss });
        let asked = model.chunks.entry(self.chunk).or_default();
        asked.fragments.push(fragment.clone());
        asked.gaps.extend(gap);
        let bytes = write_fragment(&fragment);
        let gaps: Vec<Gap> = gap.into_iter().collect();
        patiently(sim, || self.files.append(self.chunk, &bytes, &gaps, sync))?;
        if sync {
            asked.safe = asked.fragments.len();
        }
        (self.fragments, self.at) = (self.fragments + 1, fragment.span().end);
        Some(())
    }
}

impl Model {
    /// What must hold of what lies on a mended disk: everything that was answered for is there,
    /// nothing is that was not asked for, and the gaps are those of what is there.
    fn check(&self, sim: &Sim, left: &Left) -> std::result::Result<(), String> {
        for (seq, asked) in self.chunks.iter().filter(|(seq, _)| !self.removed.contains(seq)) {
            let found = load_on(sim, Path::new(DIR), *seq).unwrap();
            let found = found.map_or(Vec::new(), |found| found.fragments);
            for safe in &asked.fragments[..asked.safe] {
                if !found.contains(safe) {
                    return Err(format!("fragment {} of chunk {seq} is lost", safe.seq));
                }
            }
            if let Some(other) = found.iter().find(|found| !asked.fragments.contains(found)) {
                return Err(format!("fragment {} of chunk {seq} was made up", other.seq));
            }
            let Some(last) = found.last() else { continue };
            let end = last.span().end;
            let noted = gaps_on(sim, Path::new(DIR), *seq).unwrap();
            // A pause may be there that was asked for and not answered.
            let pauses = self
                .pauses
                .iter()
                .filter(|(of, gap, safe)| of == seq && (*safe || noted.contains(gap)));
            let pauses = pauses.map(|(_, gap, _)| *gap);
            let told = notes::sorted(pauses.chain(asked.gaps.iter().copied()).collect());
            if cut::clip(&noted, end) != cut::clip(&told, end) {
                return Err(format!("chunk {seq} has the gaps {noted:?} and not {told:?}"));
            }
        }
        let strange = left.chunks.iter().find(|seq| !self.chunks.contains_key(seq));
        if let Some(seq) = strange {
            return Err(format!("chunk {seq} was made up"));
        }
        let next = left.chunks.iter().chain(&self.removed).max().map_or(0, |last| last + 1);
        for (seq, gap, _) in self.pauses.iter().filter(|(seq, _, safe)| *safe && *seq >= next) {
            if !left.pauses.contains(&(*seq, *gap)) {
                return Err(format!("the pause before chunk {seq} is lost"));
            }
        }
        Ok(())
    }

    /// From here on what is there is what was asked for.
    fn accept(&mut self, sim: &Sim) {
        for (seq, asked) in &mut self.chunks {
            let found = load_on(sim, Path::new(DIR), *seq).unwrap();
            asked.fragments = found.map_or(Vec::new(), |found| found.fragments);
            asked.safe = asked.fragments.len();
        }
        self.chunks.retain(|_, asked| !asked.fragments.is_empty());
    }
}

/// Mends a disk after a power cut, being cut off itself `cut_at`; then again, and once more.
fn mended(sim: &Sim, cut_at: u64) -> (Sim, Left) {
    let cut = sim.power_on(Ways { cut_at: Some(cut_at), ..Ways::default() });
    if let Some(held) = hold(&cut) {
        let _ = mend(&held);
    }
    let sim = cut.power_on(Ways::default());
    let held = hold(&sim).unwrap();
    let (left, again) = (mend(&held).unwrap(), mend(&held).unwrap());
    assert_eq!(
        (&left.chunks, &left.last, &left.pauses),
        (&again.chunks, &again.last, &again.pauses)
    );
    assert_eq!(again.torn_bytes, 0);
    (sim, left)
}

/// A seeded script with a power cut at operation `cut_at`, then another life with one at random.
/// How many operations the first life had.
fn lives(seed: u64, ways: Ways, mend_cut: u64) -> std::result::Result<u64, String> {
    let mut dice = Dice::new(seed);
    let mut sim = Sim::new(seed, ways);
    let mut model = Model::default();
    let mut steps = 0;
    for life in 0..2 {
        if let Some(mut process) = Life::begin(&sim, &mut model) {
            let script = script(&mut dice);
            let _ = script.into_iter().try_for_each(|what| process.act(&sim, &mut model, what));
        }
        if life == 0 {
            steps = sim.steps();
        }
        let (after, left) = mended(&sim, mend_cut);
        model.check(&after, &left)?;
        model.accept(&after);
        let cut_at = Some(dice.below(60));
        sim = after.restart(Ways { cut_at, ..ways });
    }
    Ok(steps)
}

/// Every script with every cut; the first thing that went wrong.
fn explore(seeds: std::ops::Range<u64>, ways: Ways) -> std::result::Result<u64, String> {
    let mut runs = 0;
    for seed in seeds {
        let whole = lives(seed, ways, 1000).map_err(|error| format!("seed {seed}: {error}"))?;
        for cut_at in 0..whole {
            let ways = Ways { cut_at: Some(cut_at), ..ways };
            let mend_cut = (seed * 7 + cut_at) % 14;
            let told = |error| format!("seed {seed}, power cut at {cut_at}: {error}");
            lives(seed, ways, mend_cut).map_err(told)?;
            runs += 1;
        }
    }
    Ok(runs)
}

#[test]
fn whatever_was_answered_for_survives_a_power_cut_anywhere() {
    let runs = explore(0..90, Ways::default()).unwrap();
    assert!(runs > 1500, "{runs} cuts");
}

#[test]
fn and_also_on_a_disk_that_fails_now_and_then() {
    let runs = explore(1000..1050, Ways { fails: 9, ..Ways::default() }).unwrap();
    assert!(runs > 1500, "{runs} cuts");
}

/// The model would see it if the spool did not sync, or did not take a failed sync for what it is.
#[test]
fn the_model_finds_what_a_careless_spool_loses() {
    let lost = |ways| explore(0..40, ways).unwrap_err();
    let bytes = lost(Ways { forgets_bytes: true, ..Ways::default() });
    assert!(bytes.contains("is lost"), "{bytes}");
    let names = lost(Ways { forgets_names: true, ..Ways::default() });
    assert!(names.contains("is lost"), "{names}");
    let failures = lost(Ways { hides_failures: true, fails: 9, ..Ways::default() });
    assert!(failures.contains("is lost"), "{failures}");
}
