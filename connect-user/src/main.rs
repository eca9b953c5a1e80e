//! `connect-observer`: parse what was typed, do it, exit.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use connect_observer::{
    check,
    cli::{Cli, Command},
    explain, export, observe, status,
};

fn main() -> ExitCode {
    let cli = Cli::read();
    status::start_log(cli.log_level.as_deref());
    let result = match cli.command {
        Command::Trace(options) => observe::trace(&options),
        Command::Run(run) => observe::run(&run),
        Command::Export(options) => export::export(&options),
        Command::Explain { errno } => explain::explain(errno.as_deref()),
        Command::Check => check::check(),
    };
    result.unwrap_or_else(|error| {
        status::error(&error);
        ExitCode::FAILURE
    })
}
