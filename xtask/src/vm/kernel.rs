//! The kernels of the matrix: Debian's own for clouds, which need few drivers.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};

use super::apt::Apt;
use crate::support::{architecture::Architecture, cache, process::on_path, say};

/// A line of stable kernels.
pub(crate) struct Series {
    /// As it is asked for, and what its releases begin with: `x` is any number. Behind it, the processor
    /// if that is not x86-64.
    pub(crate) name: &'static str,
    /// The suite of Debian's that has it.
    suite: &'static str,
    pub(crate) architecture: Architecture,
}

/// From the oldest to the newest; and one on another processor.
pub(crate) const MATRIX: [Series; 6] = [
    series("5.10", "bullseye", Architecture::X86_64),
    series("6.1", "bookworm", Architecture::X86_64),
    series("6.12", "trixie", Architecture::X86_64),
    series("6.18", "trixie-backports", Architecture::X86_64),
    series("7.x", "trixie-backports", Architecture::X86_64),
    series("6.12-arm64", "trixie", Architecture::Aarch64),
];

const fn series(name: &'static str, suite: &'static str, architecture: Architecture) -> Series {
    Series {
        name,
        suite,
        architecture,
    }
}

/// A kernel in the cache.
pub(super) struct Kernel {
    pub(super) series: &'static str,
    pub(super) architecture: Architecture,
    /// As uname(1) prints it.
    pub(super) release: String,
    pub(super) image: PathBuf,
    /// The folder of this release's modules.
    pub(super) modules: PathBuf,
    /// busybox for its processor.
    pub(super) busybox: PathBuf,
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
        let busybox = if self.architecture == Architecture::HOST {
            on_path("busybox").into_iter().next()
        } else {
            let places = ["bin/busybox", "usr/bin/busybox"].map(|place| dir.join(place));
            places.into_iter().find(|place| place.is_file())
        };
        Ok(Kernel {
            series: self.name,
            architecture: self.architecture,
            busybox: busybox.context("no busybox")?,
            release,
            image: image.context("no image")?,
            modules,
            dir: dir.to_owned(),
        })
    }

    fn download(&self, dir: &Path) -> Result<()> {
        let flavour = format!("-cloud-{}", self.architecture.debian());
        let name = dir.file_name().context("no name")?.to_string_lossy();
        let new = dir.with_file_name(format!("{name}-new-{}", std::process::id()));
        fs::create_dir_all(&new).with_context(|| format!("cannot make {}", new.display()))?;
        say(format_args!("downloading kernel {}", self.name));
        let apt = Apt::new(new.join("apt"), self.suite, self.architecture)?;
        let names = apt.names(&format!("^linux-(image|binary|modules)-[0-9].*{flavour}$"))?;
        // linux-image-6.1.0-50-cloud-amd64
        let release = |name: &str| {
            let (_, release) = name.strip_prefix("linux-")?.split_once('-')?;
            Some(numbers(release.strip_suffix(&flavour)?))
        };
        let newest = names
            .iter()
            .filter_map(|name| release(name))
            .filter(|release| self.has(release))
            .max();
        let newest = newest.with_context(|| format!("{} has none", self.suite))?;
        // Since 7.0, the image and the modules are packages of their own.
        let mut wanted: Vec<_> = names
            .into_iter()
            .filter(|name| release(name).as_ref() == Some(&newest))
            .collect();
        ensure!(!wanted.is_empty(), "no package");
        if self.architecture != Architecture::HOST {
            wanted.push("busybox-static".to_owned());
        }
        apt.unpack(&wanted, &new)?;
        fs::remove_dir_all(new.join("apt"))?;
        Ok(fs::rename(&new, dir)?)
    }

    fn has(&self, release: &[u32]) -> bool {
        let mut numbers = release.iter();
        let name = self.name.split('-').next().unwrap_or_default();
        name.split('.').all(|wanted| {
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
    use super::{Architecture, MATRIX, numbers, series};

    #[test]
    fn releases_compare_by_their_numbers() {
        assert!(numbers("7.2.12+deb13") > numbers("7.2.9+deb13"));
        assert!(numbers("5.10.0-32") > numbers("5.10.0-9"));
    }

    #[test]
    fn a_series_has_its_own_releases_only() {
        let has = |name, release| series(name, "", Architecture::HOST).has(&numbers(release));
        assert!(has("6.1", "6.1.0-50"));
        assert!(!has("6.1", "6.12.117+deb13"));
        assert!(has("6.12-arm64", "6.12.117+deb13"));
        assert!(has("7.x", "7.3.4+deb13"));
        assert!(!has("7.x", "6.18.15+deb13"));
    }

    #[test]
    fn the_matrix_is_in_order() {
        let [native @ .., _foreign] = MATRIX;
        assert!(native.is_sorted_by_key(|series| numbers(series.name)));
    }
}
