//! Handlers that connect: each call is its own event, the interrupted one too.

use std::{
    fs, io,
    os::fd::AsRawFd as _,
    ptr::null_mut,
    sync::{Mutex, OnceLock, PoisonError, atomic::Ordering::SeqCst},
};

use anyhow::{Context as _, Result, ensure};
use libc::{
    EBADF, EINTR, EISCONN, SA_NODEFER, SA_ONSTACK, SA_RESTART, SIGCONT, SIGSTOP, SIGUSR1, SIGUSR2,
};
use rustix::process::{Signal, getpid, set_parent_process_death_signal};

use super::{
    peer::Full,
    signals::{Sent, Victim, await_pid, child, count, during, on, on_only_count},
    truth::{Made, Scene, Target, keep, now},
    verdict::{KEPT, LOST, Verdict},
};
use crate::support::{
    case::Case,
    child::{succeed, succeed_all},
    sockaddr::loopback,
    stage::Stage,
    syscall::{udp, unix_stream},
    wait,
};

fn full(scene: &Scene, name: &str) -> Result<&'static Full> {
    Ok(keep(Full::new(scene, name)?))
}

/// The handler's own calls do not block.
pub(super) fn at_once(stage: &Stage) -> Result<()> {
    let scene = Scene::begin(stage)?;
    let (address, socket) = (keep(loopback(9)), keep(udp()?));
    for (round, flags) in [SA_RESTART, SA_RESTART | SA_NODEFER, SA_RESTART | SA_ONSTACK]
        .into_iter()
        .enumerate()
    {
        on(SIGUSR1, flags, move |_| {
            scene.tell(Target::new(&-1, address).make().that_got(EBADF)?)?;
            scene.tell(Target::new(socket, address).make().that_got(0)?)
        })?;
        let peer = full(scene, &format!("restarted {round}"))?;
        let (made, (blocked, ending)) = during(
            || peer.target().make().that_got(0),
            |victim| {
                let blocked = victim.blocked()?;
                victim.interrupt_and_restart(SIGUSR1)?;
                victim.interrupt_and_restart(SIGUSR1)?;
                let ending = now();
                peer.let_in()?;
                Ok((blocked, ending))
            },
        )?;
        scene.tell(made.entered_by(blocked).ended_from(ending).restarted(2))?;
        // The same handler, without a restart: the outer call has failed before the inner begins.
        on(SIGUSR2, flags & !SA_RESTART, move |_| {
            scene.tell(Target::new(&-1, address).make().that_got(EBADF)?)?;
            scene.tell(Target::new(socket, address).make().that_got(0)?)
        })?;
        let peer = full(scene, &format!("failed {round}"))?;
        for _ in 0..3 {
            let (made, (blocked, sent)) = during(
                || peer.target().make().that_got(EINTR),
                |victim| Ok((victim.blocked()?, victim.interrupt(SIGUSR2)?)),
            )?;
            scene.tell(
                made.entered_by(blocked)
                    .ended_from(sent.at)
                    .ended_by(sent.begun),
            )?;
        }
    }
    Ok(())
}

/// The handler makes the very call that it has interrupted: same descriptor, same address at the
/// same place.
pub(super) fn the_same_call(stage: &Stage) -> Result<()> {
    let scene = Scene::begin(stage)?;
    for round in 0..5 {
        let peer = full(scene, &format!("round {round}"))?;
        on(SIGUSR1, SA_RESTART, move |_| {
            scene.tell(peer.target().make().that_got(0)?)
        })?;
        let (made, (blocked, ending)) = during(
            || peer.target().make().that_got(EISCONN),
            |victim| {
                let blocked = victim.blocked()?;
                let handled = count(SIGUSR1)?.ended.load(SeqCst);
                victim.interrupt(SIGUSR1)?;
                victim.blocked()?;
                peer.let_in()?;
                wait::until_true("a handler to end", || {
                    Ok(count(SIGUSR1)?.ended.load(SeqCst) != handled)
                })?;
                victim.blocked()?;
                let ending = now();
                peer.let_in()?;
                Ok((blocked, ending))
            },
        )?;
        scene.tell(made.entered_by(blocked).ended_from(ending).restarted(1))?;
    }
    Ok(())
}

/// The signal that interrupts the call at this depth.
fn signal_at(depth: usize) -> Result<i32> {
    Ok(libc::SIGRTMIN() + 1 + i32::try_from(depth)?)
}

/// A name for each depth.
fn names_of(name: &str, depth: usize) -> Vec<String> {
    (0..depth).map(|depth| format!("{name} {depth}")).collect()
}

/// A call for each name, each made by a handler that interrupts the one before. Unwound from the
/// innermost, each is interrupted once more after its restart.
fn deep(scene: &'static Scene, names: &[String], flags: i32) -> Result<Vec<Made>> {
    let peers = names.iter().map(|name| full(scene, name));
    let peers: Vec<_> = peers.collect::<Result<_>>()?;
    let made = keep(Mutex::new(Vec::new()));
    let keep_made = |call: Made| {
        made.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(call);
    };
    for (depth, &peer) in peers.iter().enumerate().skip(1) {
        on(signal_at(depth - 1)?, SA_RESTART | flags, move |_| {
            keep_made(peer.target().make().that_got(0)?);
            Ok(())
        })?;
    }
    on_only_count(SIGUSR1, SA_RESTART)?;
    let (outermost, inner) = peers.split_first().context("no call")?;
    let call = || {
        if flags & SA_ONSTACK != 0 {
            use_alternate_stack()?;
        }
        let call = outermost.target().make().that_got(0)?;
        keep_made(call);
        Ok(())
    };
    let ((), times) = during(call, |victim| {
        let mut entered = vec![victim.blocked()?];
        for depth in 0..inner.len() {
            victim.interrupt(signal_at(depth)?)?;
            entered.push(victim.blocked()?);
        }
        let mut times = Vec::new();
        for (depth, (peer, entered)) in peers.iter().zip(entered).enumerate().rev() {
            victim.interrupt_and_restart(SIGUSR1)?;
            times.push((entered, now()));
            peer.let_in()?;
            if depth > 0 {
                let handled = count(signal_at(depth - 1)?)?;
                wait::until_true("a handler to end", || {
                    Ok(handled.ended.load(SeqCst) == handled.begun.load(SeqCst))
                })?;
                victim.blocked()?;
            }
        }
        Ok(times)
    })?;
    let mut made = made.lock().unwrap_or_else(PoisonError::into_inner);
    let made = made.drain(..).zip(times).enumerate();
    // The innermost one comes first.
    let made = made.map(|(number, (made, (entered, ending)))| {
        let restarts = if number == 0 { 1 } else { 2 };
        let made = made.entered_by(entered).ended_from(ending);
        made.restarted(restarts)
    });
    Ok(made.collect())
}

/// Less deep than calls are kept.
pub(super) fn up_to_four_deep(stage: &Stage) -> Result<()> {
    let scene = Scene::begin(stage)?;
    for depth in [2, 3, 4, 4, 2] {
        for made in deep(scene, &names_of(&format!("at {}", now()), depth), 0)? {
            scene.tell(made)?;
        }
    }
    Ok(())
}

/// Deeper than calls are kept.
pub(super) fn too_deep(stage: &Stage) -> Result<()> {
    let scene = Scene::begin(stage)?;
    for depth in [12, KEPT, KEPT + 1] {
        let names = names_of(&format!("of {depth}"), depth);
        // The innermost one comes first.
        for (made, depth) in deep(scene, &names, 0)?.into_iter().zip((0..depth).rev()) {
            scene.tell(if depth < KEPT {
                made
            } else {
                made.with(LOST, true)
            })?;
        }
        // What comes after it is whole again.
        for made in deep(scene, &names_of(&format!("after {depth}"), 2), 0)? {
            scene.tell(made)?;
        }
    }
    Ok(())
}

pub(super) fn assert_bounded(case: &Case) -> Result<()> {
    Verdict::of(case, "", &[])?.assert_bounded()
}

pub(super) fn on_an_alternate_stack(stage: &Stage) -> Result<()> {
    let scene = Scene::begin(stage)?;
    for depth in [2, 3, 4] {
        for made in deep(scene, &names_of(&format!("of {depth}"), depth), SA_ONSTACK)? {
            scene.tell(made)?;
        }
    }
    Ok(())
}

/// For the handlers of this thread that want it.
pub(super) fn use_alternate_stack() -> Result<()> {
    const SIZE: usize = 1 << 18;
    let stack = libc::stack_t {
        ss_sp: keep(vec![0_u8; SIZE]).as_ptr().cast_mut().cast(),
        ss_flags: 0,
        ss_size: SIZE,
    };
    // SAFETY: the stack is as large as it says, lives for ever, and is used by nobody else.
    let result = unsafe { libc::sigaltstack(&raw const stack, null_mut()) };
    ensure!(
        result == 0,
        "no alternate stack: {}",
        io::Error::last_os_error()
    );
    Ok(())
}

/// The handler's call fails with EINTR, and the handler goes on: it makes another call before it
/// returns to the restart of the first.
pub(super) fn interrupted_in_the_handler(stage: &Stage) -> Result<()> {
    let scene = Scene::begin(stage)?;
    on_only_count(SIGUSR2, 0)?;
    // The last call of the handler: of other arguments, or of the very same as the outer one.
    for same in [false, true] {
        let name = |name: &str| format!("{name} {same}");
        let (outer, inner) = (full(scene, &name("outer"))?, full(scene, &name("inner"))?);
        let (address, socket) = (keep(loopback(9)), keep(udp()?));
        let sent = keep(OnceLock::new());
        on(SIGUSR1, SA_RESTART, move |_| {
            let made = inner.target().make().that_got(EINTR)?;
            let (blocked, sent): (u64, Sent) =
                wait::until("the other side", || Ok(sent.get().copied()))?;
            let made = made.entered_by(blocked).ended_from(sent.at);
            scene.tell(made.ended_by(sent.begun))?;
            let last = if same {
                outer.target()
            } else {
                Target::new(socket, address)
            };
            scene.tell(last.make().that_got(0)?)
        })?;
        let (made, (blocked, ending)) = during(
            || Ok(outer.target().make()),
            |victim| {
                let blocked = victim.blocked()?;
                let handled = count(SIGUSR1)?;
                victim.interrupt(SIGUSR1)?;
                let blocked_inside = victim.blocked()?;
                let sent_inside = victim.interrupt(SIGUSR2)?;
                sent.get_or_init(|| (blocked_inside, sent_inside));
                if same {
                    victim.blocked()?;
                    outer.let_in()?;
                }
                wait::until_true("a handler to end", || {
                    Ok(handled.ended.load(SeqCst) == handled.begun.load(SeqCst))
                })?;
                victim.blocked()?;
                let ending = now();
                outer.let_in()?;
                Ok((blocked, ending))
            },
        )?;
        let made = made.that_got(if same { EISCONN } else { 0 })?;
        scene.tell(made.entered_by(blocked).ended_from(ending).restarted(1))?;
    }
    Ok(())
}

/// Two signals at once, sent while it is stopped: the handler of the lower number is set up first,
/// and so decides; it runs last. Each of them connects.
pub(super) fn two_at_once(stage: &Stage) -> Result<()> {
    let scene = Scene::begin(stage)?;
    let address = keep(loopback(9));
    for (first, second, errno) in [
        (SA_RESTART, SA_RESTART, 0),
        (SA_RESTART, 0, 0),
        (0, SA_RESTART, EINTR),
        (0, 0, EINTR),
    ] {
        let name = format!("{first} {second}");
        let peer = full(scene, &name)?;
        let victim: Victim = child(|| {
            let sockets = (keep(udp()?), keep(udp()?));
            let call = |socket| scene.tell(Target::new(socket, address).make().that_got(0)?);
            on(SIGUSR1, first, move |_| call(sockets.0))?;
            on(SIGUSR2, second, move |_| call(sockets.1))?;
            peer.target().make().leave(&scene.stage, &name)
        })?;
        let blocked = victim.blocked()?;
        let stopping = now();
        victim.send(SIGSTOP)?;
        victim.await_state('T')?;
        let stopped = now();
        victim.send(SIGUSR2)?;
        victim.send(SIGUSR1)?;
        let handled = [count(SIGUSR1)?, count(SIGUSR2)?];
        let before = handled.map(|count| count.ended.load(SeqCst));
        victim.send(SIGCONT)?;
        wait::until_true("both handlers to end", || {
            let ended = handled.map(|count| count.ended.load(SeqCst));
            Ok(ended
                .iter()
                .zip(before)
                .all(|(&ended, before)| ended != before))
        })?;
        let ending = now();
        if errno == 0 {
            victim.blocked()?;
            peer.let_in()?;
        }
        succeed(victim.pid)?;
        let made = Made::found(&scene.stage, &name)?
            .that_got(errno)?
            .entered_by(blocked);
        scene.tell(if errno == 0 {
            made.ended_from(ending).restarted(1)
        } else {
            made.ended_from(stopping).ended_by(stopped)
        })?;
    }
    Ok(())
}

/// The handler forks: the child returns from the handler too, so that what is the parent's restart
/// is a call of its own. It makes it on a socket of its own.
pub(super) fn forked_in_the_handler(stage: &Stage) -> Result<()> {
    let scene = Scene::begin(stage)?;
    for round in 0..5 {
        let peer = full(scene, &format!("round {round}"))?;
        let forked = keep(stage.file(&format!("forked {round}")));
        // In a child, as only a process of one thread may fork.
        let victim = child(|| {
            let parent = getpid();
            on(SIGUSR1, SA_RESTART, move |_| {
                // SAFETY: the process has one thread, so the child finds no lock held.
                let pid = unsafe { libc::fork() };
                ensure!(pid != -1, "cannot fork: {}", io::Error::last_os_error());
                if pid != 0 {
                    return Ok(fs::write(forked, format!("{pid}\n"))?);
                }
                set_parent_process_death_signal(Some(Signal::KILL))?;
                let other = keep(unix_stream()?);
                // SAFETY: takes integers. Nobody in this process relies on what the socket was.
                let result = unsafe { libc::dup2(other.as_raw_fd(), peer.socket.as_raw_fd()) };
                ensure!(result != -1, "cannot dup: {}", io::Error::last_os_error());
                Ok(())
            })?;
            let made = peer.target().make().that_got(0)?;
            if getpid() == parent {
                scene.tell(made.restarted(1))?;
                succeed_all()
            } else {
                scene.tell(made)
            }
        })?;
        victim.blocked()?;
        victim.interrupt(SIGUSR1)?;
        let pid = await_pid(forked)?;
        victim.blocked()?;
        Victim { pid, tid: pid }.blocked()?;
        peer.let_in()?;
        peer.let_in()?;
        succeed(victim.pid)?;
    }
    Ok(())
}
