//! Attempts that the application gives up.

use std::{
    mem,
    net::Shutdown,
    os::fd::{AsRawFd as _, RawFd},
    thread,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Result, ensure};
use libc::{ECONNREFUSED, EINPROGRESS};
use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, waitpid};

use super::{begin, conclude, listener, unanswered};
use crate::{
    interrupted::peer::Deaf,
    support::{
        attempt::{Attempt, Outcome, Settlement},
        case::Case,
        child::{await_blocked, fork, succeed},
        network::{SILENT, route_to_silence},
        option,
        sockaddr::{inet, loopback, unspec},
        stage::Stage,
        syscall::{await_peer, tcp},
        truth::Caller,
    },
};

pub(crate) const CASES: &[Case] = &[
    Case::outcomes("abandoned_by_close", by_close).brief(),
    Case::outcomes("abandoned_by_shutdown", by_shutdown),
    Case::outcomes("abandoned_by_dissolving", by_dissolving),
    Case::outcomes("abandoned_by_exit", by_exit),
    Case::outcomes("abandoned_by_kill", by_kill),
    Case::outcomes("abandoned_by_kill_in_the_call", by_kill_in_the_call),
    Case::outcomes("abandoned_after_a_send_timeout", after_send_timeout),
    Case::outcomes("established_after_a_send_timeout", send_timeout),
    Case::outcomes("settled_and_closed_at_once_is_not_abandoned", short_lived),
    Case::outcomes("closed_long_after_has_no_second_outcome", idle),
    Case::outcomes("failed_and_closed_has_no_second_outcome", failed),
];

fn by_close(stage: &Stage) -> Result<()> {
    let (socket, address) = unanswered(stage)?;
    stage.settled(&socket, &address, Settlement::Abandoned)
}

fn by_shutdown(stage: &Stage) -> Result<()> {
    let (socket, address) = unanswered(stage)?;
    // It says that the socket is not connected, and ends the attempt.
    let _not_connected = socket.shutdown(Shutdown::Both);
    stage.settled(&socket, &address, Settlement::Abandoned)
}

fn by_dissolving(stage: &Stage) -> Result<()> {
    let (socket, address) = unanswered(stage)?;
    stage.expect(0, &socket, &unspec(16))?;
    stage.settled(&socket, &address, Settlement::Abandoned)
}

fn by_exit(stage: &Stage) -> Result<()> {
    route_to_silence()?;
    let child = fork(|| {
        let address = inet(SILENT, 80);
        let socket = begin(stage, &address)?;
        stage.settled(&socket, &address, Settlement::Abandoned)?;
        // Nothing closes it but the kernel.
        mem::forget(socket);
        Ok(())
    })?;
    succeed(child)
}

fn by_kill(stage: &Stage) -> Result<()> {
    route_to_silence()?;
    let child = fork(|| {
        let address = inet(SILENT, 80);
        let socket = begin(stage, &address)?;
        stage.settled(&socket, &address, Settlement::Abandoned)?;
        stage.mark("begun")?;
        loop {
            thread::park();
        }
    })?;
    stage.await_mark("begun")?;
    kill(child)
}

fn by_kill_in_the_call(stage: &Stage) -> Result<()> {
    route_to_silence()?;
    let address = inet(SILENT, 80);
    let socket = tcp()?;
    let fd: RawFd = socket.as_raw_fd();
    let before = SystemTime::now();
    let start = Instant::now();
    let child = fork(|| {
        Attempt::new(&socket, &address).make();
        Ok(())
    })?;
    await_blocked(child, child)?;
    // The child alone has it.
    drop(socket);
    kill(child)?;
    let caller = Caller {
        pid: child.as_raw_nonzero().get(),
        tid: child.as_raw_nonzero().get(),
        ..Caller::me()
    };
    let attempt = Attempt::new(&fd, &address).killed();
    stage.record(&attempt, &caller, &Outcome::never_returned(before, start))?;
    stage.settled_of(&caller, fd, &address, Settlement::Abandoned)
}

fn kill(child: Pid) -> Result<()> {
    ensure!(child != getpid(), "not ourselves");
    kill_process(child, Signal::KILL)?;
    waitpid(Some(child), WaitOptions::empty())?;
    Ok(())
}

fn after_send_timeout(stage: &Stage) -> Result<()> {
    route_to_silence()?;
    let (socket, address) = (tcp()?, inet(SILENT, 80));
    option::limit_waiting(&socket, Duration::from_millis(1))?;
    stage.expect(EINPROGRESS, &socket, &address)?;
    stage.settled(&socket, &address, Settlement::Abandoned)
}

/// The caller has waited in vain; the peer answers later.
fn send_timeout(stage: &Stage) -> Result<()> {
    let deaf = Deaf::new(9)?;
    let socket = tcp()?;
    option::limit_waiting(&socket, Duration::from_millis(1))?;
    stage.expect(EINPROGRESS, &socket, &deaf.address)?;
    deaf.hear()?;
    conclude(stage, &socket, &deaf.address, 0)
}

fn short_lived(stage: &Stage) -> Result<()> {
    let (_listener, address) = listener()?;
    for _ in 0..100 {
        let socket = begin(stage, &address)?;
        await_peer(&socket)?;
        stage.settled(&socket, &address, Settlement::Established)?;
    }
    Ok(())
}

fn idle(stage: &Stage) -> Result<()> {
    let (listener, address) = listener()?;
    let socket = begin(stage, &address)?;
    conclude(stage, &socket, &address, 0)?;
    let (peer, _) = listener.accept()?;
    drop(peer);
    drop(socket);
    // And one whose peer resets it.
    let socket = begin(stage, &address)?;
    conclude(stage, &socket, &address, 0)?;
    let (peer, _) = listener.accept()?;
    let at_once = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    option::set(&peer, libc::SOL_SOCKET, libc::SO_LINGER, &at_once)?;
    drop(peer);
    drop(socket);
    Ok(())
}

fn failed(stage: &Stage) -> Result<()> {
    let address = loopback(9);
    let socket = begin(stage, &address)?;
    conclude(stage, &socket, &address, ECONNREFUSED)?;
    drop(socket);
    Ok(())
}
