//! `explain`: what an errno of connect means, where it comes from, and what to look at next.
//!
//! What there is to say stands in tables under `explain/`, a file for each theme. To add an errno,
//! add an entry there; everything else follows from it.

mod caller;
mod entry;
mod families;
mod network;
mod path;
mod policy;
mod resources;

use std::{
    fmt::Write as _,
    io::{self, Write as _, stdout},
    process::ExitCode,
};

use anyhow::Result;

use self::entry::Entry;
use crate::{errno, escape::Escaped, status};

/// Every entry.
const THEMES: &[&[Entry]] = &[
    network::ENTRIES,
    path::ENTRIES,
    policy::ENTRIES,
    resources::ENTRIES,
    caller::ENTRIES,
    families::ENTRIES,
];

/// Names that the C library, not the kernel, has for a number.
const ALIASES: &[(&str, &str)] = &[
    ("EDEADLOCK", "EDEADLK"),
    ("ENOTSUP", "EOPNOTSUPP"),
    ("EWOULDBLOCK", "EAGAIN"),
];

/// What holds for every errno.
const ANY_ERRNO: &str =
    "A seccomp filter, a security module or a BPF program can return any errno.";

/// Columns of a line.
const WIDTH: usize = 80;

/// Exit status when what was typed names no errno.
const UNKNOWN: u8 = 2;

/// Writes what there is to say of the errno that was typed, or the table of all.
///
/// # Errors
///
/// Standard output cannot be written; a closed pipe is none.
pub fn explain(typed: Option<&str>) -> Result<ExitCode> {
    let page = match typed.map(number) {
        None => table(),
        Some(Ok(number)) => page(number),
        Some(Err(what)) => {
            status::say(format_args!("error: {what}"));
            return Ok(ExitCode::from(UNKNOWN));
        }
    };
    match stdout().write_all(page.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// The likeliest cause of a failure, or the next thing to look at, in one short line; `None` for
/// success and for an errno that connect is not known to return.
///
/// ```
/// let hint = connect_observer::explain::hint(111);
/// assert_eq!(hint, Some("nobody listens there: is the service up, and on that address?"));
/// ```
#[must_use]
pub fn hint(errno: u32) -> Option<&'static str> {
    entry(errno::name(errno)?).map(|entry| entry.hint)
}

fn entries() -> impl Iterator<Item = &'static Entry> {
    THEMES.iter().copied().flatten()
}

fn entry(name: &str) -> Option<&'static Entry> {
    entries().find(|entry| entry.name == name)
}

/// The number of the errno that was typed, by name or number, or one line that says there is none.
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
            "no errno is called \"{}\"; the nearest: {}",
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

/// The three names most like a name that no errno has: those that contain it, then those with the
/// fewest letters to change; of equals, those of connect.
fn nearest_names(name: &str) -> Vec<&'static str> {
    let aliases = ALIASES.iter().map(|&(alias, _)| alias);
    let kernels = errno::ERRNOS.iter().map(|&(_, known)| known);
    let mut names: Vec<_> = kernels.chain(aliases).collect();
    names.sort_by_cached_key(|known| {
        (
            !known.contains(name),
            strsim::osa_distance(name, known),
            entry(known).is_none(),
        )
    });
    names.truncate(3);
    names
}

/// Every errno that connect is known to return, by name.
fn table() -> String {
    let mut rows: Vec<_> = errno::ERRNOS
        .iter()
        .filter_map(|&(number, name)| Some((name, number, entry(name)?.meaning)))
        .collect();
    rows.sort_unstable();
    let mut page = format!("{:15} {:>6}  MEANING\n", "ERRNO", "NUMBER");
    for (name, number, meaning) in rows {
        push(&mut page, format_args!("{name:15} {number:>6}  {meaning}"));
    }
    push(&mut page, format_args!("\n{ANY_ERRNO}"));
    push(
        &mut page,
        format_args!("connect-observer explain ERRNO tells causes and what to look at next."),
    );
    page
}

/// All there is to say of an errno.
fn page(number: u32) -> String {
    let found = match errno::name(number) {
        Some(name) => entry(name).ok_or(name),
        None => Ok(&caller::SUCCESS),
    };
    match found {
        Ok(entry) => entry_page(number, entry),
        Err(name) => {
            let mut page = String::new();
            push(
                &mut page,
                format_args!("{name} ({number}): connect is not known to return it."),
            );
            push(&mut page, format_args!("{ANY_ERRNO}"));
            page
        }
    }
}

fn entry_page(number: u32, entry: &Entry) -> String {
    let mut page = String::new();
    push(
        &mut page,
        format_args!("{} ({number}): {}", entry.name, entry.meaning),
    );
    push(&mut page, format_args!("\nWhere it comes from:"));
    for (socket, situation) in entry.situations {
        fill(&mut page, &format!("  {socket:11} "), 14, situation);
    }
    if !entry.causes.is_empty() {
        push(
            &mut page,
            format_args!("\nLikely causes, the likeliest first:"),
        );
        for (place, cause) in (1..).zip(entry.causes) {
            fill(&mut page, &format!("  {place}. "), 5, cause);
        }
    }
    push(&mut page, format_args!("\nWhat to look at next:"));
    for (place, shows) in entry.look_at {
        push(&mut page, format_args!("  {place}"));
        fill(&mut page, "      ", 6, shows);
    }
    page
}

/// Appends a line.
fn push(page: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a String does not fail.
    let _ok = writeln!(page, "{line}");
}

/// Appends text in lines of at most [`WIDTH`] columns: the first begins with `start`, which ends in
/// a space, the others are indented.
fn fill(page: &mut String, start: &str, indent: usize, text: &str) {
    let mut line = start.trim_end().to_owned();
    let mut gap = start.len() - line.len();
    for word in text.split_whitespace() {
        if line.len() + gap + word.len() > WIDTH {
            push(page, format_args!("{line}"));
            line.clear();
            gap = indent;
        }
        line.extend(std::iter::repeat_n(' ', gap));
        line.push_str(word);
        gap = 1;
    }
    push(page, format_args!("{line}"));
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// The ERRORS section of connect(2).
    const MAN_PAGE: &str = "EACCES EPERM EADDRINUSE EADDRNOTAVAIL EAFNOSUPPORT EAGAIN EALREADY \
                            EBADF ECONNREFUSED EFAULT EINPROGRESS EINTR EISCONN ENETUNREACH \
                            ENOTSOCK EPROTOTYPE ETIMEDOUT";

    /// Every string of an entry.
    fn texts(entry: &Entry) -> Vec<&'static str> {
        let pairs = entry.situations.iter().chain(entry.look_at);
        let mut texts: Vec<_> = pairs.flat_map(|&(one, other)| [one, other]).collect();
        texts.extend([entry.name, entry.meaning, entry.hint]);
        texts.extend(entry.causes);
        texts
    }

    fn numbers() -> impl Iterator<Item = u32> {
        std::iter::once(0).chain(errno::ERRNOS.iter().map(|&(number, _)| number))
    }

    #[test]
    fn every_errno_of_the_man_page_has_an_entry() {
        for name in MAN_PAGE.split_whitespace() {
            assert!(entry(name).is_some(), "{name}");
        }
    }

    #[test]
    fn every_entry_is_a_known_errno_once() {
        let mut seen = HashSet::new();
        for entry in entries() {
            assert!(seen.insert(entry.name), "{} twice", entry.name);
            assert!(number(entry.name).is_ok(), "{}", entry.name);
        }
    }

    #[test]
    fn aliases_are_no_names_of_the_kernel() {
        for (alias, name) in ALIASES {
            assert!(errno::ERRNOS.iter().all(|(_, known)| known != alias));
            assert!(errno::ERRNOS.iter().any(|(_, known)| known == name));
        }
    }

    #[test]
    fn every_entry_is_complete_and_tidy() {
        for entry in entries().chain([&caller::SUCCESS]) {
            let name = entry.name;
            assert!(
                !entry.situations.is_empty() && !entry.look_at.is_empty(),
                "{name}"
            );
            assert!(!entry.meaning.ends_with('.'), "{name}");
            for (socket, situation) in entry.situations {
                assert!(socket.len() <= 11, "{name}: {socket}");
                assert!(situation.ends_with(['.', ')']), "{name}: {situation}");
            }
            for cause in entry.causes {
                assert!(cause.ends_with(['.', ')']), "{name}: {cause}");
            }
            for text in texts(entry) {
                assert!(text.is_ascii(), "{name}: {text}");
                assert!(!text.contains("  "), "{name}: {text}");
                assert_eq!(text, text.trim(), "{name}");
            }
        }
        assert!(entries().all(|entry| !entry.causes.is_empty()));
    }

    #[test]
    fn hints_are_one_short_line() {
        for entry in entries() {
            let (name, hint) = (entry.name, entry.hint);
            assert!(
                (1..=70).contains(&hint.len()),
                "{name}: {} bytes",
                hint.len()
            );
            assert!(!hint.ends_with('.') && !hint.contains('\n'), "{name}");
            assert_eq!(super::hint(number(name).unwrap()), Some(hint));
        }
        for errno in [0, 24, 41, u32::MAX] {
            assert_eq!(hint(errno), None, "{errno}");
        }
    }

    #[test]
    fn lines_fit() {
        for page in numbers().map(page).chain([table()]) {
            assert!(page.ends_with('\n'));
            for line in page.lines() {
                assert!(line.len() <= WIDTH, "{line}");
                assert_eq!(line, line.trim_end());
            }
        }
    }

    #[test]
    fn table_is_sorted_and_has_every_entry() {
        let table = table();
        let (rows, _) = table.split_once("\n\n").unwrap();
        let names: Vec<_> = rows
            .lines()
            .skip(1)
            .map(|row| row.split(' ').next().unwrap())
            .collect();
        assert!(names.is_sorted());
        assert_eq!(names.len(), entries().count());
    }

    #[test]
    fn typed() {
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
    fn typed_wrongly() {
        for (typed, expected) in [
            (
                "econrefused",
                "no errno is called \"econrefused\"; the nearest: ECONNREFUSED,",
            ),
            (
                "ETIMEOUT",
                "no errno is called \"ETIMEOUT\"; the nearest: ETIMEDOUT,",
            ),
            (
                "EHOSTUNREACHABLE",
                "no errno is called \"EHOSTUNREACHABLE\"; the nearest: EHOSTUNREACH,",
            ),
            (
                "refused",
                "no errno is called \"refused\"; the nearest: ECONNREFUSED,",
            ),
            (
                "ewouldblok",
                "no errno is called \"ewouldblok\"; the nearest: EWOULDBLOCK,",
            ),
            (
                "\x1b[2J\n",
                "no errno is called \"\\x1b[2J\\x0a\"; the nearest: ",
            ),
            ("", "no errno is called \"\"; the nearest: "),
            ("-", "no errno is called \"-\"; the nearest: "),
            (
                "41",
                "no errno has the number 41; the nearest: ELOOP (40), ENOMSG (42)",
            ),
            (
                "99999999999999999999",
                "no errno has the number 99999999999999999999; the nearest: ENOGRACE (531)",
            ),
        ] {
            let what = number(typed).unwrap_err();
            assert!(what.starts_with(expected), "{what}");
            assert_eq!(what.lines().count(), 1, "{what}");
        }
    }

    #[test]
    fn unlisted() {
        assert_eq!(
            page(24),
            "EMFILE (24): connect is not known to return it.\n\
             A seccomp filter, a security module or a BPF program can return any errno.\n"
        );
    }

    #[test]
    fn filling() {
        let mut page = String::new();
        let (long, word) = ("x".repeat(90), "y".repeat(40));
        fill(&mut page, "  1. ", 5, &format!("a {long} {word} {word}"));
        let expected = format!("  1. a\n     {long}\n     {word}\n     {word}\n");
        assert_eq!(page, expected);
    }
}
