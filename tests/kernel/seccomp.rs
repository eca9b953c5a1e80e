//! A call that seccomp denies: the kernel shows its return, never its entry.

use std::{
    io,
    time::{Instant, SystemTime},
};

use anyhow::{Context as _, Result, bail, ensure};
use libc::{SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_THREAD, SECCOMP_RET_TRAP};
use rustix::process::{WaitOptions, waitpid};

use crate::support::{
    attempt::{Attempt, Outcome},
    case::Case,
    child::fork,
    feature::{REGISTERS, SECCOMP_KILL},
    memory::Pages,
    processor::set_result,
    seccomp::{answer_by_length, errno},
    sockaddr::{Sockaddr, inet, loopback, unix},
    stage::Stage,
    syscall::{register, udp},
    truth::Caller,
};

pub(crate) const CASES: &[Case] = &[
    Case::exact("seccomp_denial_is_reported", denied).brief(),
    Case::exact("seccomp_trap_is_what_its_handler_answers", trapped).needs(&REGISTERS),
    Case::exact("seccomp_kill_is_told", killed).needs(&SECCOMP_KILL),
    Case::exact("seccomp_trap_without_handler_is_told", killed_by_trap),
    Case::exact("seccomp_denial_never_pairs_with_another_entry", interleaved),
];

/// An errno that connect(2) knows for other reasons.
const KNOWN_ERRNO: i32 = 97;
/// An errno without a name.
const NAMELESS_ERRNO: i32 = 4000;

/// Denies connect(2) to the current thread by the length of the address: 28 bytes with one errno,
/// 110 with another. Every other length is allowed.
fn deny() -> Result<()> {
    answer_by_length(&[(28, errno(KNOWN_ERRNO)), (110, errno(NAMELESS_ERRNO))])
}

/// An address of 28 bytes, which is denied.
fn denied_28(port: u16) -> Sockaddr {
    let mut address = inet([10, 1, 2, 3], port);
    address.bytes.resize(28, 0);
    address
}

fn denied(stage: &Stage) -> Result<()> {
    deny()?;
    let socket = udp()?;
    // The first call of the thread, so there is no entry of an earlier one.
    let address = denied_28(1);
    let call = Attempt::new(&socket, &address).unentered();
    stage.expect_of(KNOWN_ERRNO, &call)?;

    let mut padded = unix(b"/run/a");
    padded.bytes.resize(110, 0);
    let call = Attempt::new(&77, &padded).unentered();
    stage.expect_of(NAMELESS_ERRNO, &call)?;

    // Denied before the kernel looks at anything else.
    let call = Attempt::unreadable(register(-1), 0, 28)
        .unentered()
        .unread();
    stage.expect_of(KNOWN_ERRNO, &call)?;
    let cold = Pages::fresh(1)?;
    let call = Attempt::unreadable(register(5), cold.address(0), 110).unentered();
    stage.expect_of(NAMELESS_ERRNO, &call.unread())?;
    let address = denied_28(2);
    let call = Attempt::new(&-9, &address)
        .with_upper_halves(7, 0)
        .unentered();
    stage.expect_of(KNOWN_ERRNO, &call)?;
    stage.expect(0, &socket, &loopback(9))
}

/// Answers a trapped call with an errno of its own choice.
extern "C" fn answer(_signal: i32, _info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let context = context.cast::<libc::ucontext_t>();
    // SAFETY: a handler with SA_SIGINFO gets the context that it returns to, and may change it.
    let context = unsafe { &mut *context };
    set_result(context, -i64::from(libc::EHOSTDOWN));
}

fn trapped(stage: &Stage) -> Result<()> {
    // SAFETY: all zero is a valid action: an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = answer as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
    // SAFETY: the action is complete, and nobody asks for the old one.
    let result = unsafe { libc::sigaction(libc::SIGSYS, &raw const action, std::ptr::null_mut()) };
    ensure!(result == 0, "no handler: {}", io::Error::last_os_error());
    answer_by_length(&[(28, SECCOMP_RET_TRAP)])?;
    let socket = udp()?;
    for port in 1..=3 {
        let address = denied_28(port);
        let call = Attempt::new(&socket, &address).unentered();
        stage.expect_of(libc::EHOSTDOWN, &call)?;
        stage.expect(0, &socket, &loopback(port))?;
    }
    Ok(())
}

fn killed(stage: &Stage) -> Result<()> {
    killed_by(stage, &[SECCOMP_RET_KILL_THREAD, SECCOMP_RET_KILL_PROCESS])
}

fn killed_by_trap(stage: &Stage) -> Result<()> {
    killed_by(stage, &[SECCOMP_RET_TRAP])
}

fn killed_by(stage: &Stage, actions: &[u32]) -> Result<()> {
    for &action in actions {
        let socket = udp()?;
        let address = denied_28(7);
        let call = Attempt::new(&socket, &address).unentered().killed();
        let (before, start) = (SystemTime::now(), Instant::now());
        let child = fork(|| {
            answer_by_length(&[(28, action)])?;
            call.make();
            bail!("seccomp lets it go on")
        })?;
        let (_, status) = waitpid(Some(child), WaitOptions::empty())?.context("no child")?;
        ensure!(
            status.terminating_signal() == Some(libc::SIGSYS),
            "{status:?}"
        );
        let id = child.as_raw_nonzero().get();
        let caller = Caller {
            pid: id,
            tid: id,
            ..Caller::me()
        };
        stage.record(&call, &caller, &Outcome::never_returned(before, start))?;
    }
    stage.expect(0, &udp()?, &loopback(9))
}

fn interleaved(stage: &Stage) -> Result<()> {
    let socket = udp()?;
    stage.expect(0, &socket, &loopback(1))?;
    deny()?;
    for round in 1..=100 {
        let address = denied_28(1000 + round);
        let call = Attempt::new(&i32::from(round), &address).unentered();
        stage.expect_of(KNOWN_ERRNO, &call)?;
        stage.expect_of(KNOWN_ERRNO, &call)?;
        stage.expect(0, &socket, &loopback(2000 + round))?;
        // Not even the comm is a leftover.
        rustix::thread::set_name(if round % 2 == 0 { c"even" } else { c"odd" })?;
    }
    Ok(())
}
