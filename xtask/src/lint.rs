//! Check format, lints and documentation.

use std::env::consts::ARCH;

use anyhow::Result;

use crate::{
    setup,
    support::{
        process::succeed,
        root, say,
        toolchain::{NIGHTLY, STABLE},
    },
};

// All with `--release`, which shares the kernel object and the dependencies with `build`.
pub(crate) fn run() -> Result<()> {
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

    say("linting the kernel object");
    let mut clippy = NIGHTLY.tool("cargo");
    clippy
        .args(["clippy", "-p", "connect-ebpf", "--bins"])
        .args(["--features", "kernel", "-Z", "build-std=core"])
        .args(["--target", "bpfel-unknown-none"])
        .args(["--release", "--locked", "--", "-D", "warnings"])
        // As aya-build passes it.
        .env(
            "CARGO_ENCODED_RUSTFLAGS",
            format!("--cfg=bpf_target_arch=\"{ARCH}\""),
        );
    succeed(&mut clippy, "cargo clippy of the kernel object")?;

    say("checking the documentation");
    let mut doc = tools.cargo();
    doc.args(["doc", "--workspace", "--no-deps"])
        .args(["--document-private-items", "--release", "--locked"])
        .env("RUSTDOCFLAGS", "-D warnings");
    succeed(&mut doc, "cargo doc")
}
