//! bpf-linker, which turns what the nightly compiler emits into an eBPF object. It reads LLVM
//! bitcode, so its own LLVM must be as new as the compiler's.

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};

use super::{
    cache, cargo_tool,
    process::{command, on_path, stdout_of},
    say,
    toolchain::NIGHTLY,
};
use crate::pins;

/// A bpf-linker that fits the nightly: from PATH, else from the cache, where it is built if need
/// be. The nightly must be there.
pub(crate) fn ensure() -> Result<PathBuf> {
    let wanted = compiler_llvm()?;
    if let Some(file) = on_path("bpf-linker")
        .into_iter()
        .find(|file| fits(file, &wanted))
    {
        return Ok(file);
    }
    let dir = cache()?.join(format!(
        "bpf-linker-{}-{}",
        pins::BPF_LINKER,
        NIGHTLY.name()
    ));
    let file = dir.join("bin/bpf-linker");
    // Before looking whether the cached one works: it finds its LLVM through these links.
    let llvm = dir.join("llvm");
    link_compiler_llvm(&llvm.join("lib"))
        .with_context(|| format!("cannot prepare {}", dir.display()))?;
    if fits(&file, &wanted) {
        return Ok(file);
    }
    say(format_args!(
        "building bpf-linker {} with the LLVM {wanted} of {}: about a minute",
        pins::BPF_LINKER,
        NIGHTLY.name()
    ));
    let mut install = cargo_tool::installation("bpf-linker", pins::BPF_LINKER, &dir);
    cargo_tool::install(install.env("LLVM_PREFIX", llvm), "bpf-linker")?;
    ensure!(
        fits(&file, &wanted),
        "{} was built but does not run with LLVM {wanted}: delete it, then try again",
        file.display()
    );
    Ok(file)
}

/// The major version of the nightly's LLVM.
fn compiler_llvm() -> Result<String> {
    let said = stdout_of(NIGHTLY.tool("rustc").arg("-vV"))?;
    llvm_major(&said, "LLVM version: ")
        .with_context(|| format!("{} does not tell its LLVM version", NIGHTLY.name()))
}

/// Whether this bpf-linker runs, with LLVM `wanted`. `bpf-linker --version` prints only its own
/// version; LLVM answers to an option of its own, before any file is opened: here one that cannot be.
fn fits(file: &Path, wanted: &str) -> bool {
    let mut ask = command(file);
    let none = "/dev/null/none";
    ask.args(["--llvm-args=--version", "--output", none, none]);
    stdout_of(&mut ask)
        .is_ok_and(|said| llvm_major(&said, "LLVM version ").as_deref() == Some(wanted))
}

fn llvm_major(said: &str, label: &str) -> Option<String> {
    let (_, version) = said.split_once(label)?;
    let (major, _) = version.split_once('.')?;
    Some(major.to_owned())
}

/// Lays out the nightly's own LLVM as bpf-linker's build looks for one, so that no other LLVM has
/// to be on the machine.
fn link_compiler_llvm(dir: &Path) -> Result<()> {
    let sysroot = stdout_of(NIGHTLY.tool("rustc").args(["--print", "sysroot"]))?;
    let libraries = Path::new(sysroot.trim_end()).join("lib");
    let library = fs::read_dir(&libraries)?
        .filter_map(Result::ok)
        .map(|entry| entry.file_name())
        .find(|name| {
            name.to_str()
                .is_some_and(|name| name.starts_with("libLLVM.so."))
        })
        .with_context(|| format!("no LLVM library in {}", libraries.display()))?;
    fs::create_dir_all(dir)?;
    link(&libraries.join(&library), &dir.join(&library))?;
    link(&libraries.join(&library), &dir.join("libLLVM.so"))
}

/// Makes `link` lead to `file`, also when another xtask does the same.
fn link(file: &Path, link: &Path) -> Result<()> {
    if fs::read_link(link).is_ok_and(|target| target == file) {
        return Ok(());
    }
    let new = link.with_extension(format!("new-{}", std::process::id()));
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    symlink(file, &new)?;
    Ok(fs::rename(&new, link)?)
}

#[cfg(test)]
mod tests {
    use super::llvm_major;

    #[test]
    fn llvm_is_told_by_the_compiler_and_by_the_linker() {
        let compiler = "host: x86_64-unknown-linux-gnu\nrelease: 1.100.0\nLLVM version: 23.1.0\n";
        assert_eq!(
            llvm_major(compiler, "LLVM version: ").as_deref(),
            Some("23")
        );
        let linker = "LLVM (http://llvm.org/):\n  LLVM version 23.1.0-rust-1.100.0-nightly\n";
        assert_eq!(llvm_major(linker, "LLVM version ").as_deref(), Some("23"));
        assert_eq!(llvm_major("bpf-linker 0.13.0\n", "LLVM version "), None);
    }
}
