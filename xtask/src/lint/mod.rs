//! Check format, lints, documentation and the shape of the house.

mod circles;
mod imports;
mod length;
mod modules;

use std::env::consts::ARCH;

use anyhow::{Result, ensure};

use crate::{
    setup,
    support::{
        process::succeed,
        root, say,
        toolchain::{NIGHTLY, STABLE},
    },
};

/// Checks everything; an error if anything is wrong. What is wrong is said on standard error.
pub(crate) fn run() -> Result<()> {
    let faults = house()?;
    code()?;
    ensure!(
        faults == 0,
        "{faults} faults in the shape of the house: see above"
    );
    Ok(())
}

/// The folders of source whose files must not import each other in a circle.
const HOUSES: [House; 3] = [
    House {
        source: "connect-ebpf/src",
        library: "connect_ebpf",
        is_product: true,
    },
    House {
        source: "connect-user/src",
        library: "connect_observer",
        is_product: true,
    },
    House {
        source: "xtask/src",
        library: "xtask",
        is_product: false,
    },
];

struct House {
    source: &'static str,
    /// The name under which its binary knows its library.
    library: &'static str,
    /// Whether it is held to the length of files.
    is_product: bool,
}

/// Looks for circles of imports, and for files that are too long. Says what it finds, and returns how
/// much that is.
fn house() -> Result<usize> {
    say("looking for circles of imports and for long files");
    let mut faults = Vec::new();
    for house in &HOUSES {
        let modules = modules::Modules::read(root(), house.source, house.library)?;
        faults.extend(circles::find(&modules, &imports::of(&modules)));
        if house.is_product {
            faults.extend(length::too_long(&modules));
        }
    }
    faults.extend(length::needless_exceptions(root()));
    for fault in &faults {
        say(fault);
    }
    Ok(faults.len())
}

// All with `--release`, which shares the kernel object and the dependencies with `build`.
fn code() -> Result<()> {
    let tools = setup::ensure_tools()?;

    say("checking the format");
    let mut fmt = STABLE.tool("cargo");
    fmt.args(["fmt", "--all", "--check"]);
    succeed(&mut fmt, "cargo fmt")?;
    let fuzz = root().join("tests/fuzz/Cargo.toml");
    if fuzz.exists() {
        let mut fmt = STABLE.tool("cargo");
        fmt.args(["fmt", "--check", "--manifest-path"]).arg(fuzz);
        succeed(&mut fmt, "cargo fmt of tests/fuzz")?;
    }

    say("linting everything that runs on the host");
    let mut clippy = tools.cargo();
    clippy
        .args(["clippy", "--workspace", "--all-targets"])
        .args(["--release", "--locked", "--", "-D", "warnings"]);
    succeed(&mut clippy, "cargo clippy")?;

    say("linting the kernel object, and that of the tests");
    let mut clippy = NIGHTLY.tool("cargo");
    clippy
        .args([
            "clippy",
            "-p",
            "connect-ebpf",
            "-p",
            "policy-ebpf",
            "--bins",
        ])
        .args(["--features", "connect-ebpf/kernel,policy-ebpf/kernel"])
        .args(["-Z", "build-std=core"])
        .args(["--target", "bpfel-unknown-none"])
        .args(["--release", "--locked", "--", "-D", "warnings"])
        // As aya-build passes it.
        .env(
            "CARGO_ENCODED_RUSTFLAGS",
            format!("--cfg=bpf_target_arch=\"{ARCH}\""),
        );
    succeed(&mut clippy, "cargo clippy of the kernel objects")?;

    say("checking the documentation");
    let mut doc = tools.cargo();
    doc.args(["doc", "--workspace", "--no-deps"])
        .args(["--document-private-items", "--release", "--locked"])
        .env("RUSTDOCFLAGS", "-D warnings");
    succeed(&mut doc, "cargo doc")
}
