//! Debian's packages of other suites than the machine's own, through a configuration of apt's that
//! nobody else sees: nothing is installed, and no source of the machine's is changed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::support::{
    architecture::Architecture,
    packages,
    process::{command, stdout_of, succeed},
};

/// Signs every suite that is supported, and those of late.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Knows the packages of one suite, for one processor.
pub(super) struct Apt {
    dir: PathBuf,
    architecture: Architecture,
}

impl Apt {
    /// Keeps everything in this folder.
    pub(super) fn new(dir: PathBuf, suite: &str, architecture: Architecture) -> Result<Self> {
        for part in ["lists/partial", "cache/archives/partial"] {
            let part = dir.join(part);
            fs::create_dir_all(&part).with_context(|| cannot_make(&part))?;
        }
        let signed = if Path::new(KEYRING).is_file() {
            format!("[signed-by={KEYRING}] ")
        } else {
            String::new()
        };
        let source = format!("deb {signed}{} {suite} main\n", mirror()?);
        fs::write(dir.join("sources.list"), source)?;
        let apt = Self { dir, architecture };
        succeed(apt.command("apt-get").args(["-q", "update"]), "apt-get")
            .with_context(|| format!("cannot read what Debian's {suite} has"))?;
        Ok(apt)
    }

    /// The names of all packages that match a regular expression.
    pub(super) fn names(&self, pattern: &str) -> Result<Vec<String>> {
        let mut search = self.command("apt-cache");
        search.args(["search", "--names-only", pattern]);
        let found = stdout_of(&mut search)?;
        let names = found.lines().filter_map(|line| line.split(' ').next());
        Ok(names.map(str::to_owned).collect())
    }

    /// Unpacks packages into a folder.
    pub(super) fn unpack(&self, names: &[String], into: &Path) -> Result<()> {
        let debs = self.dir.join("debs");
        fs::create_dir_all(&debs).with_context(|| cannot_make(&debs))?;
        let mut download = self.command("apt-get");
        download.args(["-q", "download"]).args(names);
        succeed(download.current_dir(&debs), "apt-get")
            .with_context(|| format!("cannot download {}", names.join(", ")))?;
        for deb in fs::read_dir(&debs)? {
            let mut unpack = command("dpkg-deb");
            unpack.arg("--extract").arg(deb?.path()).arg(into);
            succeed(&mut unpack, "dpkg-deb")?;
        }
        Ok(())
    }

    fn command(&self, program: &str) -> Command {
        let mut command = command(program);
        let mut option = |name: &str, value: &str| {
            command.args(["-o", &format!("{name}={value}")]);
        };
        let own = |name: &str| self.dir.join(name).to_string_lossy().into_owned();
        option("Dir::Etc::SourceList", &own("sources.list"));
        option("Dir::Etc::SourceParts", "/dev/null");
        option("Dir::Etc::Preferences", "/dev/null");
        option("Dir::Etc::PreferencesParts", "/dev/null");
        option("Dir::State::Lists", &own("lists"));
        option("Dir::Cache", &own("cache"));
        option("APT::Architecture", self.architecture.debian());
        // Or those that the machine has beside its own.
        option("APT::Architectures", self.architecture.debian());
        // Ours is a folder that apt's own user may not enter.
        option("APT::Sandbox::User", "");
        option("Acquire::Languages", "none");
        option(
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled",
            "false",
        );
        // Suites that get no more updates are not signed again.
        option("Acquire::Check-Valid-Until", "false");
        command
    }
}

/// Where this machine gets Debian's packages from.
fn mirror() -> Result<String> {
    if let Some(mirror) = configured_mirror()? {
        return Ok(mirror);
    }
    // A machine that has never looked at its sources does not know whose they are.
    packages::update()?;
    configured_mirror()?.context(
        "the kernels of the VMs are Debian's, and no package source of this machine is: \
         run this on Debian",
    )
}

fn configured_mirror() -> Result<Option<String>> {
    let mut targets = command("apt-get");
    targets.args(["indextargets", "--format", "$(ORIGIN) $(LABEL) $(REPO_URI)"]);
    let targets = stdout_of(&mut targets)?;
    let mirror = targets
        .lines()
        .find_map(|line| line.strip_prefix("Debian Debian "));
    Ok(mirror.map(str::to_owned))
}

fn cannot_make(dir: &Path) -> String {
    format!("cannot make {}", dir.display())
}
