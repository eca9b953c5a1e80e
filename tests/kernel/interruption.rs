//! Calls that a signal interrupts: one call of the application is one event, with what the
//! application got.

use std::{
    ffi::{CStr, CString, c_char},
    fs,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    sync::{Mutex, OnceLock, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context as _, Result, anyhow, ensure};
use libc::{EINTR, SA_NODEFER, SA_ONSTACK, SA_RESTART, SIGUSR1, SIGUSR2};
use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, waitpid};

use crate::support::{
    blocking::FullListener,
    case::Case,
    child::{await_blocked, fork, succeed},
    observation::Observation,
    option::limit_waiting,
    signal::{count, handle, send, send_counted},
    sockaddr::{Sockaddr, loopback},
    stage::{Attempt, Outcome, Stage},
    syscall::{udp, unix_stream},
    truth::Caller,
    wait,
};

pub(crate) const CASES: &[Case] = &[
    Case::exact("interrupted_call_fails_with_eintr", interrupted),
    Case::exact("restarted_call_is_one_event", restarted),
    Case::exact("call_with_a_timeout_is_never_restarted", with_timeout),
    Case::exact("stopped_and_continued_call_is_one_event", stopped),
    Case::new(
        "killed_call_is_reported_as_killed",
        assert_one_cgroup,
        killed,
    ),
    Case::exact(
        "call_under_way_at_the_end_of_its_process_is_killed",
        end_of_process,
    ),
    Case::exact("call_of_a_handler_is_a_call_of_its_own", nested),
    Case::exact(
        "interrupted_call_of_a_handler_leaves_the_one_below_alone",
        interrupted_in_handler,
    ),
    Case::exact(
        "exec_in_a_handler_ends_the_interrupted_call",
        exec_in_handler,
    ),
];

fn interrupted(stage: &Stage) -> Result<()> {
    handle(SIGUSR1, 0, count)?;
    for round in 0..10 {
        let listener = FullListener::new(stage, &format!("round {round}"))?;
        listener.block(
            |socket| {
                stage.expect(EINTR, socket, &listener.address)?;
                stage.expect(0, &udp()?, &loopback(9))
            },
            |tid| send(tid, SIGUSR1),
        )?;
    }
    Ok(())
}

fn restarted(stage: &Stage) -> Result<()> {
    handle(SIGUSR1, SA_RESTART, count)?;
    handle(SIGUSR2, 0, count)?;
    for times in 1..6 {
        let interrupt = |tid| {
            for _ in 0..times {
                send_counted(tid, SIGUSR1)?;
                await_blocked(getpid(), tid)?;
            }
            Ok(())
        };
        let listener = FullListener::new(stage, &format!("restarted {times}"))?;
        let success = |socket: &_| {
            let attempt = Attempt::new(socket, &listener.address).restarted(times);
            stage.expect_of(0, &attempt)?;
            // Nothing of it is left for the next call.
            stage.expect(0, &udp()?, &loopback(9))
        };
        listener.block(success, interrupt)?;

        let listener = FullListener::new(stage, &format!("failed {times}"))?;
        let failure = |socket: &_| {
            let attempt = Attempt::new(socket, &listener.address).restarted(times);
            stage.expect_of(EINTR, &attempt)
        };
        listener.block(failure, |tid| {
            interrupt(tid)?;
            send(tid, SIGUSR2)
        })?;
    }
    Ok(())
}

/// With `SO_SNDTIMEO` the kernel itself says EINTR, whatever the handler's flags.
fn with_timeout(stage: &Stage) -> Result<()> {
    handle(SIGUSR1, SA_RESTART, count)?;
    let listener = FullListener::new(stage, "timeout")?;
    listener.block(
        |socket| {
            limit_waiting(socket, Duration::from_secs(3600))?;
            stage.expect(EINTR, socket, &listener.address)
        },
        |tid| send(tid, SIGUSR1),
    )
}

/// SIGSTOP has no handler: the call is restarted when the process goes on.
fn stopped(stage: &Stage) -> Result<()> {
    const TIMES: u32 = 3;
    let listener = FullListener::new(stage, "stopped")?;
    let child = fork(|| {
        let socket = unix_stream()?;
        stage.expect_of(
            0,
            &Attempt::new(&socket, &listener.address).restarted(TIMES),
        )
    })?;
    for _ in 0..TIMES {
        await_blocked(child, child)?;
        kill_process(child, Signal::STOP)?;
        let (_, status) = waitpid(Some(child), WaitOptions::UNTRACED)?.context("no stop")?;
        ensure!(status.stopped(), "{status:?}");
        kill_process(child, Signal::CONT)?;
    }
    await_blocked(child, child)?;
    listener.make_room()?;
    succeed(child)
}

fn killed(stage: &Stage) -> Result<()> {
    let listener = FullListener::new(stage, "killed")?;
    let socket = unix_stream()?;
    for _ in 0..20 {
        let (before, start) = (SystemTime::now(), Instant::now());
        let attempt = Attempt::new(&socket, &listener.address).killed();
        let child = fork(|| {
            attempt.make();
            Err(anyhow!("not killed"))
        })?;
        await_blocked(child, child)?;
        kill_process(child, Signal::KILL)?;
        waitpid(Some(child), WaitOptions::empty())?;
        record_killed(stage, &attempt, child, child, (before, start))?;
    }
    stage.expect(0, &udp()?, &loopback(9))
}

fn record_killed(
    stage: &Stage,
    attempt: &Attempt<'_>,
    pid: Pid,
    tid: Pid,
    (before, start): (SystemTime, Instant),
) -> Result<()> {
    let caller = Caller {
        pid: pid.as_raw_nonzero().get(),
        tid: tid.as_raw_nonzero().get(),
        ..Caller::me()
    };
    stage.record(attempt, &caller, &Outcome::never_returned(before, start))
}

/// A task that ends is still in its cgroup.
fn assert_one_cgroup(case: &Case) -> Result<()> {
    let observation: Observation = case.run(&[])?;
    observation.assert_exact()?;
    let id = observation.connects[0].integer("cgroup.id")?;
    for event in &observation.connects {
        ensure!(
            event.integer("cgroup.id")? == id,
            "elsewhere than {id}: {event:?}"
        );
    }
    Ok(())
}

fn end_of_process(stage: &Stage) -> Result<()> {
    let listener = FullListener::new(stage, "end of process")?;
    for number in 0..10_u8 {
        let (before, start) = (SystemTime::now(), Instant::now());
        let socket = unix_stream()?;
        let attempt = Attempt::new(&socket, &listener.address).killed();
        let tid_file = stage.file(&format!("tid-{number}"));
        let child = fork(|| {
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let tid = rustix::thread::gettid().as_raw_nonzero();
                    fs::write(&tid_file, format!("{tid}\n"))?;
                    attempt.make();
                    anyhow::Ok(())
                });
                let tid = await_tid(&tid_file)?;
                await_blocked(getpid(), tid)?;
                // SAFETY: ends the process, with the thread that waits in it.
                unsafe { libc::_exit(0) }
            })
        })?;
        let tid = await_tid(&tid_file)?;
        succeed(child)?;
        record_killed(stage, &attempt, child, tid, (before, start))?;
    }
    Ok(())
}

/// A thread id and a newline, written by whoever has it.
fn await_tid(file: &std::path::Path) -> Result<Pid> {
    wait::until("a thread", || {
        let text = fs::read_to_string(file).unwrap_or_default();
        let Some(tid) = text.strip_suffix('\n') else {
            return Ok(None);
        };
        Ok(Pid::from_raw(tid.parse()?))
    })
}

/// What the handler calls, and what became of it.
static IN_HANDLER: OnceLock<Sockaddr> = OnceLock::new();
static OF_HANDLER: Mutex<Option<Outcome>> = Mutex::new(None);

/// Calls nothing but connect(2): the lock is never contended, as one thread at a time uses it.
extern "C" fn connect_in_handler(_signal: i32) {
    if let Some(address) = IN_HANDLER.get() {
        let outcome = Attempt::new(&-1, address).make();
        *OF_HANDLER.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
    }
    count(0);
}

/// The descriptor and the address with which [`block_in_handler`] blocks.
static BLOCKING: OnceLock<(OwnedFd, Sockaddr)> = OnceLock::new();

/// Makes a call that blocks, and one that does not.
extern "C" fn block_in_handler(_signal: i32) {
    if let Some((socket, address)) = BLOCKING.get() {
        let outcome = Attempt::new(socket, address).make();
        *OF_HANDLER.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
    }
}

/// The handler whose call is interrupted returns to a call that is restarted: the handler on top
/// of both has ended only the one.
fn interrupted_in_handler(stage: &Stage) -> Result<()> {
    handle(SIGUSR1, SA_RESTART, block_in_handler)?;
    handle(SIGUSR2, 0, count)?;
    let of_handler = FullListener::new(stage, "of the handler")?;
    let blocking = (unix_stream()?, of_handler.address);
    let (socket, address) = BLOCKING.get_or_init(|| blocking);
    let inner = Attempt::new(socket, address);
    let listener = FullListener::new(stage, "below")?;
    listener.block(
        |socket| {
            let outer = Attempt::new(socket, &listener.address).restarted(1);
            let outcome = outer.make();
            let of_handler = OF_HANDLER
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take()
                .context("no call in the handler")?;
            ensure!(of_handler.errno == EINTR, "{of_handler:?}");
            stage.record(&inner, &Caller::me(), &of_handler)?;
            ensure!(outcome.errno == 0, "{outcome:?}");
            stage.record(&outer, &Caller::me(), &outcome)
        },
        |tid| {
            // Blocked in the handler's call, once the first call has been left.
            let descriptor = format!("{:#x}", socket.as_raw_fd());
            send(tid, SIGUSR1)?;
            wait::until_true("the handler to block", || {
                let call = fs::read_to_string(format!(
                    "/proc/self/task/{}/syscall",
                    tid.as_raw_nonzero()
                ))?;
                Ok(call.split(' ').nth(1) == Some(&descriptor))
            })?;
            await_blocked(getpid(), tid)?;
            send_counted(tid, SIGUSR2)?;
            await_blocked(getpid(), tid)
        },
    )
}

fn nested(stage: &Stage) -> Result<()> {
    let address = IN_HANDLER.get_or_init(|| loopback(4321));
    let inner = Attempt::new(&-1, address);
    let record_inner = || {
        let outcome = OF_HANDLER
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        stage.record(
            &inner,
            &Caller::me(),
            &outcome.context("no call in the handler")?,
        )
    };
    for (round, flags) in [0, SA_NODEFER, SA_ONSTACK].into_iter().enumerate() {
        // Restarted after the handler's own call.
        handle(SIGUSR1, SA_RESTART | flags, connect_in_handler)?;
        let listener = FullListener::new(stage, &format!("restarted {round}"))?;
        listener.block(
            |socket| {
                let outer = Attempt::new(socket, &listener.address).restarted(1);
                let outcome = outer.make();
                record_inner()?;
                ensure!(outcome.errno == 0, "{outcome:?}");
                stage.record(&outer, &Caller::me(), &outcome)
            },
            |tid| {
                send_counted(tid, SIGUSR1)?;
                await_blocked(getpid(), tid)
            },
        )?;
        // Failed before the handler's own call.
        handle(SIGUSR1, flags, connect_in_handler)?;
        let listener = FullListener::new(stage, &format!("failed {round}"))?;
        listener.block(
            |socket| {
                stage.expect(EINTR, socket, &listener.address)?;
                record_inner()
            },
            |tid| send_counted(tid, SIGUSR1),
        )?;
    }
    Ok(())
}

/// The program and arguments that the handler executes.
static NEXT: OnceLock<Vec<CString>> = OnceLock::new();

extern "C" fn exec(_signal: i32) {
    let words = NEXT.get().map(Vec::as_slice).unwrap_or_default();
    let mut pointers = [std::ptr::null::<c_char>(); 8];
    for (pointer, word) in pointers.iter_mut().take(7).zip(words) {
        *pointer = CStr::as_ptr(word);
    }
    // SAFETY: a list of strings that ends with a null pointer. It returns only if it fails.
    unsafe {
        libc::execv(pointers[0], pointers.as_ptr());
    }
}

/// In the first thread: in another one, its id would change as well.
fn exec_in_handler(stage: &Stage) -> Result<()> {
    if stage.role == "next" {
        stage.mark("executed")?;
        stage.await_mark("recorded")?;
        return stage.expect(0, &udp()?, &loopback(9));
    }
    let next = stage.again("next")?;
    let words = [next.get_program()].into_iter().chain(next.get_args());
    let words = words.map(|word| CString::new(word.as_bytes()));
    let words = words.collect::<Result<_, _>>()?;
    NEXT.get_or_init(|| words);
    let listener = FullListener::new(stage, "exec")?;
    let (before, start) = (SystemTime::now(), Instant::now());
    let socket = unix_stream()?;
    let attempt = Attempt::new(&socket, &listener.address).killed();
    let child = fork(|| {
        handle(SIGUSR1, SA_RESTART, exec)?;
        let outcome = attempt.make();
        Err(anyhow!("returned: {outcome:?}"))
    })?;
    await_blocked(child, child)?;
    kill_process(child, Signal::USR1)?;
    stage.await_mark("executed")?;
    record_killed(stage, &attempt, child, child, (before, start))?;
    stage.mark("recorded")?;
    succeed(child)
}
