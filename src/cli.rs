//! The command line as typed. Nothing is checked here beyond its form.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use serde::Serialize;

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
    /// Folder of the database, the recordings and the weights
    #[arg(long, global = true, value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<PathBuf>,
    /// Address of the pages and the API [default: 127.0.0.1:8090]
    #[arg(long, global = true, value_name = "ADDR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) http: Option<SocketAddr>,
    /// Address for Icecast sources, or `off` [default: 127.0.0.1:8091]
    #[arg(long, global = true, value_name = "ADDR|off")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) icecast: Option<String>,
    /// Address on which rooms' RTP ports are opened [default: 127.0.0.1]
    #[arg(long, global = true, value_name = "IP")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rtp_bind: Option<IpAddr>,
    /// Whisper weights: a name from `roomtape weights list`, a ggml file, or `auto` for the best
    /// that is here [default: auto]
    #[arg(long, global = true, value_name = "NAME|FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) weights: Option<String>,
    /// Threads for recognition; 0: one for each core [default: 0]
    #[arg(long, global = true, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) threads: Option<usize>,
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
    /// Only transcribe (`serve` runs this for itself)
    Transcribe(Transcribe),
    /// List, fetch and check Whisper weights
    Weights(Weights),
    /// Show the work that is queued, running and done
    Jobs(Jobs),
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

/// Arguments of `jobs`.
#[derive(Debug, Args)]
pub(crate) struct Jobs {
    /// Keep showing until nothing is left to do
    #[arg(long)]
    pub(crate) watch: bool,
}
