//! `SO_SNDTIMEO`: the kernel itself says EINTR, whatever the handler's flags.

use std::time::Duration;

use anyhow::{Result, ensure};
use libc::{EAGAIN, EALREADY, EINPROGRESS, EINTR, SA_RESTART, SIGCONT, SIGSTOP, SIGUSR1};

use super::{
    peer::{Deaf, Full},
    signals::{Victim, child, during, on_only_count},
    truth::{Made, Scene, Target, now},
};
use crate::support::{
    child::succeed, hook::Hook, option::limit_waiting, stage::Stage, syscall::tcp,
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
