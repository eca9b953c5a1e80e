//! Calls that block: what changes meanwhile, and hooks that come while a call is under way.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result, ensure};
use libc::EAGAIN;

use crate::support::{
    attempt::Attempt,
    blocking::FullListener,
    case::{Case, Seen},
    observer::{Command, Observer},
    option::limit_waiting,
    scratch::{Scratch, await_mark, mark},
    sockaddr::loopback,
    stage::Stage,
    syscall::{udp, unix_stream},
};

pub(crate) const CASES: &[Case] = &[
    Case::of_seen(
        "time_is_that_from_entry_to_return",
        assert_whole_wait,
        waiting,
    ),
    Case::exact("comm_is_the_one_at_entry", renamed),
    Case::new(
        "call_under_way_at_the_start_has_no_duration",
        attach,
        under_way,
    ),
];

/// How long the kernel lets a call wait: much longer than the clocks of both sides can differ.
const WAIT: Duration = Duration::from_millis(200);

fn waiting(stage: &Stage) -> Result<()> {
    let listener = FullListener::new(stage, "waiting")?;
    let socket = unix_stream()?;
    limit_waiting(&socket, WAIT)?;
    stage.expect(EAGAIN, &socket, &listener.address)
}

/// The truth has the wall's time before and after the call, so it also shows at which of them the
/// timestamp was taken.
fn assert_whole_wait(_: &Case, seen: Seen) -> Result<()> {
    let observation = seen.observation;
    observation.assert_exact()?;
    let event = observation.connects.last().context("no event")?;
    let duration = Duration::from_nanos(event.integer("duration_ns")?.try_into()?);
    // The kernel may round by a tick.
    ensure!(duration >= WAIT / 2, "{duration:?} instead of {WAIT:?}");
    Ok(())
}

fn renamed(stage: &Stage) -> Result<()> {
    for round in 0..10 {
        let listener = FullListener::new(stage, &format!("round {round}"))?;
        listener.block(
            |socket| {
                rustix::thread::set_name(c"before")?;
                stage.expect(0, socket, &listener.address)?;
                // The next call has the new name.
                stage.expect(0, &udp()?, &loopback(9))
            },
            |tid| {
                let comm = format!("/proc/self/task/{}/comm", tid.as_raw_nonzero());
                Ok(fs::write(comm, "after")?)
            },
        )?;
    }
    Ok(())
}

fn under_way(stage: &Stage) -> Result<()> {
    // What it does before there are hooks is no part of the truth.
    let unseen = Stage::stay(&stage.file("unseen"), "")?;
    let listener = FullListener::new(&unseen, "under way")?;
    listener.block(
        |socket| {
            stage.expect_of(0, &Attempt::new(socket, &listener.address).unentered())?;
            // The thread's next call is seen whole.
            stage.expect(0, &udp()?, &loopback(9))
        },
        |_| {
            stage.mark("blocked")?;
            stage.await_mark("ready")
        },
    )
}

fn attach(case: &Case) -> Result<()> {
    let scratch = Scratch::new()?;
    fs::create_dir(scratch.file("unseen"))?;
    let program = case.start(&scratch, "")?;
    await_mark(scratch.path(), "blocked")?;
    let pid = program.pid()?.as_raw_nonzero().to_string();
    let agent = Observer::start(&scratch, &Command::trace(&["--pid", &pid]))?;
    agent.ready()?;
    mark(scratch.path(), "ready")?;
    ensure!(program.end("the program")?.success(), "the program failed");
    agent.interrupt()?.assert_exact()
}
