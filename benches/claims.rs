//! What it costs to find the next job, with ten jobs in the table and with a million: most of them
//! done, a hundred thousand of one host ready, ten thousand waiting to be tried again. Then how many
//! jobs eight workers get through in a second. `cargo bench --bench claims -- [ROWS]`.
//!
//! On SQLite each claim is synced to disk; the PostgreSQL of the tests does not sync.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use models::job::{Class, Kind, Limits};
use models::{Db, RecordingId, WallMicros};

/// Claims, looks and jobs made that are timed, each.
const TIMES: usize = 300;
/// Jobs that eight workers work off.
const WORK: usize = 4_000;
const WORKERS: usize = 8;
const KINDS: [Kind; 2] = [Kind::TranscribeLive, Kind::Transcribe];
const LEASE_MS: i64 = 600_000;

fn main() {
    let rows = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(1_000_000);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let dir = tempfile::tempdir().expect("a folder");
        let [few, many] = ["few", "many"].map(|name| dir.path().join(name));
        let at = |file: &Path| format!("sqlite:{}", file.display());
        let fill = |file: &Path, sql: &str| sqlite(file, sql);
        println!("SQLite");
        measure([&at(&few), &at(&many)], rows, |n, sql| fill([&few, &many][n], sql), &SQLITE).await;

        let server = servers::postgres();
        let [few, many] = [server.new_database(), server.new_database()];
        for url in [&few, &many] {
            Db::migrate(url).await.expect("a new database");
        }
        println!("PostgreSQL");
        let fill = |n: usize, sql: &str| drop(server.psql([&few, &many][n], sql));
        measure([&few, &many], rows, fill, &POSTGRES).await;
    });
}

/// What the engines call things.
struct Dialect {
    uuid: &'static str,
    analyze: &'static str,
}

const SQLITE: Dialect = Dialect { uuid: "randomblob(16)", analyze: "PRAGMA optimize" };
const POSTGRES: Dialect = Dialect { uuid: "gen_random_uuid()", analyze: "VACUUM ANALYZE" };

/// Costs of one thing each, in microseconds: the medians.
struct Costs {
    claim: f64,
    look: f64,
    make: f64,
}

async fn measure(urls: [&str; 2], rows: usize, fill: impl Fn(usize, &str), dialect: &Dialect) {
    let mut costs = Vec::new();
    for (n, (url, rows)) in urls.into_iter().zip([10, rows]).enumerate() {
        // On SQLite this makes the tables.
        Db::open(url).await.expect("a database").close().await;
        for sql in filling(rows, dialect) {
            fill(n, &sql);
        }
        fill(n, dialect.analyze);
        let db = Db::open(url).await.expect("a database");
        let cost = times(&db).await;
        let Costs { claim, look, make } = cost;
        println!(
            "  {rows:>9} rows: claim {claim:6.0} µs, idle look {look:5.0} µs, new job {make:6.0} µs"
        );
        costs.push(cost);
        if n == 1 {
            let begin = Instant::now();
            let done = work_off(&db).await;
            let each = done as f64 / begin.elapsed().as_secs_f64();
            println!("  {WORKERS} workers: {each:.0} jobs/s claimed and finished, each once");
        }
        db.close().await;
    }
    let [few, many] = &costs[..] else { return };
    println!(
        "  ratio: claim {:.2}, idle look {:.2}, new job {:.2}",
        many.claim / few.claim,
        many.look / few.look,
        many.make / few.make
    );
}

/// SQL that makes so many jobs, of which at least ten are ready.
fn filling(rows: usize, dialect: &Dialect) -> Vec<String> {
    let (ready, waiting) = ((rows / 10).max(10), rows / 100);
    let done = rows.saturating_sub(ready + waiting);
    let uuid = dialect.uuid;
    let room = |slug: &str, host: &str| {
        format!(
            "INSERT INTO rooms (id, slug, title, host, audience, policy, grace_ms, created_at)
             VALUES ({uuid}, '{slug}', '', '{host}', 'everyone', 'auto', 0, 0)"
        )
    };
    // With a recording of its own for each job that is open.
    let recordings = |slug: &str, many: usize| {
        format!(
            "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {many})
             INSERT INTO recordings (id, room_id, title, origin, state, channels, source,
                                     created_at, updated_at)
             SELECT {uuid}, rooms.id, '', 'import', 'importing', 1, '', n, 0
             FROM rooms, n WHERE slug = '{slug}'"
        )
    };
    let jobs = |count: usize, columns: &str, values: &str, from: &str| {
        format!(
            "INSERT INTO jobs (id, kind, recording_id, created_at, updated_at, run_after,
                               priority, total_ticks {columns})
             SELECT {uuid}, 'transcribe', recording, 0, 0, 0, 50, 1 {values} FROM ({from}) AS x
             LIMIT {count}"
        )
    };
    let open = |skip: usize| {
        format!("SELECT id AS recording, created_at AS n FROM recordings WHERE created_at > {skip}")
    };
    let past = format!(
        "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {done})
         SELECT (SELECT id FROM recordings WHERE created_at = 1) AS recording, n FROM n"
    );
    vec![
        room("busy", "busy"),
        room("other", "other"),
        recordings("busy", ready + waiting),
        jobs(ready, ", host, state, due, turn", ", 'busy', 'ready', TRUE, n", &open(0)),
        jobs(
            waiting,
            ", host, state, due, turn, attempt",
            ", 'busy', 'ready', FALSE, n, 1",
            &open(ready),
        )
        .replace("0, 0, 0, 50", "0, 0, 4000000000000000, 50"),
        jobs(done, ", host, state, turn", ", 'busy', 'done', n", &past),
        recordings("other", TIMES),
    ]
}

/// Medians on a database that is the same after each measurement but for a finished job.
async fn times(db: &Db) -> Costs {
    let (mut claims, mut looks, mut makes) = (Vec::new(), Vec::new(), Vec::new());
    let now = WallMicros::now();
    let recordings = recordings_of_other(db).await;
    for recording in recordings.into_iter().take(TIMES) {
        let begin = Instant::now();
        let claimed = db.claim(&KINDS, Limits::default(), "bench", LEASE_MS, now).await;
        claims.push(begin.elapsed());
        let (_, lease) = claimed.expect("a claim").expect("a job");
        db.release_job(&lease, now).await.expect("given back");

        let begin = Instant::now();
        let live = [Kind::TranscribeLive];
        let none = db.claim(&live, Limits::default(), "bench", LEASE_MS, now).await;
        looks.push(begin.elapsed());
        assert!(none.expect("a claim").is_none(), "there is no live room");

        let begin = Instant::now();
        let made = db.enqueue(Kind::Transcribe, Class::Fresh, recording, now).await;
        makes.push(begin.elapsed());
        db.cancel_job(made.expect("a job"), now).await.expect("cancelled");
    }
    Costs { claim: median(claims), look: median(looks), make: median(makes) }
}

async fn recordings_of_other(db: &Db) -> Vec<RecordingId> {
    let room = db.room_by_slug("other").await.expect("the room");
    let filter = models::db::Filter { room: Some(room.id), ..Default::default() };
    let found = db.recordings(&filter, None, u32::MAX).await.expect("its recordings");
    found.into_iter().map(|recording| recording.id).collect()
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e6
}

/// Has eight workers claim and finish jobs; gives how many.
async fn work_off(db: &Db) -> usize {
    let now = WallMicros::now();
    let workers: Vec<_> = (0..WORKERS)
        .map(|n| {
            let (db, name) = (db.clone(), format!("worker {n}"));
            tokio::spawn(async move {
                let mut mine = Vec::new();
                for _ in 0..WORK / WORKERS {
                    let claimed = db.claim(&KINDS, Limits::default(), &name, LEASE_MS, now).await;
                    let Some((job, lease)) = claimed.expect("a claim") else { continue };
                    db.finish_job(&lease, now).await.expect("finished");
                    mine.push(job.id);
                }
                mine
            })
        })
        .collect();
    let mut done = Vec::new();
    for worker in workers {
        done.extend(worker.await.expect("a worker"));
    }
    let count = done.len();
    done.sort_unstable();
    done.dedup();
    assert_eq!(done.len(), count, "a job was given out twice");
    count
}

/// Runs SQL on a file.
fn sqlite(file: &Path, sql: &str) {
    let done = Command::new("sqlite3").arg("-bail").arg(file).arg(sql).status();
    assert!(done.expect("the sqlite3 program").success(), "{sql}");
}
