//! The files that are read together, and what one takes from another by an import.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use super::files::File;
use super::text::Value;

/// What a module exports, by name.
pub(super) type Exports = BTreeMap<String, Value>;

/// Where an import may lead that leaves the end of the file's name open.
const ENDS: [&str; 10] =
    ["", ".ts", ".tsx", ".js", ".jsx", ".mjs", ".mts", "/index.ts", "/index.tsx", "/index.js"];
/// Modules that import each other in a row.
const DEEPEST: usize = 16;

/// Reads what a file exports. Its imports are looked up in the project, so many modules deep.
type Read = fn(&Project<'_>, &File, usize) -> Option<Exports>;

/// The files that are read together.
#[derive(Debug)]
pub(super) struct Project<'a> {
    files: &'a [File],
    read: Read,
    by_path: HashMap<PathBuf, usize>,
    exports: RefCell<HashMap<usize, Rc<Exports>>>,
    /// Where paths from the top lead.
    aliases: RefCell<HashMap<String, Option<usize>>>,
}

impl<'a> Project<'a> {
    pub(super) fn new(files: &'a [File], read: Read) -> Self {
        let by_path = files.iter().enumerate().map(|(at, file)| (plain(&file.path), at)).collect();
        Self { files, read, by_path, exports: RefCell::default(), aliases: RefCell::default() }
    }

    /// What a file gets by an import. `None` for the name means the whole module.
    pub(super) fn import(
        &self,
        from: &Path,
        module: &str,
        name: Option<&str>,
        depth: usize,
    ) -> Value {
        let Some(file) = self.resolve(from, module) else { return Value::Unknown };
        let exports = self.exports(file, depth);
        match name {
            Some(name) => exports.get(name).cloned().unwrap_or_default(),
            None => Value::Object(exports.as_ref().clone()),
        }
    }

    fn exports(&self, file: usize, depth: usize) -> Rc<Exports> {
        if let Some(known) = self.exports.borrow().get(&file) {
            return Rc::clone(known);
        }
        // Where modules import each other in a circle, the second look finds nothing.
        self.exports.borrow_mut().insert(file, Rc::default());
        let read = |file| (self.read)(self, file, depth + 1);
        let exports = self.files.get(file).filter(|_| depth < DEEPEST).and_then(read);
        let exports = Rc::new(exports.unwrap_or_default());
        self.exports.borrow_mut().insert(file, Rc::clone(&exports));
        exports
    }

    /// The file that an import means.
    fn resolve(&self, from: &Path, module: &str) -> Option<usize> {
        if module.starts_with('.') {
            return self.at(&plain(&from.parent()?.join(module)));
        }
        if let Some(known) = self.aliases.borrow().get(module) {
            return *known;
        }
        let found = self.alias(module);
        self.aliases.borrow_mut().insert(module.to_owned(), found);
        found
    }

    /// A path from the top, such as `@/lib/tables`, is looked for by its end, and means nothing where several files fit.
    fn alias(&self, module: &str) -> Option<usize> {
        let (head, path) = module.split_once('/')?;
        if !matches!(head, "@" | "~" | "#" | "src") {
            return None;
        }
        let tops = self.by_path.keys().flat_map(|file| file.ancestors().skip(1));
        let mut found: Vec<usize> = tops.filter_map(|top| self.at(&top.join(path))).collect();
        found.sort_unstable();
        found.dedup();
        match found.as_slice() {
            [only] => Some(*only),
            _ => None,
        }
    }

    /// TypeScript may write `.js` for the `.ts` that it becomes of.
    fn at(&self, path: &Path) -> Option<usize> {
        let text = path.to_str()?;
        let stems = [Some(text), text.strip_suffix(".js"), text.strip_suffix(".mjs")];
        let paths = stems
            .into_iter()
            .flatten()
            .flat_map(|stem| ENDS.iter().map(move |end| PathBuf::from(format!("{stem}{end}"))));
        paths.into_iter().find_map(|path| self.by_path.get(&path).copied())
    }
}

/// Without `.` and `..` in it.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if plain.file_name().is_some() => drop(plain.pop()),
            Component::ParentDir
            | Component::Normal(_)
            | Component::RootDir
            | Component::Prefix(_) => plain.push(part),
        }
    }
    plain
}
