//! What the binary says: log lines and failures on standard error, results on standard output.

use std::io::{IsTerminal, Write};
use std::sync::OnceLock;

use tracing_subscriber::EnvFilter;

use crate::cli::{Cli, Command};

/// What is logged, where `ROOMTAPE_LOG` does not say.
static FILTER: OnceLock<String> = OnceLock::new();

/// Starts logging to standard error.
pub(crate) fn start(cli: &Cli) {
    let serves = matches!(
        cli.command,
        Command::Serve | Command::Ingest | Command::Transcribe(_) | Command::Api
    );
    let (level, libraries) = match (cli.verbose, serves) {
        (0, false) => ("warn", "off"),
        (0, true) | (1, _) => ("info", "off"),
        (2, _) => ("debug", "warn"),
        _ => ("trace", "info"),
    };
    // Whisper, the decoders and AWS' libraries are chatty about things that are no news to an operator; what fails
    // in them comes back as an error of ours.
    let default = format!(
        "{level},whisper_rs={libraries},symphonia={libraries},\
         aws_config={libraries},aws_smithy_runtime={libraries},sqlx=warn"
    );
    let filter =
        EnvFilter::try_from_env("ROOMTAPE_LOG").unwrap_or_else(|_| EnvFilter::new(&default));
    let _ = FILTER.set(filter.to_string());
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

/// The filter in force, for handing on to a child process.
pub(crate) fn filter() -> &'static str {
    FILTER.get().map_or("info", String::as_str)
}

/// Says why a command failed: the whole chain, once.
pub(crate) fn failure(error: &anyhow::Error) {
    let _ = writeln!(std::io::stderr(), "roomtape: {}", sentence(error));
}

/// The whole chain. A cause that the one before it has said (libraries do that) is not said again.
fn sentence(error: &anyhow::Error) -> String {
    let mut line = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !line.ends_with(&cause) {
            line.push_str(": ");
            line.push_str(&cause);
        }
    }
    line
}

/// Prints a result. A reader that has gone away (`| head`) is no failure.
pub(crate) fn print(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_said_twice() {
        let refused = anyhow::anyhow!("refused").context("connecting: refused").context("no store");
        assert_eq!(sentence(&refused), "no store: connecting: refused");
    }
}
