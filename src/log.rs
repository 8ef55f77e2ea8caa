//! What the binary says: log lines and failures on standard error, results on standard output.

use std::io::{IsTerminal, Write};

use tracing_subscriber::EnvFilter;

use crate::cli::{Cli, Command};

/// Starts logging to standard error.
pub(crate) fn start(cli: &Cli) {
    let quiet_by_default = !matches!(cli.command, Command::Serve | Command::Transcribe(_));
    let level = match (cli.verbose, quiet_by_default) {
        (0, true) => "warn",
        (0, false) | (1, _) => "info",
        (2, _) => "debug",
        _ => "trace",
    };
    // Whisper and the decoders are chatty about things that are no news to an operator.
    let default = format!("{level},whisper_rs=warn,symphonia=error,sqlx=warn");
    let filter =
        EnvFilter::try_from_env("ROOMTAPE_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    if cli.log_json {
        lines.json().init();
    } else {
        lines.init();
    }
}

/// Says why a command failed: the whole chain, once.
pub(crate) fn failure(error: &anyhow::Error) {
    let mut line = format!("roomtape: {error}");
    for cause in error.chain().skip(1) {
        line.push_str(": ");
        line.push_str(&cause.to_string());
    }
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Prints a result. A reader that has gone away (`| head`) is no failure.
pub(crate) fn print(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
