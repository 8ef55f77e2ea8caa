//! What is said of batches.

use models::Batch;
use models::batch::{Outlook, Plan, Progress, State};
use models::job::Class;

use crate::weights::Asked;

/// What there is to do, and how long that takes.
pub(super) fn estimate(plan: &Plan, weights: &str, outlook: &Outlook) -> String {
    let mut said = format!(
        "{} to be transcribed with {weights}: {} of audio",
        recordings(plan.wanted.len() as u64),
        length(plan.audio.as_millis()),
    );
    if plan.done + plan.open > 0 {
        said.push_str(&format!(
            "\n{} are meant; {} have been transcribed just so, {} wait or are being done",
            plan.found(),
            plan.done,
            plan.open
        ));
    }
    if !plan.wanted.is_empty() {
        said.push('\n');
        said.push_str(&time(plan.audio.as_millis(), weights, outlook));
    }
    said
}

/// How long so much audio takes.
fn time(audio_ms: u64, weights: &str, outlook: &Outlook) -> String {
    let places = match (outlook.workers, outlook.places) {
        (0, _) => "no running worker has these weights; one by one".to_owned(),
        (1, 1) => "one worker".to_owned(),
        (1, places) => format!("one worker, {places} at once"),
        (workers, places) => format!("{workers} workers, {places} at once"),
    };
    match (&outlook.pace, outlook.time_ms(audio_ms)) {
        (Some(pace), Some(ms)) => {
            let (time, factor) = (length(ms), pace.factor());
            if pace.weights == weights {
                format!("about {time} ({places}; {factor:.1} times as fast as it plays)")
            } else {
                let known = &pace.weights;
                format!(
                    "how long that takes with {weights} is not known yet; with {known}, which was \
                     used last, about {time} ({places}; {factor:.1} times as fast as it plays)"
                )
            }
        }
        _ => {
            format!("how long that takes is not known yet: nothing was transcribed here ({places})")
        }
    }
}

/// What to do where nobody has the weights.
pub(super) fn nobody(asked: &Asked) -> String {
    let name = &asked.weights.name;
    let nobody = format!("no running worker has the weights {name}");
    match asked.here {
        Some(_) => format!("{nobody}: `roomtape transcribe --weights {name}` starts one"),
        None => format!(
            "{nobody}, and they are not here: run `roomtape weights pull {name}`, or `roomtape \
             transcribe --weights {name}` where they are"
        ),
    }
}

/// A batch in one line.
pub(super) fn line(batch: &Batch) -> String {
    let state = match batch.state {
        State::Running => "running",
        State::Paused => "paused",
        State::Cancelled => "cancelled",
        State::Done => "done",
    };
    let Batch { id, weights, filter, progress: at, .. } = batch;
    let mut line = format!("{id}  {state:<9}  {}  {}  {filter}", progress(at), weights.name);
    if batch.priority > Class::Batch.priority() {
        line.push_str("  urgent");
    }
    if !batch.promote {
        line.push_str("  not to be shown");
    }
    line
}

/// A batch in two.
pub(super) fn whole(batch: &Batch, outlook: &Outlook) -> String {
    let mut said = line(batch);
    let left = batch.progress.left_ms();
    if batch.progress.open() > 0 {
        let time = time(left, &batch.weights.name, outlook);
        said.push_str(&format!("\n{} of audio left: {time}", length(left)));
    }
    said
}

/// How far it is.
pub(super) fn progress(at: &Progress) -> String {
    let all = at.open() + at.done + at.failed + at.cancelled;
    let percent = (at.done_ms * 100).checked_div(at.total_ms.saturating_sub(at.lost_ms));
    let mut said = format!("{} of {all} done", at.done);
    if let Some(percent) = percent {
        said.push_str(&format!(" ({} %)", percent.min(100)));
    }
    for (count, what) in
        [(at.running, "running"), (at.failed, "failed"), (at.cancelled, "cancelled")]
    {
        if count > 0 {
            said.push_str(&format!(", {count} {what}"));
        }
    }
    said
}

pub(super) fn recordings(count: u64) -> String {
    if count == 1 { "1 recording".to_owned() } else { format!("{count} recordings") }
}

/// A length of time as people say it, of milliseconds.
pub(super) fn length(ms: u64) -> String {
    let seconds = ms.div_ceil(1_000);
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds.div_ceil(60)),
        _ => {
            let minutes = seconds.div_ceil(60);
            format!("{} h {:02} min", minutes / 60, minutes % 60)
        }
    }
}

#[cfg(test)]
mod tests {
    use models::batch::Pace;
    use models::{RecordingId, Ticks};

    use super::*;

    #[test]
    fn lengths_are_said_in_what_people_count() {
        for (ms, said) in [
            (0, "0 s"),
            (1, "1 s"),
            (119_000, "119 s"),
            (120_001, "3 min"),
            (7_199_000, "120 min"),
            (7_200_000, "2 h 00 min"),
            (36_000_000_000, "10000 h 00 min"),
        ] {
            assert_eq!(length(ms), said);
        }
    }

    #[test]
    fn an_estimate_says_what_it_rests_on() {
        let wanted = vec![RecordingId::new(); 2];
        let plan = Plan { wanted, audio: Ticks::from_secs(36_000), done: 3, open: 1 };
        let nothing = estimate(&plan, "small.en", &Outlook::default());
        assert!(
            nothing.starts_with("2 recordings") && nothing.contains("10 h 00 min"),
            "{nothing}"
        );
        assert!(
            nothing.contains("6 are meant; 3 have") && nothing.contains("not known"),
            "{nothing}"
        );
        let pace =
            Pace { weights: "base.en".into(), audio: Ticks::from_secs(100), wall_ms: 10_000 };
        let outlook = Outlook { workers: 2, places: 4, pace: Some(pace) };
        let known = estimate(&plan, "base.en", &outlook);
        assert!(known.contains("about 15 min (2 workers, 4 at once; 10.0 times"), "{known}");
        let other = estimate(&plan, "small.en", &outlook);
        assert!(other.contains("not known yet; with base.en"), "{other}");
    }
}
