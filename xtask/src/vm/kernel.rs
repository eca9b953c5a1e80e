//! The kernels of the matrix: Debian's own for clouds, which need few drivers.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};

use super::apt::Apt;
use crate::support::{cache, say};

/// A line of stable kernels.
pub(crate) struct Series {
    /// As it is asked for, and what its releases begin with: `x` is any number.
    pub(crate) name: &'static str,
    /// The suite of Debian's that has it.
    suite: &'static str,
}

/// From the oldest to the newest.
pub(crate) const MATRIX: [Series; 5] = [
    series("5.10", "bullseye"),
    series("6.1", "bookworm"),
    series("6.12", "trixie"),
    series("6.18", "trixie-backports"),
    series("7.x", "trixie-backports"),
];

const fn series(name: &'static str, suite: &'static str) -> Series {
    Series { name, suite }
}

/// A kernel in the cache.
pub(super) struct Kernel {
    pub(super) series: &'static str,
    /// As uname(1) tells it.
    pub(super) release: String,
    pub(super) image: PathBuf,
    /// The folder of this release's modules.
    pub(super) modules: PathBuf,
    /// Where its initrds may be kept.
    pub(super) dir: PathBuf,
}

impl Series {
    /// The kernel that the cache has of this series; the newest, where it has none.
    pub(super) fn ensure(&self) -> Result<Kernel> {
        let dir = cache()?.join("kernels").join(self.name);
        if !dir.is_dir() {
            self.download(&dir)
                .with_context(|| format!("no kernel {}", self.name))?;
        }
        self.find(&dir).with_context(|| {
            format!(
                "{} has no kernel {}: delete it, then try again",
                dir.display(),
                self.name
            )
        })
    }

    fn find(&self, dir: &Path) -> Result<Kernel> {
        let modules = ["lib/modules", "usr/lib/modules"];
        let modules = modules
            .into_iter()
            .filter_map(|modules| fs::read_dir(dir.join(modules)).ok())
            .flatten()
            .next()
            .context("no modules")??
            .path();
        let release = modules.file_name().context("no release")?;
        let release = release.to_str().context("no release")?.to_owned();
        let images = [
            dir.join(format!("boot/vmlinuz-{release}")),
            modules.join("vmlinuz"),
        ];
        let image = images.into_iter().find(|image| image.is_file());
        Ok(Kernel {
            series: self.name,
            release,
            image: image.context("no image")?,
            modules,
            dir: dir.to_owned(),
        })
    }

    fn download(&self, dir: &Path) -> Result<()> {
        const FLAVOUR: &str = "-cloud-amd64";
        let name = dir.file_name().context("no name")?.to_string_lossy();
        let new = dir.with_file_name(format!("{name}-new-{}", std::process::id()));
        fs::create_dir_all(&new).with_context(|| format!("cannot make {}", new.display()))?;
        say(format_args!("downloading kernel {}", self.name));
        let apt = Apt::new(new.join("apt"), self.suite)?;
        let names = apt.names(&format!("^linux-(image|binary|modules)-[0-9].*{FLAVOUR}$"))?;
        // linux-image-6.1.0-50-cloud-amd64
        let release = |name: &str| {
            let (_, release) = name.strip_prefix("linux-")?.split_once('-')?;
            Some(numbers(release.strip_suffix(FLAVOUR)?))
        };
        let newest = names
            .iter()
            .filter_map(|name| release(name))
            .filter(|release| self.has(release))
            .max();
        let newest = newest.with_context(|| format!("{} has none", self.suite))?;
        // Since 7.0, the image and the modules are packages of their own.
        let wanted: Vec<_> = names
            .into_iter()
            .filter(|name| release(name).as_ref() == Some(&newest))
            .collect();
        ensure!(!wanted.is_empty(), "no package");
        apt.unpack(&wanted, &new)?;
        fs::remove_dir_all(new.join("apt"))?;
        Ok(fs::rename(&new, dir)?)
    }

    fn has(&self, release: &[u32]) -> bool {
        let mut numbers = release.iter();
        self.name.split('.').all(|wanted| {
            let number = numbers.next();
            wanted == "x" || wanted.parse().ok().as_ref() == number
        })
    }
}

/// The numbers of a release, in order, by which releases compare.
fn numbers(release: &str) -> Vec<u32> {
    release
        .split(|character: char| !character.is_ascii_digit())
        .filter_map(|number| number.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{MATRIX, numbers, series};

    #[test]
    fn releases_compare_by_their_numbers() {
        assert!(numbers("7.2.12+deb13") > numbers("7.2.9+deb13"));
        assert!(numbers("5.10.0-32") > numbers("5.10.0-9"));
    }

    #[test]
    fn a_series_has_its_own_releases_only() {
        assert!(series("6.1", "").has(&numbers("6.1.0-50")));
        assert!(!series("6.1", "").has(&numbers("6.12.117+deb13")));
        assert!(series("7.x", "").has(&numbers("7.3.4+deb13")));
        assert!(!series("7.x", "").has(&numbers("6.18.15+deb13")));
    }

    #[test]
    fn the_matrix_is_in_order() {
        assert!(MATRIX.is_sorted_by_key(|series| numbers(series.name)));
    }
}
