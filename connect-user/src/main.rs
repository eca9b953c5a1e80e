//! `connect-observer`: parse what was typed, do it, exit.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser as _;
use connect_observer::{
    check,
    cli::{Cli, Command},
    observe, status,
};

fn main() -> ExitCode {
    let cli = Cli::parse();
    status::start_log(cli.log_level.as_deref());
    let result = match cli.command {
        Command::Trace(options) => observe::trace(&options),
        Command::Run(run) => observe::run(&run),
        Command::Check => check::check(),
    };
    result.unwrap_or_else(|error| {
        status::error(&error);
        ExitCode::FAILURE
    })
}
