//! A real 32-bit program, `tests/program32`, that makes one call.

use std::{
    env, fs,
    io::Read as _,
    net::TcpListener,
    os::fd::{AsRawFd as _, OwnedFd},
    process,
    time::{Instant, SystemTime},
};

use anyhow::{Context as _, Result, ensure};
use libc::{ECONNREFUSED, EHOSTDOWN, EINTR, SA_RESTART};
use rustix::{
    io::{FdFlags, fcntl_setfd},
    process::{Pid, Signal, kill_process},
};

use super::Shown;
use crate::support::{
    attempt::{Attempt, Outcome},
    blocking::FullListener,
    child::state,
    compat::{CONNECT, SOCKETCALL},
    feature::PROGRAM32,
    sockaddr::{Sockaddr, loopback},
    stage::Stage,
    syscall::{tcp, udp, unix_stream},
    truth::Caller,
    wait,
};

/// The same calls, also with signals, whose handlers return by a system call of their own.
pub(super) fn calls(stage: &Stage, shown: Shown) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = loopback(listener.local_addr()?.port());
    for way in ["direct", "socketcall"] {
        for (address, errno) in [(&address, 0), (&loopback(9), ECONNREFUSED)] {
            let client = tcp()?;
            let program = Program::start(way, &client, address, 0, shown)?;
            program.end(stage, errno, &Attempt::new(&client, address))?;
        }
        let full = FullListener::new(stage, way)?;
        for (flags, signals, errno) in [(SA_RESTART, 3, 0), (0, 1, EINTR)] {
            let client = unix_stream()?;
            let mut program = Program::start(way, &client, &full.address, flags, shown)?;
            for _ in 0..signals {
                program.await_blocked()?;
                program.signal(Signal::USR1)?;
            }
            if errno == 0 {
                program.await_blocked()?;
                full.make_room()?;
            }
            let restarts = if errno == 0 { signals } else { 0 };
            let attempt = Attempt::new(&client, &full.address).restarted(restarts);
            program.end(stage, errno, &attempt)?;
        }
    }
    Ok(())
}

/// Its handler of SIGSYS returns by a system call of its own too, and what it answers is what the call returned.
pub(super) fn trapped(stage: &Stage) -> Result<()> {
    let (client, address) = (udp()?, loopback(9));
    for _ in 0..2 {
        let program = Program::start("trapped", &client, &address, 0, super::callers)?;
        let attempt = Attempt::new(&client, &address).unentered();
        program.end(stage, EHOSTDOWN, &attempt)?;
    }
    Ok(())
}

struct Program {
    process: process::Child,
    output: process::ChildStdout,
    pid: Pid,
    since: (SystemTime, Instant),
    shown: Shown,
}

impl Program {
    fn start(
        way: &str,
        socket: &OwnedFd,
        address: &Sockaddr,
        flags: i32,
        shown: Shown,
    ) -> Result<Self> {
        let program = env::var_os(PROGRAM32).context("no 32-bit program")?;
        // It has the same descriptor.
        fcntl_setfd(socket, FdFlags::empty())?;
        let bytes: Vec<_> = address.bytes.iter().map(u8::to_string).collect();
        let since = (SystemTime::now(), Instant::now());
        let mut process = process::Command::new(program)
            .args([
                way,
                &socket.as_raw_fd().to_string(),
                &bytes.join(","),
                &flags.to_string(),
            ])
            .stdout(process::Stdio::piped())
            .spawn()?;
        Ok(Self {
            output: process.stdout.take().context("no output")?,
            pid: Pid::from_child(&process),
            process,
            since,
            shown,
        })
    }

    fn await_blocked(&self) -> Result<()> {
        let file = format!("/proc/{}/syscall", self.pid);
        wait::until_true("a 32-bit program to block in connect", || {
            let call = fs::read_to_string(&file)?;
            let number = call
                .split(' ')
                .next()
                .and_then(|number| number.parse().ok());
            Ok(state(self.pid, self.pid)? == 'S'
                && number.is_some_and(|number| [CONNECT, SOCKETCALL].contains(&number)))
        })
    }

    /// Sends a signal, and waits until its handler has begun.
    fn signal(&mut self, signal: Signal) -> Result<()> {
        kill_process(self.pid, signal)?;
        let mut told = [0];
        self.output.read_exact(&mut told)?;
        ensure!(told == *b"!", "{told:?}");
        Ok(())
    }

    fn end(mut self, stage: &Stage, errno: i32, attempt: &Attempt<'_>) -> Result<()> {
        let mut told = String::new();
        self.output.read_to_string(&mut told)?;
        let (before, start) = self.since;
        let found: i32 = told.trim_start_matches('!').trim().parse()?;
        ensure!(found == errno, "errno {found} instead of {errno}");
        let outcome = Outcome::made_since(before, start, found);
        ensure!(self.process.wait()?.success(), "it has failed");
        let pid = self.pid.as_raw_nonzero().get();
        let caller = Caller {
            pid,
            tid: pid,
            comm: "program32".to_owned(),
            ..Caller::me()
        };
        let attempt = (self.shown)(attempt.via("compat"));
        stage.record(&attempt, &caller, &outcome)
    }
}
