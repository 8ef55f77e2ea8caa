//! `roomtape`: records live audio rooms, writes down what was said, and plays it back with the words
//! in step.
//!
//! The binary's own work is small: raw arguments, file and environment become a validated
//! [`config::Config`]; the roles a command needs are started; everything is shut down in order.

mod cli;
mod config;
mod demo;
mod home;
mod import;
mod jobs;
mod log;
mod migrate;
mod moving;
mod role;
mod serve;
mod signals;
mod weights;
mod worker;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    log::start(&cli);
    let settled = match cli.command {
        cli::Command::Transcribe(_) => worker::settle_threads(),
        _ => Ok(()),
    };
    match settled.and_then(|()| run(cli)) {
        Ok(code) => code,
        Err(error) => {
            log::failure(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(cli: cli::Cli) -> anyhow::Result<ExitCode> {
    use cli::Command;

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
            Command::Weights(args) => return weights::run(loaded.validate()?, args).await,
            Command::Jobs(args) => return jobs::run(loaded.validate()?, args).await,
            Command::Config => log::print(&loaded.show()),
            Command::Openapi => log::print(&api::openapi()),
        }
        Ok(ExitCode::SUCCESS)
    })
}
