//! Build the agent.

use std::{
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::Stdio,
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    setup,
    support::{process::cannot_start, say},
};

pub(crate) fn run() -> Result<()> {
    let agent = agent()?;
    say(format_args!("built {}", agent.display()));
    Ok(())
}

/// Builds the agent and returns where it is.
pub(crate) fn agent() -> Result<PathBuf> {
    let mut cargo = setup::ensure_tools()?.cargo();
    cargo
        .args(["build", "--release", "--locked", "-p", "connect-user"])
        .args(["--bin", "connect-observer"])
        // cargo alone knows where its settings make it put the file.
        .arg("--message-format=json-render-diagnostics")
        .stdout(Stdio::piped());
    let mut child = cargo.spawn().with_context(|| cannot_start(&cargo))?;
    let mut agent = None;
    if let Some(messages) = child.stdout.take() {
        for message in BufReader::new(messages).lines() {
            agent = executable(&message?).or(agent);
        }
    }
    ensure!(
        child.wait()?.success(),
        "building the agent failed: see above"
    );
    agent.context("cargo does not tell where the agent is")
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
