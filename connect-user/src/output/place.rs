//! Where lines go: standard output, standard error, or a file that is safe to append to.
//!
//! Root writes where other users may have left something on purpose: a symbolic link that leads to another
//! file, or a file of their own that they read along. The kernel refuses that in folders like /tmp if it is
//! told to (`fs.protected_symlinks` and its kin, see `proc_sys_fs(5)`); here it is refused anyway.

use std::{
    fs::File,
    io::{self, stderr, stdout},
    os::{
        fd::{AsFd as _, AsRawFd as _, OwnedFd},
        unix::fs::FileExt as _,
    },
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};
use rustix::{
    fs::{CWD, FileType, Mode, OFlags, Stat, fcntl_setfl, fstat, openat},
    io::Errno,
};

use super::walk::{Found, is_trusted, walk};
use crate::{escape::Escaped, observation::Destination};

/// What standard output is called in messages.
pub const STANDARD_OUTPUT: &str = "standard output";
/// What standard error is called in messages.
const STANDARD_ERROR: &str = "standard error";

/// How often a file may be made and removed by others while it is opened.
const TRIES_MAX: u32 = 16;

/// A file that is new is for its owner only: it says what every user of the host does.
const NEW: Mode = Mode::RUSR.union(Mode::WUSR);

/// The bits of a folder's mode that decide who may put something into it.
const STICKY: u32 = 0o1000;
const GROUP_WRITES: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;

/// Something that takes lines.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) file: OwnedFd,
    /// Whether the last line in it has no end: whoever wrote it was stopped.
    pub(super) ends_inside_a_line: bool,
}

/// What it is, for messages.
pub(super) fn name(destination: &Destination) -> String {
    match destination {
        Destination::Stdout => STANDARD_OUTPUT.to_owned(),
        Destination::Stderr => STANDARD_ERROR.to_owned(),
        Destination::File(path) => Escaped(path.as_os_str().as_encoded_bytes()).to_string(),
    }
}

/// Opens it. Whoever opens a FIFO waits for its reader.
pub(super) fn open(destination: &Destination) -> Result<Opened> {
    let file = match destination {
        Destination::Stdout => stdout().as_fd().try_clone_to_owned()?,
        Destination::Stderr => stderr().as_fd().try_clone_to_owned()?,
        Destination::File(path) => return open_file(path, OFlags::empty()),
    };
    Ok(Opened {
        file,
        ends_inside_a_line: false,
    })
}

/// Opens the file that has this path now, without waiting for anybody.
pub(super) fn open_again(path: &Path) -> Result<Opened> {
    let opened = open_file(path, OFlags::NONBLOCK)?;
    // Its reader is waited for, from here on.
    fcntl_setfl(&opened.file, OFlags::APPEND)?;
    Ok(opened)
}

fn open_file(path: &Path, flags: OFlags) -> Result<Opened> {
    let file = open_safely(path, flags)?;
    Ok(Opened {
        ends_inside_a_line: ends_inside_a_line(&file),
        file,
    })
}

/// Opens a file to append to it, and makes it if it is not there; refuses what another user has put there.
fn open_safely(path: &Path, flags: OFlags) -> Result<OwnedFd> {
    let to_append = OFlags::WRONLY | OFlags::APPEND | OFlags::NOCTTY | OFlags::CLOEXEC | flags;
    for _ in 0..TRIES_MAX {
        match walk(path)? {
            Found::File { folder, file } => {
                // Before it is opened: whoever opens a FIFO waits for its reader.
                require_ours(&fstat(&folder)?, &fstat(&file)?)?;
                // That one, and not what may have its name by now.
                return match openat(CWD, own(&file), to_append, Mode::empty()) {
                    Err(Errno::NOENT) => bail!("it can be opened only where /proc is mounted"),
                    opened => Ok(opened?),
                };
            }
            Found::Stream { folder, name } => {
                return Ok(openat(&folder, name, to_append, Mode::empty())?);
            }
            Found::Nothing { folder, name } => {
                let to_make = to_append | OFlags::CREATE | OFlags::EXCL;
                match openat(&folder, name, to_make, NEW) {
                    // Somebody has made it meanwhile, so it must be looked at.
                    Err(Errno::EXIST) => {}
                    opened => {
                        let file = opened?;
                        require_ours(&fstat(&folder)?, &fstat(&file)?)?;
                        return Ok(file);
                    }
                }
            }
        }
    }
    Err(Errno::EXIST.into())
}

/// The path of a file that we have open.
fn own(file: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// In a folder where anybody may put something, only what is ours is written to.
fn require_ours(folder: &Stat, file: &Stat) -> Result<()> {
    let mode = folder.st_mode;
    let is_shared = mode & OTHERS_WRITE != 0 || (mode & STICKY != 0 && mode & GROUP_WRITES != 0);
    if !is_shared {
        return Ok(());
    }
    let kind = FileType::from_raw_mode(file.st_mode);
    if !is_trusted(file.st_uid) && file.st_uid != folder.st_uid {
        bail!(
            "it belongs to user {}, and its folder is one where everybody may put files; remove it, or give \
             another path",
            file.st_uid
        );
    }
    if kind == FileType::RegularFile && file.st_nlink > 1 {
        bail!(
            "it has several names, and its folder is one where everybody may put files; remove it, or give \
             another path"
        );
    }
    Ok(())
}

/// Whether a file has bytes after its last line; false where that cannot be known.
fn ends_inside_a_line(file: &OwnedFd) -> bool {
    let last = || -> io::Result<Option<u8>> {
        let stat = fstat(file)?;
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || size == 0 {
            return Ok(None);
        }
        let mut byte = [0];
        File::open(own(file))?.read_exact_at(&mut byte, size - 1)?;
        let [byte] = byte;
        Ok(Some(byte))
    };
    last().is_ok_and(|last| last.is_some_and(|byte| byte != b'\n'))
}
