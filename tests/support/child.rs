//! Children and threads of the observed program.

use std::{
    ffi::c_void,
    fs, io,
    panic::{AssertUnwindSafe, catch_unwind},
    thread::{self, ScopedJoinHandle},
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use rustix::{
    io::Errno,
    process::{Pid, WaitOptions, getpid, waitpid},
};

use super::{
    attempt::{Attempt, Outcome},
    wait,
};

/// Forks; the child ends with `work`. Only for a process that has one thread.
pub(crate) fn fork(work: impl FnOnce() -> Result<()>) -> Result<Pid> {
    // SAFETY: the process has one thread, so the child finds no lock held.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let code = match catch_unwind(AssertUnwindSafe(work)) {
            Ok(Ok(())) => 0,
            Ok(Err(error)) => {
                eprintln!("child: {error:#}");
                1
            }
            Err(_) => 1,
        };
        // SAFETY: ends the child without running the parent's destructors a second time.
        unsafe { libc::_exit(code) }
    }
    ensure!(pid != -1, "cannot fork: {}", io::Error::last_os_error());
    Pid::from_raw(pid).context("fork returned no pid")
}

/// Runs in a thread of its own, to its end.
pub(crate) fn in_thread<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| join(scope.spawn(work)))
}

/// Waits for the end of a thread.
pub(crate) fn join<T>(thread: ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread
        .join()
        .map_err(|_panic| anyhow!("a thread panicked"))?
}

/// Waits for a child, which must succeed.
pub(crate) fn succeed(pid: Pid) -> Result<()> {
    let (_, status) = waitpid(Some(pid), WaitOptions::empty())?.context("a child without end")?;
    ensure!(
        status.exit_status() == Some(0),
        "a child ended with {status:?}"
    );
    Ok(())
}

/// Waits for every child, also for those that were inherited; all must succeed.
pub(crate) fn succeed_all() -> Result<()> {
    loop {
        match waitpid(None, WaitOptions::empty()) {
            Ok(Some((pid, status))) => {
                ensure!(
                    status.exit_status() == Some(0),
                    "{pid:?} ended with {status:?}"
                );
            }
            Ok(None) => bail!("a child without end"),
            Err(Errno::CHILD) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// What a child that has only its own stack is given, and what it gives back.
struct Told<'a> {
    attempt: &'a Attempt<'a>,
    outcome: Outcome,
}

/// Starts a child by clone(2) with these flags, which makes one call and ends. It shares our memory
/// and we wait for it, as with vfork. Returns its pid as we see it.
pub(crate) fn clone(flags: i32, attempt: &Attempt<'_>) -> Result<(Pid, Outcome)> {
    extern "C" fn work(told: *mut c_void) -> i32 {
        // SAFETY: the parent has passed this pointer, and waits.
        let told = unsafe { &mut *told.cast::<Told<'_>>() };
        told.outcome = told.attempt.make();
        0
    }
    let mut told = Told {
        attempt,
        outcome: Outcome::default(),
    };
    // 64 KiB, of the alignment that a stack needs.
    let mut stack = vec![0_u128; 4096];
    // SAFETY: one past the end of the stack, which grows downwards.
    let top = unsafe { stack.as_mut_ptr().add(stack.len()) };
    let flags = flags | libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: the child has a stack of its own; with CLONE_VFORK we go on when it has ended.
    let pid = unsafe { libc::clone(work, top.cast(), flags, (&raw mut told).cast()) };
    ensure!(pid != -1, "cannot clone: {}", io::Error::last_os_error());
    let pid = Pid::from_raw(pid).context("clone returned no pid")?;
    succeed(pid)?;
    Ok((pid, told.outcome))
}

/// Waits until a thread of this process, already joined, is gone for the kernel too.
pub(crate) fn await_gone(tid: Pid) -> Result<()> {
    let (pid, tid) = (getpid().as_raw_nonzero().get(), tid.as_raw_nonzero().get());
    wait::until_true("the end of a thread", || {
        // Usually at once, but for the kernel a thread ends a little after it was joined.
        for _ in 0..1000 {
            // SAFETY: signal 0 only asks whether the thread is there.
            let result = unsafe { libc::syscall(libc::SYS_tgkill, pid, tid, 0) };
            if result == -1 {
                return Ok(true);
            }
            thread::yield_now();
        }
        Ok(false)
    })
}

/// Waits until a thread sleeps in connect(2).
pub(crate) fn await_blocked(pid: Pid, tid: Pid) -> Result<()> {
    await_blocked_in(pid, tid, &[libc::SYS_connect])
}

/// Waits until a thread sleeps in one of these system calls.
pub(crate) fn await_blocked_in(pid: Pid, tid: Pid, calls: &[i64]) -> Result<()> {
    wait::until_true("a thread to block in connect", || {
        // The number of the system call that it is in, or `running`.
        let call = of_task(pid, tid, "syscall")?;
        let number = call.split(' ').next().and_then(|word| word.parse().ok());
        // A stopped thread is in the call too, but does not sleep.
        Ok(state(pid, tid)? == 'S' && number.is_some_and(|number| calls.contains(&number)))
    })
}

/// The state of a thread as proc(5) has it: `S` sleeping, `T` stopped, `Z` ended, ...
pub(crate) fn state(pid: Pid, tid: Pid) -> Result<char> {
    let stat = of_task(pid, tid, "stat")?;
    let (_, rest) = stat.rsplit_once(") ").context("no state")?;
    rest.chars().next().context("no state")
}

fn of_task(pid: Pid, tid: Pid, file: &str) -> Result<String> {
    let (pid, tid) = (pid.as_raw_nonzero(), tid.as_raw_nonzero());
    let path = format!("/proc/{pid}/task/{tid}/{file}");
    fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
}
