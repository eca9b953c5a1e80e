//! What a VM boots into: an archive of the modules that the tests need, which is kept with their
//! kernel, and one of everything else. The kernel unpacks both, one after the other.

use std::{
    collections::hash_map::DefaultHasher,
    fs,
    hash::{Hash as _, Hasher as _},
    io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use super::{cpio::Archive, kernel::Kernel};
use crate::{
    build::StaticTests,
    support::process::{command, output_of, stdout_of},
};

/// The modules that the tests need, where this kernel has them as modules at all, without those that
/// these need in turn.
const MODULES: [&str; 9] = [
    // Between namespaces.
    "veth",
    // Families of addresses.
    "af_alg",
    "af_key",
    "algif_skcipher",
    "rds",
    "sctp",
    "smc",
    "tipc",
    "vsock_loopback",
];
/// What the VM starts.
const INIT: &str = include_str!("init.sh");
/// What [`INIT`] calls of busybox.
const COMMANDS: [&str; 9] = [
    "cat", "echo", "insmod", "ip", "mkdir", "mount", "poweroff", "sed", "sh",
];

/// What to do in the VM.
pub(super) struct Payload<'a> {
    pub(super) tests: &'a StaticTests,
    /// Of the tests.
    pub(super) arguments: &'a [String],
}

/// Writes the initrd into a folder, and returns where it is.
pub(super) fn write(kernel: &Kernel, payload: &Payload<'_>, dir: &Path) -> Result<PathBuf> {
    let mut initrd = fs::read(modules(kernel)?)?;
    let mut archive = Archive::default();
    for dir in ["bin", "dev", "proc", "root", "run", "sys", "tmp"] {
        archive.directory(dir);
    }
    archive.program("bin/busybox", &fs::read(&kernel.busybox)?);
    for command in COMMANDS {
        archive.link(&format!("bin/{command}"), "busybox");
    }
    archive.program("init", INIT.as_bytes());
    archive.program("connect-observer", &fs::read(&payload.tests.agent)?);
    archive.program("tests", &fs::read(&payload.tests.tests)?);
    if let Some(program) = &payload.tests.program32 {
        archive.program("program32", &fs::read(program)?);
    }
    let arguments: Vec<_> = payload.arguments.iter().map(|word| quoted(word)).collect();
    archive.file("arguments", arguments.join(" ").as_bytes());
    initrd.extend(archive.end());

    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let path = dir.join(format!("initrd-{}", kernel.series));
    fs::write(&path, initrd).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// The archive of modules, from the cache if it is there.
fn modules(kernel: &Kernel) -> Result<PathBuf> {
    let mut hasher = DefaultHasher::new();
    MODULES.hash(&mut hasher);
    let path = kernel
        .dir
        .join(format!("modules-{:016x}.cpio", hasher.finish()));
    if path.is_file() {
        return Ok(path);
    }
    let mut archive = Archive::default();
    archive.directory("modules");
    for (number, module) in in_order(kernel)?.iter().enumerate() {
        let file = kernel.modules.join(module);
        let bytes = if file.extension().is_some_and(|kind| kind == "xz") {
            output_of(command("busybox").args(["xz", "-dc"]).arg(&file))?
        } else {
            fs::read(&file)?
        };
        // The shell's order is that of names.
        archive.file(&format!("modules/{number:03}"), &bytes);
    }
    let new = path.with_extension(format!("new-{}", std::process::id()));
    fs::write(&new, archive.end()).with_context(|| format!("cannot write {}", new.display()))?;
    fs::rename(&new, &path)?;
    Ok(path)
}

/// [`MODULES`] and what they need, in an order in which they load, as paths below the kernel's.
fn in_order(kernel: &Kernel) -> Result<Vec<String>> {
    // It looks for lib/modules/RELEASE below.
    let root = kernel.dir.join("depmod");
    let link = root.join("lib/modules").join(&kernel.release);
    fs::create_dir_all(root.join("lib/modules"))?;
    match std::os::unix::fs::symlink(&kernel.modules, &link) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error.into()),
        _ => {}
    }
    let mut depmod = command("busybox");
    depmod.args(["depmod", "-n", "-b"]).arg(&root);
    let listed = stdout_of(depmod.arg(&kernel.release))?;
    Ok(loading_order(&listed))
}

/// From lines such as `net/tipc/tipc.ko.xz: net/ipv4/udp_tunnel.ko.xz net/ipv6/ip6_udp_tunnel.ko.xz`.
fn loading_order(listed: &str) -> Vec<String> {
    fn add(listed: &str, path: &str, order: &mut Vec<String>) {
        if order.iter().any(|known| known == path) {
            return;
        }
        let needed = listed.lines().find_map(|line| {
            let needed = line.strip_prefix(path)?;
            needed.strip_prefix(':')
        });
        for path in needed.unwrap_or_default().split_whitespace() {
            add(listed, path, order);
        }
        order.push(path.to_owned());
    }
    let mut order = Vec::new();
    for module in MODULES {
        let path = listed.lines().find_map(|line| {
            let (path, _) = line.split_once(':')?;
            let (_, name) = path.rsplit_once('/')?;
            let (name, _) = name.split_once(".ko")?;
            (name == module).then_some(path)
        });
        if let Some(path) = path {
            add(listed, path, &mut order);
        }
    }
    order
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::{loading_order, quoted};

    #[test]
    fn what_a_module_needs_is_loaded_before_it() {
        let listed = "kernel/net/tipc/tipc.ko: kernel/b.ko kernel/a.ko\n\
            kernel/drivers/net/veth.ko:\n\
            kernel/b.ko: kernel/a.ko\n\
            kernel/a.ko:\n\
            alias x y\n";
        let order = [
            "kernel/drivers/net/veth.ko",
            "kernel/a.ko",
            "kernel/b.ko",
            "kernel/net/tipc/tipc.ko",
        ];
        assert_eq!(loading_order(listed), order);
    }

    #[test]
    fn a_word_stays_one() {
        assert_eq!(quoted("it's a"), r"'it'\''s a'");
    }
}
