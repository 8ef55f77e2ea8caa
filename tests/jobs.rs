//! `roomtape jobs`.

use std::path::Path;
use std::process::Output;

use crate::support::data;
use crate::support::server::{SOON, program};

fn roomtape(home: &Path, args: &[&str]) -> Output {
    servers::output(program(home).args(args).arg("--data").arg(home), SOON).unwrap()
}

/// What it says, where it ends well.
fn says(home: &Path, args: &[&str]) -> String {
    let output = roomtape(home, args);
    let (said, complained) = (&output.stdout, String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{args:?}: {complained}");
    String::from_utf8_lossy(said).trim_end().to_owned()
}

#[test]
fn a_job_is_listed_cancelled_and_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path();
    assert_eq!(says(home, &["jobs"]), "no jobs");
    says(home, &["import", "--title", "Monday", data("conversation.flac").to_str().unwrap()]);
    let listed = says(home, &["jobs"]);
    assert!(listed.contains("queued") && listed.ends_with("Monday"), "{listed}");
    assert_eq!(says(home, &["jobs", "list", "--state", "ready", "--kind", "transcribe"]), listed);
    assert_eq!(says(home, &["jobs", "list", "--kind", "transcribe_live"]), "no jobs");
    let id = listed.split(' ').next().unwrap();

    assert_eq!(says(home, &["jobs", "cancel", id]), format!("{id}  cancelled"));
    let cancelled = says(home, &["jobs", "--state", "cancelled", "--watch"]);
    assert!(cancelled.starts_with(id), "{cancelled}");
    assert_eq!(says(home, &["jobs", "retry", "--dead"]), "no dead jobs");
    assert_eq!(says(home, &["jobs", "retry", id]), format!("{id}  to be tried again"));
    assert_eq!(says(home, &["jobs"]), listed);

    // One that is not there keeps nothing from being done with the others.
    let nobody = models::JobId::new().to_string();
    let output = roomtape(home, &["jobs", "cancel", &nobody, id]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && said.contains("no such job"), "{said}");
    assert!(said.contains(&format!("{id}  cancelled")), "{said}");
}
