//! seccomp answers in the kernel's place: with the very errno that the kernel has for an
//! interrupted call, or by asking another process, which a signal interrupts.

use std::{
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    sync::mpsc::channel,
};

use anyhow::{Context as _, Result, anyhow, ensure};
use libc::{
    BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, ECONNREFUSED, SA_RESTART, SIGKILL,
    SIGUSR1, sock_filter,
};
use rustix::process::{WaitOptions, waitpid};

use super::{
    killed::never_return,
    peer::Full,
    signals::{child, during, on, on_only_count},
    truth::{Moment, Scene, Target, keep},
};
use crate::support::{
    sockaddr::{Sockaddr, loopback},
    stage::Stage,
    syscall::udp,
    truth::Caller,
};

/// Denies connect(2) to the current thread by the length of the address, each of which has its
/// answer. Returns a descriptor if the filter has one.
fn deny(answers: &[(u32, u32)], flags: libc::c_ulong) -> Result<Option<OwnedFd>> {
    const NUMBER: u32 = 0;
    // args[2] of struct seccomp_data, lower half.
    const LENGTH: u32 = 32;
    let load = |offset| statement(BPF_LD | BPF_W | BPF_ABS, offset);
    let unless = |value, skip| sock_filter {
        jf: skip,
        ..statement(BPF_JMP | BPF_JEQ | BPF_K, value)
    };
    let answer = |what| statement(BPF_RET | BPF_K, what);
    let skip = u8::try_from(2 * answers.len() + 1)?;
    let mut program = vec![
        load(NUMBER),
        unless(u32::try_from(libc::SYS_connect)?, skip),
        load(LENGTH),
    ];
    for &(length, what) in answers {
        program.extend([unless(length, 1), answer(what)]);
    }
    program.push(answer(libc::SECCOMP_RET_ALLOW));
    let program = libc::sock_fprog {
        len: u16::try_from(program.len())?,
        filter: program.as_mut_ptr(),
    };
    rustix::thread::set_no_new_privs(true)?;
    let mode = libc::SECCOMP_SET_MODE_FILTER;
    // SAFETY: the kernel copies the program, which lives until then.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, mode, flags, &raw const program) };
    ensure!(result >= 0, "no filter: {}", io::Error::last_os_error());
    let fd = i32::try_from(result)?;
    // SAFETY: a filter that has a listener returns its descriptor, which is ours; others return 0.
    Ok((flags != 0).then(|| unsafe { OwnedFd::from_raw_fd(fd) }))
}

fn statement(code: u32, k: u32) -> sock_filter {
    sock_filter {
        // The codes are small numbers, or-ed.
        code: code.try_into().unwrap_or(u16::MAX),
        jt: 0,
        jf: 0,
        k,
    }
}

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
    let answers = WITHIN_THE_KERNEL
        .map(|(length, errno)| (length, libc::SECCOMP_RET_ERRNO | errno.cast_unsigned()));
    deny(&answers, 0)?;
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

/// In the innermost of as many handlers as there are calls kept.
pub(super) fn in_the_deepest_handler(stage: &Stage) -> Result<()> {
    const DENIED: u32 = 28;
    const ERRNO: i32 = libc::EACCES;
    let scene = Scene::begin(stage)?;
    let peer = |name| anyhow::Ok(keep(Full::new(scene, name)?));
    let peers = [
        peer("first")?,
        peer("second")?,
        peer("third")?,
        peer("beyond fourth")?,
    ];
    let signals = [1, 2, 3].map(|number| libc::SIGRTMIN() + number);
    let (socket, address) = (keep(udp()?), keep(padded(DENIED)?));
    for _ in 0..20 {
        let mut moments = vec![Moment::now()];
        let victim = child(|| {
            deny(
                &[(DENIED, libc::SECCOMP_RET_ERRNO | ERRNO.cast_unsigned())],
                0,
            )?;
            let (first, others) = peers.split_first().context("no call")?;
            for (&peer, signal) in others.iter().zip(signals) {
                on(signal, SA_RESTART, |_| never_return(peer.target()))?;
            }
            on(SIGUSR1, SA_RESTART, |_| {
                let made = Target::new(socket, address).make().that_got(ERRNO)?;
                scene.tell(made.unentered())
            })?;
            never_return(first.target())
        })?;
        for signal in signals {
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
        for (peer, before) in peers.iter().zip(moments) {
            let made = peer.target().unreturned(&caller, before);
            let last = peer.address.bytes.ends_with(b"fourth");
            scene.tell(made.restarted(u32::from(last)))?;
        }
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
            let answers = [(ASKED, libc::SECCOMP_RET_USER_NOTIF)];
            let listener = deny(&answers, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER)?;
            tell.send(listener.context("no listener")?)?;
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
