//! Measure what the hooks cost, and write docs/cost.md of it.

use std::{fmt::Write as _, fs};

use anyhow::{Context as _, Result, ensure};

use crate::{
    suites::{Privilege, cargo_test},
    support::{process::stdout_of, root, say},
};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Write docs/cost.md
    #[arg(long)]
    write_docs: bool,
}

/// Prints the tables.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut cargo = cargo_test("bench", Privilege::Root)?;
    cargo.args(["--package", "connect-user", "--bench", "cost"]);
    let tables = stdout_of(&mut cargo)?;
    let tables = tables
        .get(tables.find("| |").unwrap_or(0)..)
        .unwrap_or_default();
    ensure!(tables.starts_with("| |"), "there is no table");
    let (ratios, verified) = tables
        .split_once("\n\n")
        .context("there is no second table")?;
    say(tables.trim_end());
    if args.write_docs {
        let path = root().join("docs/cost.md");
        fs::write(&path, document(ratios, verified)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
        say(format_args!("wrote {}", path.display()));
    }
    Ok(())
}

fn document(ratios: &str, verified: &str) -> Result<String> {
    let mut page = String::from(
        "# What it costs\n\n\
         Made by `cargo xtask cost --write-docs`; `cargo xtask cost` prints both tables anew, of your machine.\n\n\
         Each figure is a ratio: the time of an operation with these hooks to the time without any, both \
         measured\nwithin a second, in a loop that does nothing else; of several rounds the median. \
         `empty hooks` are two BPF\nprograms on the tracepoints of connect(2) that do nothing: less cannot be \
         had with these tracepoints. A loop\nof connects to nowhere is the worst case: a real connect takes \
         much longer, and our part of it stays the same.\n\n",
    );
    page.push_str(ratios);
    write!(
        page,
        "\n\n* `getppid` stands for every system call that is not observed. Tracepoints of system calls make all \
         of them\n  take a slower way through the kernel; hooks on functions do not.\n\
         * `io_uring NOP` stands for every operation of io_uring, 32 at once. `--skip-io-uring` takes these hooks \
         away.\n\
         * `--skip-socket` does without the walk from the descriptor to the socket.\n\
         * `--compat` runs two more programs at every system call of the host, to find the 32-bit ones among them: \
         `getppid`\n  shows the price. It is of use only where the kernel refuses hooks on functions.\n\
         * `export` counts in the kernel, and makes no records.\n\n\
         ## To load the programs\n\n\
         Instructions that the kernel's verifier looks at when the agent starts, each as often as it is walked \
         through.\nOf a program's name the kernel keeps 15 characters; programs that share them are added up.\n\n{verified}"
    )?;
    Ok(page)
}
