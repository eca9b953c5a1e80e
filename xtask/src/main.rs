//! `cargo xtask COMMAND`: the one door for building, running and testing connect-observer.
//!
//! One file per command; what several of them need is in `support/`.

mod audit;
mod build;
mod conformance;
mod cost;
mod fuzz;
mod lint;
mod picture;
mod pins;
mod run;
mod setup;
mod suites;
mod support;
mod test;
mod vm;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Build, run and test connect-observer.
///
/// Every command first installs what it needs and finds missing, so that `cargo xtask run` works in
/// a fresh clone. All that is needed is rustup, a C compiler, and the network the first time.
#[derive(Parser)]
#[command(
    bin_name = "cargo xtask",
    after_help = "Exit status: 0 done, 1 failed, 2 wrong usage."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install the compilers and bpf-linker, as far as they are missing
    Setup,
    /// Build connect-observer
    Build(build::Args),
    /// Build connect-observer and run it as root
    ///
    /// Through sudo unless you are root. The exit status is connect-observer's.
    Run(run::Args),
    /// Lint, then run every test
    ///
    /// Or only some tiers of them, which may be combined. Tests that load the kernel object run as
    /// root, through sudo unless you are root. The last line says `N passed, N failed`.
    Test(test::Args),
    /// Run the kernel tests on stock Debian kernels, from 5.10 to the newest, in VMs
    ///
    /// One line per kernel and test. Kernels are kept in the cache; delete one to get a newer.
    Vm(vm::Args),
    /// Run the conformance tests as root and write docs/conformance.md from what they find
    Conformance(conformance::Args),
    /// Measure what the hooks cost: ratios of operations with and without them, and how many instructions
    /// the kernel's verifier looks at to load them
    Cost(cost::Args),
    /// Check format, lints and documentation, also of the kernel object, and that files import each
    /// other in no circle
    Lint,
    /// Draw the README's picture from a real run
    Picture,
    /// Check licences, sources and known vulnerabilities of the dependencies
    Audit,
    /// Fuzz a target of tests/fuzz
    Fuzz(fuzz::Args),
}

fn main() -> ExitCode {
    let done = dispatch(Cli::parse());
    done.unwrap_or_else(|error| {
        support::say(format_args!("error: {error:#}"));
        ExitCode::FAILURE
    })
}

fn dispatch(cli: Cli) -> Result<ExitCode> {
    match cli.command {
        Command::Setup => setup::run()?,
        Command::Build(args) => build::run(&args)?,
        Command::Run(args) => match run::run(args)? {},
        Command::Test(args) => return test::run(&args),
        Command::Vm(args) => return vm::run(&args),
        Command::Conformance(args) => conformance::run(&args)?,
        Command::Cost(args) => cost::run(&args)?,
        Command::Lint => lint::run()?,
        Command::Picture => picture::run()?,
        Command::Audit => audit::run()?,
        Command::Fuzz(args) => fuzz::run(&args)?,
    }
    Ok(ExitCode::SUCCESS)
}
