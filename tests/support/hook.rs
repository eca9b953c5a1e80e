//! What the kernel itself shows of a call: the raw returns of `syscalls:sys_exit_connect`, read
//! from a tracefs instance of the test's own, apart from the agent.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::{process::getpid, thread::gettid};

/// Where tracefs is mounted, or an automount of debugfs.
const TRACEFS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
/// How the instances of these tests are named, followed by the process and the thread.
const PREFIX: &str = "connect-observer-test-";
/// What a line says between who and what.
const RETURN: &str = ": sys_connect -> 0x";

/// Raw returns by thread id, in order.
pub(crate) type Returns = BTreeMap<i64, Vec<i64>>;

/// Sees what is returned to the processes that this thread starts, and to theirs. Removed when
/// dropped.
pub(crate) struct Hook {
    instance: PathBuf,
}

impl Hook {
    pub(crate) fn new() -> Result<Self> {
        let instances = TRACEFS.map(|root| Path::new(root).join("instances"));
        let instances = instances.iter().find(|instances| instances.is_dir());
        let instances = instances.context("tracefs is not mounted")?;
        remove_leftovers(instances)?;
        let (pid, tid) = (getpid().as_raw_nonzero(), gettid().as_raw_nonzero());
        let instance = instances.join(format!("{PREFIX}{pid}-{tid}"));
        fs::create_dir(&instance).context("tracefs makes no instance")?;
        let hook = Self { instance };
        hook.set("options/event-fork", "1")?;
        hook.set("set_event_pid", &tid.to_string())?;
        hook.set("events/syscalls/sys_exit_connect/enable", "1")?;
        Ok(hook)
    }

    fn set(&self, file: &str, value: &str) -> Result<()> {
        let path = self.instance.join(file);
        let mut file = File::options().write(true).open(&path)?;
        file.write_all(value.as_bytes())
            .with_context(|| format!("{} does not take {value}", path.display()))
    }

    /// Everything until now.
    pub(crate) fn returns(&self) -> Result<Returns> {
        let trace = fs::read_to_string(self.instance.join("trace"))?;
        let mut returns = Returns::new();
        for line in trace.lines() {
            if let Some(counts) = line.strip_prefix("# entries-in-buffer/entries-written: ") {
                let counts = counts.split_whitespace().next().and_then(|both| both.split_once('/'));
                let complete = counts.is_some_and(|(kept, written)| kept == written);
                ensure!(complete, "the trace is not complete: {line}");
            }
            if !line.starts_with('#') {
                let (tid, ret) = parse(line).with_context(|| format!("the trace says: {line}"))?;
                returns.entry(tid).or_default().push(ret);
            }
        }
        Ok(returns)
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        // A leftover is removed by the next test.
        let _removed = fs::remove_dir(&self.instance);
    }
}

/// `            python3-14131   [001] .....  4438.764101: sys_connect -> 0xffffffffffffff91`
fn parse(line: &str) -> Result<(i64, i64)> {
    let (who, ret) = line.rsplit_once(RETURN).context("no return")?;
    // The name may hold anything, also what follows it.
    let (who, _) = who.rsplit_once(" [").context("no processor")?;
    let (_, tid) = who.trim_end().rsplit_once('-').context("no thread")?;
    Ok((tid.parse()?, u64::from_str_radix(ret, 16)?.cast_signed()))
}

/// Removes the instances of tests that were killed.
fn remove_leftovers(instances: &Path) -> Result<()> {
    for instance in fs::read_dir(instances)? {
        let instance = instance?;
        let name = instance.file_name();
        let Some(owner) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else {
            continue;
        };
        let Some((pid, _)) = owner.split_once('-') else {
            bail!("{} is not ours", instance.path().display());
        };
        if !Path::new("/proc").join(pid).exists() {
            // Another test may have been faster.
            let _removed = fs::remove_dir(instance.path());
        }
    }
    Ok(())
}
