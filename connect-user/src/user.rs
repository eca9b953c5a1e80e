//! The user as whom `run` starts its command.

use std::{
    ffi::{CString, OsStr, OsString},
    path::PathBuf,
};

use anyhow::{Context as _, Result, bail};
use nix::{
    errno::Errno,
    unistd::{self, getgrouplist},
};
use rustix::{
    process::{Gid, Uid},
    thread::{
        CapabilitySet, CapabilitySets, clear_ambient_capability_set, set_capabilities,
        set_thread_gid, set_thread_groups, set_thread_uid,
    },
};
use tokio::process::Command;

use crate::{escape::Escaped, host::privilege, status::WrongUsage};

/// The shell of a user for whom the database names none (`passwd(5)`).
const SHELL: &str = "/bin/sh";

/// What the user database says of somebody.
#[derive(Clone, Debug)]
pub struct User {
    name: OsString,
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
    home: PathBuf,
    shell: PathBuf,
}

impl User {
    /// Finds a user by name or, if nobody has that name, by number. The lookup may connect somewhere itself, so
    /// it comes before anything is observed.
    ///
    /// # Errors
    ///
    /// There is no such user (a [`WrongUsage`]), nobody can be asked, or we may not become another user.
    pub fn find(typed: &str) -> Result<Self> {
        let shown = Escaped(typed.as_bytes());
        let of_number = || match typed.parse() {
            Ok(uid) if typed.bytes().all(|byte| byte.is_ascii_digit()) => {
                found(unistd::User::from_uid(unistd::Uid::from_raw(uid)))
            }
            _ => Ok(None),
        };
        let user = match found(unistd::User::from_name(typed)) {
            Ok(None) => of_number(),
            user => user,
        };
        let user = user
            .with_context(|| format!("--user {shown}: the user database does not answer"))?
            .ok_or_else(|| {
                WrongUsage(format!(
                    "--user {shown}: there is no such user; give the name or number of one that \
                     `getent passwd` shows"
                ))
            })?;
        require_privilege()?;
        let name = CString::new(user.name.as_str())?;
        let groups = getgrouplist(&name, user.gid)
            .with_context(|| format!("--user {shown}: the groups cannot be found out"))?;
        Ok(Self {
            name: user.name.into(),
            uid: Uid::from_raw(user.uid.as_raw()),
            gid: Gid::from_raw(user.gid.as_raw()),
            groups: groups
                .into_iter()
                .map(|group| Gid::from_raw(group.as_raw()))
                .collect(),
            home: user.dir,
            shell: if user.shell.as_os_str().is_empty() {
                SHELL.into()
            } else {
                user.shell
            },
        })
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &OsStr {
        &self.name
    }

    /// Has a command run as this user, with all of the groups and without any capability that is not the
    /// user's anyway. Of the environment, it changes what says who the user is, as runuser(1) does.
    pub fn run(&self, command: &mut Command) {
        command
            .env("HOME", &self.home)
            .env("SHELL", &self.shell)
            .env("USER", &self.name)
            .env("LOGNAME", &self.name);
        let (uid, gid, groups) = (self.uid, self.gid, self.groups.clone());
        let become_user = move || {
            set_thread_groups(&groups)?;
            set_thread_gid(gid)?;
            set_thread_uid(uid)?;
            if !uid.is_root() {
                // Those of root have gone with its id, but an agent that is not root may have had some.
                clear_ambient_capability_set()?;
                let none = CapabilitySet::empty();
                set_capabilities(
                    None,
                    CapabilitySets {
                        effective: none,
                        permitted: none,
                        inheritable: none,
                    },
                )?;
            }
            Ok(())
        };
        #[expect(
            unsafe_code,
            reason = "the standard library cannot set supplementary groups yet"
        )]
        // SAFETY: between fork and exec, the closure only makes system calls, of the child's only thread; it
        // takes no lock and no memory.
        unsafe {
            command.pre_exec(become_user);
        }
    }
}

/// An entry of the database. "Not found" has more than one errno (`getpwnam(3)`).
fn found(entry: nix::Result<Option<unistd::User>>) -> nix::Result<Option<unistd::User>> {
    match entry {
        Err(Errno::ENOENT | Errno::ESRCH | Errno::EBADF | Errno::EPERM) => Ok(None),
        entry => entry,
    }
}

/// Makes sure that we may become another user.
fn require_privilege() -> Result<()> {
    let needed = CapabilitySet::SETUID | CapabilitySet::SETGID;
    if privilege::effective().is_none_or(|effective| effective.contains(needed)) {
        return Ok(());
    }
    bail!("--user: no CAP_SETUID or no CAP_SETGID; run as root, for example with sudo")
}
