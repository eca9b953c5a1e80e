//! Interrupted by a signal: what the kernel's hook shows is not what the application gets.
//!
//! `interrupted.rs` has more of it: many interruptions, nested calls, exec.

use std::{
    os::fd::OwnedFd,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context as _, Result, anyhow, ensure};
use libc::{EINTR, SA_RESTART, SIGUSR1};
use rustix::process::{Signal, WaitOptions, getpid, kill_process, waitpid};

use crate::support::{
    attempt::{Attempt, Outcome},
    blocking::FullListener,
    child::{await_blocked, fork, succeed},
    conformance::Proof,
    option,
    signal::{count, handle, send, send_counted},
    stage::Stage,
    syscall::unix_stream,
    truth::Caller,
};

pub(super) const PROOFS: &[Proof] = &[
    Proof::new(
        "errno_eintr_without_sa_restart",
        "unix, waiting for room in a backlog that one call has filled: a signal whose handler has \
         no `SA_RESTART`",
        without_sa_restart,
    ).brief(),
    Proof::new(
        "errno_eintr_with_sa_restart",
        "the same with `SA_RESTART`: the kernel enters the call again, and the application sees one \
         call",
        with_sa_restart,
    ).brief(),
    Proof::new(
        "errno_eintr_with_send_timeout",
        "the same with `SA_RESTART` and `SO_SNDTIMEO`, which rules a restart out",
        with_send_timeout,
    ),
    Proof::new(
        "errno_eintr_stopped_and_continued",
        "the same, but stopped by SIGSTOP and continued by SIGCONT: no handler runs, and the kernel \
         enters the call again",
        stopped_and_continued,
    ),
    Proof::new(
        "errno_eintr_killed",
        "the same, but killed by SIGKILL: the call never returns",
        killed,
    ),
    Proof::new(
        "errno_eintr_killed_with_send_timeout",
        "the same with `SO_SNDTIMEO`, killed by SIGKILL: the call never returns",
        killed_with_send_timeout,
    ),
];

fn without_sa_restart(stage: &Stage) -> Result<()> {
    handle(SIGUSR1, 0, count)?;
    let listener = FullListener::new(stage, "full")?;
    listener.block(
        |socket| stage.expect(EINTR, socket, &listener.address),
        |tid| send(tid, SIGUSR1),
    )
}

fn with_sa_restart(stage: &Stage) -> Result<()> {
    handle(SIGUSR1, SA_RESTART, count)?;
    let listener = FullListener::new(stage, "full")?;
    listener.block(
        |socket| {
            let attempt = Attempt::new(socket, &listener.address).restarted(1);
            stage.expect_of(0, &attempt)
        },
        |tid| {
            send_counted(tid, SIGUSR1)?;
            await_blocked(getpid(), tid)
        },
    )
}

fn with_send_timeout(stage: &Stage) -> Result<()> {
    handle(SIGUSR1, SA_RESTART, count)?;
    let listener = FullListener::new(stage, "full")?;
    listener.block(
        |socket| {
            option::limit_waiting(socket, Duration::from_secs(3600))?;
            stage.expect(EINTR, socket, &listener.address)
        },
        |tid| send(tid, SIGUSR1),
    )
}

fn stopped_and_continued(stage: &Stage) -> Result<()> {
    let listener = FullListener::new(stage, "full")?;
    let child = fork(|| {
        let socket = unix_stream()?;
        stage.expect_of(0, &Attempt::new(&socket, &listener.address).restarted(1))
    })?;
    await_blocked(child, child)?;
    kill_process(child, Signal::STOP)?;
    let (_, status) = waitpid(Some(child), WaitOptions::UNTRACED)?.context("no stop")?;
    ensure!(status.stopped(), "{status:?}");
    kill_process(child, Signal::CONT)?;
    await_blocked(child, child)?;
    listener.make_room()?;
    succeed(child)
}

fn killed(stage: &Stage) -> Result<()> {
    kill(stage, &unix_stream()?)
}

fn killed_with_send_timeout(stage: &Stage) -> Result<()> {
    let socket = unix_stream()?;
    option::limit_waiting(&socket, Duration::from_secs(3600))?;
    kill(stage, &socket)
}

fn kill(stage: &Stage, socket: &OwnedFd) -> Result<()> {
    let listener = FullListener::new(stage, "full")?;
    let attempt = Attempt::new(socket, &listener.address).killed();
    let (before, start) = (SystemTime::now(), Instant::now());
    let child = fork(|| {
        attempt.make();
        Err(anyhow!("not killed"))
    })?;
    await_blocked(child, child)?;
    kill_process(child, Signal::KILL)?;
    waitpid(Some(child), WaitOptions::empty())?;
    let id = child.as_raw_nonzero().get();
    let caller = Caller {
        pid: id,
        tid: id,
        ..Caller::me()
    };
    stage.record(&attempt, &caller, &Outcome::never_returned(before, start))
}
