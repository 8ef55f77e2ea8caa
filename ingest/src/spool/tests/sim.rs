//! A filesystem that tears, forgets and fails, as real ones do when the power goes or a disk dies.
//!
//! - A power cut comes at a chosen operation, which fails as all after it do. [`Sim::power_on`] is
//!   what is found then: of what was not synced, each sector is there, or as it was, or zeros, or
//!   rubbish; a file is as long as it was or became; each change of a name has happened or not,
//!   whatever their order.
//! - An operation may fail. Writes are short or end half-way; a sync that fails has written some
//!   sectors, and the others are never written: they are taken for clean, and the next sync says
//!   that all is well. The same for names.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use super::super::disk::{Disk, Open};

/// Bytes that reach the disk together or not at all.
const SECTOR: usize = 64;

/// Numbers that look random and are the same for the same seed.
#[derive(Debug, Clone)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }

    fn coin(&mut self) -> bool {
        self.below(2) == 0
    }
}

/// How a disk misbehaves.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ways {
    /// At which operation the power goes.
    pub(super) cut_at: Option<u64>,
    /// One operation in so many fails; 0: none.
    pub(super) fails: u64,
    /// It says that it has synced files, and has not.
    pub(super) forgets_bytes: bool,
    /// It says that it has synced names, and has not.
    pub(super) forgets_names: bool,
    /// It does not say so where a sync fails.
    pub(super) hides_failures: bool,
}

#[derive(Debug, Clone, Default)]
struct Node {
    seen: Vec<u8>,
    kept: Vec<u8>,
    dirty: BTreeSet<usize>,
}

#[derive(Debug, Clone)]
enum Change {
    Named(PathBuf, usize),
    Moved(PathBuf, PathBuf, usize),
    Gone(PathBuf),
}

#[derive(Debug, Clone)]
struct State {
    nodes: Vec<Node>,
    seen: BTreeMap<PathBuf, usize>,
    kept: BTreeMap<PathBuf, usize>,
    changes: Vec<Change>,
    dice: Dice,
    ways: Ways,
    steps: u64,
}

/// The filesystem.
#[derive(Debug, Clone)]
pub(super) struct Sim(Arc<Mutex<State>>);

impl Sim {
    pub(super) fn new(seed: u64, ways: Ways) -> Self {
        let (nodes, changes) = (Vec::new(), Vec::new());
        let (seen, kept) = (BTreeMap::new(), BTreeMap::new());
        let dice = Dice::new(seed);
        Self(Arc::new(Mutex::new(State { nodes, seen, kept, changes, dice, ways, steps: 0 })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(super) fn is_off(&self) -> bool {
        let state = self.state();
        state.ways.cut_at.is_some_and(|at| state.steps > at)
    }

    /// How many operations there were.
    pub(super) fn steps(&self) -> u64 {
        self.state().steps
    }

    /// A disk of its own with what a power cut leaves of this one.
    pub(super) fn power_on(&self, ways: Ways) -> Self {
        let mut state = self.state().clone();
        let mut dice = state.dice.clone();
        for change in std::mem::take(&mut state.changes) {
            if dice.coin() {
                state.kept = applied(state.kept, change);
            }
        }
        let folders: BTreeSet<PathBuf> = state.kept.keys().cloned().collect();
        let root = Path::new("/");
        state
            .kept
            .retain(|path, _| path.parent().is_none_or(|up| up == root || folders.contains(up)));
        for node in &mut state.nodes {
            node.lose(&mut dice);
        }
        state.seen = state.kept.clone();
        Self(Arc::new(Mutex::new(State { dice, ways, steps: 0, ..state })))
    }

    /// The same disk for another process: nothing is lost but what the first had in its memory.
    pub(super) fn restart(&self, ways: Ways) -> Self {
        let state = self.state().clone();
        Self(Arc::new(Mutex::new(State { ways, steps: 0, ..state })))
    }
}

fn applied(mut names: BTreeMap<PathBuf, usize>, change: Change) -> BTreeMap<PathBuf, usize> {
    match change {
        Change::Named(path, node) => drop(names.insert(path, node)),
        Change::Gone(path) => drop(names.remove(&path)),
        Change::Moved(from, to, node) => {
            names.remove(&from);
            names.insert(to, node);
        }
    }
    names
}

impl Node {
    fn touch(&mut self, from: usize, to: usize) {
        self.dirty.extend(from / SECTOR..to.div_ceil(SECTOR));
    }

    /// Writes a dirty sector to the disk.
    fn keep(&mut self, sector: usize) {
        let (from, to) = (sector * SECTOR, ((sector + 1) * SECTOR).min(self.seen.len()));
        if from < to {
            if self.kept.len() < to {
                self.kept.resize(to, 0);
            }
            self.kept[from..to].copy_from_slice(&self.seen[from..to]);
        }
    }

    fn sync(&mut self) {
        for sector in std::mem::take(&mut self.dirty) {
            self.keep(sector);
        }
        self.kept.resize(self.seen.len(), 0);
    }

    /// Writes some of what is dirty and takes the rest for written.
    fn sync_badly(&mut self, dice: &mut Dice) {
        for sector in std::mem::take(&mut self.dirty) {
            if dice.coin() {
                self.keep(sector);
            }
        }
        if dice.coin() {
            self.kept.resize(self.seen.len(), 0);
        }
    }

    /// What is there when the power comes back.
    fn lose(&mut self, dice: &mut Dice) {
        if !self.dirty.is_empty() || self.kept.len() != self.seen.len() {
            let synced = self.kept.len();
            if dice.coin() {
                self.kept.resize(self.seen.len(), 0);
            }
            for sector in std::mem::take(&mut self.dirty) {
                let from = (sector * SECTOR).max(synced.min(self.seen.len()));
                let to = ((sector + 1) * SECTOR).min(self.kept.len());
                match dice.below(4) {
                    0 if from < to => {
                        (from..to).for_each(|at| self.kept[at] = dice.below(256) as u8)
                    }
                    1 | 2 => self.keep(sector),
                    _ => {}
                }
            }
        }
        self.seen = self.kept.clone();
    }
}

impl State {
    /// Begins an operation; whether it is to fail.
    fn step(&mut self) -> io::Result<bool> {
        self.steps += 1;
        if self.ways.cut_at.is_some_and(|at| self.steps > at) {
            return Err(io::Error::other("the power is off"));
        }
        Ok(self.ways.fails > 0 && self.dice.below(self.ways.fails) == 0)
    }

    fn fault(&mut self) -> io::Error {
        if self.dice.coin() { ErrorKind::StorageFull.into() } else { io::Error::other("EIO") }
    }

    /// For an operation that has no effect where it fails.
    fn begin(&mut self) -> io::Result<()> {
        if self.step()? { Err(self.fault()) } else { Ok(()) }
    }

    fn find(&self, path: &Path) -> io::Result<usize> {
        self.seen.get(path).copied().ok_or(ErrorKind::NotFound.into())
    }

    fn change(&mut self, change: Change) {
        self.seen = applied(std::mem::take(&mut self.seen), change.clone());
        self.changes.push(change);
    }

    fn make(&mut self, path: &Path) -> usize {
        self.nodes.push(Node::default());
        let node = self.nodes.len() - 1;
        self.change(Change::Named(path.to_owned(), node));
        node
    }

    fn outcome_of_sync(&self, fails: bool) -> io::Result<()> {
        if fails && !self.ways.hides_failures { Err(io::Error::other("EIO")) } else { Ok(()) }
    }
}

impl Disk for Sim {
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.begin()?;
        if state.find(path).is_err() {
            state.make(path);
        }
        Ok(())
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let inside = self.state().seen.keys().any(|name| name.parent() == Some(path));
        if inside { Err(ErrorKind::DirectoryNotEmpty.into()) } else { self.remove(path) }
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        let fails = state.step()?;
        let inside = |change: &Change| match change {
            Change::Named(of, _) | Change::Gone(of) | Change::Moved(_, of, _) => {
                of.parent() == Some(path)
            }
        };
        let (here, elsewhere) = std::mem::take(&mut state.changes).into_iter().partition(inside);
        state.changes = elsewhere;
        let here: Vec<Change> = here;
        if state.ways.forgets_names {
            state.changes.extend(here);
            return Ok(());
        }
        for change in here {
            if !fails || state.dice.coin() {
                state.kept = applied(std::mem::take(&mut state.kept), change);
            }
        }
        state.outcome_of_sync(fails)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let mut state = self.state();
        state.begin()?;
        Ok(state.seen.keys().filter(|of| of.parent() == Some(path)).cloned().collect())
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Open>> {
        let mut state = self.state();
        state.begin()?;
        let node = state.find(path).unwrap_or_else(|_| state.make(path));
        Ok(Box::new(Opened { sim: self.clone(), node }))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut state = self.state();
        state.begin()?;
        let node = state.find(path)?;
        Ok(state.nodes[node].seen.clone())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.begin()?;
        let node = state.find(from)?;
        state.change(Change::Moved(from.to_owned(), to.to_owned(), node));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        // What is taken back because something failed does not fail in the same breath.
        state.step()?;
        state.find(path)?;
        state.change(Change::Gone(path.to_owned()));
        Ok(())
    }
}

#[derive(Debug)]
struct Opened {
    sim: Sim,
    node: usize,
}

impl Open for Opened {
    fn set_len(&mut self, length: u64) -> io::Result<()> {
        let mut state = self.sim.state();
        state.begin()?;
        let node = &mut state.nodes[self.node];
        let (before, length) = (node.seen.len(), length as usize);
        node.seen.resize(length, 0);
        node.touch(before.min(length), before.max(length));
        Ok(())
    }

    fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.sim.state();
        let fails = state.step()?;
        let written = match fails {
            true => state.dice.below(bytes.len() as u64) as usize,
            false => bytes.len(),
        };
        let (from, to) = (at as usize, at as usize + written);
        let node = &mut state.nodes[self.node];
        if node.seen.len() < to {
            node.seen.resize(to, 0);
        }
        node.seen[from..to].copy_from_slice(&bytes[..written]);
        node.touch(from, to);
        // Short, or broken off.
        if fails && (written == 0 || state.dice.coin()) { Err(state.fault()) } else { Ok(written) }
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.sim.state();
        let fails = state.step()?;
        let State { nodes, dice, ways, .. } = &mut *state;
        let node = &mut nodes[self.node];
        match (ways.forgets_bytes, fails) {
            (true, _) => return Ok(()),
            (false, true) => node.sync_badly(dice),
            (false, false) => node.sync(),
        }
        state.outcome_of_sync(fails)
    }
}
