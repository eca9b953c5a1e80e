//! seccomp answers in the kernel's place: with the very errno that the kernel has for an
//! interrupted call, or by asking another process, which a signal interrupts.

use std::{
    io,
    os::fd::{AsRawFd as _, OwnedFd},
    sync::mpsc::channel,
};

use anyhow::{Context as _, Result, anyhow, ensure};
use libc::{ECONNREFUSED, SA_RESTART, SIGKILL, SIGUSR1};
use rustix::process::{WaitOptions, waitpid};

use super::{
    killed::never_return,
    peer::Full,
    signals::{child, during, on, on_only_count},
    truth::{Made, Moment, Scene, Target, keep},
    verdict::{KEPT, LOST},
};
use crate::support::{
    seccomp::{answer_by_length, ask_by_length, errno},
    sockaddr::{Sockaddr, loopback},
    stage::Stage,
    syscall::udp,
    truth::Caller,
};

/// 127.0.0.1, in more bytes than it needs.
fn padded(length: u32) -> Result<Sockaddr> {
    let mut address = loopback(9);
    address.bytes.resize(usize::try_from(length)?, 0);
    Ok(address)
}

/// Numbers that mean a restart within the kernel, by the length of the address that gets them. No
/// signal is pending, so the application gets them as they are.
const WITHIN_THE_KERNEL: [(u32, i32); 4] = [(20, 512), (24, 513), (28, 514), (32, 516)];

pub(super) fn with_the_kernels_own_errnos(stage: &Stage) -> Result<()> {
    let scene = Scene::begin(stage)?;
    answer_by_length(&WITHIN_THE_KERNEL.map(|(length, number)| (length, errno(number))))?;
    let (socket, address) = (udp()?, loopback(9));
    for _ in 0..3 {
        for (length, errno) in WITHIN_THE_KERNEL {
            let denied = padded(length)?;
            // More often than calls of one thread are kept.
            for _ in 0..8 {
                let made = Target::new(&socket, &denied).make().that_got(errno)?;
                scene.tell(made.unentered())?;
            }
            scene.tell(Target::new(&socket, &address).make().that_got(0)?)?;
        }
    }
    Ok(())
}

/// In the innermost of as many handlers as there are calls kept, or about as many.
pub(super) fn in_the_deepest_handler(stage: &Stage) -> Result<()> {
    let scene = Scene::begin(stage)?;
    for depth in 3..=KEPT + 1 {
        for round in 0..3 {
            let names = (0..depth).map(|number| format!("{depth} {round} {number}"));
            let peers = names.map(|name| anyhow::Ok(keep(Full::new(scene, &name)?)));
            in_the_handler_of(scene, keep(peers.collect::<Result<Vec<_>>>()?))?;
        }
    }
    Ok(())
}

/// Each call waits for its peer, in a handler that has interrupted the one before. The last one is
/// interrupted by a handler whose call is denied, and killed after its restart.
fn in_the_handler_of(scene: &'static Scene, peers: &'static [&'static Full]) -> Result<()> {
    const DENIED: u32 = 28;
    const ERRNO: i32 = libc::EACCES;
    let signals = || (1..).map(|number| libc::SIGRTMIN() + number);
    let (socket, address) = (keep(udp()?), keep(padded(DENIED)?));
    let mark = |made: Made, depth| {
        if depth < KEPT {
            made
        } else {
            made.with(LOST, true)
        }
    };
    let mut moments = vec![Moment::now()];
    let victim = child(|| {
        answer_by_length(&[(DENIED, errno(ERRNO))])?;
        let (first, others) = peers.split_first().context("no call")?;
        for (&peer, signal) in others.iter().zip(signals()) {
            on(signal, SA_RESTART, |_| never_return(peer.target()))?;
        }
        on(SIGUSR1, SA_RESTART, move |_| {
            let made = Target::new(socket, address).make().that_got(ERRNO)?;
            scene.tell(made.unentered())
        })?;
        never_return(first.target())
    })?;
    for (_, signal) in peers.iter().skip(1).zip(signals()) {
        victim.blocked()?;
        moments.push(Moment::now());
        victim.interrupt(signal)?;
    }
    victim.blocked()?;
    victim.interrupt_and_restart(SIGUSR1)?;
    victim.send(SIGKILL)?;
    waitpid(Some(victim.pid), WaitOptions::empty())?;
    let pid = victim.pid.as_raw_nonzero().get();
    let caller = Caller {
        pid,
        tid: pid,
        ..Caller::me()
    };
    for ((depth, peer), before) in peers.iter().enumerate().zip(moments) {
        let made = peer.target().unreturned(&caller, before);
        let last = depth + 1 == peers.len();
        scene.tell(mark(made.restarted(u32::from(last)), depth))?;
    }
    Ok(())
}

/// Another process is asked, a signal interrupts the wait for its answer, and it is asked again.
pub(super) fn by_another_process(stage: &Stage) -> Result<()> {
    const ASKED: u32 = 28;
    const TIMES: u32 = 3;
    let scene = Scene::begin(stage)?;
    on_only_count(SIGUSR1, SA_RESTART)?;
    let (socket, address) = (udp()?, padded(ASKED)?);
    for errno in [ECONNREFUSED, 0] {
        let (tell, told) = channel();
        let call = || {
            tell.send(ask_by_length(&[(ASKED, libc::SECCOMP_RET_USER_NOTIF)])?)?;
            let made = Target::new(&socket, &address).make().that_got(errno)?;
            // A call that nobody is asked about.
            scene.stage.expect(0, &udp()?, &loopback(9))?;
            Ok(made)
        };
        let (made, _listener) = during(call, |victim| {
            let listener = told.recv().map_err(|_gone| anyhow!("no filter"))?;
            for _ in 0..TIMES {
                receive(&listener)?;
                victim.blocked()?;
                victim.interrupt(SIGUSR1)?;
            }
            answer(&listener, receive(&listener)?, errno)?;
            Ok(listener)
        })?;
        scene.tell(made.restarted(TIMES).unentered())?;
    }
    Ok(())
}

/// The next question's number.
fn receive(listener: &OwnedFd) -> Result<u64> {
    // _IOWR('!', 0, struct seccomp_notif)
    const RECEIVE: u64 = 0xc050_2100;
    // SAFETY: all zero is a valid question, and what the kernel wants.
    let mut question: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    ask(listener, RECEIVE, &mut question)?;
    Ok(question.id)
}

fn answer(listener: &OwnedFd, id: u64, errno: i32) -> Result<()> {
    // _IOWR('!', 1, struct seccomp_notif_resp)
    const SEND: u64 = 0xc018_2101;
    let mut answer = libc::seccomp_notif_resp {
        id,
        val: 0,
        error: -errno,
        flags: 0,
    };
    ask(listener, SEND, &mut answer)
}

/// `data` is what this operation takes.
fn ask<T>(listener: &OwnedFd, operation: u64, data: &mut T) -> Result<()> {
    let fd = listener.as_raw_fd();
    // Not `libc::ioctl`, whose types depend on the C library.
    // SAFETY: the pointer is that of what the operation takes.
    let result = unsafe { libc::syscall(libc::SYS_ioctl, fd, operation, &raw mut *data) };
    ensure!(result == 0, "seccomp: {}", io::Error::last_os_error());
    Ok(())
}
