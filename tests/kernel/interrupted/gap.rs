//! A signal between the end of an interrupted system call and its restart: it finds the thread in
//! no system call, so its handler has no say in the restart.
//!
//! The gap is a few instructions wide. Here it is held open: the page of the instruction that makes
//! the call cannot be executed when the thread comes back to it, and the handler of SIGSEGV, which
//! does not have `SA_RESTART`, mends that.

use std::{
    io,
    ptr::null_mut,
    sync::atomic::{AtomicBool, Ordering::SeqCst},
};

use anyhow::{Result, ensure};
use libc::{PROT_EXEC, PROT_NONE, PROT_READ, PROT_WRITE, SIGSEGV, SIGTSTP};
use rustix::process::setsid;

use super::{
    peer::Full,
    signals::{child, during, on},
    truth::{Scene, keep, now},
};
use crate::support::{
    child::succeed,
    memory::page_size,
    processor::{CONNECT_CODE, connect_by},
    stage::Stage,
};

/// A page that makes the call.
#[derive(Clone, Copy, Debug)]
struct Page {
    address: usize,
}

impl Page {
    fn new() -> Result<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let protection = PROT_READ | PROT_WRITE;
        // SAFETY: a new mapping, wherever the kernel likes it.
        let page = unsafe { libc::mmap(null_mut(), page_size(), protection, flags, -1, 0) };
        ensure!(
            page != libc::MAP_FAILED,
            "cannot map: {}",
            io::Error::last_os_error()
        );
        // SAFETY: the page is ours, and longer than that.
        unsafe {
            page.cast::<[u8; CONNECT_CODE.len()]>().write(CONNECT_CODE);
        }
        let page = Self {
            address: page.expose_provenance(),
        };
        page.protect(PROT_READ | PROT_EXEC)?;
        Ok(page)
    }

    fn protect(self, protection: i32) -> Result<()> {
        let page = std::ptr::with_exposed_provenance_mut(self.address);
        // SAFETY: the page is ours, and nobody has a reference into it.
        let result = unsafe { libc::mprotect(page, page_size(), protection) };
        ensure!(
            result == 0,
            "cannot protect: {}",
            io::Error::last_os_error()
        );
        Ok(())
    }

    /// connect(2). Returns the errno.
    fn connect(self, fd: u64, pointer: u64, addrlen: u64) -> i32 {
        // SAFETY: the code stands there; where it cannot be executed, the handler of SIGSEGV mends that.
        let result = unsafe { connect_by(self.address, fd, pointer, addrlen) };
        i32::try_from(-result).unwrap_or(-1)
    }
}

pub(super) fn between(stage: &Stage) -> Result<()> {
    let scene = Scene::begin(stage)?;
    let page = Page::new()?;
    let shut = keep(AtomicBool::new(false));
    on(SIGSEGV, 0, move |_| {
        ensure!(shut.swap(false, SeqCst), "another fault");
        page.protect(PROT_READ | PROT_EXEC)
    })?;
    for round in 0..3 {
        let peer = Full::new(scene, &format!("round {round}"))?;
        // Where a stop signal interrupts a call, and is then thrown away.
        let victim = child(|| {
            setsid()?;
            let (made, (blocked, ending)) = during(
                || {
                    let call = |fd, pointer, addrlen| page.connect(fd, pointer, addrlen);
                    peer.target().make_by(call).that_got(0)
                },
                |victim| {
                    let blocked = victim.blocked()?;
                    for _ in 0..round {
                        shut.store(true, SeqCst);
                        page.protect(PROT_NONE)?;
                        victim.send(SIGTSTP)?;
                        victim.blocked()?;
                        ensure!(!shut.load(SeqCst), "no fault");
                    }
                    let ending = now();
                    peer.let_in()?;
                    Ok((blocked, ending))
                },
            )?;
            let made = made.entered_by(blocked).ended_from(ending);
            scene.tell(made.restarted(round))
        })?;
        succeed(victim.pid)?;
    }
    Ok(())
}
