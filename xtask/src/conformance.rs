//! Write docs/conformance.md: what each entry of the man page comes to on a live kernel.
//!
//! The tests measure; here is only put into a document what they have found. `RESULTS` is the
//! contract: see `tests/support/conformance.rs`.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fmt::Write as _,
    fs, io,
    path::PathBuf,
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{
    suites::{Privilege, cargo_test},
    support::{process::succeed, root, say},
};

/// Environment variable: the file that the tests append their results to.
const RESULTS: &str = "CONFORMANCE_RESULTS";
/// What is written, in the root of the workspace.
const DOCUMENT: &str = "docs/conformance.md";
/// How somebody makes a document that is up to date.
const REMEDY: &str = "run `cargo xtask conformance` and commit what it writes";

const INTRODUCTION: &str = "\
# Conformance with connect(2)

<!-- Written by `cargo xtask conformance` from the results of the tests. -->

Every entry of the man page connect(2) of Linux man-pages 4.14, provoked on a live kernel, each by a
test with a network of its own.

- *Hook*: what the kernel's tracepoint `syscalls:sys_exit_connect` shows, read apart from
  connect-observer. 0 is success, -512 a call that the kernel will restart unless a signal handler
  forbids it, every other number a negated errno.
- *Application*: what connect(2) has returned to the program. The event of connect-observer says
  exactly this, with the address and everything else that the program knows of its call: its test
  fails otherwise.

Calls that follow each other are separated by \"then\"; where one call has returned more than once to
the hook, as the kernel has restarted it, there is an \"and\".
";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only check whether docs/conformance.md is what the tests find
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let results = Results::new()?;
    say("running the conformance tests");
    let mut tests = cargo_test("test", Privilege::Root)?;
    tests
        .args(["-p", "connect-user", "--test", "kernel"])
        .args(["--", "conformance"]);
    succeed(results.collect(&mut tests), "a conformance test")?;
    if args.check {
        return results.check();
    }
    let path = root().join(DOCUMENT);
    fs::write(&path, results.document()?)
        .with_context(|| format!("cannot write {}", path.display()))?;
    say(format_args!("wrote {}", path.display()));
    Ok(())
}

/// What one run of the tests has found, in a folder that is removed when this is dropped.
pub(crate) struct Results(PathBuf);

impl Results {
    pub(crate) fn new() -> Result<Self> {
        let name = format!("connect-observer-conformance-{}", std::process::id());
        let dir = env::temp_dir().join(name);
        fs::create_dir(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        Ok(Self(dir))
    }

    /// Has these tests put their results here.
    pub(crate) fn collect<'a>(&self, tests: &'a mut Command) -> &'a mut Command {
        tests.env(RESULTS, self.file())
    }

    fn file(&self) -> PathBuf {
        self.0.join("results")
    }

    fn document(&self) -> Result<String> {
        let results = fs::read_to_string(self.file())
            .context("the conformance tests have not told their results")?;
        render(&results)
    }

    /// An error that says how, unless the committed document is what was found.
    pub(crate) fn check(&self) -> Result<()> {
        let found = self.document()?;
        let committed = match fs::read_to_string(root().join(DOCUMENT)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            committed => committed.with_context(|| format!("cannot read {DOCUMENT}"))?,
        };
        ensure!(
            committed == found,
            "{DOCUMENT} is out of date: {REMEDY}\n{}",
            difference(&committed, &found)
        );
        say(format_args!("{DOCUMENT} is up to date"));
        Ok(())
    }
}

impl Drop for Results {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            say(format_args!("cannot remove {}: {error}", self.0.display()));
        }
    }
}

/// The document of what was found.
fn render(results: &str) -> Result<String> {
    let words = results.lines().map(|line| line.split('\t').collect());
    let lines: Vec<Vec<&str>> = words.collect();
    let mut found = BTreeMap::new();
    for line in &lines {
        if let [kind, test, hook, application] = &line[..] {
            ensure!(*kind == "found", "the tests say {line:?}");
            found.insert(test, (hook, application));
        }
    }
    let mut document = INTRODUCTION.to_owned();
    let (mut last_section, mut last_entry) = ("", "");
    for line in &lines {
        let [kind, section, entry, what, how] = &line[..] else {
            ensure!(line.len() == 4, "the tests say {line:?}");
            continue;
        };
        if *section != last_section {
            writeln!(document, "\n## {section}\n")?;
            document +=
                "| Entry | Provoked by | Hook | Application | Test |\n|---|---|---|---|---|\n";
            (last_section, last_entry) = (section, "");
        }
        let name = if *entry == last_entry { "" } else { entry };
        last_entry = entry;
        match *kind {
            "row" => {
                let (hook, application) = found
                    .get(how)
                    .with_context(|| format!("{how} has no result: did it run on this kernel?"))?;
                writeln!(
                    document,
                    "| {name} | {what} | {hook} | {application} | `{how}` |"
                )?;
            }
            "gap" => {
                writeln!(
                    document,
                    "| {name} | {what} | – | cannot be provoked: {how} | – |"
                )?;
            }
            _ => bail!("the tests say {line:?}"),
        }
    }
    ensure!(
        !last_section.is_empty(),
        "the tests have no conformance case"
    );
    Ok(document)
}

/// The lines that are in one text only: `-` and the old, then `+` and the new.
fn difference(old: &str, new: &str) -> String {
    let only = |mark, one: &str, other: &str| -> Vec<_> {
        let others: BTreeSet<_> = other.lines().collect();
        let lines = one.lines().filter(|line| !others.contains(line));
        lines.map(|line| format!("{mark} {line}")).collect()
    };
    let lines = [only('-', old, new), only('+', new, old)].concat();
    if lines.is_empty() {
        "the same lines, in another order".to_owned()
    } else {
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::{INTRODUCTION, difference, render};

    const ROWS: &str = "row\tErrors\tEBADF\ta closed one\ttest_1\n\
        row\tErrors\tEBADF\tno number\ttest_2\n\
        gap\tErrors\tEAGAIN\ta cache\tthere is none\n";

    #[test]
    fn results_become_a_table_in_the_order_of_the_rows() {
        let found = "found\ttest_2\t-9\tEBADF\nfound\ttest_1\t0, then -9\t0, then EBADF\n";
        let document = render(&format!("{ROWS}{found}")).unwrap_or_default();
        let expected = "\n## Errors\n\n\
            | Entry | Provoked by | Hook | Application | Test |\n|---|---|---|---|---|\n\
            | EBADF | a closed one | 0, then -9 | 0, then EBADF | `test_1` |\n\
            |  | no number | -9 | EBADF | `test_2` |\n\
            | EAGAIN | a cache | – | cannot be provoked: there is none | – |\n";
        assert_eq!(document.strip_prefix(INTRODUCTION), Some(expected));
    }

    #[test]
    fn a_test_without_result_is_an_error() {
        let error = render(&format!("{ROWS}found\ttest_1\t-9\tEBADF\n")).err();
        let error = error.map(|error| error.to_string()).unwrap_or_default();
        assert!(error.starts_with("test_2 has no result"), "{error}");
        assert!(render("").is_err());
        assert!(render("unheard of\n").is_err());
    }

    #[test]
    fn a_difference_has_only_the_lines_that_differ() {
        assert_eq!(difference("a\nb\nc\n", "a\nc\nd\n"), "- b\n+ d");
        assert_eq!(difference("", "a\nb\n"), "+ a\n+ b");
        assert_eq!(
            difference("a\nb\n", "b\na\n"),
            "the same lines, in another order"
        );
    }
}
