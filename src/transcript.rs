//! `roomtape transcript`: the versions of a recording's words, what they differ in, which of them
//! people are shown, and the edits laid over them.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use anyhow::Context as _;
use models::diff::{self, Kind, Run};
use models::edit::Subject;
use models::transcript::State;
use models::{Db, Edit, RecordingId, Segment, Transcript, WallMicros};

use crate::cli::{Colour, TranscriptAction};
use crate::config::Config;
use crate::{home, log};

/// So many words that stand in both versions are shown round what differs.
const CONTEXT: usize = 6;

/// Does what is asked with the words of a recording.
///
/// # Errors
/// There is no such recording, version or edit, or what is asked cannot be done with it.
pub(crate) async fn run(config: Config, action: TranscriptAction) -> anyhow::Result<ExitCode> {
    let db = home::open(&config).await?.db;
    match action {
        TranscriptAction::List { recording } => list(&db, recording).await?,
        TranscriptAction::Promote { recording, version } => {
            let shown = db.promote_transcript(recording, version).await;
            shown.with_context(|| format!("version {version} of {recording} cannot be shown"))?;
            log::print(&format!("{recording}  version {version} is shown now"));
        }
        TranscriptAction::Diff { recording, from, to, color } => {
            let (older, newer) =
                (words(&db, recording, from).await?, words(&db, recording, to).await?);
            log::print(&differences(&diff::diff(&older, &newer), is_coloured(color)));
        }
        TranscriptAction::Edits { recording } => edits(&db, recording).await?,
        TranscriptAction::Undo { recording, edit } => {
            let undone = db.undo_edit(recording, edit, WallMicros::now()).await;
            undone.with_context(|| format!("edit {edit} of {recording} cannot be undone"))?;
            log::print(&format!("{recording}  edit {edit} undone"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(db: &Db, id: RecordingId) -> anyhow::Result<()> {
    // One that is not there is no recording without words.
    db.recording(id).await.with_context(|| id.to_string())?;
    let versions = db.transcripts(id).await.context("listing the versions")?;
    if versions.is_empty() {
        log::print("no words yet");
        return Ok(());
    }
    let mut rows =
        vec![["", "version", "state", "up to", "made", "weights", "engine"].map(String::from)];
    rows.extend(versions.iter().map(row));
    log::print(&table(&rows));
    Ok(())
}

fn row(version: &Transcript) -> [String; 7] {
    let state = match version.state {
        State::Running => "growing",
        State::Complete => "complete",
        State::Failed => "given up",
    };
    [
        if version.promoted { "shown" } else { "" }.into(),
        version.version.to_string(),
        state.into(),
        version.covered.to_string(),
        version.completed_at.unwrap_or(version.created_at).to_rfc3339(),
        version.made_by.weights.clone(),
        version.made_by.engine.clone(),
    ]
}

async fn edits(db: &Db, id: RecordingId) -> anyhow::Result<()> {
    db.recording(id).await.with_context(|| id.to_string())?;
    let edits = db.edits(id).await.context("listing the edits")?;
    if edits.is_empty() {
        log::print("no edits");
        return Ok(());
    }
    let mut rows = vec![["edit", "at", "was", "is", "made", "by"].map(String::from)];
    rows.extend(edits.iter().map(edit_row));
    log::print(&table(&rows));
    Ok(())
}

fn edit_row(edit: &Edit) -> [String; 6] {
    let at = match &edit.subject {
        Subject::Words(span) => span.start.to_string(),
        Subject::Speaker(label) => format!("speaker {label}"),
    };
    let quoted =
        |text: &str| if text.is_empty() { "(nothing)".into() } else { format!("“{text}”") };
    [
        edit.number.to_string(),
        at,
        quoted(&edit.replaced),
        quoted(&edit.text),
        edit.made_at.to_rfc3339(),
        edit.made_by.clone(),
    ]
}

/// Rows in columns as wide as their widest, two spaces apart.
fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width =
        |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

async fn words(db: &Db, id: RecordingId, version: u32) -> anyhow::Result<Vec<Segment>> {
    db.recording(id).await.with_context(|| id.to_string())?;
    let found = db.transcript_version(id, Some(version)).await.context("reading the version")?;
    let found = found.with_context(|| format!("{id} has no version {version}"))?;
    db.segments(found.id, 0).await.context("reading the words")
}

fn is_coloured(wanted: Colour) -> bool {
    match wanted {
        Colour::Always => true,
        Colour::Never => false,
        Colour::Auto => {
            let no_colour = std::env::var_os("NO_COLOR").is_some_and(|set| !set.is_empty());
            std::io::stdout().is_terminal() && !no_colour
        }
    }
}

/// What differs, a line for each place, with a few words round it, and the sum.
fn differences(runs: &[Run], coloured: bool) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut open: Option<String> = None;
    let last = runs.len().saturating_sub(1);
    for (index, run) in runs.iter().enumerate() {
        if run.kind != Kind::Equal {
            let line = open.get_or_insert_with(|| format!("{:>11} ", run.span.start.to_string()));
            line.push(' ');
            line.push_str(&marked(run, coloured));
            continue;
        }
        // What is between two places goes to both, if it is too much for one line.
        let apart = run.words.len() > 2 * CONTEXT;
        if let Some(line) = &mut open {
            line.push(' ');
            if apart || index == last {
                let some = run.words.len().min(CONTEXT);
                line.push_str(&run.words[..some].join(" "));
                if run.words.len() > CONTEXT {
                    line.push_str(" …");
                }
                lines.extend(open.take());
            } else {
                line.push_str(&run.words.join(" "));
            }
        }
        if let (None, Some(next)) = (&open, runs.get(index + 1)) {
            let from = run.words.len().saturating_sub(CONTEXT);
            let before = if from > 0 { "… " } else { "" };
            let words = run.words[from..].join(" ");
            open = Some(format!("{:>11}  {before}{words}", next.span.start.to_string()));
        }
    }
    lines.extend(open);
    let count = |kind| runs.iter().filter(|run| run.kind == kind).map(|run| run.words.len()).sum();
    let (equal, removed, added): (usize, usize, usize) =
        (count(Kind::Equal), count(Kind::Removed), count(Kind::Added));
    lines.push(format!("{equal} words the same, {removed} removed, {added} added"));
    lines.join("\n")
}

fn marked(run: &Run, coloured: bool) -> String {
    let words = run.words.join(" ");
    match (run.kind, coloured) {
        (Kind::Equal, _) => words,
        (Kind::Removed, false) => format!("[-{words}-]"),
        (Kind::Added, false) => format!("{{+{words}+}}"),
        // Red and struck out, green: told apart without colours too.
        (Kind::Removed, true) => format!("\u{1b}[9;31m{words}\u{1b}[0m"),
        (Kind::Added, true) => format!("\u{1b}[32m{words}\u{1b}[0m"),
    }
}

#[cfg(test)]
mod tests {
    use models::{Span, Ticks, Word};

    use super::*;

    fn said(text: &str) -> Vec<Segment> {
        let word = |(at, text): (u64, &str)| Word {
            span: Span::new(Ticks::from_secs(at), Ticks::from_millis(at * 1000 + 600)),
            text: text.into(),
            confidence: 0.9,
        };
        vec![Segment {
            ordinal: 0,
            span: Span::new(Ticks::ZERO, Ticks::from_secs(100)),
            text: text.into(),
            speaker: None,
            confidence: 0.9,
            language: None,
            suppressed: None,
            words: (0..).zip(text.split(' ')).map(word).collect(),
        }]
    }

    #[test]
    fn what_differs_is_shown_with_a_few_words_round_it() {
        let older = said("a b c d e f g h teh i j k l m n o p q r s t u v w x y z end");
        let newer = said("a b c d e f g h the i j k l m n o p q r s t u v w x y z and");
        let runs = diff::diff(&older, &newer);
        assert_eq!(
            differences(&runs, false),
            "   0:08.000  … c d e f g h [-teh-] {+the+} i j k l m n …\n   0:27.000  … u v w x y z \
             [-end-] {+and+}\n26 words the same, 2 removed, 2 added"
        );
        assert!(
            differences(&runs, true).contains("\u{1b}[9;31mteh\u{1b}[0m \u{1b}[32mthe\u{1b}[0m")
        );
        let near = diff::diff(&said("x a b y"), &said("z a b w"));
        assert_eq!(
            differences(&near, false),
            "   0:00.000  [-x-] {+z+} a b [-y-] {+w+}\n2 words the same, 2 removed, 2 added"
        );
        assert_eq!(
            differences(&diff::diff(&older, &older), false),
            "28 words the same, 0 removed, 0 added"
        );
    }

    #[test]
    fn columns_are_as_wide_as_they_must_be() {
        let rows = [["a", "bb"], ["ééé", ""]].map(|row| row.map(String::from));
        assert_eq!(table(&rows), "a    bb\nééé");
    }
}
