//! How far the clocks of this process are from the kernel's own, which a time namespace moves.

use std::{fmt, fs, io};

use super::privilege::namespace_inode;

/// Inode of the initial time namespace: `PROC_TIME_INIT_INO` in `include/linux/proc_ns.h`.
const INITIAL: u64 = 0xEFFF_FFFA;

/// The offsets of the namespace of this process's children, which mostly is its own.
const OFFSETS: &str = "/proc/self/timens_offsets";

/// Why it cannot be known, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// Why.
    pub why: String,
    /// What to do.
    pub mend: &'static str,
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.why, self.mend)
    }
}

impl std::error::Error for Unknown {}

/// By how many ns `CLOCK_MONOTONIC` of this process is ahead of the kernel's.
///
/// # Errors
///
/// `/proc` does not say.
pub fn monotonic_ahead_ns() -> Result<i128, Unknown> {
    let own = match namespace_inode("time") {
        Ok(INITIAL) => return Ok(0),
        Ok(own) => own,
        // A kernel without time namespaces.
        Err(error) if error.kind() == io::ErrorKind::NotFound && namespace_inode("pid").is_ok() => {
            return Ok(0);
        }
        Err(error) => {
            return Err(Unknown {
                why: format!(
                    "unknown, and with it how far the clock is from the kernel's: /proc/self/ns/time: {error}"
                ),
                mend: "mount /proc: mount -t proc proc /proc",
            });
        }
    };
    if namespace_inode("time_for_children").ok() != Some(own) {
        return Err(Unknown {
            why: "not the initial one, and of another that only children enter the kernel tells the clock"
                .to_owned(),
            mend: "start in the namespace as a child: unshare --time --fork",
        });
    }
    let offsets = fs::read_to_string(OFFSETS).map_err(|error| error.to_string());
    offsets
        .and_then(|text| parse(&text).ok_or_else(|| "not understood".to_owned()))
        .map_err(|why| Unknown {
            why: format!(
                "not the initial one, and how far its clock is off is unknown: {OFFSETS}: {why}"
            ),
            mend: "start outside of it: nsenter --target 1 --time",
        })
}

/// `monotonic      864000         0`: seconds, which may be below 0, and nanoseconds, which are not.
fn parse(offsets: &str) -> Option<i128> {
    offsets.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next()? == "monotonic").then_some(())?;
        let seconds: i64 = words.next()?.parse().ok()?;
        let nanoseconds: u32 = words.next()?.parse().ok()?;
        Some(i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds))
    })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn offsets_are_seconds_and_nanoseconds() {
        for (text, expected) in [
            (
                "monotonic           0         0\nboottime            0         0\n",
                Some(0),
            ),
            (
                "monotonic      864000         5\nboottime            7         0\n",
                Some(864_000_000_000_005),
            ),
            // Half a second behind.
            ("boottime 7 0\nmonotonic -1 500000000\n", Some(-500_000_000)),
            ("boottime 7 0\n", None),
            ("monotonic x 0\n", None),
            ("monotonic 1\n", None),
            ("", None),
        ] {
            assert_eq!(parse(text), expected, "{text:?}");
        }
    }
}
