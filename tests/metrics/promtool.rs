//! promtool, which comes with Prometheus.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    http,
    scrape::{ADDRESS, export},
    support::{scratch::Scratch, tool::PROMTOOL},
    workload,
};

/// Runs it in a directory; it must succeed. Returns what it says.
pub(crate) fn run(directory: &Path, arguments: &[&str], input: &str) -> Result<String> {
    let mut child = Command::new(PROMTOOL.path()?)
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().context("no standard input")?;
    stdin.write_all(input.as_bytes())?;
    drop(stdin);
    let output = child.wait_with_output()?;
    let said = String::from_utf8([output.stdout, output.stderr].concat())?;
    ensure!(
        output.status.success(),
        "promtool {arguments:?} ended with {}: {said}",
        output.status
    );
    Ok(said)
}

/// Names, units and help of every metric, of which there is at least one series.
pub(crate) fn check() -> Result<()> {
    const UID: u32 = 61_021;
    let scratch = Scratch::new()?;
    let options = [
        "--label",
        "process,cgroup,peer-port,peer-address",
        "--max-series",
        "5",
    ];
    let agent = export(UID, &options)?;
    workload::run("mixed", UID)?;
    let text = http::get(ADDRESS, "/metrics", &[])?.body;
    let said = run(scratch.path(), &["check", "metrics"], &text)?;
    ensure!(said.is_empty(), "promtool says: {said}");
    agent.terminate()?;
    Ok(())
}
