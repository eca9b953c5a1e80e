//! Filters: exactly what was asked for is reported.

use std::fs;

use anyhow::{Result, ensure};
use libc::{EBADF, ECONNREFUSED, EINPROGRESS, SOCK_NONBLOCK, SOCK_STREAM};
use rustix::{process::Uid, thread::set_thread_res_uid};
use serde_json::Value;

use super::handshake::conclude;
use crate::support::{
    attempt::Attempt,
    case::Case,
    child::{fork, in_thread, succeed},
    memory::Pages,
    observation::Observation,
    observer::{Command, Observer},
    scratch::{Scratch, await_mark, mark},
    sockaddr::{Sockaddr, inet6, loopback, mapped, unix, unix_unnamed, unspec},
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
    let mapped = mapped([127, 0, 0, 1], 9);
    let mapped_path = stage.file("mapped");
    fs::write(&mapped_path, &mapped.bytes)?;
    let compatible = inet6("::127.0.0.1".parse()?, 9, 0, "::7f00:1");
    let short = Sockaddr::raw(&mapped.bytes[..23], Some("AF_INET6"));
    for _ in 0..10 {
        stage.expect(0, &datagram, &loopback(9))?;
        stage.expect(EBADF, &-1, &loopback(9))?;
        let waiting = socket(libc::AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)?;
        stage.expect(EINPROGRESS, &waiting, &loopback(9))?;
        stage.expect(0, &datagram6, &localhost6)?;
        stage.connect(&Attempt::new(&stream, &localhost6))?;
        // IPv4, though it is passed as IPv6; also where that is known only at the exit.
        stage.expect(0, &datagram6, &mapped)?;
        let waiting = socket(libc::AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0)?;
        stage.expect(EINPROGRESS, &waiting, &mapped)?;
        conclude(stage, &waiting, &mapped, ECONNREFUSED)?;
        let refused = socket(libc::AF_INET6, SOCK_STREAM, 0)?;
        stage.expect(ECONNREFUSED, &refused, &mapped)?;
        let cold = Pages::of_file(&fs::File::open(&mapped_path)?, 1)?;
        let call = Attempt::new(&datagram6, &mapped).at(cold.address(0));
        stage.expect_of(0, &call.read_at_exit())?;
        // Neither, but nearly.
        stage.connect(&Attempt::new(&datagram6, &compatible))?;
        // Too short to be one. What the call before has left behind does not count.
        stage.connect(&Attempt::new(&datagram6, &short))?;
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
    let family = |call: &Call, name: &str| match name {
        "AF_INET" => has(call, "network.type", "ipv4"),
        "AF_INET6" => has(call, "address.family", name) && !has(call, "network.type", "ipv4"),
        _ => has(call, "address.family", name),
    };
    let settled = |observation: &Observation, name| {
        let of: Vec<_> = observation
            .outcomes
            .iter()
            .map(|outcome| outcome.text(name))
            .collect::<Result<_>>()?;
        ensure!(of == ["ipv4"; 20], "{of:?}");
        Ok(())
    };
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
        // Only attempts over IPv4 are settled after their call: ten of an IPv4-mapped address.
        if name == "AF_INET" {
            settled(&observation, "network.type")?;
        } else {
            ensure!(observation.outcomes.is_empty(), "{observation:?}");
        }
    }
    case.run(&["--failed"])?.assert_exactly(failed)?;
    let both = case.run(&["--failed", "--family", "inet"])?;
    both.assert_exactly(|call| failed(call) && family(call, "AF_INET"))
}
