//! `connect-observer`: parse what was typed, do it, exit.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use connect_observer::{
    check,
    cli::{Cli, Command},
    command::NotStarted,
    explain, session,
    status::{self, WrongUsage},
};

fn main() -> ExitCode {
    let cli = Cli::read();
    status::start_log(cli.log_level.as_deref());
    if cli.is_quiet() {
        status::be_quiet();
    }
    let result = match cli.command {
        Command::Trace(options) => session::observe(&options.into()),
        Command::Run(run) => session::observe(&run.into()),
        Command::Export(export) => session::observe(&export.into()),
        Command::Explain { what } => explain::explain(what.as_deref()),
        Command::Check => check::check(),
    };
    result.unwrap_or_else(|error| {
        status::error(&error);
        if error.is::<WrongUsage>() {
            return ExitCode::from(2);
        }
        let not_started = error.downcast_ref::<NotStarted>();
        not_started.map_or(ExitCode::FAILURE, NotStarted::exit_code)
    })
}
