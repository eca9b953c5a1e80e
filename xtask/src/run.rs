//! Build the agent and run it.

use std::{convert::Infallible, ffi::OsString, os::unix::process::CommandExt as _};

use anyhow::{Context as _, Result};

use crate::{
    build,
    support::{
        privilege::{as_root, is_root},
        process::cannot_start,
        say,
    },
};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to pass to connect-observer [default: trace]
    ///
    /// For example `cargo xtask run -- run -- curl example.org`.
    #[arg(last = true, value_name = "ARGS")]
    args: Vec<OsString>,
}

/// Returns only on failure: the agent takes the place of xtask, so that signals reach it.
pub(crate) fn run(args: Args) -> Result<Infallible> {
    let agent = build::agent()?;
    if !is_root()? {
        say("starting connect-observer through sudo, as tracing needs root");
    }
    let mut command = as_root(agent)?;
    if args.args.is_empty() {
        command.arg("trace");
    }
    command.args(args.args);
    let error = command.exec();
    Err(error).with_context(|| cannot_start(&command))
}
