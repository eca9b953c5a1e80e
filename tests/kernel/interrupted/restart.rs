//! Handlers with and without `SA_RESTART`, and signals that have none.

use std::{
    fs::{self, File},
    mem::zeroed,
    ptr::null_mut,
    sync::atomic::Ordering::SeqCst,
    thread,
};

use anyhow::{Context as _, Result, anyhow, ensure};
use libc::{
    ECONNREFUSED, EINTR, ETIMEDOUT, SA_RESTART, SIGALRM, SIGCHLD, SIGUSR1, SIGUSR2, SIGWINCH,
};

use super::{
    peer::{Deaf, Full, set_few_tries},
    signals::{Victim, act, count, during, fail, on_only_count},
    truth::{Made, Scene, Target, now},
};
use crate::support::{
    feature,
    hook::Hook,
    memory::Pages,
    sockaddr::loopback,
    stage::Stage,
    syscall::{tcp, udp},
    truth::ERESTARTSYS,
    wait,
};

pub(super) fn without(stage: &Stage) -> Result<()> {
    let scene = Scene::begin(stage)?;
    on_only_count(SIGUSR1, 0)?;
    let interrupted = |target: Target<'_>| -> Result<Made> {
        let call = || {
            let made = target.make().that_got(EINTR)?;
            // The next call is none of its business.
            scene.stage.expect(0, &udp()?, &loopback(9))?;
            Ok(made)
        };
        let (made, (blocked, sent)) = during(call, |victim| {
            let blocked = victim.blocked()?;
            Ok((blocked, victim.interrupt(SIGUSR1)?))
        })?;
        // It has returned before the handler ran.
        Ok(made
            .entered_by(blocked)
            .ended_from(sent.at)
            .ended_by(sent.begun))
    };
    for round in 0..5 {
        let peer = Full::new(scene, &format!("round {round}"))?;
        // The same call, again and again.
        for _ in 0..3 {
            scene.tell(interrupted(peer.target())?)?;
        }
        peer.let_in()?;
        scene.tell(peer.target().make().that_got(0)?)?;
    }
    let (peer, socket) = (Deaf::new(7000)?, tcp()?);
    let target = Target::new(&socket, &peer.address);
    scene.tell(interrupted(target)?)?;
    // It goes on waiting where it was.
    scene.tell(interrupted(target)?)?;
    peer.hear()?;
    scene.tell(target.make().that_got(0)?)
}

/// Its address is read at the first return, as its page is not there at the entry.
pub(super) fn with_an_address_out_of_memory(stage: &Stage) -> Result<()> {
    let scene = Scene::begin(stage)?;
    on_only_count(SIGUSR1, SA_RESTART)?;
    let peer = Full::new(scene, "peer")?;
    let file = stage.file("address");
    fs::write(&file, &peer.address().bytes)?;
    let cold = Pages::of_file(&File::open(&file)?, 1)?;
    let made = restarted(peer.target().at(cold.address(0)), 2, || peer.let_in())?;
    scene.tell(made.that_got(0)?.with("address.source", "exit"))
}

/// Calls, is interrupted so often, and then ends by what `end` does.
fn restarted(target: Target<'_>, times: u32, end: impl FnOnce() -> Result<()>) -> Result<Made> {
    let call = || Ok(target.make());
    let (made, (blocked, ending)) = during(call, |victim| {
        let blocked = victim.blocked()?;
        for _ in 0..times {
            victim.interrupt_and_restart(SIGUSR1)?;
        }
        let ending = now();
        end()?;
        Ok((blocked, ending))
    })?;
    Ok(made.entered_by(blocked).ended_from(ending).restarted(times))
}

pub(super) fn with(stage: &Stage) -> Result<()> {
    let scene = Scene::begin(stage)?;
    on_only_count(SIGUSR1, SA_RESTART)?;
    for times in [0, 1, 2, 20] {
        let peer = Full::new(scene, &format!("success {times}"))?;
        scene.tell(restarted(peer.target(), times, || peer.let_in())?.that_got(0)?)?;

        let peer = Full::new(scene, &format!("failure {times}"))?;
        let refuse = || {
            peer.close();
            Ok(())
        };
        scene.tell(restarted(peer.target(), times, refuse)?.that_got(ECONNREFUSED)?)?;
        // Nothing is left for the next call of the same arguments.
        scene.tell(peer.target().make().that_got(ECONNREFUSED)?)?;
    }
    let (peer, socket) = (Deaf::new(7000)?, tcp()?);
    let target = Target::new(&socket, &peer.address);
    scene.tell(restarted(target, 3, || peer.hear())?.that_got(0)?)
}

/// A restarted call that the kernel gives up.
pub(super) fn with_timeout_of_the_protocol(stage: &Stage) -> Result<()> {
    let scene = Scene::begin(stage)?;
    on_only_count(SIGUSR1, SA_RESTART)?;
    let (peer, socket) = (Deaf::new(7000)?, tcp()?);
    set_few_tries(&socket)?;
    let target = Target::new(&socket, &peer.address);
    scene.tell(restarted(target, 3, || Ok(()))?.that_got(ETIMEDOUT)?)
}

/// Restarted several times, and then interrupted for good.
pub(super) fn first_with_then_without(stage: &Stage) -> Result<()> {
    let scene = Scene::begin(stage)?;
    on_only_count(SIGUSR1, SA_RESTART)?;
    on_only_count(SIGUSR2, 0)?;
    for times in [1, 5] {
        let peer = Full::new(scene, &format!("{times}"))?;
        let (made, (blocked, sent)) = during(
            || peer.target().make().that_got(EINTR),
            |victim| {
                let blocked = victim.blocked()?;
                for _ in 0..times {
                    victim.interrupt_and_restart(SIGUSR1)?;
                }
                Ok((blocked, victim.interrupt(SIGUSR2)?))
            },
        )?;
        let made = made.entered_by(blocked).ended_from(sent.at);
        scene.tell(made.ended_by(sent.begun).restarted(times))?;
        peer.let_in()?;
        scene.tell(peer.target().make().that_got(0)?)?;
    }
    Ok(())
}

/// How often the timer's handler has to run.
const TICKS: u32 = 30;

/// An interval timer that does not wait for the call to block again. How often it is restarted is
/// what the hook has shown: a handler that runs between two entries restarts nothing.
pub(super) fn by_timer(stage: &Stage) -> Result<()> {
    let scene = Scene::begin(stage)?;
    on_only_count(SIGALRM, SA_RESTART)?;
    let victim = Victim::me();
    let hook = Hook::new()?;
    // Where it is emulated, a processor would do nothing but handle so many.
    let slowness = i64::from(feature::slowness()).pow(2);
    for microseconds in [500, 5000].map(|microseconds| microseconds * slowness) {
        let peer = Full::new(scene, &format!("every {microseconds}"))?;
        let returned = hook.returns()?.values().flatten().count();
        let handled = &count(SIGALRM)?.ended;
        let wanted = handled.load(SeqCst) + TICKS;
        // Of a process with several threads, its first one gets the signal if it can.
        let end = || -> Result<u64> {
            wait::until_true("a timer", || Ok(handled.load(SeqCst) >= wanted))?;
            set_timer(0)?;
            victim.blocked()?;
            let ending = now();
            peer.let_in()?;
            Ok(ending)
        };
        let (made, ending) = thread::scope(|scope| {
            let ending = scope.spawn(|| end().unwrap_or_else(|error| fail(&error)));
            set_timer(microseconds)?;
            let made = peer.target().make();
            let ending = ending
                .join()
                .map_err(|_panic| anyhow!("a thread panicked"))?;
            anyhow::Ok((made, ending))
        })?;
        // Nobody else of this process calls.
        let returns: Vec<_> = hook.returns()?.into_values().flatten().collect();
        let (last, interrupted) = returns
            .get(returned..)
            .and_then(<[i64]>::split_last)
            .context("the hook has shown nothing")?;
        ensure!(
            *last == 0
                && interrupted
                    .iter()
                    .all(|&result| result == -i64::from(ERESTARTSYS)),
            "the hook has shown {returns:?}"
        );
        ensure!(
            !interrupted.is_empty(),
            "the timer has not interrupted the call"
        );
        let restarts = u32::try_from(interrupted.len())?;
        scene.tell(made.that_got(0)?.ended_from(ending).restarted(restarts))?;
    }
    Ok(())
}

/// Without a restart: the program has to call again, and does.
pub(super) fn by_timer_for_good(stage: &Stage) -> Result<()> {
    let scene = Scene::begin(stage)?;
    on_only_count(SIGALRM, 0)?;
    let victim = Victim::me();
    let peer = Full::new(scene, "peer")?;
    let mut interrupted = Vec::new();
    set_timer(500)?;
    while interrupted.len() < 30 {
        interrupted.push(peer.target().make().that_got(EINTR)?);
    }
    set_timer(0)?;
    for made in interrupted {
        scene.tell(made)?;
    }
    let made = thread::scope(|scope| {
        let end = || victim.blocked().and_then(|_blocked| peer.let_in());
        scope.spawn(move || end().unwrap_or_else(|error| fail(&error)));
        peer.target().make().that_got(0)
    })?;
    scene.tell(made)
}

fn set_timer(microseconds: i64) -> Result<()> {
    // SAFETY: all zero is a valid value: no timer.
    let mut timer: libc::itimerval = unsafe { zeroed() };
    timer.it_interval.tv_usec = microseconds;
    timer.it_value.tv_usec = microseconds;
    // SAFETY: the value is complete, and nobody asks for the old one.
    let result = unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, null_mut()) };
    ensure!(result == 0, "no timer: {}", std::io::Error::last_os_error());
    Ok(())
}

/// Signals that nobody handles and that do nothing, or that are blocked.
pub(super) fn by_nothing(stage: &Stage) -> Result<()> {
    let scene = Scene::begin(stage)?;
    act(SIGUSR1, 0, libc::SIG_IGN)?;
    on_only_count(SIGUSR2, 0)?;
    let peer = Full::new(scene, "ignored")?;
    let call = || {
        block(SIGUSR2)?;
        Ok(peer.target().make())
    };
    let (made, (blocked, ending)) = during(call, |victim| {
        let blocked = victim.blocked()?;
        for signal in [SIGUSR1, SIGCHLD, SIGWINCH, SIGUSR2] {
            victim.send(signal)?;
            victim.blocked()?;
        }
        let ending = now();
        peer.let_in()?;
        Ok((blocked, ending))
    })?;
    let made = made.that_got(0)?.entered_by(blocked).ended_from(ending);
    scene.tell(made)
}

fn block(signal: i32) -> Result<()> {
    // SAFETY: all zero is a valid set.
    let mut set: libc::sigset_t = unsafe { zeroed() };
    // SAFETY: the set is ours.
    unsafe {
        libc::sigaddset(&raw mut set, signal);
    }
    // SAFETY: the set is complete, and nobody asks for the old one.
    let result = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, null_mut()) };
    ensure!(result == 0, "cannot block a signal");
    Ok(())
}
