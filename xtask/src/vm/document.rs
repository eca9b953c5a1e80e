//! docs/kernels.md: what each kernel of the matrix can do, as the machines have printed.

use std::{collections::BTreeMap, fmt::Write as _, fs, io};

use anyhow::{Context as _, Result, ensure};

use super::machine::Report;
use crate::support::{root, say};

/// What is written, in the root of the workspace.
const DOCUMENT: &str = "docs/kernels.md";

const INTRODUCTION: &str = "\
# Kernels

<!-- Written by `cargo xtask vm --write-docs` from its own run. -->

Stock Debian kernels, each booted in a VM, in which the kernel tests run with the static agent; here
is what `connect-observer check` says there as root, and which features the kernel has that some of
the tests need. A test is left out only where a feature is missing. All of these kernels allow hooks on
functions; where a kernel refuses them, `--compat` shows 32-bit calls, at a price ([cost.md](cost.md)).
";

/// By row, what each kernel says; in the order of the rows.
type Table = Vec<(String, Vec<String>)>;
/// How the rows of a heading, and what the kernel says in each, are found in its report.
type Rows = fn(&Report) -> Vec<(String, String)>;

/// Headings, what their rows are, and these.
const SECTIONS: [(&str, &str, Rows); 3] = [
    ("Ways into connect", "Way", ways),
    ("Requirements", "Requirement", requirements),
    ("Features that tests need", "Feature", features),
];

/// Writes the document of a run of the whole matrix, from the oldest to the newest kernel.
pub(super) fn write(runs: &[Report]) -> Result<()> {
    let path = root().join(DOCUMENT);
    fs::write(&path, render(runs)?).with_context(|| format!("cannot write {}", path.display()))?;
    say(format_args!("wrote {}", path.display()));
    Ok(())
}

/// An error unless the document has of these kernels what they have printed; which releases they are
/// does not count, as Debian mends them.
pub(super) fn check(runs: &[Report]) -> Result<()> {
    let committed = match fs::read_to_string(root().join(DOCUMENT)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        committed => committed.with_context(|| format!("cannot read {DOCUMENT}"))?,
    };
    let committed = cells(&committed);
    let found = cells(&render(runs)?);
    for ((row, series), cell) in &found {
        let said = committed.get(&(row.clone(), series.clone()));
        ensure!(
            said == Some(cell),
            "{DOCUMENT} is out of date: of {row}, kernel {series} says `{cell}`: run `cargo xtask vm \
             --write-docs` and commit what it writes"
        );
    }
    say(format_args!("{DOCUMENT} is up to date"));
    Ok(())
}

fn render(runs: &[Report]) -> Result<String> {
    let mut document = INTRODUCTION.to_owned();
    let series: Vec<_> = runs.iter().map(|run| run.series).collect();
    let head = format!(
        "| {} |\n|---{}|\n",
        series.join(" | "),
        "|---".repeat(runs.len())
    );
    write!(document, "\n| Series {head}| Release ")?;
    for run in runs {
        write!(document, "| {} ", run.release)?;
    }
    document += "|\n";
    for (heading, what, rows) in SECTIONS {
        write!(document, "\n## {heading}\n\n| {what} {head}")?;
        for (row, cells) in table(runs, rows) {
            writeln!(document, "| {row} | {} |", cells.join(" | "))?;
        }
    }
    Ok(document)
}

/// A kernel that says nothing of a row has a dash.
fn table(runs: &[Report], rows: Rows) -> Table {
    let mut table = Table::new();
    for (number, report) in runs.iter().enumerate() {
        for (row, cell) in rows(report) {
            let index = table.iter().position(|(known, _)| *known == row);
            let index = index.unwrap_or_else(|| {
                table.push((row, vec!["–".to_owned(); runs.len()]));
                table.len() - 1
            });
            if let Some(known) = table
                .get_mut(index)
                .and_then(|(_, row)| row.get_mut(number))
            {
                *known = cell;
            }
        }
    }
    table
}

/// The cells of the document by row and kernel, without the releases.
fn cells(document: &str) -> BTreeMap<(String, String), String> {
    let mut cells = BTreeMap::new();
    let mut head = Vec::new();
    for line in document.lines() {
        let Some(row) = line
            .strip_prefix("| ")
            .and_then(|line| line.strip_suffix(" |"))
        else {
            continue;
        };
        let mut row = row.split(" | ").map(str::to_owned);
        let name = row.next().unwrap_or_default();
        if matches!(name.as_str(), "Series" | "Way" | "Requirement" | "Feature") {
            head = row.collect();
        } else if name != "Release" {
            let named = head.iter().zip(row);
            cells.extend(named.map(|(series, cell)| ((name.clone(), series.clone()), cell)));
        }
    }
    cells
}

/// `syscall      seen: syscalls:sys_enter_connect, syscalls:sys_exit_connect`
fn ways(report: &Report) -> Vec<(String, String)> {
    let lines = report.check.iter();
    let lines = lines.skip_while(|line| !line.starts_with("WAY INTO CONNECT"));
    let rows = lines.skip(1).filter_map(|line| {
        let (way, coverage) = line.split_once(' ')?;
        Some((way.to_owned(), coverage.trim().to_owned()))
    });
    rows.collect()
}

/// `BPF ring buffer          ok       allowed`
fn requirements(report: &Report) -> Vec<(String, String)> {
    let lines = report.check.iter();
    // An empty line is left out.
    let is_requirement = |line: &&String| !line.is_empty() && !line.starts_with("WAY INTO CONNECT");
    let rows = lines.take_while(is_requirement).skip(1);
    let rows = rows.filter_map(|line| {
        let (name, rest) = line.split_once("  ")?;
        let verdict = rest.split_whitespace().next()?;
        (!name.is_empty()).then(|| (name.to_owned(), verdict.to_owned()))
    });
    rows.collect()
}

fn features(report: &Report) -> Vec<(String, String)> {
    let rows = report.features.iter().map(|feature| {
        let row = format!("{} ({})", feature.name, feature.needs);
        (row, feature.state.clone())
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::{INTRODUCTION, cells, render};
    use crate::vm::machine::{Feature, Report};

    fn report(series: &'static str, release: &str, coverage: &str, state: &str) -> Report {
        let check = format!(
            "REQUIREMENT  VERDICT  FOUND\nBPF maps     ok       allowed\n             -> all\n\n\
             WAY INTO CONNECT  COVERAGE\nsyscall           {coverage}"
        );
        Report {
            series,
            release: release.to_owned(),
            check: check.lines().map(str::to_owned).collect(),
            features: vec![Feature {
                name: "veth".to_owned(),
                needs: "Linux 1.0".to_owned(),
                state: state.to_owned(),
            }],
            ..Report::default()
        }
    }

    #[test]
    fn a_run_becomes_a_table() {
        let runs = [
            report("5.10", "5.10.0-1", "seen: a, b", "no"),
            report("7.x", "7.3", "seen: a", "yes"),
        ];
        let document = render(&runs).unwrap_or_default();
        let expected = "\n| Series | 5.10 | 7.x |\n|---|---|---|\n| Release | 5.10.0-1 | 7.3 |\n\n\
            ## Ways into connect\n\n| Way | 5.10 | 7.x |\n|---|---|---|\n\
            | syscall | seen: a, b | seen: a |\n\n\
            ## Requirements\n\n| Requirement | 5.10 | 7.x |\n|---|---|---|\n\
            | BPF maps | ok | ok |\n\n\
            ## Features that tests need\n\n| Feature | 5.10 | 7.x |\n|---|---|---|\n\
            | veth (Linux 1.0) | no | yes |\n";
        assert_eq!(document.strip_prefix(INTRODUCTION), Some(expected));
    }

    #[test]
    fn the_releases_of_a_document_do_not_count() {
        let of = |release| {
            let runs = [report("7.x", release, "seen: a", "yes")];
            cells(&render(&runs).unwrap_or_default())
        };
        assert_eq!(of("7.3"), of("7.4"));
        let cell = of("7.3")
            .get(&("syscall".to_owned(), "7.x".to_owned()))
            .cloned();
        assert_eq!(cell.as_deref(), Some("seen: a"));
    }
}
