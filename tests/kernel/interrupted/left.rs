//! Handlers that do not return to the call that they have interrupted, but elsewhere.
//!
//! What C programs do with `sigsetjmp` and `siglongjmp`, a timeout by alarm(2) for example. Rust
//! has neither, as a function that returns twice is beyond its rules. [`connect_or_land`] returns
//! once, from the system call or from [`land`], which does what `siglongjmp` does: it restores the
//! stack pointer, and jumps.

use std::sync::{Mutex, PoisonError, atomic::Ordering::SeqCst};

use anyhow::{Context as _, Result, bail};
use libc::{EINTR, SA_NODEFER, SA_ONSTACK, SA_RESTART, SIGUSR1, SIGUSR2};

use super::{
    nested::use_alternate_stack,
    peer::Full,
    signals::{Sent, Victim, during, on, on_only_count},
    truth::{Made, Moment, Scene, Target, keep, now},
};
use crate::support::{
    landing::{LANDED, Landing},
    processor::{connect_or_land, land, set_instruction_pointer, set_result, set_stack_pointer},
    stage::Stage,
    truth::Caller,
};

/// The ways of a handler to leave.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// As `siglongjmp` does.
    Jump,
    /// By `rt_sigreturn`, but into another context.
    Context,
}

/// Leaves by SIGUSR1 from now on, to the last call that has filled `landing`.
fn leave_by(way: Way, landing: &'static Landing, flags: i32) -> Result<()> {
    // A jump does not unblock the signal, as `siglongjmp` would.
    on(SIGUSR1, flags | SA_NODEFER, move |context| {
        match way {
            // SAFETY: the call is still on this thread's stack, and nothing between needs a drop.
            Way::Jump => unsafe { land(landing) },
            Way::Context => {
                set_stack_pointer(context, landing.stack_pointer.load(SeqCst));
                set_instruction_pointer(context, landing.instruction.load(SeqCst));
                set_result(context, -i64::from(LANDED));
            }
        }
        Ok(())
    })
}

/// A call that can be left.
fn make(target: Target<'_>, landing: &Landing) -> Made {
    target.make_by(|fd, pointer, addrlen| {
        let result = connect_or_land(fd, pointer, addrlen, landing);
        i32::try_from(-result).unwrap_or(-1)
    })
}

/// How a call ends that has been left: by SIGUSR1, sent and begun then.
fn interrupted(made: Made, (blocked, sent): (u64, Sent)) -> Made {
    let made = made.entered_by(blocked).ended_from(sent.at);
    made.ended_by(sent.begun)
}

/// Makes the same call again and again, leaves each, after some restarts, and lets the last succeed.
fn again_and_again(scene: &Scene, name: &str, way: Way, flags: i32) -> Result<()> {
    const TIMES: u32 = 8;
    on_only_count(SIGUSR2, SA_RESTART)?;
    let landing = keep(Landing::default());
    leave_by(way, landing, flags)?;
    let peer = keep(Full::new(scene, name)?);
    let restarts = |number| number % 3;
    let calls = || {
        use_alternate_stack()?;
        let mut made = Vec::new();
        for _ in 0..TIMES {
            made.push(make(peer.target(), landing).that_got(LANDED)?);
        }
        made.push(make(peer.target(), landing).that_got(0)?);
        Ok(made)
    };
    let (made, (seen, ending)) = during(calls, |victim| {
        let mut seen = Vec::new();
        for number in 0..TIMES {
            let blocked = victim.blocked()?;
            for _ in 0..restarts(number) {
                victim.interrupt_and_restart(SIGUSR2)?;
            }
            seen.push((blocked, victim.interrupt(SIGUSR1)?));
        }
        victim.blocked()?;
        let ending = now();
        peer.let_in()?;
        Ok((seen, ending))
    })?;
    let mut made = made.into_iter();
    for ((number, seen), made) in (0..).zip(seen).zip(made.by_ref()) {
        let made = interrupted(made, seen).restarted(restarts(number));
        scene.tell(if flags & SA_RESTART == 0 {
            // It had failed before the handler ran.
            made.got(EINTR)
        } else {
            made.never_returned()
        })?;
    }
    let last = made.next().context("no last call")?;
    scene.tell(last.ended_from(ending))
}

pub(super) fn by_jump(stage: &Stage) -> Result<()> {
    let scene = Scene::begin(stage)?;
    again_and_again(scene, "restart", Way::Jump, SA_RESTART)?;
    again_and_again(scene, "no restart", Way::Jump, 0)
}

pub(super) fn by_jump_from_an_alternate_stack(stage: &Stage) -> Result<()> {
    let scene = Scene::begin(stage)?;
    again_and_again(scene, "restart", Way::Jump, SA_RESTART | SA_ONSTACK)?;
    again_and_again(scene, "no restart", Way::Jump, SA_ONSTACK)
}

pub(super) fn by_another_context(stage: &Stage) -> Result<()> {
    let scene = Scene::begin(stage)?;
    again_and_again(scene, "restart", Way::Context, SA_RESTART)?;
    again_and_again(scene, "no restart", Way::Context, 0)?;
    again_and_again(
        scene,
        "alternate stack",
        Way::Context,
        SA_RESTART | SA_ONSTACK,
    )
}

/// The thread's last call is left, and the thread goes on and ends.
pub(super) fn for_ever(stage: &Stage) -> Result<()> {
    let scene = Scene::begin(stage)?;
    for way in [Way::Jump, Way::Context] {
        let landing = keep(Landing::default());
        leave_by(way, landing, SA_RESTART)?;
        let peer = Full::new(scene, &format!("{way:?}"))?;
        let (made, seen) = during(
            || make(peer.target(), landing).that_got(LANDED),
            |victim| Ok((victim.blocked()?, victim.interrupt(SIGUSR1)?)),
        )?;
        scene.tell(interrupted(made, seen).never_returned())?;
    }
    Ok(())
}

/// A call of a handler and the call that it has interrupted are left at once, from the handler's
/// handler. Both are made again.
pub(super) fn two_at_once(stage: &Stage) -> Result<()> {
    const TIMES: usize = 4;
    let scene = Scene::begin(stage)?;
    let landing = keep(Landing::default());
    leave_by(Way::Jump, landing, SA_RESTART)?;
    let outer = keep(Full::new(scene, "outer")?);
    let inner = keep(Full::new(scene, "inner")?);
    let begun = keep(Mutex::new(Vec::new()));
    on(SIGUSR2, SA_RESTART | SA_NODEFER, move |_| {
        begun
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Moment::now());
        let made = inner.target().make();
        bail!("this call should have been left: {made:?}")
    })?;
    let calls = || {
        let mut made = Vec::new();
        for _ in 0..TIMES {
            made.push(make(outer.target(), landing).that_got(LANDED)?);
        }
        let last = [outer, inner].map(|peer| make(peer.target(), landing).that_got(0));
        for last in last {
            scene.tell(last?)?;
        }
        Ok((Caller::me(), made))
    };
    let ((caller, made), seen) = during(calls, |victim| {
        let mut seen = Vec::new();
        for _ in 0..TIMES {
            let outside = (victim.blocked()?, victim.interrupt(SIGUSR2)?);
            let inside = (victim.blocked()?, victim.interrupt(SIGUSR1)?);
            seen.push((outside, inside));
        }
        for peer in [outer, inner] {
            victim.blocked()?;
            peer.let_in()?;
        }
        Ok(seen)
    })?;
    let begun = begun.lock().unwrap_or_else(PoisonError::into_inner);
    for ((made, (outside, inside)), &begun) in made.into_iter().zip(seen).zip(&*begun) {
        scene.tell(interrupted(made, outside).never_returned())?;
        scene.tell(interrupted(
            inner.target().unreturned(&caller, begun),
            inside,
        ))?;
    }
    Ok(())
}

/// A handler's call is left within that handler, which then returns: that is no return of the
/// handler which the call was left from.
pub(super) fn within_a_handler(stage: &Stage) -> Result<()> {
    let scene = Scene::begin(stage)?;
    let landing = keep(Landing::default());
    leave_by(Way::Jump, landing, SA_RESTART)?;
    // The handler does not interrupt a call, or another one, or the same.
    for which in ["none", "other", "same"] {
        let name = |name: &str| format!("{name} {which}");
        let inner = keep(Full::new(scene, &name("inner"))?);
        let outer = keep(Full::new(scene, &name("outer"))?);
        let outer = if which == "same" { inner } else { outer };
        let made_inside = keep(Mutex::new(None));
        on(SIGUSR2, SA_RESTART, move |_| {
            let made = make(inner.target(), landing).that_got(LANDED)?;
            *made_inside.lock().unwrap_or_else(PoisonError::into_inner) = Some(made);
            Ok(())
        })?;
        let calls = || {
            if which == "none" {
                Victim::me().send(SIGUSR2)?;
                return make(inner.target(), landing).that_got(0);
            }
            make(outer.target(), landing).that_got(0)
        };
        let (made, (inside, ending)) = during(calls, |victim| {
            victim.blocked()?;
            if which != "none" {
                victim.interrupt(SIGUSR2)?;
            }
            let inside = (victim.blocked()?, victim.interrupt(SIGUSR1)?);
            victim.blocked()?;
            let ending = now();
            if which == "none" { inner } else { outer }.let_in()?;
            Ok((inside, ending))
        })?;
        let made_inside = made_inside
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let made_inside = made_inside.context("no call in the handler")?;
        scene.tell(interrupted(made_inside, inside).never_returned())?;
        let restarts = u32::from(which != "none");
        scene.tell(made.ended_from(ending).restarted(restarts))?;
    }
    Ok(())
}

/// After a call was left, one that is made further down the stack fails with EINTR; then the first
/// is made again.
pub(super) fn and_made_again(stage: &Stage) -> Result<()> {
    let scene = Scene::begin(stage)?;
    let landing = keep(Landing::default());
    leave_by(Way::Jump, landing, SA_RESTART)?;
    on_only_count(SIGUSR2, 0)?;
    let peer = keep(Full::new(scene, "peer")?);
    let other = keep(Full::new(scene, "other")?);
    let calls = || {
        let left = make(peer.target(), landing).that_got(LANDED)?;
        let failed = further_down(|| other.target().make().that_got(EINTR))?;
        Ok((left, failed, make(peer.target(), landing).that_got(0)?))
    };
    let ((left, failed, last), (seen, seen_failed, ending)) = during(calls, |victim| {
        let seen = (victim.blocked()?, victim.interrupt(SIGUSR1)?);
        let seen_failed = (victim.blocked()?, victim.interrupt(SIGUSR2)?);
        victim.blocked()?;
        let ending = now();
        peer.let_in()?;
        Ok((seen, seen_failed, ending))
    })?;
    scene.tell(interrupted(left, seen).never_returned())?;
    scene.tell(interrupted(failed, seen_failed))?;
    scene.tell(last.ended_from(ending))
}

#[inline(never)]
fn further_down<T>(call: impl FnOnce() -> T) -> T {
    let room = std::hint::black_box([0_u8; 1 << 14]);
    let made = call();
    std::hint::black_box(room);
    made
}
