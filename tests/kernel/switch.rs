//! Start and stop while a process connects without a pause: nothing looks lost or unexplained, only as the
//! hooks go live and away one after the other, and what is under way then is one thing.

use std::{
    collections::BTreeSet,
    fs,
    net::TcpListener,
    os::fd::{AsRawFd as _, OwnedFd},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
};

use anyhow::{Context as _, Result, ensure};
use libc::{EBADF, EINPROGRESS};

#[cfg(target_arch = "x86_64")]
use crate::support::compat::{Low, Way};
use crate::support::{
    case::Case,
    child::join,
    feature,
    observation::Observation,
    observer::{Command, Observer},
    scratch::{Scratch, await_mark, mark},
    sockaddr::{Sockaddr, loopback},
    stage::Stage,
    syscall::{connect, register, tcp, udp},
    wait,
};

pub(crate) const CASES: &[Case] = &[
    Case::new("start_and_stop_lose_nothing", start_and_stop, restless)
        .alone()
        .brief(),
    #[cfg(target_arch = "x86_64")]
    Case::new(
        "start_and_stop_lose_nothing_of_32_bit_calls",
        |case| start_and_stop_with(case, &["--hooks", "tracepoint", "--compat"]),
        |stage| {
            restless_by(stage, || {
                let mut low = Low::new()?;
                Ok(move |fd, address: &Sockaddr| low.connect(Way::Socketcall, fd, address))
            })
        },
    )
    .alone(),
];

/// How often the agent is started and stopped.
const TIMES: usize = 10;
/// How many events each is to have seen before it is stopped.
const EVENTS: usize = 500;
/// How many threads call at the same time.
const THREADS: usize = 2;

fn call(fd: i32, address: &Sockaddr) -> i32 {
    let pointer = address.bytes.as_ptr().expose_provenance() as u64;
    connect(register(fd), pointer, address.len() as u64)
}

/// Calls of three kinds, until the test has seen enough: one that fails at once, one of a datagram socket, and
/// one whose attempt goes on after it.
fn restless(stage: &Stage) -> Result<()> {
    restless_by(stage, || Ok(|fd, address: &Sockaddr| Ok(call(fd, address))))
}

/// `make` makes what makes the calls of a thread.
fn restless_by<C: FnMut(i32, &Sockaddr) -> Result<i32>>(
    stage: &Stage,
    make: impl Fn() -> Result<C> + Sync,
) -> Result<()> {
    let enough = AtomicBool::new(false);
    let calls = || -> Result<()> {
        let mut call = make()?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let (there, nowhere) = (loopback(listener.local_addr()?.port()), loopback(9));
        let datagrams = udp()?;
        while !enough.load(Relaxed) {
            let stream = not_blocking()?;
            for (fd, address, expected) in [
                (-1, &nowhere, EBADF),
                (datagrams.as_raw_fd(), &nowhere, 0),
                (stream.as_raw_fd(), &there, EINPROGRESS),
            ] {
                let errno = call(fd, address)?;
                ensure!(errno == expected, "errno {errno} instead of {expected}");
            }
            let (_accepted, _) = listener.accept()?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(calls)).collect();
        stage.mark("restless")?;
        let awaited = stage.await_mark("enough");
        enough.store(true, Relaxed);
        threads.into_iter().try_for_each(join)?;
        awaited
    })
}

fn not_blocking() -> Result<OwnedFd> {
    let socket = tcp()?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    Ok(socket)
}

fn start_and_stop(case: &Case) -> Result<()> {
    start_and_stop_with(case, &[])
}

fn start_and_stop_with(case: &Case, hooks: &[&str]) -> Result<()> {
    let scratch = Scratch::new()?;
    let program = case.start(&scratch, "")?;
    await_mark(scratch.path(), "restless")?;
    let pid = program.pid()?.as_raw_nonzero().to_string();
    for time in 0..TIMES {
        let options = [&["--pid", &pid, "--ring-kib", "65536"], hooks].concat();
        // It appends, and this is about one observation.
        let _absent = fs::remove_file(scratch.path().join("events"));
        let agent = Observer::start(&scratch, &Command::trace(&options))?;
        agent.ready()?;
        wait::until_true("some events", || {
            Ok(scratch.text("events")?.lines().count() >= EVENTS)
        })?;
        check(&agent.interrupt()?).with_context(|| format!("start and stop {time}"))?;
    }
    mark(scratch.path(), "enough")?;
    ensure!(program.end("the program")?.success(), "the program failed");
    Ok(())
}

fn check(observation: &Observation) -> Result<()> {
    if !feature::may_miss() {
        observation.assert_nothing_lost()?;
    }
    let mut begun = BTreeSet::new();
    for connect in &observation.connects {
        if connect
            .text("network.transport")
            .is_ok_and(|transport| transport == "tcp")
        {
            begun.insert(connect.text("id")?);
        }
    }
    for outcome in &observation.outcomes {
        let id = outcome.text("id")?;
        ensure!(
            outcome.text("via")? != "unknown" || feature::may_miss(),
            "an outcome after an unseen call: {outcome:?}"
        );
        ensure!(
            begun.contains(id) || feature::may_miss(),
            "an outcome without its call: {outcome:?}"
        );
    }
    Ok(())
}
