//! What takes minutes or hours: live rooms under kills, a storm of faults, a long time; and at the end
//! everything that was kept is compared with everything that was sent.
//!
//! `make chaos` runs `kills` and `storm`, `make soak` runs `soak`. How long, how many and on what is
//! said in the environment ([`Settings`]).

#![expect(clippy::print_stdout, reason = "it prints what it found")]

#[path = "../support/mod.rs"]
#[expect(
    dead_code,
    unused_imports,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "the tests use the rest"
)]
mod support;

mod clock;
mod kills;
mod memory;
mod soak;
mod storm;
mod table;

use std::process::ExitCode;
use std::str::FromStr;

use support::cluster::Installation;
use support::crowd::Crowd;
use support::rig::{LIMITS, Rig, Rooms};

/// What to do, by the environment.
struct Settings {
    /// `CHAOS_SEED`: the same choices again.
    seed: u64,
    /// `CHAOS_PAIR`: `postgres` (and Garage) or `sqlite` (and a folder).
    on_postgres: bool,
    /// `CHAOS_ROOMS` or `SOAK_ROOMS`, of which a fifth are Icecast's.
    rooms: Rooms,
    /// `CHAOS_KILLS`.
    kills: u32,
    /// `CHAOS_STORM_S`: seconds of storm.
    storm_s: u64,
    /// `SOAK_MINUTES`.
    minutes: u64,
}

impl Settings {
    fn read(what: &str) -> Self {
        let rooms = match what {
            "soak" => setting("SOAK_ROOMS", 50_usize),
            _ => setting("CHAOS_ROOMS", 10),
        };
        let pair = setting("CHAOS_PAIR", "postgres".to_owned());
        assert!(["postgres", "sqlite"].contains(&pair.as_str()), "CHAOS_PAIR=postgres or sqlite");
        let clock = u64::try_from(models::WallMicros::now().0).expect("after 1970");
        Self {
            seed: setting("CHAOS_SEED", clock % 1_000_000),
            on_postgres: pair == "postgres",
            rooms: Rooms { rtp: rooms - rooms / 5, icecast: rooms / 5 },
            kills: setting("CHAOS_KILLS", 20),
            storm_s: setting("CHAOS_STORM_S", 60),
            minutes: setting("SOAK_MINUTES", 60),
        }
    }

    async fn rig(&self, name: &str) -> Rig {
        let installation =
            if self.on_postgres { Installation::new() } else { Installation::on_disk() };
        Rig::new(name, installation, self.rooms).await
    }
}

/// What the environment says, where it says something.
fn setting<T: FromStr>(name: &str, usual: T) -> T {
    match std::env::var(name) {
        Ok(text) if !text.is_empty() => {
            text.parse().unwrap_or_else(|_| panic!("{name}={text} is not understood"))
        }
        _ => usual,
    }
}

fn main() -> ExitCode {
    // `cargo bench` adds flags of its own.
    let what = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let what = what.unwrap_or_default();
    let settings = Settings::read(&what);
    let Rooms { rtp, icecast } = settings.rooms;
    let pair = if settings.on_postgres { "PostgreSQL and Garage" } else { "SQLite and a folder" };
    println!("{what}: {rtp} RTP and {icecast} Icecast rooms on {pair}, seed {}", settings.seed);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let fine = runtime.block_on(async {
        match what.as_str() {
            "kills" => kills::run(&settings).await,
            "storm" => storm::run(&settings).await,
            "soak" => soak::run(&settings).await,
            _ => panic!("say what: kills, storm or soak"),
        }
    });
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Compares, says what was found, and whether all is well. Where it is not, logs and spool stay.
async fn judge(rig: Rig, crowd: Crowd) -> bool {
    let began = std::time::Instant::now();
    let checked = rig.check(crowd, LIMITS).await;
    table::print(&checked);
    println!("compared in {} s", began.elapsed().as_secs());
    let complaints = checked.complaints();
    if complaints.is_empty() {
        println!("nothing is wrong");
        return true;
    }
    for complaint in &complaints {
        println!("WRONG: {complaint}");
    }
    println!("its log is {}", rig.log.display());
    println!("its data are in {}", rig.keep().display());
    false
}
