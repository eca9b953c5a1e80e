//! The modules of a package, as its files declare them, without what is for tests only.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use proc_macro2::TokenTree;
use syn::{Attribute, Expr, Item, ItemMod, Lit, Meta, spanned::Spanned as _};

/// An index into [`Modules::files`].
pub(super) type FileId = usize;
/// An index into [`Modules::all`].
pub(super) type ModuleId = usize;

/// All of a package's files and modules: of its library, and of its binary.
pub(super) struct Modules {
    pub(super) files: Vec<File>,
    pub(super) all: Vec<Module>,
    /// The name of the library, and its root, for the binary to name it.
    pub(super) library: Option<(String, ModuleId)>,
}

pub(super) struct File {
    /// From the root of the workspace.
    pub(super) path: String,
    /// Without the items that are for tests only.
    pub(super) lines: usize,
}

pub(super) struct Module {
    pub(super) file: FileId,
    pub(super) parent: Option<ModuleId>,
    /// More than one of a name, where the processor decides which.
    pub(super) children: BTreeMap<String, Vec<ModuleId>>,
    pub(super) items: Vec<Item>,
}

impl Modules {
    /// Reads the library and the binary below a folder, as far as they are there.
    pub(super) fn read(root: &Path, source: &str, library: &str) -> Result<Self> {
        let mut modules = Self {
            files: Vec::new(),
            all: Vec::new(),
            library: None,
        };
        let source = root.join(source);
        for name in ["lib.rs", "main.rs"] {
            let path = source.join(name);
            if path.is_file() {
                let id = modules.file(root, &path, None, true)?;
                if name == "lib.rs" {
                    modules.library = Some((library.to_owned(), id));
                }
            }
        }
        Ok(modules)
    }

    /// Reads a file, and those that it declares. `is_folder` says whether they are beside it.
    fn file(
        &mut self,
        root: &Path,
        path: &Path,
        parent: Option<ModuleId>,
        is_folder: bool,
    ) -> Result<ModuleId> {
        let text =
            fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let parsed =
            syn::parse_file(&text).with_context(|| format!("cannot parse {}", path.display()))?;
        let items = &parsed.items;
        let of_tests: usize = items
            .iter()
            .filter(|item| is_for_tests(item))
            .map(height)
            .sum();
        let shown = path.strip_prefix(root).unwrap_or(path);
        self.files.push(File {
            path: shown.to_string_lossy().into_owned(),
            lines: text.lines().count() - of_tests,
        });
        let file = self.files.len() - 1;
        let folder = if is_folder {
            path.parent().unwrap_or(root).to_owned()
        } else {
            path.with_extension("")
        };
        self.module(root, (file, path), &folder, parent, parsed.items)
    }

    fn module(
        &mut self,
        root: &Path,
        (file, path): (FileId, &Path),
        folder: &Path,
        parent: Option<ModuleId>,
        items: Vec<Item>,
    ) -> Result<ModuleId> {
        let id = self.all.len();
        self.all.push(Module {
            file,
            parent,
            children: BTreeMap::new(),
            items: Vec::new(),
        });
        let mut own = Vec::new();
        for item in items {
            if is_for_tests(&item) {
                continue;
            }
            let Item::Mod(ItemMod {
                attrs,
                ident,
                content,
                ..
            }) = item
            else {
                own.push(item);
                continue;
            };
            let name = ident.to_string();
            let mut children = Vec::new();
            if let Some((_, items)) = content {
                let folder = folder.join(&name);
                children.push(self.module(root, (file, path), &folder, Some(id), items)?);
            } else {
                for (path, is_folder) in files_of(&name, &attrs, path, folder)? {
                    children.push(self.file(root, &path, Some(id), is_folder)?);
                }
            }
            if let Some(module) = self.all.get_mut(id) {
                module.children.entry(name).or_default().extend(children);
            }
        }
        if let Some(module) = self.all.get_mut(id) {
            module.items = own;
        }
        Ok(id)
    }
}

/// The files that a declaration may mean, and whether their own children are beside them.
fn files_of(
    name: &str,
    attributes: &[Attribute],
    declaring: &Path,
    folder: &Path,
) -> Result<Vec<(PathBuf, bool)>> {
    let beside = declaring.parent().unwrap_or(folder);
    let named: Vec<_> = attributes.iter().filter_map(paths).collect();
    if !named.is_empty() {
        let file = |path: String| (beside.join(path), true);
        return Ok(named.into_iter().map(file).collect());
    }
    let (flat, nested) = (
        folder.join(format!("{name}.rs")),
        folder.join(name).join("mod.rs"),
    );
    if flat.is_file() {
        Ok(vec![(flat, false)])
    } else if nested.is_file() {
        Ok(vec![(nested, true)])
    } else {
        bail!("{} declares {name}, which has no file", declaring.display())
    }
}

/// What `#[path = ".."]` and `#[cfg_attr(.., path = "..")]` name.
fn paths(attribute: &Attribute) -> Option<String> {
    match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("path") => match &pair.value {
            Expr::Lit(literal) => match &literal.lit {
                Lit::Str(text) => Some(text.value()),
                _ => None,
            },
            _ => None,
        },
        Meta::List(list) if list.path.is_ident("cfg_attr") => {
            let mut tokens = list.tokens.clone().into_iter();
            tokens.find(|token| matches!(token, TokenTree::Ident(ident) if ident == "path"))?;
            let text = tokens.nth(1)?.to_string();
            Some(text.trim_matches('"').to_owned())
        }
        _ => None,
    }
}

/// Whether an item is under `#[cfg(test)]`.
fn is_for_tests(item: &Item) -> bool {
    attributes(item)
        .iter()
        .any(|attribute| match &attribute.meta {
            Meta::List(list) => list.path.is_ident("cfg") && list.tokens.to_string() == "test",
            _ => false,
        })
}

/// How many lines an item has, with its attributes.
fn height(item: &Item) -> usize {
    let span = item.span();
    let first = attributes(item)
        .first()
        .map_or(span, syn::spanned::Spanned::span);
    span.end().line + 1 - first.start().line
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
