//! `roomtape`: records live audio rooms, writes down what was said, and plays it back with the words
//! in step.
//!
//! The binary's own work is small: raw arguments, file and environment become a validated
//! [`config::Config`]; the roles a command needs are started; everything is shut down in order.

mod bench;
mod cli;
mod config;
mod demo;
mod descriptors;
mod home;
mod import;
mod jobs;
mod log;
mod memory;
mod migrate;
mod moving;
mod receipts;
mod repair;
mod reprocess;
mod role;
mod serve;
mod signals;
mod transcript;
mod verify;
mod weights;
mod worker;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    log::start(&cli);
    // The engine allocates much at once on many threads: it is left to the allocator's own ways.
    if !matches!(cli.command, cli::Command::Transcribe(_) | cli::Command::Bench { .. }) {
        memory::settle();
    }
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            log::failure(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(cli: cli::Cli) -> anyhow::Result<ExitCode> {
    use cli::Command;

    descriptors::raise();
    let loaded = config::load(&cli.options)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match cli.command {
            Command::Serve => serve::run(loaded.validate()?).await?,
            Command::Demo(args) => demo::run(&cli.options, args).await?,
            Command::Import(args) => return import::run(loaded.validate()?, args).await,
            Command::Ingest => role::ingest::run(loaded.validate()?).await?,
            Command::Transcribe(args) => role::transcribe::run(loaded.validate()?, args).await?,
            Command::Api => role::api::run(loaded.validate()?).await?,
            Command::Migrate => migrate::run(&loaded.validate()?).await?,
            Command::Move(args) => return moving::run(loaded, args).await,
            Command::Verify(args) => return Ok(Box::pin(verify::run(loaded, args)).await),
            Command::Repair(args) => return Ok(repair::run(loaded, args).await),
            Command::Receipt { action } => return receipts::run(loaded, action).await,
            Command::Transcript { action } => {
                return transcript::run(loaded.validate()?, action).await;
            }
            Command::Weights(args) => return weights::run(loaded.validate()?, args).await,
            Command::Jobs(args) => return jobs::run(loaded.validate()?, args).await,
            Command::Bench { action } => bench::run(loaded.validate()?, action).await?,
            Command::Reprocess(args) => {
                return Box::pin(reprocess::run(loaded.validate()?, args)).await;
            }
            Command::Config => log::print(&loaded.show()),
            Command::Openapi => log::print(&api::openapi()),
        }
        Ok(ExitCode::SUCCESS)
    })
}
