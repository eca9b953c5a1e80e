//! The way to a file, one folder after the other, by links that nobody else has made.
//!
//! The kernel would follow every symbolic link on the way. Each is looked at here instead, by a descriptor: so
//! what was looked at is what is followed, whoever changes the folders meanwhile.

use std::{
    ffi::{OsStr, OsString},
    os::{fd::OwnedFd, unix::ffi::OsStrExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};
use rustix::{
    fs::{
        CWD, FileType, Mode, OFlags, PROC_SUPER_MAGIC, fstat, fstatfs, fstatvfs, openat, readlinkat,
    },
    io::Errno,
    process::geteuid,
};

use crate::escape::Escaped;

/// How many symbolic links may lead to a file: as many as the kernel follows, see `path_resolution(7)`.
const LINKS_MAX: u32 = 40;

/// `ST_NOSYMFOLLOW` of statfs(2): no symbolic link of this mount may be followed.
const FOLLOWS_NO_LINK: u64 = 0x2000;

/// Opens what a name stands for only to look at it, which waits for nobody.
const TO_LOOK: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

/// What a path leads to.
#[derive(Debug)]
pub(super) enum Found {
    /// Something that is no symbolic link, opened only to be looked at.
    File { folder: OwnedFd, file: OwnedFd },
    /// Nothing of this name.
    Nothing { folder: OwnedFd, name: OsString },
    /// A link of /proc, which stands for something open and not for a path: /dev/stdout leads to one.
    Stream { folder: OwnedFd, name: OsString },
}

/// Walks to where a path leads; refuses a symbolic link of another user, wherever on the way it is.
pub(super) fn walk(path: &Path) -> Result<Found> {
    let start = if path.is_absolute() { "/" } else { "." };
    let mut walk = Walk {
        folder: openat(CWD, start, TO_LOOK | OFlags::DIRECTORY, Mode::empty())?,
        at: PathBuf::new(),
        rest: Vec::new(),
        links: LINKS_MAX,
    };
    walk.add(path.as_os_str().as_bytes())?;
    loop {
        if let Some(found) = walk.step()? {
            return Ok(found);
        }
    }
}

/// Whether this user can do what we can anyway.
pub(super) fn is_trusted(uid: u32) -> bool {
    uid == 0 || uid == geteuid().as_raw()
}

/// How far it has come.
#[derive(Debug)]
struct Walk {
    folder: OwnedFd,
    /// The path of the folder, for messages.
    at: PathBuf,
    /// The names that are left, the next one last.
    rest: Vec<OsString>,
    links: u32,
}

impl Walk {
    /// Puts a path before the names that are left.
    fn add(&mut self, path: &[u8]) -> Result<()> {
        let names = || path.split(|byte| *byte == b'/');
        // A slash at the end says that it must be a folder.
        if self.rest.is_empty() && matches!(names().next_back(), None | Some(b"" | b"." | b"..")) {
            return Err(Errno::ISDIR.into());
        }
        if path.starts_with(b"/") {
            self.folder = openat(CWD, "/", TO_LOOK | OFlags::DIRECTORY, Mode::empty())?;
            self.at = PathBuf::from("/");
        }
        let names = names().filter(|name| !matches!(*name, b"" | b"."));
        let names = names.rev().map(|name| OsStr::from_bytes(name).to_owned());
        self.rest.extend(names);
        Ok(())
    }

    /// Goes on by one name; gives what was found if it was the last.
    fn step(&mut self) -> Result<Option<Found>> {
        let Some(name) = self.rest.pop() else {
            return Err(Errno::ISDIR.into());
        };
        let is_last = self.rest.is_empty();
        if !is_last {
            // As a folder, so that it is mounted if it is one that is mounted at need.
            let to_enter = TO_LOOK | OFlags::DIRECTORY | OFlags::NOFOLLOW;
            match openat(&self.folder, &name, to_enter, Mode::empty()) {
                Ok(folder) => {
                    self.folder = folder;
                    self.at.push(name);
                    return Ok(None);
                }
                Err(Errno::NOTDIR | Errno::LOOP) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let to_look = TO_LOOK | OFlags::NOFOLLOW;
        let file = match openat(&self.folder, &name, to_look, Mode::empty()) {
            Err(Errno::NOENT) if is_last => {
                let folder = self.folder.try_clone()?;
                return Ok(Some(Found::Nothing { folder, name }));
            }
            opened => opened?,
        };
        let stat = fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            if !is_last {
                return Err(Errno::NOTDIR.into());
            }
            let folder = self.folder.try_clone()?;
            return Ok(Some(Found::File { folder, file }));
        }
        if !is_trusted(stat.st_uid) {
            bail!(
                "{} is a symbolic link of user {}, who could have it lead anywhere; give a path without it",
                Escaped(self.at.join(name).as_os_str().as_bytes()),
                stat.st_uid
            );
        }
        let is_followed = fstatvfs(&file)?.f_flag.bits() & FOLLOWS_NO_LINK == 0;
        self.links = match self.links.checked_sub(1) {
            Some(links) if is_followed => links,
            _ => return Err(Errno::LOOP.into()),
        };
        if fstatfs(&file)?.f_type != PROC_SUPER_MAGIC {
            // Of the link that was looked at, whatever has its name by now.
            let target = readlinkat(&file, "", Vec::new())?;
            self.add(target.as_bytes())?;
        } else if is_last {
            let folder = self.folder.try_clone()?;
            return Ok(Some(Found::Stream { folder, name }));
        } else {
            // What it says is no path, so the kernel follows it.
            let to_enter = TO_LOOK | OFlags::DIRECTORY;
            self.folder = openat(&self.folder, &name, to_enter, Mode::empty())?;
            self.at.push(name);
        }
        Ok(None)
    }
}
