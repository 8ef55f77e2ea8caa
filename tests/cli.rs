//! The command line and its bad days.

use std::path::Path;
use std::process::{Command, Output};

use crate::support::server::PROGRAM;
use crate::support::{Server, data};

fn roomtape(args: &[&str], home: &Path) -> Output {
    Command::new(PROGRAM).args(args).arg("--data").arg(home).output().unwrap()
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
