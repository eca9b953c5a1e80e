//! What not every machine can do that runs these tests, and which can: all of it, here, once.
//!
//! A test that needs something of this says so ([`Case::needs`](super::case::Case::needs)), and is
//! left out where it is missing. On a distribution's own kernel, which sets [`STOCK`], nothing is
//! missing that its version has: there the version alone decides, so that no test is left out on a
//! kernel that is new enough for it.

use std::{env, fs::File, io::Write as _, process::Command, sync::LazyLock, thread};

use anyhow::{Context as _, Result};

use super::{agent::path as agent, namespace::enter_network, network::ethernet};

/// Environment variable: set in a VM with a distribution's kernel and no programs but these tests.
const STOCK: &str = "CONNECT_OBSERVER_STOCK_KERNEL";
/// How much slower an emulated processor may be.
const EMULATED: u32 = 4;
/// Environment variable: the file that [`announce`] writes to, from which `cargo xtask vm` makes
/// `docs/kernels.md`. One feature per line, as words with tabs between them: `feature NAME NEEDS
/// STATE`, where the state is `yes` or `no`.
const RESULTS: &str = "FEATURE_RESULTS";

pub(crate) struct Feature {
    /// A row of the document.
    pub(crate) name: &'static str,
    needs: Needs,
    /// Asks a kernel that somebody has built for one purpose and may lack anything.
    probe: fn() -> bool,
}

enum Needs {
    /// Linux from this version on, for this reason.
    Linux((u32, u32), &'static str),
    /// Programs that a host has, and a VM has not.
    Host(&'static str),
}

/// What a call was made with whose entry was not seen; and whether a thread that a signal has
/// interrupted comes back to its call.
pub(crate) static REGISTERS: Feature = Feature {
    name: "registers that a task saved",
    needs: Needs::Linux((5, 10), "bpf_task_pt_regs, or BTF before 5.15"),
    probe: || true,
};
/// Before, seccomp ended the task on the spot, and no hook saw the return of its call.
pub(crate) static SECCOMP_KILL: Feature = Feature {
    name: "return of a call that seccomp kills",
    needs: Needs::Linux((5, 16), "seccomp kills by a signal"),
    probe: || true,
};
/// The stable kernels that forbade it (EBUSY) after a fault had been found in it, and never allowed
/// it again.
pub(crate) static DISCONNECTION: Feature = Feature {
    name: "disconnection of a socket on which a thread waits",
    needs: Needs::Linux((6, 1), "tcp_disconnect with waiting threads"),
    probe: || true,
};
/// As distributions build it.
pub(crate) static MULTIPATH: Feature = Feature {
    name: "Multipath TCP",
    needs: Needs::Linux((6, 1), "CONFIG_MPTCP"),
    probe: || true,
};
/// Before, nothing shows what comes back to a datagram socket.
pub(crate) static ERROR_REPORT: Feature = Feature {
    name: "errors that come back to datagram sockets",
    needs: Needs::Linux((5, 14), "inet_sk_error_report"),
    probe: || true,
};
pub(crate) static CHOSEN_ERRNO: Feature = Feature {
    name: "errno chosen by a cgroup program",
    needs: Needs::Linux((5, 18), "bpf_set_retval"),
    probe: || true,
};
/// Before, the kernel shows no such request, only its completion.
pub(crate) static IO_URING_REFUSED: Feature = Feature {
    name: "connect by io_uring that is refused before it is submitted",
    needs: Needs::Linux((5, 19), "io_uring_req_failed"),
    probe: || true,
};
/// Only a kernel that somebody has built for one purpose refuses them.
pub(crate) static FUNCTIONS: Feature = Feature {
    name: "hooks on the kernel's functions",
    needs: Needs::Linux((5, 5), "fentry and fexit programs"),
    probe: functions,
};
/// Environment variable: where the 32-bit program is, which `cargo xtask` has built.
pub(crate) const PROGRAM32: &str = "PROGRAM32";
/// Programs of the processor's 32-bit mode, whose calls only hooks on functions see.
pub(crate) static COMPAT_PROGRAMS: Feature = Feature {
    name: "32-bit programs",
    needs: Needs::Linux((5, 5), "CONFIG_IA32_EMULATION, fentry and fexit programs"),
    probe: || env::var_os(PROGRAM32).is_some() && functions(),
};
/// The same programs, where something else shows their calls.
#[cfg(target_arch = "x86_64")]
pub(crate) static PROGRAMS32: Feature = Feature {
    name: "32-bit programs, by whatever shows their calls",
    needs: Needs::Linux(
        (2, 6),
        "CONFIG_IA32_EMULATION, and the program that cargo xtask builds",
    ),
    probe: || env::var_os(PROGRAM32).is_some_and(|program| Command::new(program).output().is_ok()),
};
pub(crate) static ETHERNET: Feature = Feature {
    name: "Ethernet between namespaces",
    needs: Needs::Linux((2, 6), "veth"),
    probe: || {
        // In a network of its own.
        let made = thread::spawn(|| enter_network().and_then(|()| ethernet())).join();
        matches!(made, Ok(Ok(())))
    },
};
/// How soon a program closes what it needs no more.
pub(crate) static SPEED: Feature = Feature {
    name: "a program that reacts within 50 ms",
    needs: Needs::Host("a processor that is not emulated, on which a program reacts within 50 ms"),
    probe: || true,
};
pub(crate) static PROGRAMS: Feature = Feature {
    name: "real programs, also under strace",
    needs: Needs::Host("curl, getent, python3 and strace, which are not in the VM"),
    probe: || true,
};

/// In the order of the document.
static ALL: &[&Feature] = &[
    &REGISTERS,
    &SECCOMP_KILL,
    &DISCONNECTION,
    &MULTIPATH,
    &ERROR_REPORT,
    &CHOSEN_ERRNO,
    &FUNCTIONS,
    #[cfg(target_arch = "x86_64")]
    &COMPAT_PROGRAMS,
    &IO_URING_REFUSED,
    &ETHERNET,
    &SPEED,
    &PROGRAMS,
];

impl Feature {
    /// Why it is missing here; nothing where it is there.
    pub(crate) fn missing(&self) -> Option<String> {
        let is_stock = env::var_os(STOCK).is_some();
        match self.needs {
            Needs::Linux(version, why) if kernel_version().is_ok_and(|own| own < version) => {
                let (major, minor) = version;
                Some(format!("needs Linux {major}.{minor}: {why}"))
            }
            Needs::Linux(_, why) if !is_stock && !(self.probe)() => {
                Some(format!("this kernel was built without it: {why}"))
            }
            Needs::Host(why) if is_stock => Some(format!("runs on a host only: needs {why}")),
            _ => None,
        }
    }
}

/// What the agent itself finds out.
fn functions() -> bool {
    static FOUND: LazyLock<bool> = LazyLock::new(|| {
        let check = Command::new(agent()).arg("check").output();
        check.is_ok_and(|check| {
            let said = String::from_utf8_lossy(&check.stdout);
            said.lines()
                .any(|line| line.starts_with("address ") && line.contains("seen: fentry"))
        })
    });
    *FOUND
}

/// Whether the kernel may preempt our programs, and then does not run them for whoever comes next:
/// rare, but not where processors are emulated. What is missed is counted.
pub(crate) fn may_miss() -> bool {
    env::var_os(STOCK).is_some() && kernel_version().is_ok_and(|own| own >= (7, 0))
}

/// By how much anything may take longer here.
pub(crate) fn slowness() -> u32 {
    if env::var_os(STOCK).is_some() {
        EMULATED
    } else {
        1
    }
}

/// How many of so many things to do at the same time here. An emulated processor gains nothing by
/// changing between them, and a kernel that may preempt our programs does so more often.
pub(crate) fn at_once(most: usize) -> usize {
    if slowness() == 1 { most } else { most / 2 }
}

/// Tells what is there and what is not.
pub(crate) fn announce() -> Result<()> {
    let Some(path) = env::var_os(RESULTS) else {
        return Ok(());
    };
    let mut file = File::create(&path).context("cannot tell the features")?;
    for feature in ALL {
        let needs = match feature.needs {
            Needs::Linux((major, minor), why) => format!("{why}, Linux {major}.{minor}"),
            Needs::Host(_) => continue,
        };
        let state = match feature.missing() {
            None => "yes",
            Some(_) => "no",
        };
        writeln!(file, "feature\t{}\t{needs}\t{state}", feature.name)?;
    }
    Ok(())
}

fn kernel_version() -> Result<(u32, u32)> {
    let name = rustix::system::uname();
    let release = name.release().to_str()?;
    let mut numbers = release
        .split(|character: char| !character.is_ascii_digit())
        .map(str::parse);
    let mut number = || numbers.next()?.ok();
    number()
        .zip(number())
        .with_context(|| format!("kernel release {release} is not understood"))
}
