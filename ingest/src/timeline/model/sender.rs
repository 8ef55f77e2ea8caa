//! The sender of the simulation, with everything that befalls it.

use super::*;

/// Random numbers by splitmix64: the same ones for the same seed.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From 0 to `below`, without it.
    pub(super) fn below(&mut self, below: u64) -> u64 {
        if below == 0 { 0 } else { self.roll() % below }
    }

    /// True `per_mille` times in a thousand.
    pub(super) fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }
}

/// The sender's state.
pub(super) struct Sender {
    pub(super) dice: Dice,
    pub(super) now: i64,
    /// What its clock is behind in a millionth of a µs.
    pub(super) slow: i64,
    pub(super) sequence: u16,
    pub(super) timestamp: u32,
    pub(super) run: u32,
    pub(super) why: Why,
    pub(super) lost: bool,
    pub(super) held_up_until: i64,
    pub(super) still_until: i64,
    pub(super) well_until: i64,
    pub(super) talks_until: i64,
    pub(super) due: Vec<i64>,
}

impl Sender {
    pub(super) fn new(scenario: &Scenario, seed: u64) -> Self {
        let mut dice = Dice(seed);
        let sequence = if dice.chance(500) { 65_000 } else { dice.roll() as u16 };
        let timestamp = u32::MAX - dice.below(100_000_000) as u32;
        let due = scenario.faults.iter().map(|(secs, _)| *secs as i64 * 1_000_000).collect();
        let (now, why) = (1_000_000, Why::default());
        let talks_until = 5_000_000;
        Self {
            dice,
            now,
            slow: 0,
            sequence,
            timestamp,
            run: 0,
            why,
            lost: false,
            held_up_until: 0,
            still_until: 0,
            well_until: 0,
            talks_until,
            due,
        }
    }

    /// Time passes; on its timestamps too, where they run.
    pub(super) fn pass(&mut self, us: i64, ppm: i64) {
        self.slow += us * ppm;
        self.now += us + self.slow / 1_000_000;
        self.slow %= 1_000_000;
    }

    pub(super) fn runs(&mut self, us: i64, scenario: &Scenario) {
        self.pass(us, scenario.ppm);
        let units = us * 48 / 1000 / i64::from(scenario.unit);
        self.timestamp = self.timestamp.wrapping_add(units as u32);
    }

    /// What happens before the next packet.
    pub(super) fn suffer(&mut self, scenario: &Scenario) {
        for (n, (secs, fault)) in scenario.faults.iter().enumerate() {
            // One thing after another, so that each has its own cause.
            if self.now < self.due[n] || self.now < self.well_until {
                continue;
            }
            self.well_until = self.now + 10_000_000;
            let some = |dice: &mut Dice, ms: u64| dice.below(ms + 1) as i64 / 20 * 20_000;
            match *fault {
                Fault::Jump(ms) => {
                    let jump = self.dice.roll() as u32;
                    self.timestamp = self.timestamp.wrapping_add(jump | 1 << 20);
                    self.now += some(&mut self.dice, ms);
                    self.why.broken = true;
                }
                Fault::Restart(ms) => {
                    (self.sequence, self.timestamp) = (self.dice.roll() as u16, 0);
                    self.now += some(&mut self.dice, ms);
                    self.run += 1;
                    self.why.restarted = true;
                }
                Fault::Stall { ms, numbers_run } => {
                    self.runs(ms as i64 * 1000, scenario);
                    if numbers_run {
                        self.sequence = self.sequence.wrapping_add((ms / 20) as u16);
                    }
                    self.why.silent = true;
                }
                Fault::Freeze(ms) => {
                    self.now += 200_000 + some(&mut self.dice, ms - 200);
                    self.why.broken = true;
                }
                Fault::HoldUp(ms) => self.held_up_until = self.now + some(&mut self.dice, ms),
                Fault::Still(ms) => self.still_until = self.now + ms as i64 * 1000,
            }
            let wait = *secs as i64 * 1_000_000;
            self.due[n] = self.now + wait / 2 + self.dice.below(wait as u64) as i64;
        }
        if self.why.broken {
            // One sign of life every 400 ms would not show soon enough what happened.
            self.talks_until = self.talks_until.max(self.now + 1_000_000);
        }
        if scenario.dtx && self.now > self.talks_until {
            self.runs(380_000, scenario);
            self.why.silent = true;
            if self.dice.chance(200) {
                self.talks_until = self.now + self.dice.below(8_000_000) as i64;
            }
        }
    }

    /// The next packet, and when it arrives, once or twice.
    pub(super) fn send(&mut self, scenario: &Scenario, n: u64) -> (Sent, Packet, Vec<i64>) {
        self.suffer(scenario);
        let length = scenario.lengths[self.dice.below(scenario.lengths.len() as u64) as usize];
        let spoken = self.now;
        let packet = Packet {
            sequence: self.sequence,
            timestamp: self.timestamp,
            duration: Ticks::from_millis(length),
            arrival: Duration::ZERO,
            data: Bytes::copy_from_slice(&n.to_be_bytes()),
        };
        self.sequence = self.sequence.wrapping_add(1);
        self.runs(length as i64 * 1000, scenario);
        let why = std::mem::take(&mut self.why);
        let (sent, run) = (self.now, self.run);
        let sent = Sent { spoken, sent, run, why, arrived: None, is_kept: false };

        // Gilbert's model: in a burst everything is lost.
        let ends = 1000 / scenario.burst;
        let begins = scenario.loss * ends / (1000 - scenario.loss);
        let odds = if self.lost { 1000 - ends } else { begins };
        self.lost = scenario.loss > 0 && self.dice.chance(odds);
        let mut arrivals = Vec::new();
        if !self.lost {
            arrivals.push(self.delay(scenario));
            if self.dice.chance(scenario.twice) {
                arrivals.push(self.delay(scenario) + self.dice.below(60_000) as i64);
            }
        }
        (sent, packet, arrivals)
    }

    pub(super) fn delay(&mut self, scenario: &Scenario) -> i64 {
        let jitter = self.dice.below(scenario.jitter_us + 1) as i64;
        let overtaken =
            if self.dice.chance(scenario.reorder) { self.dice.below(80_000) as i64 } else { 0 };
        (self.now + WAY + jitter + overtaken).max(self.held_up_until + WAY)
    }
}
