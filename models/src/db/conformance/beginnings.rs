//! What there is to be said at the start, against a real PostgreSQL.

use std::error::Error as _;
use std::net::TcpListener;

use super::*;
use crate::db::Migrated;

/// The whole refusal as people read it: the error and its causes.
async fn refusal(url: &str) -> String {
    let error = Db::open(url).await.map(drop).expect_err("there is no database to be had");
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    assert!(!text.contains("s3cret"), "{text}");
    text
}

fn port_of(url: &str) -> String {
    url.rsplit_once(':').unwrap().1.split_once('/').unwrap().0.to_owned()
}

#[tokio::test]
async fn what_keeps_us_out_is_said_in_one_sentence() {
    let server = servers::postgres();
    let url = server.url();
    let port = port_of(&url);
    // Nobody listens on a port that was just given back.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for (url, wanted) in [
        (
            format!("postgres://ada:s3cret@127.0.0.1:{closed}/tape"),
            "the database postgres://ada:***@127.0.0.1:CLOSED/tape cannot be opened: nothing listens \
             there; is the server running?",
        ),
        (
            "postgres://ada:s3cret@no-such-host.invalid/tape".to_owned(),
            "the database postgres://ada:***@no-such-host.invalid/tape cannot be opened: its host's \
             name cannot be resolved",
        ),
        (
            format!("postgres://postgres:s3cret@127.0.0.1:{port}/nowhere"),
            "the database postgres://postgres:***@127.0.0.1:PORT/nowhere cannot be opened: the \
             server has no such database; `createdb` makes one",
        ),
        (
            format!("postgres://nobody:s3cret@127.0.0.1:{port}/postgres"),
            "the database postgres://nobody:***@127.0.0.1:PORT/postgres cannot be opened: the \
             server refuses the user or the password",
        ),
        (
            format!("postgres://postgres:s3cret@127.0.0.1:{port}/postgres?sslmode=require"),
            "the database postgres://postgres:***@127.0.0.1:PORT/postgres?sslmode=require cannot be \
             opened: no encrypted connection can be made; see sslmode",
        ),
        (
            "postgres://ada:s3cret@host:port/tape".to_owned(),
            "the database postgres://ada:***@host:port/tape cannot be opened: the address is not \
             understood",
        ),
    ] {
        let told = refusal(&url).await;
        let wanted = wanted.replace("CLOSED", &closed.to_string()).replace("PORT", &port);
        assert!(told.starts_with(&wanted), "{told}\nis not\n{wanted}");
    }
}

#[tokio::test]
async fn a_wrong_password_is_refused() {
    let server = servers::Postgres::start();
    server.psql(&server.url(), "CREATE ROLE ada LOGIN PASSWORD 'right'");
    server.require_password("ada");
    let url = |password| format!("postgres://ada:{password}@127.0.0.1:{}/postgres", server.port());
    let told = refusal(&url("s3cret")).await;
    let wanted = format!(
        "the database postgres://ada:***@127.0.0.1:{}/postgres cannot be opened: the server refuses \
         the user or the password",
        server.port()
    );
    assert!(told.starts_with(&wanted), "{told}");
    let told = refusal(&url("right")).await;
    assert!(told.contains("has no schema yet"), "{told}");
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    // The kernel takes the connection; nobody ever answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let told = refusal(&format!("postgres://ada:s3cret@127.0.0.1:{port}/tape")).await;
    assert!(told.contains("cannot be opened: the server does not answer"), "{told}");
}

#[tokio::test]
async fn a_schema_that_is_not_ours_is_refused() {
    let server = servers::postgres();
    let url = server.new_database();
    let told = refusal(&url).await;
    let wanted = format!("the database {url} has no schema yet: run `roomtape migrate`");
    assert_eq!(told, wanted);
    assert_eq!(server.psql(&url, "SELECT count(*) FROM pg_class WHERE relname LIKE '%sqlx%'"), "0");

    let made = Db::migrate(&url).await.unwrap();
    let newest = made.to;
    assert_eq!(made, Migrated { from: None, to: newest });
    assert_eq!(Db::migrate(&url).await.unwrap(), Migrated { from: Some(newest), to: newest });
    let db = Db::open(&url).await.unwrap();
    assert_eq!(db.engine(), "postgres");
    db.close().await;

    let version = |sql: &str| server.psql(&url, sql);
    version("UPDATE _sqlx_migrations SET version = 9999 WHERE version = 1");
    let wanted = format!(
        "the schema of the database {url} is version 9999, made by a newer roomtape than this one, \
         which knows {newest}"
    );
    assert_eq!(refusal(&url).await, wanted);
    assert!(matches!(Db::migrate(&url).await, Err(Error::Schema { found: Some(9999), .. })));
    version("DELETE FROM _sqlx_migrations WHERE version <> 2; ");
    let wanted = format!(
        "the schema of the database {url} is version 2 and {newest} is wanted: run `roomtape migrate`"
    );
    assert_eq!(refusal(&url).await, wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_eight_that_migrate_at_once_one_does() {
    let url = servers::postgres().new_database();
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let url = url.clone();
            tokio::spawn(async move { Db::migrate(&url).await.unwrap() })
        })
        .collect();
    let mut worked = 0;
    for task in tasks {
        worked += usize::from(task.await.unwrap().from.is_none());
    }
    assert_eq!(worked, 1);
    Db::open(&url).await.unwrap().create_room(&a_room("room")).await.unwrap();
}

#[tokio::test]
async fn a_server_that_goes_away_is_an_error_that_passes() {
    let server = servers::Postgres::start();
    let url = server.new_database();
    Db::migrate(&url).await.unwrap();
    let db = Db::open(&url).await.unwrap();
    db.ping().await.unwrap();
    server.kill();
    let error = db.ping().await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
}
