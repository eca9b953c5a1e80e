//! Check the licences, sources and known vulnerabilities of the dependencies.

use anyhow::Result;

use crate::{
    pins,
    support::{
        cargo_tool,
        process::{stdout_of, succeed},
        root, say,
        toolchain::STABLE,
    },
};

pub(crate) fn run() -> Result<()> {
    STABLE.ensure()?;
    let cargo_deny = cargo_tool::ensure("cargo-deny", pins::CARGO_DENY)?;
    let config = root().join("xtask/deny.toml");
    let deny = || {
        let mut command = STABLE.tool(&cargo_deny);
        command.args(["--locked", "--config"]).arg(&config);
        command
    };

    say("checking licences, bans and sources");
    let mut check = deny();
    check.args(["check", "licenses", "bans", "sources"]);
    succeed(&mut check, "cargo deny")?;

    if stdout_of(deny().args(["fetch", "db"])).is_err() {
        say("known vulnerabilities not checked: their database cannot be reached");
        return Ok(());
    }
    say("checking for known vulnerabilities");
    succeed(
        deny().args(["--offline", "check", "advisories"]),
        "cargo deny",
    )
}
