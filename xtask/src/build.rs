//! Build the agent.

use std::{
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    setup,
    support::{architecture::Architecture, process::cannot_start, say},
};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Without shared libraries, for any machine or container
    #[arg(long = "static")]
    is_static: bool,

    /// For this processor [default: the host's]
    #[arg(long, value_name = "ARCHITECTURE", requires = "is_static")]
    arch: Option<Architecture>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let agent = if args.is_static {
        let mut cargo = cargo_build()?;
        let architecture = args.arch.unwrap_or(Architecture::HOST);
        architecture.build_static(&mut cargo)?;
        one(&executables(&mut cargo)?, AGENT)?
    } else {
        agent()?
    };
    say(format_args!("built {}", agent.display()));
    Ok(())
}

/// Name of the program.
const AGENT: &str = "connect-observer";

/// Builds the agent and returns where it is.
pub(crate) fn agent() -> Result<PathBuf> {
    one(&executables(&mut cargo_build()?)?, AGENT)
}

/// What the kernel tests run as in VMs; where it is.
pub(crate) struct StaticTests {
    pub(crate) agent: PathBuf,
    pub(crate) tests: PathBuf,
    /// What the tests observe, where the processor runs 32-bit programs.
    pub(crate) program32: Option<PathBuf>,
}

/// Builds the static agent and the static kernel tests.
pub(crate) fn static_tests(architecture: Architecture) -> Result<StaticTests> {
    let tools = setup::ensure_tools()?;
    let mut cargo = tools.cargo();
    cargo
        .args(["test", "--no-run", "--release", "--locked"])
        .args(["-p", "connect-user", "--test", "kernel"]);
    architecture.build_static(&mut cargo)?;
    let built = executables(&mut cargo)?;
    Ok(StaticTests {
        agent: one(&built, AGENT)?,
        tests: one(&built, "kernel")?,
        program32: program32(architecture)?,
    })
}

/// Builds what the kernel tests observe as a 32-bit program, where the processor runs such.
pub(crate) fn program32(architecture: Architecture) -> Result<Option<PathBuf>> {
    const PROGRAM32: &str = "program32";
    let mut cargo = setup::ensure_tools()?.cargo();
    cargo.args(["build", "--release", "--locked", "-p", PROGRAM32]);
    Ok(if architecture.build_static_32_bit(&mut cargo)? {
        Some(one(&executables(&mut cargo)?, PROGRAM32)?)
    } else {
        None
    })
}

fn cargo_build() -> Result<Command> {
    let mut cargo = setup::ensure_tools()?.cargo();
    cargo
        .args(["build", "--release", "--locked", "-p", "connect-user"])
        .args(["--bin", AGENT]);
    Ok(cargo)
}

/// Builds, and returns what can be run of that.
fn executables(cargo: &mut Command) -> Result<Vec<PathBuf>> {
    cargo
        // cargo alone knows where its settings make it put the file.
        .arg("--message-format=json-render-diagnostics")
        .stdout(Stdio::piped());
    let mut child = cargo.spawn().with_context(|| cannot_start(cargo))?;
    let mut built = Vec::new();
    if let Some(messages) = child.stdout.take() {
        for message in BufReader::new(messages).lines() {
            built.extend(executable(&message?));
        }
    }
    ensure!(child.wait()?.success(), "building failed: see above");
    Ok(built)
}

/// The executable of this name; cargo adds a hash to that of a test.
fn one(built: &[PathBuf], name: &str) -> Result<PathBuf> {
    let is_it = |path: &&PathBuf| {
        let rest = path
            .file_name()
            .and_then(|own| own.to_str()?.strip_prefix(name));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    let found = built.iter().rfind(is_it);
    found
        .cloned()
        .with_context(|| format!("cargo does not tell where {name} is"))
}

/// The path in a message of cargo's about something that can be run.
fn executable(message: &str) -> Option<PathBuf> {
    let (_, path) = message.split_once(r#""executable":""#)?;
    let mut chars = path.chars();
    let mut unescaped = String::new();
    loop {
        match chars.next()? {
            '"' => return Some(PathBuf::from(unescaped)),
            '\\' => unescaped.push(chars.next()?),
            char => unescaped.push(char),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::executable;

    #[test]
    fn finds_the_path_in_a_message() {
        let message = r#"{"reason":"compiler-artifact","executable":"/a \"b\\c","fresh":true}"#;
        assert_eq!(
            executable(message).as_deref(),
            Some(Path::new(r#"/a "b\c"#))
        );
        assert_eq!(
            executable(r#"{"reason":"compiler-artifact","executable":null}"#),
            None
        );
        assert_eq!(
            executable(r#"{"reason":"build-finished","success":true}"#),
            None
        );
    }
}
