//! The kernel's version, and what follows from nothing else.

use rustix::system::uname;

/// The first kernel that preempts programs on tracepoints.
const FIRST_TO_PREEMPT: (u32, u32) = (7, 0);

/// The release of the running kernel, as `uname -r` prints it.
#[must_use]
pub fn release() -> String {
    uname().release().to_string_lossy().into_owned()
}

/// Whether the kernel may preempt programs on tracepoints, and then does not run them for whoever comes
/// next on the same CPU.
#[must_use]
pub fn preempts_programs() -> bool {
    version(&release()) >= FIRST_TO_PREEMPT
}

/// Bits of `thread_info.flags` at which the kernel of this release interrupts a system call and has it restarted:
/// `TIF_SIGPENDING` and `TIF_NOTIFY_SIGNAL`. Nothing that a running kernel shows says which they are, but its version.
///
/// Source: `arch/*/include/asm/thread_info.h`; since the flags are the same for every architecture,
/// `include/asm-generic/thread_info_tif.h`. In the versions between, both: another flag then makes a number that a
/// seccomp filter gives look like an interruption.
#[must_use]
pub fn interrupting_flags(release: &str) -> u32 {
    const GENERIC: u32 = 1 << 1 | 1 << 2;
    const X86: u32 = 1 << 2 | 1 << 17;
    const ARM: u32 = 1 << 0 | 1 << 6;
    /// On 64-bit Arm from 6.13 on, which may have another flag in between.
    const NOTIFY_SIGNAL: u32 = 1 << 7;
    match version(release) {
        version if cfg!(target_arch = "aarch64") && version < (6, 13) => ARM,
        _ if cfg!(target_arch = "aarch64") => ARM | NOTIFY_SIGNAL | GENERIC,
        version if version < (6, 16) => X86,
        version if version < (6, 18) => X86 | GENERIC,
        _ => GENERIC,
    }
}

/// The first two numbers of a release; 0 where there is none.
#[must_use]
pub fn version(release: &str) -> (u32, u32) {
    let mut numbers = release
        .split(|character: char| !character.is_ascii_digit())
        .map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        assert_eq!(version("6.18.44-fc-v657"), (6, 18));
        assert_eq!(version("5.10.0-32-cloud-amd64"), (5, 10));
        assert_eq!(version("7"), (7, 0));
        assert_eq!(version("next"), (0, 0));
    }

    /// As the modules of these kernels, which test the flags, have them.
    #[test]
    #[cfg(target_arch = "x86_64")]
    fn flags_that_interrupt() {
        for (release, flags) in [
            ("5.10.0-32-cloud-amd64", 0x20004),
            ("6.12.107+deb13-cloud-amd64", 0x20004),
            ("6.18.15+deb13-cloud-amd64", 6),
            ("7.3.4+deb13-cloud-amd64", 6),
        ] {
            assert_eq!(interrupting_flags(release), flags, "{release}");
        }
    }
}
