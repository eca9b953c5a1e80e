//! Filters: exactly what was asked for is reported.

use std::fs;

use anyhow::{Result, ensure};
use libc::{EBADF, EINPROGRESS, SOCK_NONBLOCK, SOCK_STREAM};
use rustix::{process::Uid, thread::set_thread_res_uid};
use serde_json::Value;

use crate::support::{
    attempt::Attempt,
    case::Case,
    child::{fork, in_thread, succeed},
    memory::Pages,
    observer::{Command, Observer},
    scratch::{Scratch, await_mark, mark},
    sockaddr::{Sockaddr, inet6, loopback, unix, unix_unnamed, unspec},
    stage::Stage,
    syscall::{register, socket, tcp, udp, unix_stream},
    truth::Call,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("pid_filter_is_exact", by_pid, in_two_processes),
    Case::new("uid_filter_is_exact", by_uid, of_two_users),
    Case::new("family_and_failed_filters_are_exact", by_call, of_all_kinds),
];

fn has(call: &Call, key: &str, value: impl Into<Value>) -> bool {
    call.keys.get(key) == Some(&value.into())
}

/// Its threads are one process; its child is another.
fn in_two_processes(stage: &Stage) -> Result<()> {
    stage.mark("started")?;
    stage.await_mark("go")?;
    let socket = udp()?;
    for port in 1..=20 {
        stage.expect(0, &socket, &loopback(port))?;
        in_thread(|| stage.expect(0, &socket, &loopback(port + 100)))?;
        succeed(fork(|| stage.expect(0, &socket, &loopback(port + 200)))?)?;
    }
    Ok(())
}

fn by_pid(case: &Case) -> Result<()> {
    let scratch = Scratch::new()?;
    let program = case.start(&scratch, "")?;
    await_mark(scratch.path(), "started")?;
    let pid = program.pid()?.as_raw_nonzero().get();
    let agent = Observer::start(&scratch, &Command::trace(&["--pid", &pid.to_string()]))?;
    agent.ready()?;
    mark(scratch.path(), "go")?;
    ensure!(program.end("the program")?.success(), "the program failed");
    agent
        .interrupt()?
        .assert_exactly(|call| has(call, "process.pid", pid))
}

const NOBODY: u32 = 65534;

/// The real user counts, not the effective one.
fn of_two_users(stage: &Stage) -> Result<()> {
    let socket = udp()?;
    for port in 1..=20 {
        stage.expect(0, &socket, &loopback(port))?;
        for (real, effective) in [(NOBODY, NOBODY), (NOBODY, 0), (0, NOBODY), (1, 1)] {
            succeed(fork(|| {
                let [real, effective] = [real, effective].map(Uid::from_raw);
                set_thread_res_uid(real, effective, effective)?;
                stage.expect(0, &socket, &loopback(port))
            })?)?;
        }
    }
    Ok(())
}

fn by_uid(case: &Case) -> Result<()> {
    let observation = case.run(&["--uid", &NOBODY.to_string()])?;
    observation.assert_exactly(|call| has(call, "process.real_user.id", NOBODY))
}

/// Successes and failures of several families, with every way to read an address or not to.
fn of_all_kinds(stage: &Stage) -> Result<()> {
    let (datagram, stream, unix_socket) = (udp()?, tcp()?, unix_stream()?);
    let localhost6 = inet6(std::net::Ipv6Addr::LOCALHOST, 53, 0, "::1");
    let datagram6 = socket(libc::AF_INET6, libc::SOCK_DGRAM, 0)?;
    let unknown = Sockaddr::raw(&[0x2c, 1, 7, 7], Some("300"));
    let path = stage.file("address");
    fs::write(&path, &localhost6.bytes)?;
    for _ in 0..10 {
        stage.expect(0, &datagram, &loopback(9))?;
        stage.expect(EBADF, &-1, &loopback(9))?;
        let waiting = socket(libc::AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)?;
        stage.expect(EINPROGRESS, &waiting, &loopback(9))?;
        stage.expect(0, &datagram6, &localhost6)?;
        stage.connect(&Attempt::new(&stream, &localhost6))?;
        // The family is known only at the exit.
        let cold = Pages::of_file(&fs::File::open(&path)?, 1)?;
        let call = Attempt::new(&datagram6, &localhost6).at(cold.address(0));
        stage.expect_of(0, &call.read_at_exit())?;
        stage.connect(&Attempt::new(&unix_socket, &unix(b"/no/such/path")))?;
        stage.connect(&Attempt::new(&unix_socket, &unix_unnamed()))?;
        stage.expect(0, &datagram, &unspec(16))?;
        stage.connect(&Attempt::new(&stream, &unknown))?;
        // No family at all.
        stage.connect(&Attempt::new(&stream, &Sockaddr::raw(&[2], None)))?;
        stage.connect(&Attempt::new(&stream, &Sockaddr::raw(&[], None)))?;
        stage.connect(&Attempt::unreadable(register(-1), 0, 16))?;
    }
    Ok(())
}

fn by_call(case: &Case) -> Result<()> {
    let family = |call: &Call, name| has(call, "address.family", name);
    let failed = |call: &Call| !has(call, "errno", 0) && !has(call, "errno", EINPROGRESS);
    case.run(&[])?.assert_exact()?;
    for (typed, name) in [
        ("inet", "AF_INET"),
        ("AF_INET6", "AF_INET6"),
        ("1", "AF_UNIX"),
        ("unspec", "AF_UNSPEC"),
        ("300", "300"),
    ] {
        let observation = case.run(&["--family", typed])?;
        observation.assert_exactly(|call| family(call, name))?;
    }
    case.run(&["--failed"])?.assert_exactly(failed)?;
    let both = case.run(&["--failed", "--family", "inet"])?;
    both.assert_exactly(|call| failed(call) && family(call, "AF_INET"))
}
