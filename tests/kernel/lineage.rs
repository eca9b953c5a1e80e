//! `run`: the command and its descendants, and nobody else.

use anyhow::{Result, ensure};

use crate::support::{
    case::Case,
    child::{fork, succeed},
    observer::{Command, Observer},
    scratch::{Scratch, await_mark, mark},
    sockaddr::loopback,
    stage::Stage,
    syscall::udp,
    truth,
};

pub(crate) const CASES: &[Case] = &[Case::new(
    "run_reports_descendants_and_nobody_else",
    nobody_else,
    neighbours,
)
.brief()];

/// One program, observed or not.
fn neighbours(stage: &Stage) -> Result<()> {
    let socket = udp()?;
    stage.mark("started")?;
    stage.await_mark("go")?;
    for port in 1..=50 {
        stage.expect(0, &socket, &loopback(port))?;
        succeed(fork(|| stage.expect(0, &socket, &loopback(port + 100)))?)?;
    }
    stage.mark("called")?;
    stage.await_mark("end")
}

/// The same program three times: started before the agent, by the agent, and after it.
fn nobody_else(case: &Case) -> Result<()> {
    let (before, observed, after) = (Scratch::new()?, Scratch::new()?, Scratch::new()?);
    let earlier = case.start(&before, "")?;
    await_mark(before.path(), "started")?;
    let command = case.command(&observed, "")?;
    let agent = Observer::start(&observed, &Command::run(&[], command))?;
    await_mark(observed.path(), "started")?;
    let later = case.start(&after, "")?;
    await_mark(after.path(), "started")?;
    for step in ["go", "end"] {
        for scratch in [&before, &observed, &after] {
            mark(scratch.path(), step)?;
        }
        for scratch in [&before, &observed, &after] {
            await_mark(scratch.path(), "called")?;
        }
    }
    for program in [earlier, later] {
        ensure!(program.end("a neighbour")?.success(), "a neighbour failed");
    }
    for neighbour in [&before, &after] {
        let calls = neighbour.text(truth::FILE)?.lines().count();
        ensure!(calls == 100, "a neighbour made {calls} calls");
    }
    agent.end()?.assert_exact()
}
