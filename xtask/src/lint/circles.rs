//! Circles of imports.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use super::{
    imports::Imports,
    modules::{FileId, Modules},
};

/// Each circle: its files, and what ties them.
pub(super) fn find(modules: &Modules, imports: &Imports) -> Vec<String> {
    let name = |file: FileId| {
        modules
            .files
            .get(file)
            .map_or("?", |file| file.path.as_str())
    };
    let circles = of(imports.keys().copied());
    let text = |circle: &BTreeSet<FileId>| {
        let mut text = format!("error: {} files import each other:", circle.len());
        for ((from, to), names) in imports {
            if circle.contains(from) && circle.contains(to) {
                let names = names.iter();
                let names: Vec<_> = names
                    .map(|(name, line)| format!("{name} ({line})"))
                    .collect();
                // A text in memory takes everything.
                let _written = write!(
                    text,
                    "\n         {} -> {}: {}",
                    name(*from),
                    name(*to),
                    names.join(", ")
                );
            }
        }
        text
    };
    circles.iter().map(text).collect()
}

/// Groups of those that reach each other by these arrows.
fn of(arrows: impl Iterator<Item = (FileId, FileId)>) -> Vec<BTreeSet<FileId>> {
    let mut next: BTreeMap<FileId, Vec<FileId>> = BTreeMap::new();
    for (from, to) in arrows {
        next.entry(from).or_default().push(to);
    }
    let reached = |from: FileId| -> BTreeSet<FileId> {
        let mut reached = BTreeSet::new();
        let mut open = vec![from];
        while let Some(file) = open.pop() {
            for &to in next.get(&file).into_iter().flatten() {
                if reached.insert(to) {
                    open.push(to);
                }
            }
        }
        reached
    };
    let reach: BTreeMap<_, _> = next.keys().map(|&file| (file, reached(file))).collect();
    let mut circles: Vec<BTreeSet<FileId>> = Vec::new();
    for (&file, reached) in &reach {
        let reaches_back =
            |other: &FileId| reach.get(other).is_some_and(|back| back.contains(&file));
        let circle: BTreeSet<_> = reached.iter().copied().filter(reaches_back).collect();
        if !circle.is_empty() && !circles.contains(&circle) {
            circles.push(circle);
        }
    }
    circles
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn a_circle_has_all_that_reach_each_other() {
        let arrows = [
            (1, 2),
            (2, 3),
            (3, 1),
            (3, 4),
            (4, 5),
            (6, 7),
            (7, 6),
            (8, 1),
        ];
        let circles = of(arrows.into_iter());
        assert_eq!(circles, [[1, 2, 3].into(), [6, 7].into()]);
        assert!(of([(1, 2), (1, 3), (2, 3)].into_iter()).is_empty());
    }
}
