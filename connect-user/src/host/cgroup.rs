//! Which cgroups this kernel keeps: of version 1, of version 2, or both.

use std::{fs, io};

use super::privilege::namespace_inode;

/// Every hierarchy that the kernel keeps, also where it is mounted elsewhere, or in another container.
const HIERARCHIES: &str = "/proc/self/cgroup";

/// What there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cgroups {
    /// None at all.
    None,
    /// Version 2, and no controllers of version 1.
    V2,
    /// Version 2, and these controllers of version 1.
    Hybrid(Vec<String>),
    /// Version 1 only.
    V1,
}

/// What this kernel keeps.
///
/// # Errors
///
/// `/proc` does not say.
pub fn cgroups() -> io::Result<Cgroups> {
    match fs::read_to_string(HIERARCHIES) {
        Ok(text) => Ok(parse(&text)),
        // A kernel without cgroups.
        Err(error) if error.kind() == io::ErrorKind::NotFound && namespace_inode("pid").is_ok() => {
            Ok(Cgroups::None)
        }
        Err(error) => Err(error),
    }
}

/// `4:cpu,cpuacct:/path` of version 1; `1:name=systemd:/path` of a hierarchy that controls nothing;
/// `0::/path` of version 2, if it is mounted anywhere.
fn parse(text: &str) -> Cgroups {
    let hierarchies = || text.lines().filter_map(|line| line.split(':').nth(1));
    let mut controllers: Vec<_> = hierarchies()
        .flat_map(|names| names.split(','))
        .filter(|name| !name.is_empty() && !name.starts_with("name="))
        .map(str::to_owned)
        .collect();
    controllers.sort_unstable();
    let v2 = hierarchies().any(str::is_empty);
    match (v2, controllers.is_empty()) {
        (true, true) => Cgroups::V2,
        (true, false) => Cgroups::Hybrid(controllers),
        (false, _) => Cgroups::V1,
    }
}

#[cfg(test)]
mod tests {
    use super::{Cgroups, parse};

    #[test]
    fn hierarchies_tell_versions_apart() {
        let hybrid =
            |names: &[&str]| Cgroups::Hybrid(names.iter().map(|&name| name.to_owned()).collect());
        for (text, expected) in [
            ("0::/\n", Cgroups::V2),
            ("0::/user.slice/a:b,c\n", Cgroups::V2),
            ("1:name=elogind:/1\n0::/1\n", Cgroups::V2),
            (
                "9:name=systemd:/\n4:memory:/a,b\n3:cpu,cpuacct:/\n0::/\n",
                hybrid(&["cpu", "cpuacct", "memory"]),
            ),
            ("4:memory:/\n1:name=systemd:/\n", Cgroups::V1),
            ("1:name=systemd:/\n", Cgroups::V1),
            ("", Cgroups::V1),
        ] {
            assert_eq!(parse(text), expected, "{text:?}");
        }
    }
}
