//! The command line and its bad days.

use std::path::Path;
use std::process::{Command, Output};

use crate::support::server::{PROGRAM, SOON};
use crate::support::{Server, data};

fn roomtape(args: &[&str], home: &Path) -> Output {
    let mut command = Command::new(PROGRAM);
    servers::output(command.args(args).arg("--data").arg(home), SOON).unwrap()
}

fn complaint(output: &Output) -> String {
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn a_second_server_on_the_same_folder_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let _server = Server::start(dir.path());
    let second = roomtape(&["serve", "--http", "127.0.0.1:0", "--icecast", "off"], dir.path());
    let said = complaint(&second);
    assert!(said.contains("another roomtape serves"), "{said}");
}

#[test]
fn a_model_cut_in_half_is_named_and_nothing_is_started() {
    let dir = tempfile::tempdir().unwrap();
    let demo = data("../../transcribe/weights/demo/roomtape-demo.en-q5_0.bin");
    let bytes = std::fs::read(demo).unwrap();
    let half = dir.path().join("half.bin");
    std::fs::write(&half, &bytes[..bytes.len() / 2]).unwrap();
    let run = roomtape(&["transcribe", "--weights", half.to_str().unwrap()], dir.path());
    let said = complaint(&run);
    assert!(said.contains("half.bin") && said.contains("cut off"), "{said}");
}

#[test]
fn weights_that_are_not_here_say_how_to_bring_them() {
    let dir = tempfile::tempdir().unwrap();
    let said = complaint(&roomtape(&["transcribe", "--weights", "base.en"], dir.path()));
    assert!(said.contains("roomtape weights pull base.en"), "{said}");
    let said = complaint(&roomtape(&["weights", "pull", "huge"], dir.path()));
    assert!(said.contains("base.en"), "{said}");
}

#[test]
fn what_it_computes_on_and_how_fast_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let measured = roomtape(&["bench", "transcribe", "--threads", "2"], dir.path());
    assert!(measured.status.success());
    let said = String::from_utf8_lossy(&measured.stdout).into_owned();
    assert!(said.starts_with("Found ") && said.contains(", weights roomtape-demo.en, 2"), "{said}");
    let last = said.lines().last().unwrap();
    let ways = ["2 windows at once, with 1 thread each.", "1 window at once, with 2 threads each."];
    assert!(ways.iter().any(|way| last == format!("Finished recordings are read {way}")), "{said}");
}

#[test]
fn an_unknown_setting_is_named() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("roomtape.toml"), "htpp = \"127.0.0.1:1\"\n").unwrap();
    let said = complaint(&roomtape(&["config"], dir.path()));
    assert!(said.contains("htpp"), "{said}");
}

#[test]
fn the_secret_is_not_shown() {
    let dir = tempfile::tempdir().unwrap();
    let secret = "0123456789abcdef-secret";
    std::fs::write(dir.path().join("roomtape.toml"), format!("operator_token = \"{secret}\"\n"))
        .unwrap();
    let shown = roomtape(&["config"], dir.path());
    let said = String::from_utf8_lossy(&shown.stdout);
    assert!(shown.status.success() && said.contains("(set)"), "{said}");
    assert!(!said.contains(secret));
}

#[test]
fn the_openapi_document_is_printed() {
    let dir = tempfile::tempdir().unwrap();
    let printed = roomtape(&["openapi"], dir.path());
    let document: serde_json::Value = serde_json::from_slice(&printed.stdout).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    assert!(document["paths"]["/api/recordings/{id}/playlist.m3u8"].is_object());
}

/// Runs `roomtape ROLE` with settings from the environment; it must end with one sentence.
fn one_sentence(role: &str, home: &Path, settings: &[(&str, &str)]) -> String {
    let mut command = Command::new(PROGRAM);
    command.args([role, "--data"]).arg(home).env("ROOMTAPE_HEALTH", "off");
    let run = servers::output(command.envs(settings.iter().copied()), SOON).unwrap();
    let said = complaint(&run);
    let lines: Vec<_> = said.lines().filter(|line| line.starts_with("roomtape: ")).collect();
    let [line] = lines[..] else { panic!("one sentence: {said}") };
    assert!(!said.contains("s3cret"), "{said}");
    line.to_owned()
}

#[test]
fn a_database_that_cannot_be_used_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let server = servers::postgres();
    let empty = server.new_database();
    let missing = format!("{empty}_is_not_there");
    let old = server.new_database();
    let migrate = |database: &str| {
        let mut command = Command::new(PROGRAM);
        command.arg("migrate").env("ROOMTAPE_DATABASE", database);
        let run = servers::output(&mut command, SOON).unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        String::from_utf8_lossy(&run.stdout).into_owned()
    };
    assert!(migrate(&old).contains("has the schema now"));
    assert!(migrate(&old).contains("is up to date"));
    server.psql(&old, "DELETE FROM _sqlx_migrations WHERE version > 1");
    let port = servers::free_port().unwrap();
    let nobody = format!("postgres://ada:s3cret@127.0.0.1:{port}/tape");
    for (database, what) in [
        (nobody.as_str(), "nothing listens there"),
        (missing.as_str(), "no such database"),
        (empty.as_str(), "run `roomtape migrate`"),
        (old.as_str(), "run `roomtape migrate`"),
        ("mysql://ada:s3cret@db/tape", "postgres://user@host/database is wanted"),
    ] {
        let said = one_sentence("api", dir.path(), &[("ROOMTAPE_DATABASE", database)]);
        assert!(said.contains("the setting database"), "{said}");
        assert!(said.contains(what), "{said}");
    }
}

#[test]
fn a_store_that_cannot_be_used_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let bucket = servers::garage().new_bucket();
    let (key, secret) = (bucket.key.as_str(), bucket.secret.as_str());
    let missing = bucket.url.replacen(&bucket.name, "not-there", 1);
    let port = servers::free_port().unwrap();
    let nobody =
        format!("s3://tapes?endpoint=http://127.0.0.1:{port}&region=garage&connect_timeout_ms=500");
    // Another last digit, whichever it is.
    let (head, last) = secret.split_at(secret.len() - 1);
    let wrong = format!("{head}{}", if last == "0" { "1" } else { "0" });
    let file = dir.path().join("file");
    std::fs::write(&file, "no folder").unwrap();
    let file = file.to_str().unwrap();
    let cases: [(&str, &[(&str, &str)]); 6] = [
        (
            "the setting store ",
            &[
                ("ROOMTAPE_STORE", &missing),
                ("ROOMTAPE_STORE_KEY", key),
                ("ROOMTAPE_STORE_SECRET", secret),
            ],
        ),
        (
            "the setting store ",
            &[
                ("ROOMTAPE_STORE", &bucket.url),
                ("ROOMTAPE_STORE_KEY", key),
                ("ROOMTAPE_STORE_SECRET", &wrong),
            ],
        ),
        (
            "the setting store ",
            &[
                ("ROOMTAPE_STORE", &nobody),
                ("ROOMTAPE_STORE_KEY", key),
                ("ROOMTAPE_STORE_SECRET", secret),
            ],
        ),
        ("the setting store ", &[("ROOMTAPE_STORE", file)]),
        ("the setting backup_store ", &[("ROOMTAPE_BACKUP_STORE", file)]),
        ("store_secret is not", &[("ROOMTAPE_STORE", &bucket.url), ("ROOMTAPE_STORE_KEY", key)]),
    ];
    for (name, settings) in cases {
        let said = one_sentence("api", dir.path(), settings);
        assert!(said.contains(name), "{said}");
        assert!(!said.contains(secret), "{said}");
        println!("{said}");
    }
    // The right ones, from files as containers get them.
    let (key_file, secret_file) = (dir.path().join("key"), dir.path().join("secret"));
    std::fs::write(&key_file, format!("{key}\n")).unwrap();
    std::fs::write(&secret_file, secret).unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let said = one_sentence(
        "api",
        dir.path(),
        &[
            ("ROOMTAPE_STORE", &bucket.url),
            ("ROOMTAPE_STORE_KEY_FILE", key_file.to_str().unwrap()),
            ("ROOMTAPE_STORE_SECRET_FILE", secret_file.to_str().unwrap()),
            ("ROOMTAPE_HTTP", &taken),
        ],
    );
    assert!(
        said.contains(&format!("http = {taken} cannot be listened on")),
        "it came further: {said}"
    );
}

#[test]
fn an_address_or_a_folder_that_cannot_be_used_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let said = one_sentence("ingest", dir.path(), &[("ROOMTAPE_ICECAST", &taken)]);
    assert!(said.contains("the setting icecast") && said.contains(&taken), "{said}");
    let said = one_sentence("ingest", dir.path(), &[("ROOMTAPE_HEALTH", &taken)]);
    assert!(said.contains(&format!("health = {taken}")), "{said}");

    let spool = dir.path().join("spool");
    let _ = std::fs::remove_dir_all(&spool);
    std::fs::write(&spool, "no folder").unwrap();
    let said = one_sentence("ingest", dir.path(), &[]);
    assert!(said.contains("the setting data") && said.contains("spool"), "{said}");
    let said = one_sentence("api", dir.path(), &[("ROOMTAPE_STORE_SECRET_FILE", "/not/there")]);
    assert!(said.contains("store_secret_file = /not/there"), "{said}");
    let said = one_sentence("api", dir.path(), &[("ROOMTAPE_HTTP", "0.0.0.0:1")]);
    assert!(said.contains("operator_token"), "{said}");
}

#[test]
fn passwords_in_addresses_are_not_shown() {
    let dir = tempfile::tempdir().unwrap();
    let mut show = Command::new(PROGRAM);
    show.args(["config", "--data"])
        .arg(dir.path())
        .env("ROOMTAPE_DATABASE", "postgres://ada:s3cret@db.example/tape")
        .env("ROOMTAPE_STORE_SECRET", "1234567890");
    let shown = servers::output(&mut show, SOON).unwrap();
    let said = String::from_utf8_lossy(&shown.stdout);
    assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
    assert!(said.contains("postgres://ada:***@db.example/tape"), "{said}");
    assert!(said.contains("store_secret = \"(set)\"  # environment"), "{said}");
    assert!(!said.contains("s3cret") && !said.contains("1234567890"), "{said}");
}
