//! Calls that only the raw tracepoints of all system calls show: `--compat`.

use std::{
    fs::File,
    io::Write as _,
    os::fd::{AsRawFd, OwnedFd},
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use libc::{
    EBADF, EFAULT, EHOSTDOWN, EINPROGRESS, EINTR, EINVAL, ENOTSOCK, EPERM, SA_RESTART, SA_SIGINFO,
    SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_TRAP, SIGUSR1, SOCK_NONBLOCK, SOCK_STREAM,
};
use rustix::{
    process::{Pid, Signal, WaitOptions, getpid, kill_process, waitpid},
    thread::gettid,
};

use crate::support::{
    attempt::{Attempt, Outcome, Settlement},
    blocking::FullListener,
    child::{await_blocked_in, fork},
    compat::{CONNECT, Low, SOCKETCALL, SYS_CONNECT, Way, int80},
    memory::{Pages, page_size},
    option,
    processor::set_result,
    seccomp::{answer_compat, errno},
    signal::{count, handle, send, send_counted},
    sockaddr::{Sockaddr, loopback},
    stage::Stage,
    syscall::{register, socket, udp, unix_stream},
    truth::Caller,
};

const WAYS: [Way; 2] = [Way::Direct, Way::Socketcall];

/// Makes a call, and writes it down as `attempt`; it must return `errno`.
fn expect(
    stage: &Stage,
    errno: i32,
    attempt: &Attempt<'_>,
    make: impl FnOnce() -> Result<i32>,
) -> Result<()> {
    let (before, start) = (SystemTime::now(), Instant::now());
    let found = make()?;
    let outcome = Outcome::made_since(before, start, found);
    stage.record(&attempt.via("compat"), &Caller::me(), &outcome)?;
    ensure!(found == errno, "errno {found} instead of {errno}");
    Ok(())
}

/// A call with an address that can be read.
fn expect_of(
    stage: &Stage,
    low: &mut Low,
    way: Way,
    errno: i32,
    (socket, address): (&impl AsRawFd, &Sockaddr),
) -> Result<()> {
    let attempt = Attempt::new(socket, address);
    expect(stage, errno, &attempt, || {
        low.connect(way, socket.as_raw_fd(), address)
    })
}

pub(super) fn odd_arguments(stage: &Stage) -> Result<()> {
    let mut low = Low::new()?;
    let address = loopback(9);
    let file = File::open("/dev/null")?;
    let client = udp()?;
    for way in WAYS {
        for fd in [9999, -1, i32::MIN] {
            expect_of(stage, &mut low, way, EBADF, (&fd, &address))?;
        }
        expect_of(stage, &mut low, way, ENOTSOCK, (&file, &address))?;
        for (length, errno) in [(0, EINVAL), (-1, EINVAL), (129, EINVAL), (i32::MIN, EINVAL)] {
            let fd = register(client.as_raw_fd());
            let attempt = Attempt::unreadable(fd, 0, u64::from(length.cast_unsigned()));
            expect(stage, errno, &attempt, || {
                low.connect_as(way, client.as_raw_fd(), &address, length)
            })?;
        }
        // Not a pointer that a native call could have: the upper half of the register is not looked at.
        expect_of(stage, &mut low, way, 0, (&client, &address))?;
    }
    Ok(())
}

/// `socketcall` has its arguments in memory, which need not be there when the call is entered, or ever.
pub(super) fn unreadable_arguments(stage: &Stage) -> Result<()> {
    let nowhere = Attempt::unreadable(0, 0, 0).without_arguments();
    for pointer in [0, 8, u32::MAX - 3] {
        expect(stage, EFAULT, &nowhere, || {
            Ok(int80(SOCKETCALL, [SYS_CONNECT, pointer, 0]))
        })?;
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = loopback(listener.local_addr()?.port());
    for (flags, errno) in [(0, 0), (SOCK_NONBLOCK, EINPROGRESS)] {
        let client = socket(libc::AF_INET, SOCK_STREAM | flags, 0)?;
        let mut low = Pages::low(1)?;
        let words = [
            client.as_raw_fd().cast_unsigned(),
            u32::try_from(low.put(0, &address))?,
            u32::try_from(address.len())?,
        ];
        let path = stage.file(&format!("arguments {errno}"));
        let mut file = File::create_new(&path)?;
        file.write_all(&words.map(u32::to_ne_bytes).concat())?;
        file.set_len(u64::try_from(page_size())?)?;
        // Never touched.
        let fresh = Pages::low_of_file(&File::open(&path)?, 1)?;
        let arguments = u32::try_from(fresh.address(0))?;
        let attempt = Attempt::new(&client, &address).read_at_exit();
        expect(stage, errno, &attempt, || {
            Ok(int80(SOCKETCALL, [SYS_CONNECT, arguments, 0]))
        })?;
        if errno != 0 {
            let attempt = attempt.via("compat");
            stage.settled_via(&Caller::me(), &attempt, &address, Settlement::Established)?;
        }
    }
    Ok(())
}

/// System calls of the same number, and of the same multiplexer.
pub(super) fn others(stage: &Stage) -> Result<()> {
    const BIND: u32 = 2;
    const LISTEN: u32 = 4;
    let mut low = Low::new()?;
    for _ in 0..100 {
        // SAFETY: no arguments; 102, as `socketcall` has in 32-bit programs.
        unsafe {
            libc::syscall(libc::SYS_getuid);
        }
        // SAFETY: no such native call.
        let result = unsafe { libc::syscall(libc::c_long::from(CONNECT), -1, 0, 0) };
        ensure!(result == -1, "there is such a call");
        for call in [BIND, LISTEN] {
            ensure!(int80(SOCKETCALL, [call, 8, 0]) == EFAULT, "not refused");
        }
    }
    expect_of(stage, &mut low, Way::Direct, 0, (&udp()?, &loopback(9)))
}

/// Waits until a thread sleeps in a 32-bit connect.
fn await_blocked(pid: Pid, tid: Pid) -> Result<()> {
    await_blocked_in(pid, tid, &[i64::from(CONNECT), i64::from(SOCKETCALL)])
}

/// A call that blocks in a new thread, while something is done to it; then it may succeed.
fn blocked(
    stage: &Stage,
    way: Way,
    errno: i32,
    (listener, restarts): (&FullListener, u32),
    prepare: impl FnOnce(&OwnedFd) -> Result<()> + Send,
    meanwhile: impl FnOnce(Pid) -> Result<()>,
) -> Result<()> {
    let call = |tell: std::sync::mpsc::Sender<Pid>| {
        let socket = unix_stream()?;
        prepare(&socket)?;
        let mut low = Low::new()?;
        tell.send(gettid())?;
        let attempt = Attempt::new(&socket, &listener.address).restarted(restarts);
        expect(stage, errno, &attempt, || {
            low.connect(way, socket.as_raw_fd(), &listener.address)
        })
    };
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| call(tell));
        let tid = told.recv()?;
        await_blocked(getpid(), tid)?;
        let done = meanwhile(tid);
        listener.make_room()?;
        crate::support::child::join(thread).and(done)
    })
}

/// By signals with handlers of all kinds.
pub(super) fn interrupted(stage: &Stage) -> Result<()> {
    for (number, way) in (0..).zip(WAYS) {
        let full = |kind| FullListener::new(stage, &format!("{kind} {number}"));
        handle(SIGUSR1, 0, count)?;
        let listener = full("fails")?;
        let nothing = |_: &OwnedFd| Ok(());
        blocked(stage, way, EINTR, (&listener, 0), nothing, |tid| {
            send(tid, SIGUSR1)
        })?;
        handle(SIGUSR1, SA_RESTART, count)?;
        let listener = full("restarts")?;
        blocked(stage, way, 0, (&listener, 2), nothing, |tid| {
            for _ in 0..2 {
                send_counted(tid, SIGUSR1)?;
                await_blocked(getpid(), tid)?;
            }
            Ok(())
        })?;
        let listener = full("times out")?;
        let limited = |socket: &OwnedFd| option::limit_waiting(socket, Duration::from_secs(3600));
        blocked(stage, way, EINTR, (&listener, 0), limited, |tid| {
            send(tid, SIGUSR1)
        })?;
    }
    Ok(())
}

pub(super) fn killed(stage: &Stage) -> Result<()> {
    for (number, way) in (0..).zip(WAYS) {
        let listener = FullListener::new(stage, &format!("kills {number}"))?;
        let socket = unix_stream()?;
        let attempt = Attempt::new(&socket, &listener.address).killed();
        child(
            stage,
            &attempt,
            Signal::KILL,
            |child| {
                await_blocked(child, child)?;
                Ok(kill_process(child, Signal::KILL)?)
            },
            || {
                Low::new()?.connect(way, socket.as_raw_fd(), &listener.address)?;
                Err(anyhow!("not killed"))
            },
        )?;
    }
    Ok(())
}

/// A child whose call never returns, as this signal ends it.
fn child(
    stage: &Stage,
    attempt: &Attempt<'_>,
    signal: Signal,
    meanwhile: impl FnOnce(Pid) -> Result<()>,
    work: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let (before, start) = (SystemTime::now(), Instant::now());
    let child = fork(work)?;
    meanwhile(child)?;
    let (_, status) = waitpid(Some(child), WaitOptions::empty())?.context("no child")?;
    ensure!(
        status.terminating_signal() == Some(signal.as_raw()),
        "{status:?}"
    );
    let id = child.as_raw_nonzero().get();
    let caller = Caller {
        pid: id,
        tid: id,
        ..Caller::me()
    };
    let outcome = Outcome::never_returned(before, start);
    stage.record(&attempt.via("compat"), &caller, &outcome)
}

/// Answers a trapped call with an errno of its own choice.
extern "C" fn answer(_signal: i32, _info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let context = context.cast::<libc::ucontext_t>();
    // SAFETY: a handler with SA_SIGINFO gets the context that it returns to, and may change it.
    let context = unsafe { &mut *context };
    set_result(context, -i64::from(EHOSTDOWN));
}

/// Killed by seccomp, before the entry can be seen.
pub(super) fn seccomp_kill(stage: &Stage) -> Result<()> {
    let address = loopback(9);
    let client = udp()?;
    let attempt = Attempt::new(&client, &address).unentered().killed();
    for way in WAYS {
        child(
            stage,
            &attempt,
            Signal::SYS,
            |_| Ok(()),
            || {
                answer_compat(way.number(), SECCOMP_RET_KILL_PROCESS)?;
                Low::new()?.connect(way, client.as_raw_fd(), &address)?;
                bail!("seccomp lets it go on")
            },
        )?;
    }
    stage.expect(0, &client, &address)
}

/// Denied and trapped by seccomp.
pub(super) fn seccomp(stage: &Stage) -> Result<()> {
    let address = loopback(9);
    let client = udp()?;
    let attempt = Attempt::new(&client, &address).unentered();
    // SAFETY: all zero is a valid action: an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = answer as *const () as usize;
    action.sa_flags = SA_SIGINFO;
    // SAFETY: the action is complete, and nobody asks for the old one.
    let result = unsafe { libc::sigaction(libc::SIGSYS, &raw const action, std::ptr::null_mut()) };
    ensure!(result == 0, "no handler");
    let mut low = Low::new()?;
    for (way, filter, expected) in [
        (Way::Direct, errno(EPERM), EPERM),
        (Way::Socketcall, SECCOMP_RET_TRAP, EHOSTDOWN),
    ] {
        answer_compat(way.number(), filter)?;
        for _ in 0..3 {
            expect(stage, expected, &attempt, || {
                low.connect(way, client.as_raw_fd(), &address)
            })?;
        }
    }
    stage.expect(0, &client, &address)
}
