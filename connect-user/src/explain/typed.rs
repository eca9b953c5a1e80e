//! What was typed behind `explain`.

use super::{caller, entry::Entry, themes};
use crate::{errno, escape::Escaped};

/// Names that the C library, not the kernel, has for a number.
const ALIASES: &[(&str, &str)] = &[
    ("EDEADLOCK", "EDEADLK"),
    ("ENOTSUP", "EOPNOTSUPP"),
    ("EWOULDBLOCK", "EAGAIN"),
];

/// What can be explained.
#[derive(Clone, Copy, Debug)]
pub(super) enum Meant {
    /// An errno, or 0 for success.
    Errno(u32),
    /// An outcome.
    Outcome(&'static Entry),
}

/// What was typed: an outcome by name, or an errno by name or number; or one line that says there is none.
pub(super) fn meant(typed: &str) -> Result<Meant, String> {
    if let Some(outcome) = themes::outcome(&typed.to_ascii_lowercase()) {
        return Ok(Meant::Outcome(outcome));
    }
    number(typed).map(Meant::Errno)
}

fn number(typed: &str) -> Result<u32, String> {
    let text = typed.strip_prefix('-').unwrap_or(typed);
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit are a number that no errno has either.
        let number = text.parse().unwrap_or(u32::MAX);
        return if number == 0 || errno::name(number).is_some() {
            Ok(number)
        } else {
            Err(format!(
                "no errno has the number {text}; the nearest: {}",
                nearest_numbers(number).join(", ")
            ))
        };
    }
    let name = text.to_ascii_uppercase();
    if name == caller::SUCCESS.name {
        return Ok(0);
    }
    let alias = ALIASES.iter().find(|(alias, _)| *alias == name);
    let meant = alias.map_or(name.as_str(), |&(_, meant)| meant);
    let found = errno::ERRNOS.iter().find(|(_, known)| *known == meant);
    found.map(|&(number, _)| number).ok_or_else(|| {
        format!(
            "no errno or outcome is called \"{}\"; the nearest: {}",
            Escaped(typed.as_bytes()),
            nearest_names(&name).join(", ")
        )
    })
}

/// The errnos below and above a number that none has.
fn nearest_numbers(number: u32) -> Vec<String> {
    let above = errno::ERRNOS.partition_point(|&(known, _)| known < number);
    let both = above.saturating_sub(1)..=above;
    let rows = both.filter_map(|index| errno::ERRNOS.get(index));
    rows.map(|(known, name)| format!("{name} ({known})"))
        .collect()
}

/// The three names most like a name, in capitals, that nothing has: those that contain it, then those with
/// the fewest letters to change; of equals, those that can be explained.
fn nearest_names(name: &str) -> Vec<&'static str> {
    let aliases = ALIASES.iter().map(|&(alias, _)| alias);
    let kernels = errno::ERRNOS.iter().map(|&(_, known)| known);
    let outcomes = themes::outcomes().map(|outcome| outcome.name);
    let mut names: Vec<_> = outcomes.chain(kernels).chain(aliases).collect();
    names.sort_by_cached_key(|known| {
        let capitals = known.to_ascii_uppercase();
        (
            !capitals.contains(name),
            strsim::osa_distance(name, &capitals),
            themes::errno(known).is_none() && themes::outcome(known).is_none(),
        )
    });
    names.truncate(3);
    names
}

#[cfg(test)]
#[expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops at what it did not expect"
)]
mod tests {
    use super::*;

    #[test]
    fn aliases_are_no_names_of_the_kernel() {
        for (alias, name) in ALIASES {
            assert!(errno::ERRNOS.iter().all(|(_, known)| known != alias));
            assert!(errno::ERRNOS.iter().any(|(_, known)| known == name));
        }
    }

    #[test]
    fn errnos() {
        for (typed, expected) in [
            ("ECONNREFUSED", 111),
            ("econnrefused", 111),
            ("EConnRefused", 111),
            ("111", 111),
            ("-111", 111),
            ("-EINTR", 4),
            ("ewouldblock", 11),
            ("ENOTSUP", 95),
            ("512", 512),
            ("0", 0),
            ("ok", 0),
            ("EMFILE", 24),
        ] {
            assert_eq!(number(typed), Ok(expected), "{typed}");
        }
    }

    #[test]
    fn outcomes() {
        for (typed, expected) in [
            ("abandoned", "abandoned"),
            ("ESTABLISHED", "established"),
            ("Killed", "killed"),
        ] {
            let Ok(Meant::Outcome(outcome)) = meant(typed) else {
                panic!("{typed} is an outcome");
            };
            assert_eq!(outcome.name, expected);
        }
        for (typed, nearest) in [
            ("abandonned", "abandoned,"),
            ("establish", "established,"),
            ("kiled", "killed,"),
        ] {
            let what = meant(typed).unwrap_err();
            assert!(what.contains(&format!("the nearest: {nearest}")), "{what}");
        }
    }

    #[test]
    fn typed_wrongly() {
        for (typed, expected) in [
            (
                "econrefused",
                "no errno or outcome is called \"econrefused\"; the nearest: ECONNREFUSED,",
            ),
            (
                "ETIMEOUT",
                "no errno or outcome is called \"ETIMEOUT\"; the nearest: ETIMEDOUT,",
            ),
            (
                "EHOSTUNREACHABLE",
                "no errno or outcome is called \"EHOSTUNREACHABLE\"; the nearest: EHOSTUNREACH,",
            ),
            (
                "refused",
                "no errno or outcome is called \"refused\"; the nearest: ECONNREFUSED,",
            ),
            (
                "ewouldblok",
                "no errno or outcome is called \"ewouldblok\"; the nearest: EWOULDBLOCK,",
            ),
            (
                "\x1b[2J\n",
                "no errno or outcome is called \"\\x1b[2J\\x0a\"; the nearest: ",
            ),
            ("", "no errno or outcome is called \"\"; the nearest: "),
            ("-", "no errno or outcome is called \"-\"; the nearest: "),
            (
                "41",
                "no errno has the number 41; the nearest: ELOOP (40), ENOMSG (42)",
            ),
            (
                "99999999999999999999",
                "no errno has the number 99999999999999999999; the nearest: ENOGRACE (531)",
            ),
        ] {
            let what = meant(typed).unwrap_err();
            assert!(what.starts_with(expected), "{what}");
            assert_eq!(what.lines().count(), 1, "{what}");
        }
    }
}
