//! Not permitted: a policy says so.

use std::io;

use anyhow::{Result, ensure};
use libc::{
    BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, EPERM, SECCOMP_RET_ALLOW,
    SECCOMP_RET_ERRNO, sock_filter,
};

use super::{deaf, listener};
use crate::support::{
    cgroup::Cgroup,
    conformance::Proof,
    stage::{Attempt, Stage},
    syscall::{tcp, udp},
};

pub(super) const PROOFS: &[Proof] = &[
    Proof::new(
        "errno_eperm_cgroup_program",
        "TCP, then UDP: an eBPF program at `cgroup/connect4` denies; then it is gone",
        cgroup_program,
    ),
    Proof::new(
        "errno_eperm_seccomp",
        "a seccomp filter denies the system call; the hook sees no entry, only the return",
        seccomp,
    ),
];

fn cgroup_program(stage: &Stage) -> Result<()> {
    let (_listener, address) = listener()?;
    let cgroup = Cgroup::enter(stage)?;
    let policy = cgroup.enforce("deny")?;
    stage.expect(EPERM, &tcp()?, &address)?;
    stage.expect(EPERM, &udp()?, &address)?;
    drop(policy);
    stage.expect(0, &tcp()?, &address)
}

fn seccomp(stage: &Stage) -> Result<()> {
    let (_deaf, address) = deaf()?;
    deny_connect()?;
    let socket = tcp()?;
    stage.expect_of(EPERM, &Attempt::new(&socket, &address).unentered())
}

/// Denies connect(2) to this thread, whatever its arguments.
fn deny_connect() -> Result<()> {
    let statement = |code: u32, k, jf| -> Result<_> {
        Ok(sock_filter {
            code: code.try_into()?,
            jt: 0,
            jf,
            k,
        })
    };
    let errno = SECCOMP_RET_ERRNO | EPERM.cast_unsigned();
    let mut program = [
        // The number of the system call is what struct seccomp_data begins with.
        statement(BPF_LD | BPF_W | BPF_ABS, 0, 0)?,
        statement(BPF_JMP | BPF_JEQ | BPF_K, u32::try_from(libc::SYS_connect)?, 1)?,
        statement(BPF_RET | BPF_K, errno, 0)?,
        statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0)?,
    ];
    let program = libc::sock_fprog {
        len: u16::try_from(program.len())?,
        filter: program.as_mut_ptr(),
    };
    rustix::thread::set_no_new_privs(true)?;
    let mode = libc::SECCOMP_SET_MODE_FILTER;
    // SAFETY: the kernel copies the program, which lives until then.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, mode, 0, &raw const program) };
    ensure!(result == 0, "no filter: {}", io::Error::last_os_error());
    Ok(())
}
