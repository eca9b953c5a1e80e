//! How cargo starts the tests of this host, and what they need.

use std::process::Command;

use anyhow::Result;

use crate::{
    setup,
    support::{
        packages::{self, Package},
        privilege::{as_root, is_root},
        process::succeed,
        say,
    },
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

/// What the tests of a run may do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Privilege {
    /// None of them loads the kernel object.
    None,
    /// Those that load it run as root, through sudo unless we are.
    Root,
}

/// How many tests of one suite run at the same time: most of the time of a test, the kernel puts hooks
/// in place or takes them away, and nobody computes.
const AT_ONCE: &str = "8";

/// `cargo test` or `cargo bench`, with everything that they need; what loads the kernel object runs as root.
pub(crate) fn cargo_test(what: &str, privilege: Privilege) -> Result<Command> {
    let is_root = is_root()?;
    if privilege == Privilege::Root {
        if !is_root {
            // Now, as a question for the password would be lost in the output of the tests.
            say("the tests that load the kernel object run as root, through sudo");
            succeed(&mut as_root("true")?, "sudo")?;
        }
        packages::ensure(&PACKAGES, "the tests")?;
    }
    let mut cargo = setup::ensure_tools()?.cargo();
    cargo.args([what, "--locked"]);
    cargo.env("RUST_TEST_THREADS", AT_ONCE);
    if what == "test" {
        cargo.arg("--release");
    }
    if privilege == Privilege::Root && !is_root {
        let runner = format!("target.'cfg(unix)'.runner=['sh', '-c', '''{RUNNER}''']");
        cargo.args(["--config", &runner]);
    }
    Ok(cargo)
}
