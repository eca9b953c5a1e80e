//! Lint, then run every test: on this kernel, and on the oldest and the newest of the matrix.

use std::{
    io::{self, BufRead, BufReader, Write},
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context as _, Result};

use crate::{
    conformance::Results,
    lint, setup,
    support::{
        packages::{self, Package},
        privilege::{as_root, is_root},
        process::{cannot_start, succeed},
        say,
    },
    vm,
};

/// What the tests start.
const PACKAGES: [Package; 6] = [
    same("curl"),
    same("prometheus"),
    Package {
        command: "promtool",
        name: "prometheus",
    },
    same("python3"),
    same("strace"),
    Package {
        command: "systemd-analyze",
        name: "systemd",
    },
];

/// A command whose package has its name.
const fn same(name: &'static str) -> Package {
    Package {
        command: name,
        name,
    }
}

/// Starts the tests that load the kernel object as root, the others as they are. cargo calls it
/// with the path of the test and its arguments.
const RUNNER: &str = r#"case "${0##*/}" in
cli-*|cost-*|kernel-*|metrics-*) exec sudo -E env PATH="$PATH" "$0" "$@" ;;
*) exec "$0" "$@" ;;
esac"#;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run only the tests whose name contains this
    filter: Option<String>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let mut cargo = cargo_test("test")?;
    lint::run()?;

    say("running the tests");
    cargo.args(["--workspace", "--no-fail-fast", "--"]);
    cargo.args(&args.filter).stdout(Stdio::piped());
    // All of the tests also tell whether the document that is made of them is up to date.
    let results = match args.filter {
        None => Some(Results::new()?),
        Some(_) => None,
    };
    if let Some(results) = &results {
        results.collect(&mut cargo);
    }
    let mut child = cargo.spawn().with_context(|| cannot_start(&cargo))?;
    let mut stdout = io::stdout();
    let mut sum = Sum::default();
    if let Some(output) = child.stdout.take() {
        sum = pass_on(BufReader::new(output), stdout.lock())?;
    }
    let mut passed = child.wait()?.success();
    match results.as_ref().map(Results::check) {
        None => {}
        Some(Ok(())) => sum.passed += 1,
        Some(Err(error)) => {
            say(format_args!("error: {error:#}"));
            sum.failed += 1;
        }
    }
    if args.filter.is_none() {
        match vm::test(&vm::ends(), &vm::brief()) {
            Ok(tested) => {
                sum.passed += tested.passed();
                sum.failed += tested.failed();
            }
            Err(error) => {
                say(format_args!("error: {error:#}"));
                sum.failed += 1;
            }
        }
    }
    passed &= sum.failed == 0;
    if !passed {
        say("error: not every test passed");
    } else if sum.passed == 0 {
        say("error: no test has such a name");
        passed = false;
    }
    writeln!(stdout, "{} passed, {} failed", sum.passed, sum.failed)?;
    Ok(if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// `cargo test` or `cargo bench`, with everything that they need; what loads the kernel object runs as root.
pub(crate) fn cargo_test(what: &str) -> Result<Command> {
    let is_root = is_root()?;
    if !is_root {
        // Now, as a question for the password would be lost in the output of the tests.
        say("the tests that load the kernel object run as root, through sudo");
        succeed(&mut as_root("true")?, "sudo")?;
    }
    packages::ensure(&PACKAGES, "the tests")?;
    let mut cargo = setup::ensure_tools()?.cargo();
    cargo.args([what, "--locked"]);
    if what == "test" {
        cargo.arg("--release");
    }
    if !is_root {
        let runner = format!("target.'cfg(unix)'.runner=['sh', '-c', '''{RUNNER}''']");
        cargo.args(["--config", &runner]);
    }
    Ok(cargo)
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Sum {
    passed: u64,
    failed: u64,
}

/// Copies line by line, as the lines come, and sums up what they say.
fn pass_on(mut from: impl BufRead, mut to: impl Write) -> Result<Sum> {
    let mut sum = Sum::default();
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line)? > 0 {
        to.write_all(&line)?;
        to.flush()?;
        let text = String::from_utf8_lossy(&line);
        if let Some(result) = text.strip_prefix("test result: ") {
            sum.passed += number_before(" passed;", result)?;
            sum.failed += number_before(" failed;", result)?;
        }
        line.clear();
    }
    Ok(sum)
}

fn number_before(word: &str, result: &str) -> Result<u64> {
    result
        .split_once(word)
        .and_then(|(before, _)| before.rsplit(' ').next())
        .and_then(|number| number.parse().ok())
        .with_context(|| format!("no number before{word} in {result}"))
}

#[cfg(test)]
mod tests {
    use super::{Sum, pass_on};

    #[test]
    fn sums_up_and_passes_everything_on() {
        let output = "running 2 tests\n\
            test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
            \n\
            test result: FAILED. 10 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out\n\
            no newline";
        let mut seen = Vec::new();
        let sum = pass_on(output.as_bytes(), &mut seen);
        assert_eq!(
            sum.ok(),
            Some(Sum {
                passed: 12,
                failed: 3
            })
        );
        assert_eq!(seen, output.as_bytes());
    }

    #[test]
    fn a_result_that_cannot_be_read_is_an_error() {
        assert!(pass_on(&b"test result: unheard of\n"[..], Vec::new()).is_err());
    }
}
