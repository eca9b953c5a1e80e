//! `SO_SNDTIMEO`: the kernel itself says EINTR, whatever the handler's flags.

use std::{fs, time::Duration};

use anyhow::{Result, ensure};
use libc::{
    EAGAIN, EALREADY, EINPROGRESS, EINTR, SA_RESTART, SIGCONT, SIGKILL, SIGQUIT, SIGSTOP, SIGTERM,
    SIGUSR1,
};
use rustix::process::getpid;

use super::{
    killed::{caller, ended_by, never_return},
    peer::{Deaf, Full},
    signals::{Victim, await_pid, child, during, on_only_count},
    truth::{Made, Moment, Scene, Target, now},
};
use crate::support::{
    child::{await_blocked, succeed},
    hook::Hook,
    option::limit_waiting,
    sockaddr::loopback,
    stage::Stage,
    syscall::{tcp, udp},
};

/// Longer than any test.
const HOUR: Duration = Duration::from_secs(3600);

pub(super) fn never_restarts(stage: &Stage) -> Result<()> {
    let scene = Scene::begin(stage)?;
    on_only_count(SIGUSR1, SA_RESTART)?;
    let (full, deaf) = (Full::new(scene, "full")?, Deaf::new(7000)?);
    let socket = tcp()?;
    let of_tcp = Target::new(&socket, &deaf.address);
    limit_waiting(&full.socket, HOUR)?;
    limit_waiting(&socket, HOUR)?;
    for target in [full.target(), of_tcp] {
        for _ in 0..3 {
            scene.tell(interrupted(target)?)?;
        }
    }
    expire(scene, &full, &deaf)?;
    full.let_in()?;
    scene.tell(full.target().make().that_got(0)?)
}

fn interrupted(target: Target<'_>) -> Result<Made> {
    let (made, (blocked, sent)) = during(
        || target.make().that_got(EINTR),
        |victim| {
            let blocked = victim.blocked()?;
            Ok((blocked, victim.interrupt(SIGUSR1)?))
        },
    )?;
    let made = made.entered_by(blocked).ended_from(sent.at);
    Ok(made.ended_by(sent.begun))
}

fn expire(scene: &Scene, full: &Full, deaf: &Deaf) -> Result<()> {
    const LIMIT: Duration = Duration::from_millis(20);
    let socket = tcp()?;
    limit_waiting(&full.socket, LIMIT)?;
    limit_waiting(&socket, LIMIT)?;
    let of_tcp = Target::new(&socket, &deaf.address);
    for (target, errno) in [
        (full.target(), EAGAIN),
        (of_tcp, EINPROGRESS),
        (of_tcp, EALREADY),
    ] {
        let begun = now();
        let limit = u64::try_from(LIMIT.as_nanos())?;
        scene.tell(target.make().that_got(errno)?.ended_from(begun + limit))?;
    }
    Ok(())
}

/// Not even without a handler: see signal(7), "Interruption of system calls and library functions
/// by stop signals".
pub(super) fn not_even_after_a_stop(stage: &Stage) -> Result<()> {
    const LEFT: &str = "interrupted by a stop";
    let scene = Scene::begin(stage)?;
    let full = Full::new(scene, "full")?;
    limit_waiting(&full.socket, HOUR)?;
    let hook = Hook::new()?;
    let victim: Victim = child(|| {
        let made = full.target().make().that_got(EINTR)?;
        made.leave(&scene.stage, LEFT)
    })?;
    let blocked = victim.blocked()?;
    let stopping = now();
    victim.send(SIGSTOP)?;
    victim.await_state('T')?;
    let stopped = now();
    victim.send(SIGCONT)?;
    succeed(victim.pid)?;
    ensure!(
        hook.returns()?.into_values().eq([[-i64::from(EINTR)]]),
        "the hook has shown something else"
    );
    let made = Made::found(&scene.stage, LEFT)?.entered_by(blocked);
    scene.tell(made.ended_from(stopping).ended_by(stopped))
}

/// The kernel's EINTR does not reach the application: the signal ends it.
pub(super) fn killed(stage: &Stage) -> Result<()> {
    let scene = Scene::begin(stage)?;
    let (full, deaf, socket) = (Full::new(scene, "full")?, Deaf::new(7000)?, tcp()?);
    limit_waiting(&full.socket, HOUR)?;
    limit_waiting(&socket, HOUR)?;
    for target in [full.target(), Target::new(&socket, &deaf.address)] {
        for signal in [SIGKILL, SIGTERM, SIGQUIT] {
            let before = Moment::now();
            let victim = child(|| never_return(target))?;
            let blocked = victim.blocked()?;
            let sent = now();
            victim.send(signal)?;
            ended_by(victim.pid, signal)?;
            let made = target.unreturned(&caller(victim), before);
            scene.tell(made.entered_by(blocked).ended_from(sent))?;
        }
    }
    // Stopped first: its time ends then.
    let before = Moment::now();
    let victim = child(|| never_return(full.target()))?;
    let blocked = victim.blocked()?;
    let stopping = now();
    victim.send(SIGSTOP)?;
    victim.await_state('T')?;
    let stopped = now();
    victim.send(SIGKILL)?;
    ended_by(victim.pid, SIGKILL)?;
    let made = full.target().unreturned(&caller(victim), before);
    let made = made.entered_by(blocked).ended_from(stopping);
    scene.tell(made.ended_by(stopped))?;
    // Another thread ends the process.
    let before = Moment::now();
    let tid_file = stage.file("tid");
    let victim = child(|| {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let tid = rustix::thread::gettid().as_raw_nonzero();
                fs::write(&tid_file, format!("{tid}\n"))?;
                never_return(full.target())
            });
            await_blocked(getpid(), await_pid(&tid_file)?)?;
            // SAFETY: ends the process, and runs nothing.
            unsafe { libc::_exit(0) }
        })
    })?;
    succeed(victim.pid)?;
    let tid = await_pid(&tid_file)?;
    let caller = caller(Victim { tid, ..victim });
    scene.tell(full.target().unreturned(&caller, before))
}

/// It returns EINTR, with or without a handler, and then its thread is killed or ends by itself; or
/// the application goes on, and calls again.
pub(super) fn killed_later(stage: &Stage) -> Result<()> {
    let scene = Scene::begin(stage)?;
    on_only_count(SIGUSR1, SA_RESTART)?;
    for handled in [false, true] {
        for end in ["kill", "exit", "call"] {
            let name = format!("{end} {handled}");
            let full = Full::new(scene, &name)?;
            limit_waiting(&full.socket, HOUR)?;
            let returned = stage.file(&format!("returned {name}"));
            let victim = child(|| {
                let made = full.target().make().that_got(EINTR)?;
                made.leave(&scene.stage, &name)?;
                if end == "call" {
                    let address = loopback(9);
                    let next = Target::new(&udp()?, &address).make().that_got(0)?;
                    next.leave(&scene.stage, &format!("next {name}"))?;
                }
                fs::write(&returned, format!("{}\n", getpid().as_raw_nonzero()))?;
                if end == "kill" {
                    std::thread::park();
                }
                Ok(())
            })?;
            let blocked = victim.blocked()?;
            let ending = now();
            if handled {
                victim.send(SIGUSR1)?;
            } else {
                victim.send(SIGSTOP)?;
                victim.await_state('T')?;
                victim.send(SIGCONT)?;
            }
            await_pid(&returned)?;
            if end == "kill" {
                victim.send(SIGKILL)?;
                ended_by(victim.pid, SIGKILL)?;
            } else {
                succeed(victim.pid)?;
            }
            let made = Made::found(&scene.stage, &name)?.entered_by(blocked);
            scene.tell(made.ended_from(ending))?;
            if end == "call" {
                scene.tell(Made::found(&scene.stage, &format!("next {name}"))?)?;
            }
        }
    }
    Ok(())
}
