//! Local address in use.

use anyhow::Result;
use libc::EADDRINUSE;

use super::listener;
use crate::support::{
    cgroup::Cgroup,
    conformance::{Gap, Proof},
    feature::CHOSEN_ERRNO,
    stage::Stage,
    syscall::{tcp, udp},
};

pub(super) const PROOFS: &[Proof] = &[Proof::new(
    "errno_eaddrinuse_cgroup_program",
    "TCP, then UDP: an eBPF program at `cgroup/connect4` denies with `bpf_set_retval(-EADDRINUSE)`; \
     then it is gone",
    cgroup_program,
)
.needs(&CHOSEN_ERRNO)];

pub(super) const GAPS: &[Gap] = &[Gap {
    what: "without a policy, on sockets of the internet, unix, netlink, packet and vsock families",
    why: "where these choose a local address themselves, their lack of one is EADDRNOTAVAIL (TCP), \
          EAGAIN (UDP) or ENOSPC (unix); EADDRINUSE is an error of their bind(2) alone, and in \
          connect(2) of rare families such as AX.25 and Phonet",
}];

fn cgroup_program(stage: &Stage) -> Result<()> {
    let (_listener, address) = listener()?;
    let cgroup = Cgroup::enter(stage)?;
    let policy = cgroup.enforce("address_in_use")?;
    stage.expect(EADDRINUSE, &tcp()?, &address)?;
    stage.expect(EADDRINUSE, &udp()?, &address)?;
    drop(policy);
    stage.expect(0, &tcp()?, &address)
}
