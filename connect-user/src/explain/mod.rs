//! `explain`: what an errno or an outcome of connect means, where it comes from, and what to look at next.
//!
//! What there is to say stands in tables under `explain/`, a file for each theme. To add an errno,
//! add an entry there; everything else follows from it.

mod caller;
mod entry;
mod families;
mod network;
mod outcomes;
mod path;
mod policy;
mod resources;
mod themes;
mod typed;

use std::{
    fmt::Write as _,
    io::{self, Write as _, stdout},
    process::ExitCode,
};

use anyhow::Result;

use self::{entry::Entry, typed::Meant};
use crate::{errno, status};

/// What holds for every errno.
const ANY_ERRNO: &str =
    "A seccomp filter, a security module or a BPF program can return any errno.";

/// Columns of a line.
const WIDTH: usize = 80;

/// Exit status when what was typed names neither an errno nor an outcome.
const UNKNOWN: u8 = 2;

/// Writes what there is to say of the errno or outcome that was typed, or the table of all.
///
/// # Errors
///
/// Standard output cannot be written; a closed pipe is none.
pub fn explain(typed: Option<&str>) -> Result<ExitCode> {
    let page = match typed.map(typed::meant) {
        None => table(),
        Some(Ok(Meant::Errno(number))) => page(number),
        Some(Ok(Meant::Outcome(outcome))) => entry_page(outcome.name, outcome),
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

/// The likeliest cause of a result, or the next thing to look at, in one short line; of an errno or of an outcome,
/// by its name. `None` for success and for an errno that connect is not known to return.
///
/// ```
/// let hint = connect_observer::explain::hint("ECONNREFUSED");
/// assert_eq!(hint, Some("nobody listens there: is the service up, and on that address?"));
/// ```
#[must_use]
pub fn hint(result: &str) -> Option<&'static str> {
    let entry = themes::errno(result).or_else(|| themes::outcome(result));
    entry.map(|entry| entry.hint)
}

/// Every errno that connect is known to return, by name, and every outcome.
fn table() -> String {
    let mut rows: Vec<_> = errno::ERRNOS
        .iter()
        .filter_map(|&(number, name)| Some((name, number, themes::errno(name)?.meaning)))
        .collect();
    rows.sort_unstable();
    let mut page = format!("{:15} {:>6}  MEANING\n", "ERRNO", "NUMBER");
    for (name, number, meaning) in rows {
        push(&mut page, format_args!("{name:15} {number:>6}  {meaning}"));
    }
    push(&mut page, format_args!("\n{:22}  MEANING", "OUTCOME"));
    for outcome in themes::outcomes() {
        push(
            &mut page,
            format_args!("{:22}  {}", outcome.name, outcome.meaning),
        );
    }
    push(&mut page, format_args!("\n{ANY_ERRNO}"));
    push(
        &mut page,
        format_args!(
            "connect-observer explain ERRNO or OUTCOME has causes and what to look at next."
        ),
    );
    page
}

/// All there is to say of an errno.
fn page(number: u32) -> String {
    let found = match errno::name(number) {
        Some(name) => themes::errno(name).ok_or(name),
        None => Ok(&caller::SUCCESS),
    };
    match found {
        Ok(entry) => entry_page(&format!("{} ({number})", entry.name), entry),
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

/// All there is to say of an entry, under this title.
fn entry_page(title: &str, entry: &Entry) -> String {
    let mut page = String::new();
    push(&mut page, format_args!("{title}: {}", entry.meaning));
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

    fn all() -> impl Iterator<Item = &'static Entry> {
        themes::errnos().chain(themes::outcomes())
    }

    /// The number of an errno of the kernel.
    fn number(name: &str) -> Option<u32> {
        let found = errno::ERRNOS.iter().find(|(_, known)| *known == name);
        found.map(|&(number, _)| number)
    }

    fn numbers() -> impl Iterator<Item = u32> {
        std::iter::once(0).chain(errno::ERRNOS.iter().map(|&(number, _)| number))
    }

    #[test]
    fn every_errno_of_the_man_page_has_an_entry() {
        for name in MAN_PAGE.split_whitespace() {
            assert!(themes::errno(name).is_some(), "{name}");
        }
    }

    #[test]
    fn every_entry_is_a_known_errno_once() {
        let mut seen = HashSet::new();
        for entry in themes::errnos() {
            assert!(seen.insert(entry.name), "{} twice", entry.name);
            assert!(number(entry.name).is_some(), "{}", entry.name);
        }
    }

    #[test]
    fn every_entry_is_complete_and_tidy() {
        for entry in all().chain([&caller::SUCCESS]) {
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
        assert!(all().all(|entry| !entry.causes.is_empty()));
    }

    #[test]
    fn hints_are_one_short_line() {
        for entry in all() {
            let (name, hint) = (entry.name, entry.hint);
            assert!(
                (1..=70).contains(&hint.len()),
                "{name}: {} bytes",
                hint.len()
            );
            assert!(!hint.ends_with('.') && !hint.contains('\n'), "{name}");
        }
        for entry in all() {
            assert_eq!(hint(entry.name), Some(entry.hint));
        }
        for result in ["ok", "EMFILE", "41", ""] {
            assert_eq!(hint(result), None, "{result}");
        }
    }

    #[test]
    fn lines_fit() {
        let outcomes = themes::outcomes().map(|outcome| entry_page(outcome.name, outcome));
        for page in numbers().map(page).chain(outcomes).chain([table()]) {
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
        let (rows, rest) = table.split_once("\n\n").unwrap();
        let names: Vec<_> = rows
            .lines()
            .skip(1)
            .map(|row| row.split(' ').next().unwrap())
            .collect();
        assert!(names.is_sorted());
        assert_eq!(names.len(), themes::errnos().count());
        assert!(rest.starts_with("OUTCOME "), "{rest}");
        for outcome in themes::outcomes() {
            assert!(rest.contains(&format!("\n{} ", outcome.name)), "{rest}");
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
