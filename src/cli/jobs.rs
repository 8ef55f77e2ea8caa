//! The command line of `jobs`.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use models::{JobId, job};
use serde::de::DeserializeOwned;

/// Arguments of `jobs`.
#[derive(Debug, Args)]
pub(crate) struct Jobs {
    #[command(flatten)]
    pub(crate) list: JobsList,
    #[command(subcommand)]
    pub(crate) action: Option<JobsAction>,
}

/// Which jobs to list.
#[derive(Debug, Args, PartialEq, Eq)]
pub(crate) struct JobsList {
    /// Keep showing until nothing of it is left to do
    #[arg(long)]
    pub(crate) watch: bool,
    /// Only jobs in this state
    #[arg(long, value_name = "STATE", value_parser = named::<job::State>(&STATES))]
    pub(crate) state: Option<job::State>,
    /// Only jobs of this kind
    #[arg(long, value_name = "KIND", value_parser = named::<job::Kind>(&KINDS))]
    pub(crate) kind: Option<job::Kind>,
    /// Show so many at most, the newest first
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) limit: u32,
}

/// What to do with jobs.
#[derive(Debug, Subcommand)]
pub(crate) enum JobsAction {
    /// Show them, the newest first (also without saying `list`)
    List(JobsList),
    /// Try dead or cancelled jobs again, and those that wait to be tried again at once
    Retry {
        /// Jobs
        #[arg(required_unless_present = "dead", value_name = "ID")]
        ids: Vec<JobId>,
        /// All dead ones
        #[arg(long, conflicts_with = "ids")]
        dead: bool,
    },
    /// Take jobs back; whoever works on one writes nothing more of it
    Cancel {
        /// Jobs
        #[arg(required = true, value_name = "ID")]
        ids: Vec<JobId>,
    },
}

/// Names of the states of a job.
const STATES: [&str; 5] = ["ready", "running", "done", "dead", "cancelled"];
/// Names of the kinds of jobs.
const KINDS: [&str; 2] = ["transcribe_live", "transcribe"];

/// One of `names`, as serde knows them.
fn named<T>(names: &'static [&'static str]) -> impl TypedValueParser<Value = T>
where
    T: DeserializeOwned + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(names).try_map(|name| serde_json::from_value(name.into()))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn every_name_of_a_state_and_a_kind_is_one() {
        for (option, names) in [("--state", &STATES[..]), ("--kind", &KINDS)] {
            for name in names {
                let cli = Cli::try_parse_from(["roomtape", "jobs", "list", option, name]);
                assert!(cli.is_ok(), "{name}");
            }
            assert!(Cli::try_parse_from(["roomtape", "jobs", option, "asleep"]).is_err());
        }
    }

    #[test]
    fn jobs_are_named_or_all_dead_ones_meant() {
        let id = JobId::new().to_string();
        let takes =
            |args: &[&str]| Cli::try_parse_from(["roomtape", "jobs"].iter().chain(args)).is_ok();
        assert!(takes(&[]) && takes(&["--watch"]) && takes(&["retry", "--dead"]));
        assert!(takes(&["retry", &id, &id]) && takes(&["cancel", &id]));
        assert!(!takes(&["retry"]) && !takes(&["cancel"]) && !takes(&["retry", "--dead", &id]));
        assert!(!takes(&["cancel", "7"]));
    }
}
