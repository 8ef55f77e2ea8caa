//! The command line as typed. Nothing is checked here beyond its form.

mod jobs;
mod reprocess;
mod transcript;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use models::RecordingId;
use serde::Serialize;

pub(crate) use jobs::{Jobs, JobsAction, JobsList};
pub(crate) use reprocess::{Reprocess, ReprocessAction, ReprocessNew};
pub(crate) use transcript::{Colour, TranscriptAction};

/// Records live audio rooms, writes down what was said and plays it back with the words in step.
#[derive(Debug, Parser)]
#[command(name = "roomtape", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) options: Options,
    /// Say more: -v for progress, -vv for details (or set ROOMTAPE_LOG, such as `ingest=debug`)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Log lines as JSON
    #[arg(long, global = true)]
    pub(crate) log_json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Settings that any command takes. Each may also stand in the configuration file, or in the
/// environment as `ROOMTAPE_<NAME>`; flags win over the environment, which wins over the file.
#[derive(Debug, Default, Clone, Args, Serialize)]
pub(crate) struct Options {
    /// Configuration file (TOML) [default: roomtape.toml in the data folder, where there is one]
    #[arg(long, global = true, env = "ROOMTAPE_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    pub(crate) config: Option<PathBuf>,
    /// Folder of everything that is kept on this machine: database and recordings, unless they are
    /// elsewhere, what is being written, and weights [default: ~/.local/share/roomtape]
    #[arg(long, global = true, value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<PathBuf>,
    /// Database: `postgres://user@host/name` or `sqlite:FILE` [default: roomtape.db in the data
    /// folder]. A password is better set in the environment or a file
    #[arg(long, global = true, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) database: Option<String>,
    /// Where recordings are kept: `s3://BUCKET?endpoint=URL&region=R` or a folder [default: objects
    /// in the data folder]. Its keys are set in the environment or a file
    #[arg(long, global = true, value_name = "URL|DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) store: Option<String>,
    /// Where recordings are kept while the store is away
    #[arg(long, global = true, value_name = "URL|DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) backup_store: Option<String>,
    /// Address of the pages and the API [default: 127.0.0.1:8090]
    #[arg(long, global = true, value_name = "ADDR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) http: Option<SocketAddr>,
    /// Address at which `ingest` and `transcribe` tell how they are (/healthz, /readyz), or `off`
    /// [default: 127.0.0.1:8092 and 127.0.0.1:8093]
    #[arg(long, global = true, value_name = "ADDR|off")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) health: Option<String>,
    /// Address for Icecast sources, or `off` [default: 127.0.0.1:8091]
    #[arg(long, global = true, value_name = "ADDR|off")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) icecast: Option<String>,
    /// Address on which rooms' RTP ports are opened [default: 127.0.0.1]
    #[arg(long, global = true, value_name = "IP")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rtp_bind: Option<IpAddr>,
    /// Name under which this machine's processes are known in jobs and logs [default: the machine's]
    #[arg(long, global = true, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) worker_name: Option<String>,
    /// Whisper weights: a name from `roomtape weights list`, a ggml file, or `auto` for the best
    /// that is here [default: auto]
    #[arg(long, global = true, value_name = "NAME|FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) weights: Option<String>,
    /// Threads for recognition; 0: one for each core [default: 0]
    #[arg(long, global = true, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) threads: Option<usize>,
    /// Most jobs at once that write captions of live rooms, on all machines together; 0: any number
    /// [default: 0]
    #[arg(long, global = true, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) limit_live: Option<u32>,
    /// Most jobs at once that transcribe finished recordings, on all machines together; 0: any
    /// number [default: 0]
    #[arg(long, global = true, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) limit_transcribe: Option<u32>,
    /// Host name under which the server is reached, beside localhost (may be given again)
    #[arg(long = "allowed-host", global = true, value_name = "HOST")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) allowed_hosts: Vec<String>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Record, transcribe and replay: everything in one
    Serve,
    /// Show all of it: a bundled conversation goes live, is recorded, transcribed and replayed
    Demo(Demo),
    /// Make recordings from audio files
    Import(Import),
    /// Only record: takes the rooms' sound on one of several machines
    Ingest,
    /// Only transcribe (`serve` runs this for itself)
    Transcribe(Transcribe),
    /// Only show: pages and API
    Api,
    /// Bring the database's schema up to date (one in a file is brought by itself)
    Migrate,
    /// Move recordings to another installation
    Move(Move),
    /// Read back everything that is kept, and name what is not as it was
    Verify(Verify),
    /// Mend what `verify` names
    Repair(Repair),
    /// Make, save and check receipts: what was kept of a recording, signed
    Receipt {
        #[command(subcommand)]
        action: ReceiptAction,
    },
    /// Versions of a recording's words: which there are, what they differ in, which people are shown,
    /// and the edits laid over them
    Transcript {
        #[command(subcommand)]
        action: TranscriptAction,
    },
    /// List, fetch and check Whisper weights
    Weights(Weights),
    /// Show the work that is queued, running and done
    Jobs(Jobs),
    /// Measure how fast this machine is
    Bench {
        #[command(subcommand)]
        action: BenchAction,
    },
    /// Transcribe recordings again, in bulk, with other weights
    Reprocess(Reprocess),
    /// Show every setting and where it comes from
    Config,
    /// Print the OpenAPI document of the API
    Openapi,
}

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Play this many times faster than real time
    #[arg(long, default_value_t = 1.0, value_name = "X")]
    pub(crate) speed: f64,
    /// End once the replay is ready and its words are checked, instead of serving on
    #[arg(long)]
    pub(crate) once: bool,
}

/// Arguments of `import`.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// Audio files: MP3, M4A, AAC, WAV, FLAC, Ogg Opus or Vorbis, WebM, Matroska
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Room they belong to (its short name; made when it is not there)
    #[arg(long, default_value = "imports", value_name = "SLUG")]
    pub(crate) room: String,
    /// Title, when there is one file [default: the file's name]
    #[arg(long)]
    pub(crate) title: Option<String>,
    /// Files read at once
    #[arg(long, default_value_t = 2, value_name = "N")]
    pub(crate) jobs: usize,
    /// Transcribe them too, and wait for it
    #[arg(long)]
    pub(crate) transcribe: bool,
}

/// Arguments of `transcribe`.
#[derive(Debug, Args)]
pub(crate) struct Transcribe {
    /// End when standard input closes: how a worker ends with the process that started it
    #[arg(long, hide = true)]
    pub(crate) end_with_stdin: bool,
    /// Do nothing but what `reprocess` queues for these weights: no live room, no new recording
    #[arg(long)]
    pub(crate) only_batches: bool,
}

/// Arguments of `move`. An installation is given by its data folder or its configuration file; the
/// one that is not given is the configured one.
#[derive(Debug, Args)]
pub(crate) struct Move {
    /// Installation to move from [default: the configured one]
    #[arg(long, value_name = "DIR|FILE", required_unless_present = "to")]
    pub(crate) from: Option<PathBuf>,
    /// Installation to move to [default: the configured one]
    #[arg(long, value_name = "DIR|FILE")]
    pub(crate) to: Option<PathBuf>,
    /// Only say what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Give a room another short name where a room at the destination has it
    #[arg(long)]
    pub(crate) rename: bool,
    /// Delete each recording here once all of it has been read back at the destination
    #[arg(long)]
    pub(crate) delete: bool,
    /// Objects copied at once
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub(crate) jobs: usize,
}

/// Arguments of `verify`. Exit status: 0 nothing is damaged, 1 something is, 2 it could not be looked at.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Recordings [default: all]
    #[arg(value_name = "RECORDING")]
    pub(crate) recordings: Vec<RecordingId>,
    /// Say it in JSON: a line for each damage, and one for the sum
    #[arg(long)]
    pub(crate) json: bool,
    /// Objects read at once
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub(crate) jobs: usize,
}

/// Arguments of `repair`. Exit status: 0 nothing is left, 1 something is, 2 it could not be tried.
#[derive(Debug, Args)]
pub(crate) struct Repair {
    /// Recordings [default: all]
    #[arg(value_name = "RECORDING")]
    pub(crate) recordings: Vec<RecordingId>,
    /// Only say what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Make a gap of what is lost for good
    #[arg(long)]
    pub(crate) conceal: bool,
    /// Remove objects of recordings that no row knows
    #[arg(long)]
    pub(crate) remove_unknown: bool,
    /// Objects read at once
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub(crate) jobs: usize,
}

/// What to do with receipts.
#[derive(Debug, Subcommand)]
pub(crate) enum ReceiptAction {
    /// Make a key that signs receipts: FILE, and its public half FILE.pub
    Keygen {
        /// Where to; nothing may be there
        file: PathBuf,
    },
    /// Make receipts that are missing, and sign those that nobody has signed
    Make {
        /// Recordings [default: all]
        #[arg(value_name = "RECORDING")]
        recordings: Vec<RecordingId>,
        /// Make another one although nothing has changed
        #[arg(long, requires = "recordings")]
        again: bool,
    },
    /// Write a recording's receipt and its signature to files
    Save {
        /// Recording
        recording: RecordingId,
        /// Folder they go to
        #[arg(long, default_value = ".", value_name = "DIR")]
        to: PathBuf,
    },
    /// Check a receipt, its signature and the sound, without any database
    Check {
        /// Receipt
        file: PathBuf,
        /// Signature [default: FILE.sig, where there is one]
        #[arg(long, value_name = "FILE")]
        signature: Option<PathBuf>,
        /// Public key that it has to be signed with
        #[arg(long, value_name = "FILE|BASE64")]
        key: Option<String>,
        /// The recording's MP4, to be compared with it chunk by chunk
        #[arg(long, value_name = "FILE")]
        audio: Option<PathBuf>,
    },
}

/// Arguments of `weights`.
#[derive(Debug, Args)]
pub(crate) struct Weights {
    #[command(subcommand)]
    pub(crate) action: WeightsAction,
}

/// What to do with weights.
#[derive(Debug, Subcommand)]
pub(crate) enum WeightsAction {
    /// The catalogue, and which of it is here
    List,
    /// Fetch weights: goes on where it was cut off, and checks the digest
    Pull {
        /// Name in the catalogue
        name: String,
        /// Take them from this file instead of the network
        #[arg(long, value_name = "FILE", conflicts_with = "mirror")]
        from: Option<PathBuf>,
        /// Take them from this address instead of where they are published
        #[arg(long, value_name = "URL")]
        mirror: Option<String>,
    },
    /// Check the digests of the weights that are here (all, or those named)
    Check {
        /// Names in the catalogue
        names: Vec<String>,
    },
}

/// What to measure.
#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum BenchAction {
    /// How many windows of a recording to read at once, and with how many threads each (workers find
    /// this out for themselves when they start)
    Transcribe,
}
