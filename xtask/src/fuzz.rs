//! Fuzz what reads bytes that others chose.

use std::fs;

use anyhow::{Context as _, Result, ensure};

use crate::{
    pins, setup,
    support::{cargo_tool, process::succeed, root, say, toolchain::NIGHTLY},
};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long to fuzz
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u32,

    /// The target
    #[arg(default_value = "decode")]
    target: String,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let Args { seconds, target } = args;
    let dir = root().join("tests/fuzz");
    let seeds = dir.join("seeds").join(target);
    ensure!(
        seeds.is_dir(),
        "no such fuzz target: {} does not exist",
        seeds.display()
    );
    let tools = setup::ensure_tools()?;
    let cargo_fuzz = cargo_tool::ensure("cargo-fuzz", pins::CARGO_FUZZ)?;

    // libFuzzer keeps what it finds in the first folder; the seeds stay as they are.
    let corpus = dir.join("corpus").join(target);
    fs::create_dir_all(&corpus).with_context(|| format!("cannot make {}", corpus.display()))?;
    say(format_args!("fuzzing {target} for {seconds} seconds"));
    let mut fuzz = tools.with_bpf_linker(NIGHTLY.tool(cargo_fuzz));
    fuzz.args(["run", "--fuzz-dir"])
        .arg(&dir)
        .arg(target)
        .args([corpus, seeds])
        .args(["--".to_owned(), format!("-max_total_time={seconds}")]);
    succeed(&mut fuzz, "fuzzing")
}
