//! Module tree of one crate: files, modules, and the paths that each of them uses.

use std::collections::{BTreeMap, BTreeSet};

use super::super::tokens::{Token, tokens};

/// Segments of a path: `["crate", "net", "Link"]`.
pub(in crate::tidy) type Path = Vec<String>;

/// A module, in a file of its own or inline.
#[derive(Debug, Default)]
pub(in crate::tidy) struct Module {
    /// Index of its file.
    pub(in crate::tidy) file: usize,
    /// Names that `use` brings in, with their paths.
    pub(in crate::tidy) imported: BTreeMap<String, Path>,
    /// Modules whose names are all brought in by `*`.
    pub(in crate::tidy) globs: Vec<Path>,
    /// Items that are defined here.
    pub(in crate::tidy) items: BTreeSet<String>,
    /// Paths in its code and in its `use` lines, with their lines.
    pub(in crate::tidy) uses: Vec<(Path, usize)>,
}

/// The modules of a crate by their paths from the root, which is the empty path.
#[derive(Debug, Default)]
pub(in crate::tidy) struct Tree {
    /// Paths of the files, in the order in which they were found.
    pub(in crate::tidy) files: Vec<String>,
    /// All modules.
    pub(in crate::tidy) modules: BTreeMap<Path, Module>,
}

impl Tree {
    /// Reads the tree below a root file such as `src/lib.rs`; `text` gives the text of a file that exists.
    pub(in crate::tidy) fn read<'a>(root: &str, text: &dyn Fn(&str) -> Option<&'a str>) -> Self {
        let mut tree = Self::default();
        let (folder, _) = root.rsplit_once('/').unwrap_or_default();
        let mut open = vec![(root.to_owned(), folder.to_owned(), Path::new())];
        while let Some((file, folder, module)) = open.pop() {
            let Some(source) = text(&file) else { continue };
            let index = tree.files.len();
            tree.files.push(file);
            let mut reader = Reader::new(&mut tree.modules, index, module);
            reader.read(source);
            for child in reader.children {
                let below = child[reader.base.len()..].join("/");
                let (flat, nested) = (format!("{folder}/{below}.rs"), format!("{folder}/{below}/mod.rs"));
                let path = if text(&flat).is_some() { flat } else { nested };
                open.push((path, format!("{folder}/{below}"), child));
            }
        }
        tree
    }
}

/// A pair of braces: that of an inline module, or another.
struct Scope {
    /// The module that is being read inside.
    module: Path,
    /// True directly inside a module, where its items are.
    is_module: bool,
}

/// Reads the tokens of one file.
struct Reader<'a> {
    modules: &'a mut BTreeMap<Path, Module>,
    file: usize,
    base: Path,
    scopes: Vec<Scope>,
    /// Modules that are declared here and have files of their own.
    children: Vec<Path>,
}

impl<'a> Reader<'a> {
    fn new(modules: &'a mut BTreeMap<Path, Module>, file: usize, base: Path) -> Self {
        let scopes = vec![Scope {
            module: base.clone(),
            is_module: true,
        }];
        modules.entry(base.clone()).or_default().file = file;
        Self {
            modules,
            file,
            base,
            scopes,
            children: Vec::new(),
        }
    }

    fn module(&mut self) -> &mut Module {
        let path = self.scopes.last().map_or(&self.base, |scope| &scope.module);
        let module = self.modules.entry(path.clone()).or_default();
        module.file = self.file;
        module
    }

    fn read(&mut self, source: &str) {
        let tokens = tokens(source);
        let mut at = 0;
        while let Some(&(line, token)) = tokens.get(at) {
            at = match token {
                Token::Name("use") => self.take_use(&tokens, at + 1),
                Token::Name("mod") => self.take_module(&tokens, at + 1),
                Token::Name(name) => {
                    self.note_item(name, tokens.get(at + 1));
                    self.take_path(&tokens, at, line)
                }
                Token::Sign('{') => {
                    let module = self
                        .scopes
                        .last()
                        .map_or_else(|| self.base.clone(), |scope| scope.module.clone());
                    self.scopes.push(Scope {
                        module,
                        is_module: false,
                    });
                    at + 1
                }
                Token::Sign('}') => {
                    self.scopes.pop();
                    at + 1
                }
                Token::Text(_) | Token::Number(_) | Token::Separator | Token::Range | Token::Sign(_) => {
                    at + 1
                }
            };
        }
    }

    /// `mod name;` or `mod name {`, after the keyword.
    fn take_module(&mut self, tokens: &[(usize, Token<'_>)], at: usize) -> usize {
        let Some((_, Token::Name(name))) = tokens.get(at) else {
            return at;
        };
        let mut path = self
            .scopes
            .last()
            .map_or_else(|| self.base.clone(), |scope| scope.module.clone());
        path.push((*name).to_owned());
        match tokens.get(at + 1) {
            Some((_, Token::Sign(';'))) => self.children.push(path),
            Some((_, Token::Sign('{'))) => {
                self.scopes.push(Scope {
                    module: path,
                    is_module: true,
                });
                self.module();
            }
            _ => {}
        }
        at + 2
    }

    /// An item that is defined directly in a module.
    fn note_item(&mut self, keyword: &str, next: Option<&(usize, Token<'_>)>) {
        let defines = matches!(
            keyword,
            "fn" | "struct" | "enum" | "trait" | "type" | "const" | "static" | "union"
        );
        if let Some((_, Token::Name(name))) = next
            && defines
            && self.scopes.last().is_some_and(|scope| scope.is_module)
        {
            self.module().items.insert((*name).to_owned());
        }
    }

    /// A path in code, `a::b::c`; a name without `::` is none.
    fn take_path(&mut self, tokens: &[(usize, Token<'_>)], mut at: usize, line: usize) -> usize {
        let before = |back: usize| at.checked_sub(back).and_then(|index| tokens.get(index));
        let follows = match before(1) {
            Some((_, Token::Sign('.'))) => true,
            // Otherwise the path begins with `::`.
            Some((_, Token::Separator)) => matches!(before(2), Some((_, Token::Name(_) | Token::Sign('>')))),
            _ => false,
        };
        let mut path = Path::new();
        while let Some((_, Token::Name(name))) = tokens.get(at) {
            path.push((*name).to_owned());
            at += 1;
            if !matches!(tokens.get(at), Some((_, Token::Separator))) {
                break;
            }
            at += 1;
        }
        if path.len() > 1 && !follows {
            self.module().uses.push((path, line));
        }
        at
    }

    /// The tree of a `use`, after the keyword.
    fn take_use(&mut self, tokens: &[(usize, Token<'_>)], mut at: usize) -> usize {
        let mut prefixes: Vec<Path> = vec![Path::new()];
        let mut path = Path::new();
        let mut alias = None;
        while let Some(&(line, token)) = tokens.get(at) {
            at += 1;
            match token {
                Token::Name("as") => {
                    if let Some((_, Token::Name(name))) = tokens.get(at) {
                        alias = Some((*name).to_owned());
                        at += 1;
                    }
                }
                Token::Name(name) => path.push(name.to_owned()),
                Token::Sign('*') => {
                    let whole: Path = prefixes.iter().flatten().chain(&path).cloned().collect();
                    self.module().globs.push(whole.clone());
                    self.module().uses.push((whole, line));
                    path.clear();
                }
                Token::Sign('{') => prefixes.push(std::mem::take(&mut path)),
                Token::Sign(sign @ (',' | '}' | ';')) => {
                    if !path.is_empty() {
                        let whole = prefixes.iter().flatten().chain(&path).cloned().collect();
                        self.import(whole, alias.take(), line);
                        path.clear();
                    }
                    match sign {
                        '}' => drop(prefixes.pop()),
                        ';' => break,
                        _ => {}
                    }
                }
                Token::Text(_) | Token::Number(_) | Token::Separator | Token::Range | Token::Sign(_) => {}
            }
        }
        at
    }

    fn import(&mut self, mut path: Path, alias: Option<String>, line: usize) {
        if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        let name = alias.or_else(|| path.last().cloned()).unwrap_or_default();
        let module = self.module();
        module.imported.insert(name, path.clone());
        module.uses.push((path, line));
    }
}
