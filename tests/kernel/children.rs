//! Processes that live for one call: pid and tid are right, and none is missed.

use std::io::{Read as _, pipe};

use anyhow::{Result, ensure};
use libc::CLONE_NEWPID;

use crate::support::{
    attempt::Attempt,
    case::Case,
    child::{self, fork, in_thread, succeed},
    sockaddr::{inet, loopback},
    stage::Stage,
    syscall::udp,
    truth::Caller,
};

pub(crate) const CASES: &[Case] = &[
    Case::exact("short_lived_children", short_lived).also_by_functions(),
    Case::exact("vforked_children", vforked).also_by_functions(),
    Case::exact("grandchildren_whose_parents_are_gone", orphans).also_by_functions(),
    Case::exact("short_lived_threads", short_lived_threads).also_by_functions(),
    Case::exact(
        "ids_of_a_nested_pid_namespace_are_the_initial_ones",
        nested_pids,
    )
    .also_by_functions(),
    Case::exact("children_of_exec_are_followed", executed).also_by_functions(),
];

/// The n-th child's own peer.
fn peer(number: u16) -> crate::support::sockaddr::Sockaddr {
    let [high, low] = number.to_be_bytes();
    inet([127, 1, high, low], number.max(1))
}

fn short_lived(stage: &Stage) -> Result<()> {
    let socket = udp()?;
    // Several at a time.
    for batch in 0..50 {
        for number in 0..10 {
            fork(|| stage.expect(0, &socket, &peer(batch * 10 + number)))?;
        }
        child::succeed_all()?;
    }
    stage.expect(0, &socket, &loopback(1))
}

fn vforked(stage: &Stage) -> Result<()> {
    let socket = udp()?;
    let me = Caller::me();
    for number in 0..200 {
        let address = peer(number);
        let attempt = Attempt::new(&socket, &address);
        let (child, outcome) = child::clone(0, &attempt)?;
        let child = child.as_raw_nonzero().get();
        let caller = Caller {
            pid: child,
            tid: child,
            ..me.clone()
        };
        ensure!(outcome.errno == 0, "errno {}", outcome.errno);
        stage.record(&attempt, &caller, &outcome)?;
        // The parent's own call must not look like the child's, nor the other way round.
        stage.expect(0, &socket, &loopback(1))?;
    }
    Ok(())
}

/// A process whose parent ends before it makes its call.
fn orphans(stage: &Stage) -> Result<()> {
    let socket = udp()?;
    let (mut end, held_open) = pipe()?;
    for number in 0..100 {
        let child = fork(|| {
            let parent = rustix::process::getpid();
            fork(|| {
                crate::support::wait::until_true("the parent's end", || {
                    Ok(rustix::process::getppid() != Some(parent))
                })?;
                stage.expect(0, &socket, &peer(number))
            })?;
            Ok(())
        })?;
        succeed(child)?;
    }
    drop(held_open);
    // Ends when the last of them has ended: each holds the other end of the pipe.
    end.read_to_end(&mut Vec::new())?;
    Ok(())
}

fn short_lived_threads(stage: &Stage) -> Result<()> {
    for number in 0..500 {
        let call = || stage.expect(0, &udp()?, &peer(number));
        in_thread(call)?;
    }
    Ok(())
}

fn nested_pids(stage: &Stage) -> Result<()> {
    let socket = udp()?;
    let me = Caller::me();
    // In its own pid namespace it is number 1.
    let address = peer(7);
    let attempt = Attempt::new(&socket, &address);
    let (child, outcome) = child::clone(CLONE_NEWPID, &attempt)?;
    let child = child.as_raw_nonzero().get();
    ensure!(child != 1 && outcome.errno == 0, "{child} {outcome:?}");
    let caller = Caller {
        pid: child,
        tid: child,
        ..me
    };
    stage.record(&attempt, &caller, &outcome)
}

/// A program that starts itself by `posix_spawn`, and that one the next.
fn executed(stage: &Stage) -> Result<()> {
    let depth: u8 = stage.role.parse().unwrap_or(0);
    stage.expect(0, &udp()?, &peer(depth.into()))?;
    if depth == 3 {
        return Ok(());
    }
    let status = stage.again(&(depth + 1).to_string())?.status()?;
    ensure!(status.success(), "depth {depth}: {status}");
    Ok(())
}
