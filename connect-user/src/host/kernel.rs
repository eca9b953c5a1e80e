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

/// The first two numbers of a release; 0 where there is none.
#[must_use]
pub fn version(release: &str) -> (u32, u32) {
    let mut numbers = release
        .split(|character: char| !character.is_ascii_digit())
        .map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}
