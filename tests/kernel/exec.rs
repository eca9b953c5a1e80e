//! A thread that is not the first of its process executes a program: it takes the first one's id.

use std::{os::unix::process::CommandExt as _, process::Command};

use anyhow::{Result, anyhow, ensure};

use crate::support::{
    case::Case, child::in_thread, sockaddr::loopback, stage::Stage, syscall::udp,
};

pub(crate) const CASES: &[Case] = &[
    Case::new(
        "exec_in_another_thread_is_followed",
        followed,
        another_thread,
    )
    .also_by_functions()
    .brief(),
    Case::exact("failed_exec_changes_nothing", failed).also_by_functions(),
];

/// How often the program executes itself.
const TIMES: u16 = 100;

/// The table has no room for what such a thread would leave behind under its old id.
fn followed(case: &Case) -> Result<()> {
    case.run(&["--threads", "64"])?.assert_exact()
}

fn another_thread(stage: &Stage) -> Result<()> {
    let round: u16 = stage.role.parse().unwrap_or(0);
    stage.expect(0, &udp()?, &loopback(1000 + round))?;
    // What the thread that took the id starts is followed too.
    in_thread(|| stage.expect(0, &udp()?, &loopback(2000 + round)))?;
    if round == TIMES {
        return Ok(());
    }
    in_thread(|| {
        stage.expect(0, &udp()?, &loopback(3000 + round))?;
        let error = stage.again(&(round + 1).to_string())?.exec();
        Err(anyhow!(error).context("exec"))
    })
}

fn failed(stage: &Stage) -> Result<()> {
    let call = |port| stage.expect(0, &udp()?, &loopback(port));
    call(1)?;
    in_thread(|| {
        call(2)?;
        let error = Command::new(stage.file("missing")).exec();
        ensure!(error.raw_os_error() == Some(libc::ENOENT), "exec: {error}");
        call(3)
    })?;
    call(4)
}
