//! PostgreSQL: everything runs `READ COMMITTED`. Whoever reads a row in order to change it or
//! something that depends on it locks it first (`locked!`), in one order: recording, job,
//! transcript; several of one kind by their identifiers. Waiting in that order cannot go in circles.
//!
//! Statements are prepared and kept with their connection, and one session listens for
//! notifications. Both need a session of their own: a PgBouncer in between has to pool by session.

use std::io;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool};

/// Connections of a process, besides the one that listens. Our transactions take a few milliseconds,
/// so ten carry some 2,000 a second, more than the chunks of 8,000 rooms; and eight processes fit
/// into the 100 connections that PostgreSQL allows as it comes. They are made when needed and closed
/// after ten idle minutes; none lives longer than half an hour, so that load finds its way back to
/// a server that was away.
const CONNECTIONS: u32 = 10;
/// How long to wait for a connection: longer than a server takes to fail over its address, shorter
/// than people wait for a page or operators for an error at start.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Statements that a connection keeps prepared. We have about 150 different ones; sqlx's 100 would
/// throw out what is about to be used again.
const STATEMENTS: usize = 300;
/// A connection that was idle this long is tried before it is used: firewalls forget such ones.
/// Those in constant use are not, which would cost each query a second round trip.
const STALE_AFTER: Duration = Duration::from_secs(5);
/// What the server ends by itself, in its own words (milliseconds):
const SESSION: [(&str, &str); 4] = [
    // A query that takes a minute is a mistake; the connection is wanted for others.
    ("statement_timeout", "60000"),
    // Rows are locked for milliseconds, except by a process that hangs.
    ("lock_timeout", "10000"),
    // A process that was stopped within a transaction (a suspended machine) holds its locks no
    // longer than that.
    ("idle_in_transaction_session_timeout", "10000"),
    // Whoever vanished without a word is noticed within a minute or so, not within two hours.
    ("tcp_keepalives_idle", "30"),
];
/// Parameters that may stand behind the `?` of an address. Others are refused: one that was misspelt
/// would silently change nothing, and its value might be a secret.
const PARAMETERS: [&str; 18] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

/// What the address says, with our defaults for what it does not say.
pub(super) fn options(url: &str) -> Result<PgConnectOptions, sqlx::Error> {
    let (_, query) = url.split_once('?').unwrap_or((url, ""));
    let names = query.split('&').filter_map(|pair| pair.split('=').next());
    for name in names.filter(|name| !name.is_empty()) {
        if !PARAMETERS.contains(&name) && !name.starts_with("options[") {
            let what = format!("there is no connection parameter {name}");
            return Err(sqlx::Error::Configuration(what.into()));
        }
    }
    let mut options: PgConnectOptions = url.parse()?;
    if !query.contains("statement-cache-capacity") {
        options = options.statement_cache_capacity(STATEMENTS);
    }
    if options.get_application_name().is_none() {
        options = options.application_name("roomtape");
    }
    let theirs = options.get_options().unwrap_or_default().to_owned();
    let ours = SESSION.into_iter().filter(|(name, _)| !theirs.contains(name));
    Ok(options.options(ours))
}

/// One connection. What keeps us from having it is told as it is, which a pool does not.
pub(super) async fn connect(options: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    let timed_out = |_| io::Error::from(io::ErrorKind::TimedOut);
    tokio::time::timeout(CONNECT_TIMEOUT, options.connect()).await.map_err(timed_out)?
}

/// The connections of a process. None is made yet.
pub(super) fn pool(options: PgConnectOptions) -> PgPool {
    PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(CONNECT_TIMEOUT)
        .test_before_acquire(false)
        .before_acquire(|connection, idle| {
            Box::pin(async move {
                if idle.idle_for < STALE_AFTER {
                    return Ok(true);
                }
                // One that is dead is thrown away and the next one is tried.
                Ok(tokio::time::timeout(STALE_AFTER, connection.ping())
                    .await
                    .is_ok_and(|it| it.is_ok()))
            })
        })
        .connect_lazy_with(options)
}

/// A connection apart from the others, for the one who listens; the server's list of its users tells
/// it from them.
pub(in crate::db) fn pool_of_one(options: &PgConnectOptions) -> PgPool {
    let name = options.get_application_name().unwrap_or_default();
    let options = options.clone().application_name(&format!("{name} listens"));
    PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(CONNECT_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_lazy_with(options)
}

/// Whether the server ended the query for a reason that will pass.
pub(super) fn will_pass(code: &str) -> bool {
    matches!(
        code,
        "40001" // serialization failure
        | "40P01" // deadlock
        | "55P03" // lock_timeout
        | "57014" // statement_timeout
        | "25P03" // idle_in_transaction_session_timeout
        | "57P01" | "57P02" | "57P03" // shut down, crashed, starting
        | "53300" // too many connections
        | "25006" // a standby that is not the primary yet, or no longer
        | "0A000" // the schema changed under a prepared statement
    ) || code.starts_with("08")
}

/// In a few words for people, why there is no connection.
pub(super) fn why(error: &sqlx::Error) -> &'static str {
    if let Some(refusal) = error.as_database_error() {
        return match refusal.code().as_deref() {
            Some("28P01" | "28000") => "the server refuses the user or the password",
            Some("3D000") => "the server has no such database; `createdb` makes one",
            Some("42501") => "the user may not read it",
            Some("53300") => "the server has no connection left",
            Some("57P03") => "the server is starting or stopping; try again",
            _ => "the server refuses",
        };
    }
    match error {
        sqlx::Error::Configuration(_) => "the address is not understood",
        sqlx::Error::Tls(_) => "no encrypted connection can be made; see sslmode",
        sqlx::Error::Io(error) => match error.kind() {
            io::ErrorKind::ConnectionRefused => "nothing listens there; is the server running?",
            io::ErrorKind::TimedOut => "the server does not answer",
            io::ErrorKind::NotFound => "there is no such socket or file",
            // The standard library has no kind of its own for names that cannot be resolved.
            _ if error.to_string().contains("failed to lookup address") => {
                "its host's name cannot be resolved"
            }
            _ => "the connection fails",
        },
        _ => "the connection fails",
    }
}
