//! Not permitted: a policy says so.

use anyhow::Result;
use libc::EPERM;

use super::{deaf, listener};
use crate::support::{
    attempt::Attempt,
    cgroup::Cgroup,
    conformance::Proof,
    seccomp,
    stage::Stage,
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
        seccomp_filter,
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

fn seccomp_filter(stage: &Stage) -> Result<()> {
    let (_deaf, address) = deaf()?;
    seccomp::answer(seccomp::errno(EPERM))?;
    let socket = tcp()?;
    stage.expect_of(EPERM, &Attempt::new(&socket, &address).unentered())
}
