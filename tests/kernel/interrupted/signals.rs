//! Signals, what their handlers do, and the threads that they interrupt.

use std::{
    ffi::c_void,
    fs, io,
    io::Write as _,
    path::Path,
    ptr::null_mut,
    sync::{
        OnceLock,
        atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering::SeqCst},
        mpsc::channel,
    },
    thread,
};

use anyhow::{Context as _, Result, anyhow, ensure};
use libc::{siginfo_t, ucontext_t};
use rustix::{
    process::{Pid, Signal, getpid, set_parent_process_death_signal},
    thread::gettid,
};

use super::truth::now;
use crate::support::{child::fork, wait};

/// Signals are numbered from 1 to 64.
const SIGNALS: usize = 65;

/// What a handler does. It may change the context to which it returns.
type Work = Box<dyn Fn(&mut ucontext_t) -> Result<()> + Send + Sync>;

/// By signal.
static WORK: [AtomicPtr<Work>; SIGNALS] = [const { AtomicPtr::new(null_mut()) }; SIGNALS];

/// Counts the handlers of one signal, in memory that this process shares with its children.
#[derive(Debug, Default)]
pub(super) struct Count {
    pub(super) begun: AtomicU32,
    pub(super) ended: AtomicU32,
    /// When the last one began.
    begun_at: AtomicU64,
}

static COUNTS: OnceLock<&[Count; SIGNALS]> = OnceLock::new();

/// Before any signal.
pub(super) fn prepare() -> Result<()> {
    let length = size_of::<[Count; SIGNALS]>();
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping, wherever the kernel likes it.
    let counts = unsafe { libc::mmap(null_mut(), length, protection, flags, -1, 0) };
    ensure!(
        counts != libc::MAP_FAILED,
        "cannot map: {}",
        io::Error::last_os_error()
    );
    // SAFETY: the mapping is as large, aligned to a page, zero, and never unmapped.
    COUNTS.get_or_init(|| unsafe { &*counts.cast() });
    Ok(())
}

pub(super) fn count(signal: i32) -> Result<&'static Count> {
    let counts = COUNTS.get().context("no scene has begun")?;
    counts
        .get(usize::try_from(signal)?)
        .context("no such signal")
}

/// Handles a signal from now on.
///
/// Handlers of these tests do what a handler may not do in general. Here they may: they run while
/// their thread is in a system call, which holds no lock and does not allocate.
pub(super) fn on(
    signal: i32,
    flags: i32,
    work: impl Fn(&mut ucontext_t) -> Result<()> + Send + Sync + 'static,
) -> Result<()> {
    let slot = WORK
        .get(usize::try_from(signal)?)
        .context("no such signal")?;
    let work: Work = Box::new(work);
    slot.store(Box::into_raw(Box::new(work)), SeqCst);
    act(
        signal,
        flags | libc::SA_SIGINFO,
        handle as *const () as usize,
    )
}

/// Handles a signal with nothing but a count.
pub(super) fn on_only_count(signal: i32, flags: i32) -> Result<()> {
    on(signal, flags, |_| Ok(()))
}

/// sigaction(2) with an empty mask; also for `SIG_IGN` and `SIG_DFL`.
pub(super) fn act(signal: i32, flags: i32, handler: usize) -> Result<()> {
    // SAFETY: all zero is a valid action.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler;
    action.sa_flags = flags;
    // SAFETY: the action is complete, and nobody asks for the old one.
    let result = unsafe { libc::sigaction(signal, &raw const action, null_mut()) };
    ensure!(result == 0, "no handler: {}", io::Error::last_os_error());
    Ok(())
}

extern "C" fn handle(signal: i32, _info: *mut siginfo_t, context: *mut c_void) {
    let begun_at = now();
    let errno = io::Error::last_os_error().raw_os_error().unwrap_or(0);
    if let Err(error) = work(signal, begun_at, context.cast()) {
        fail(&error);
    }
    // SAFETY: always the address of this thread's errno.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    unsafe {
        *place = errno;
    }
}

fn work(signal: i32, begun_at: u64, context: *mut ucontext_t) -> Result<()> {
    let count = count(signal)?;
    let work = WORK
        .get(usize::try_from(signal)?)
        .context("no such signal")?;
    // SAFETY: null, or made by `on` and never freed.
    let work = unsafe { work.load(SeqCst).as_ref() }.context("no work")?;
    // SAFETY: the kernel has passed a context, which nobody else uses.
    let context = unsafe { context.as_mut() }.context("no context")?;
    count.begun_at.store(begun_at, SeqCst);
    count.begun.fetch_add(1, SeqCst);
    work(context)?;
    count.ended.fetch_add(1, SeqCst);
    Ok(())
}

/// Ends a program that cannot do what its test needs, whoever waits in it.
pub(super) fn fail(error: &anyhow::Error) -> ! {
    // Nobody is left to be told of a failure to write.
    let _written = writeln!(io::stderr(), "workload: {error:#}");
    // SAFETY: ends the process, and runs nothing.
    unsafe { libc::_exit(1) }
}

/// A thread that signals are sent to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Victim {
    pub(super) pid: Pid,
    pub(super) tid: Pid,
}

/// When a signal was sent, and when its handler began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) at: u64,
    pub(super) begun: u64,
}

impl Victim {
    /// The current thread.
    pub(super) fn me() -> Self {
        let (pid, tid) = (getpid(), gettid());
        Self { pid, tid }
    }

    /// Waits until it sleeps in connect(2), and returns when that was so.
    pub(super) fn blocked(self) -> Result<u64> {
        // The number of the system call that it sleeps in, or `running`.
        let blocked = format!("{} ", libc::SYS_connect);
        wait::until_true("a thread to block in connect", || {
            // A stopped thread is still in its system call, and one that is just woken too. One
            // that was seen to sleep before stays so until the test does something.
            Ok(self.state()? == 'S' && self.file("syscall")?.starts_with(&blocked))
        })?;
        Ok(now())
    }

    /// Waits until it is in this state.
    pub(super) fn await_state(self, state: char) -> Result<()> {
        wait::until_true(&format!("a thread in state {state}"), || {
            Ok(self.state()? == state)
        })
    }

    fn state(self) -> Result<char> {
        let stat = self.file("stat")?;
        let state = stat
            .rsplit_once(") ")
            .and_then(|(_, rest)| rest.chars().next());
        state.context("no state")
    }

    fn file(self, name: &str) -> Result<String> {
        let (pid, tid) = (self.pid.as_raw_nonzero(), self.tid.as_raw_nonzero());
        let path = format!("/proc/{pid}/task/{tid}/{name}");
        fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
    }

    /// Sends it a signal.
    pub(super) fn send(self, signal: i32) -> Result<()> {
        let (pid, tid) = (
            self.pid.as_raw_nonzero().get(),
            self.tid.as_raw_nonzero().get(),
        );
        // SAFETY: takes integers.
        let result = unsafe { libc::syscall(libc::SYS_tgkill, pid, tid, signal) };
        ensure!(result == 0, "no signal: {}", io::Error::last_os_error());
        Ok(())
    }

    /// Sends it a signal, and waits until its handler has begun.
    pub(super) fn interrupt(self, signal: i32) -> Result<Sent> {
        let count = count(signal)?;
        let before = count.begun.load(SeqCst);
        let at = now();
        self.send(signal)?;
        wait::until_true("a handler to begin", || {
            Ok(count.begun.load(SeqCst) != before)
        })?;
        Ok(Sent {
            at,
            begun: count.begun_at.load(SeqCst),
        })
    }

    /// Sends it a signal, and waits until its handler has ended and it sleeps in connect again.
    pub(super) fn interrupt_and_restart(self, signal: i32) -> Result<Sent> {
        let count = count(signal)?;
        let before = count.ended.load(SeqCst);
        let sent = self.interrupt(signal)?;
        wait::until_true(
            "a handler to end",
            || Ok(count.ended.load(SeqCst) != before),
        )?;
        self.blocked()?;
        Ok(sent)
    }
}

/// Does something in a thread, and meanwhile something about it.
pub(super) fn during<T: Send, U>(
    call: impl FnOnce() -> Result<T> + Send,
    meanwhile: impl FnOnce(Victim) -> Result<U>,
) -> Result<(T, U)> {
    let (tell, told) = channel();
    thread::scope(|scope| {
        let thread = scope.spawn(move || {
            tell.send(gettid())?;
            call()
        });
        let tid = told.recv()?;
        let pid = getpid();
        let done = meanwhile(Victim { pid, tid });
        // Without it, the thread may wait for ever.
        let done = done.unwrap_or_else(|error| fail(&error));
        let joined = thread
            .join()
            .map_err(|_panic| anyhow!("a thread panicked"))?;
        Ok((joined?, done))
    })
}

/// Does something in a child, which does not outlive us. Only for a process that has one thread.
pub(super) fn child(work: impl FnOnce() -> Result<()>) -> Result<Victim> {
    let pid = fork(|| {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        work()
    })?;
    Ok(Victim { pid, tid: pid })
}

/// An id and a newline, written by whoever has it.
pub(super) fn await_pid(file: &Path) -> Result<Pid> {
    wait::until("an id", || {
        let text = fs::read_to_string(file).unwrap_or_default();
        let id = text.strip_suffix('\n').map(str::parse).transpose()?;
        Ok(id.and_then(Pid::from_raw))
    })
}
