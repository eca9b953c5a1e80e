//! Connects by the system calls of 32-bit programs.

mod program;
mod raw;

use std::{
    net::TcpListener,
    os::fd::{AsRawFd as _, OwnedFd},
    time::{Instant, SystemTime},
};

use anyhow::{Result, ensure};
use libc::{EBADF, ECONNREFUSED, EFAULT, SOCK_NONBLOCK, SOCK_STREAM};

use crate::support::{
    attempt::{Attempt, Outcome, Settlement},
    case::Case,
    compat::{CONNECT, Low, Way, int80},
    feature::{COMPAT_PROGRAMS, FUNCTIONS, PROGRAMS32, REGISTERS, SECCOMP_KILL},
    sockaddr::{Sockaddr, loopback},
    stage::Stage,
    syscall::{socket, tcp, udp},
    truth::Caller,
};

pub(crate) const CASES: &[Case] = &[
    Case::outcomes("compat_connects", |stage| both_ways(stage, kernels))
        .also_by_functions()
        .brief()
        .needs(&FUNCTIONS),
    Case::exact("compat_connects_of_a_real_program", |stage| {
        program::calls(stage, kernels)
    })
    .also_by_functions()
    .brief()
    .needs(&COMPAT_PROGRAMS),
    Case::new(
        "compat_attempts_are_seen_by_tracepoints",
        |case| {
            let observation = case.run(&["--hooks", "tracepoint"])?;
            ensure!(observation.connects.is_empty(), "{observation:?}");
            let said = observation.coverage("compat")?;
            ensure!(said.contains("--compat"), "no way out is named: {said}");
            observation.assert_nothing_lost()?;
            observation.assert_only_outcomes()
        },
        unexplained,
    )
    .brief(),
    Case::new(
        "compat_connects_are_reported_once_where_functions_show_them",
        |case| case.run(&["--compat"])?.assert_outcomes(),
        |stage| both_ways(stage, kernels),
    )
    .needs(&FUNCTIONS),
    by_raw("compat_by_raw_connects", |stage| both_ways(stage, callers)).brief(),
    by_raw("compat_by_raw_connects_of_a_real_program", |stage| {
        program::calls(stage, callers)
    })
    .alone()
    .needs(&PROGRAMS32),
    by_raw("compat_by_raw_trapped_real_program", program::trapped).needs(&PROGRAMS32),
    by_raw("compat_by_raw_odd_arguments", raw::odd_arguments),
    by_raw(
        "compat_by_raw_unreadable_arguments",
        raw::unreadable_arguments,
    ),
    by_raw(
        "compat_by_raw_others_are_not_taken_for_connects",
        raw::others,
    ),
    by_raw("compat_by_raw_interrupted", raw::interrupted)
        .alone()
        .brief(),
    by_raw("compat_by_raw_killed", raw::killed),
    by_raw("compat_by_raw_seccomp", raw::seccomp)
        .brief()
        .needs(&REGISTERS),
    by_raw("compat_by_raw_seccomp_kill", raw::seccomp_kill).needs(&SECCOMP_KILL),
];

/// What the agent shows of a call, by what it is looked at.
type Shown = fn(Attempt<'_>) -> Attempt<'_>;

/// By the kernel's functions: its own copy of the address.
fn kernels(attempt: Attempt<'_>) -> Attempt<'_> {
    attempt.of_the_kernel()
}

/// By system calls: the caller's address.
const fn callers(attempt: Attempt<'_>) -> Attempt<'_> {
    attempt
}

/// A test that finds exactly the program's calls with `--compat` and without hooks on functions.
const fn by_raw(name: &'static str, play: fn(&Stage) -> Result<()>) -> Case {
    Case::new(
        name,
        |case| {
            let observation = case.run(&["--hooks", "tracepoint", "--compat"])?;
            observation.assert_outcomes()
        },
        play,
    )
}

fn both_ways(stage: &Stage, shown: Shown) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = loopback(listener.local_addr()?.port());
    let refusing = loopback(9);
    let mut low = Low::new()?;
    let me = Caller::me();
    for way in [Way::Direct, Way::Socketcall] {
        let not_blocking = || socket(libc::AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        let mut expect = |errno, socket: &OwnedFd, address: &Sockaddr| {
            let (before, start) = (SystemTime::now(), Instant::now());
            let found = low.connect(way, socket.as_raw_fd(), address)?;
            let outcome = Outcome::made_since(before, start, found);
            let attempt = shown(Attempt::new(socket, address).via("compat"));
            stage.record(&attempt, &me, &outcome)?;
            ensure!(found == errno, "errno {found} instead of {errno}");
            Ok(())
        };
        let clients = [tcp()?, tcp()?, udp()?, not_blocking()?];
        for (client, (address, errno)) in clients.iter().zip([
            (&address, 0),
            (&refusing, ECONNREFUSED),
            (&refusing, 0),
            (&address, libc::EINPROGRESS),
        ]) {
            expect(errno, client, address)?;
        }
        let attempt = Attempt::new(&clients[3], &address).via("compat");
        stage.settled_via(&me, &attempt, &address, Settlement::Established)?;
        // And native ones in between.
        stage.expect(0, &tcp()?, &address)?;

        // Before the kernel has a copy.
        let (before, start) = (SystemTime::now(), Instant::now());
        let found = low.connect(way, 9999, &address)?;
        ensure!(found == EBADF, "errno {found}");
        let outcome = Outcome::made_since(before, start, found);
        stage.record(&Attempt::new(&9999, &address).via("compat"), &me, &outcome)?;
    }
    let client = tcp()?;
    let (before, start) = (SystemTime::now(), Instant::now());
    let found = int80(CONNECT, [client.as_raw_fd().cast_unsigned(), 8, 16]);
    ensure!(found == EFAULT, "errno {found}");
    let outcome = Outcome::made_since(before, start, found);
    let attempt = Attempt::unreadable(u64::try_from(client.as_raw_fd())?, 8, 16).via("compat");
    stage.record(&attempt, &me, &outcome)
}

fn unexplained(stage: &Stage) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = loopback(listener.local_addr()?.port());
    let mut low = Low::new()?;
    for way in [Way::Direct, Way::Socketcall] {
        let client = tcp()?;
        ensure!(
            low.connect(way, client.as_raw_fd(), &address)? == 0,
            "not connected"
        );
        stage.unexplained(&address, Settlement::Established)?;
        let refused = tcp()?;
        let refusing = loopback(9);
        ensure!(
            low.connect(way, refused.as_raw_fd(), &refusing)? == ECONNREFUSED,
            "not refused"
        );
        stage.unexplained(&refusing, Settlement::Failed(ECONNREFUSED))?;
    }
    Ok(())
}
