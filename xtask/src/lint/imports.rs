//! Which file imports which: it names something of it, in a `use` or in a path.
//!
//! To declare a module is no import, nor is to name a module on the way to something in it. Methods
//! are not followed: to call one, a file needs a value, whose type it mostly has by an import.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{TokenStream, TokenTree};
use syn::{
    Attribute, Macro, Path, UseTree,
    visit::{self, Visit},
};

use super::modules::{FileId, ModuleId, Modules};

/// What the first file takes from the second: names, each with a line of the first.
pub(super) type Imports = BTreeMap<(FileId, FileId), BTreeMap<String, usize>>;

/// A path in a file: its segments, and the line.
type Named = (Vec<String>, usize);

pub(super) fn of(modules: &Modules) -> Imports {
    let found: Vec<_> = (0..modules.all.len())
        .map(|id| Found::of(modules, id))
        .collect();
    let aliases: Vec<_> = (0..found.len())
        .map(|id| found.get(id).map(|found| aliases(modules, id, found)))
        .map(Option::unwrap_or_default)
        .collect();
    let mut imports = Imports::new();
    for (id, found) in found.iter().enumerate() {
        let Some(module) = modules.all.get(id) else {
            continue;
        };
        let used = found.used.iter().map(|(_, named)| named);
        for (segments, line) in used.chain(&found.paths) {
            for (target, rest) in resolve(modules, &aliases, id, segments) {
                let (Some(name), Some(target)) = (rest.first(), modules.all.get(target)) else {
                    continue;
                };
                if target.file != module.file {
                    let names = imports.entry((module.file, target.file)).or_default();
                    names.entry(name.clone()).or_insert(*line);
                }
            }
        }
    }
    imports
}

/// Modules that a module knows under a name.
type Aliases = BTreeMap<String, BTreeSet<ModuleId>>;

/// Those that it has imported.
fn aliases(modules: &Modules, id: ModuleId, found: &Found) -> Aliases {
    let mut aliases = Aliases::new();
    for (name, (segments, _)) in &found.used {
        for (target, rest) in resolve(modules, &[], id, segments) {
            if rest.is_empty() {
                aliases.entry(name.clone()).or_default().insert(target);
            }
        }
    }
    aliases
}

/// The modules that a path leads to, and what is left of it: the item first.
fn resolve<'a>(
    modules: &Modules,
    aliases: &[Aliases],
    from: ModuleId,
    segments: &'a [String],
) -> Vec<(ModuleId, &'a [String])> {
    let Some((first, mut rest)) = segments.split_first() else {
        return Vec::new();
    };
    let module = |id: ModuleId| modules.all.get(id);
    let parent = |id: ModuleId| module(id).and_then(|module| module.parent);
    let mut starts: Vec<ModuleId> = match first.as_str() {
        "crate" => {
            let mut root = from;
            while let Some(above) = parent(root) {
                root = above;
            }
            vec![root]
        }
        "self" => vec![from],
        "super" => {
            let mut at = parent(from);
            while let Some((next, after)) = rest.split_first() {
                if next != "super" {
                    break;
                }
                (at, rest) = (at.and_then(parent), after);
            }
            at.into_iter().collect()
        }
        name => {
            let child = module(from).and_then(|module| module.children.get(name));
            let alias = aliases.get(from).and_then(|aliases| aliases.get(name));
            let library = modules.library.as_ref();
            match (child, alias, library) {
                (Some(children), ..) => children.clone(),
                (None, Some(modules), _) => modules.iter().copied().collect(),
                (None, None, Some((library, root))) if library == name => vec![*root],
                _ => Vec::new(),
            }
        }
    };
    while let Some((next, after)) = rest.split_first() {
        if next == "self" {
            rest = after;
            continue;
        }
        let children: Vec<_> = starts
            .iter()
            .filter_map(|&id| module(id)?.children.get(next))
            .flatten()
            .copied()
            .collect();
        if children.is_empty() {
            break;
        }
        (starts, rest) = (children, after);
    }
    starts.into_iter().map(|start| (start, rest)).collect()
}

/// What a module names.
#[derive(Default)]
struct Found {
    /// In a `use`, each with the name that it gets here.
    used: Vec<(String, Named)>,
    /// Elsewhere.
    paths: Vec<Named>,
}

impl Found {
    fn of(modules: &Modules, id: ModuleId) -> Self {
        let mut found = Self::default();
        if let Some(module) = modules.all.get(id) {
            for item in &module.items {
                found.visit_item(item);
            }
        }
        found
    }

    fn take_use(&mut self, tree: &UseTree, before: &[String]) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        let (name, segments, line) = match tree {
            UseTree::Path(path) => return self.take_use(&path.tree, &with(&path.ident)),
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.take_use(tree, before);
                }
                return;
            }
            UseTree::Name(name) => {
                let known = if name.ident == "self" {
                    before.last().cloned().unwrap_or_default()
                } else {
                    name.ident.to_string()
                };
                (known, with(&name.ident), name.ident.span().start().line)
            }
            UseTree::Rename(name) => {
                let line = name.ident.span().start().line;
                (name.rename.to_string(), with(&name.ident), line)
            }
            UseTree::Glob(glob) => {
                let line = glob.star_token.spans.first();
                let line = line.map_or(0, |span| span.start().line);
                let segments = [before, &["*".to_owned()]].concat();
                ("*".to_owned(), segments, line)
            }
        };
        self.used.push((name, (segments, line)));
    }

    /// Paths among tokens that are no syntax yet.
    fn take_tokens(&mut self, tokens: TokenStream) {
        let mut path: Named = (Vec::new(), 0);
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.end_path(&mut path);
                    }
                    if path.0.is_empty() {
                        path.1 = ident.span().start().line;
                    }
                    path.0.push(ident.to_string());
                    colons = 0;
                    continue;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => {
                    colons += 1;
                    continue;
                }
                TokenTree::Group(group) => self.take_tokens(group.stream()),
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
            self.end_path(&mut path);
            colons = 0;
        }
        self.end_path(&mut path);
    }

    fn end_path(&mut self, path: &mut Named) {
        let path = std::mem::take(path);
        if path.0.len() > 1 {
            self.paths.push(path);
        }
    }
}

impl<'ast> Visit<'ast> for Found {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if item.leading_colon.is_none() {
            self.take_use(&item.tree, &[]);
        }
    }

    fn visit_path(&mut self, path: &'ast Path) {
        let segments = path.segments.iter();
        let segments: Vec<_> = segments.map(|segment| segment.ident.to_string()).collect();
        if path.leading_colon.is_none() && segments.len() > 1 {
            let first = path.segments.first();
            let line = first.map_or(0, |first| first.ident.span().start().line);
            self.paths.push((segments, line));
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        self.visit_path(&call.path);
        self.take_tokens(call.tokens.clone());
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let syn::Meta::List(list) = &attribute.meta {
            self.take_tokens(list.tokens.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, env, fs, path::Path, process};

    use anyhow::Result;

    use super::{
        super::modules::{FileId, Modules},
        of,
    };

    /// Writes these files, and returns who imports whom.
    fn imports(name: &str, files: &[(&str, &str)]) -> Result<BTreeSet<(String, String)>> {
        let root = env::temp_dir().join(format!("connect-observer-{name}-{}", process::id()));
        for (path, text) in files {
            let path = root.join("src").join(path);
            fs::create_dir_all(path.parent().unwrap_or(&root))?;
            fs::write(path, text)?;
        }
        let modules = Modules::read(&root, "src", "house")?;
        let name = |id: FileId| -> String {
            let path = modules.files.get(id).map(|file| Path::new(&file.path));
            let path = path.and_then(|path| path.strip_prefix("src").ok());
            path.unwrap_or(Path::new("?")).display().to_string()
        };
        let imports = of(&modules);
        fs::remove_dir_all(&root)?;
        Ok(imports
            .keys()
            .map(|&(from, to)| (name(from), name(to)))
            .collect())
    }

    fn pairs(pairs: &[(&str, &str)]) -> BTreeSet<(String, String)> {
        let owned = |&(from, to): &(&str, &str)| (from.to_owned(), to.to_owned());
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn an_import_is_a_use_or_a_path_to_an_item() -> Result<()> {
        let found = imports(
            "ways",
            &[
                (
                    "main.rs",
                    "mod by_use; mod by_path; mod by_alias; mod by_macro; mod folder; mod declared;
                     fn main() { house::start(); }",
                ),
                ("lib.rs", "pub fn start() {}"),
                (
                    "by_use.rs",
                    "use crate::folder::{self, inner::Item}; use std::fs;",
                ),
                (
                    "by_path.rs",
                    "fn f() -> super::folder::Item { crate::by_use::g() }",
                ),
                (
                    "by_alias.rs",
                    "use crate::folder::inner as known; fn f() { known::g() }",
                ),
                (
                    "by_macro.rs",
                    "fn f() { println!(\"{}\", [crate::by_path::f()]) }",
                ),
                ("folder/mod.rs", "mod inner; struct Item;"),
                (
                    "folder/inner.rs",
                    "pub struct Item; #[cfg(test)] mod tests { use super::super::Item; }",
                ),
                ("declared.rs", ""),
            ],
        )?;
        let expected = [
            ("main.rs", "lib.rs"),
            ("by_use.rs", "folder/inner.rs"),
            ("by_path.rs", "folder/mod.rs"),
            ("by_path.rs", "by_use.rs"),
            ("by_alias.rs", "folder/inner.rs"),
            ("by_macro.rs", "by_path.rs"),
        ];
        assert_eq!(found, pairs(&expected));
        Ok(())
    }

    #[test]
    fn a_parent_and_a_child_can_import_each_other() -> Result<()> {
        let found = imports(
            "parent",
            &[
                ("lib.rs", "mod child; struct Above; fn f() { child::g() }"),
                ("child.rs", "use super::Above; pub fn g() {}"),
            ],
        )?;
        let expected = [("lib.rs", "child.rs"), ("child.rs", "lib.rs")];
        assert_eq!(found, pairs(&expected));
        Ok(())
    }
}
