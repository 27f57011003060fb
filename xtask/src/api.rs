//! Committed listings of the public API, `docs/api/CRATE.txt`, compared with the pages that rustdoc writes.
//!
//! The pages need no nightly compiler, and the step `doc` has written them already. A listing has one line for each item,
//! field, variant, method and trait implementation. The compiler's version is fixed, so the form of the pages is, too.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context as _, Result, ensure};

use crate::{
    shell,
    workspace::{self, Library},
};

/// Compares the listings of all libraries, or writes them if `bless` is set. Returns true if none differs.
///
/// # Errors
/// The documentation cannot be built, or a page or a listing cannot be read or written.
pub(crate) fn run(bless: bool) -> Result<bool> {
    workspace::document()?;
    let mut is_equal = true;
    for library in workspace::libraries() {
        let present = listing(&library)?;
        let file = format!("docs/api/{}.txt", library.package);
        let path = shell::root().join(&file);
        let committed = fs::read_to_string(&path).unwrap_or_default();
        let differences = differences(&committed, &present);
        println!(
            "{file}: {} lines, {} differ",
            present.lines().count(),
            differences.len()
        );
        differences.iter().for_each(|line| println!("  {line}"));
        if bless {
            fs::create_dir_all(shell::root().join("docs/api"))?;
            fs::write(&path, present).with_context(|| format!("cannot write {file}"))?;
        }
        is_equal &= differences.is_empty();
    }
    if !is_equal && !bless {
        println!(
            "If you want these changes of the public API: cargo xtask api --bless, and a line in CHANGELOG.md."
        );
    }
    Ok(is_equal || bless)
}

/// The step `api`.
///
/// # Errors
/// A listing differs.
pub(crate) fn check(_: &crate::step::Session) -> Result<()> {
    ensure!(
        run(false)?,
        "the public API differs from the listings in docs/api"
    );
    Ok(())
}

/// Lines that only one of the texts has: `-` for the committed one, `+` for the present one.
fn differences(committed: &str, present: &str) -> Vec<String> {
    let (old, new): (BTreeSet<_>, BTreeSet<_>) = (committed.lines().collect(), present.lines().collect());
    let removed = old.difference(&new).map(|line| format!("- {line}"));
    let added = new.difference(&old).map(|line| format!("+ {line}"));
    removed.chain(added).collect()
}

/// The listing of one library.
fn listing(library: &Library) -> Result<String> {
    let name = library.package.replace('-', "_");
    let folder = shell::target_dir().join("doc").join(&name);
    let index = read(&folder.join("all.html"))?;
    let mut lines = BTreeSet::new();
    for page in pages(&index) {
        let item = item(&name, page);
        lines.extend(entries(&read(&folder.join(page))?).map(|entry| format!("{item}: {entry}")));
    }
    lines.extend(re_exports(&read(&folder.join("index.html"))?).map(|line| format!("{name}: {line}")));
    ensure!(!lines.is_empty(), "{} has no public items", library.package);
    Ok(lines
        .into_iter()
        .fold(String::new(), |text, line| text + &line + "\n"))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// The pages of all items, from the index `all.html`: `packet/struct.Batch.html`. Old pages of removed items are not in it.
fn pages(index: &str) -> impl Iterator<Item = &str> {
    let links = index.split("<a href=\"").skip(1);
    let links = links.filter_map(|rest| rest.split_once('"').map(|(link, _)| link));
    links.filter(|link| {
        let file = link.rsplit('/').next().unwrap_or_default();
        !link.starts_with("..") && file.split('.').count() == 3 && file.ends_with(".html")
    })
}

/// The path of an item, from the path of its page: `sandhog_peer::packet::Batch`.
fn item(library: &str, page: &str) -> String {
    let (modules, file) = page.rsplit_once('/').unwrap_or(("", page));
    let name = file.split('.').nth(1).unwrap_or_default();
    let modules = modules.split('/').filter(|module| !module.is_empty());
    let parts = std::iter::once(library).chain(modules).chain([name]);
    parts.collect::<Vec<_>>().join("::")
}

/// The re-exports of the crate's root, from its page `index.html`.
fn re_exports(index: &str) -> impl Iterator<Item = String> {
    let parts = index.split("<dt id=\"reexport.").skip(1);
    let codes = parts.filter_map(|part| between(part, "<code>", "</code>"));
    codes.map(|html| one_line(&text(html)))
}

/// The lines of one page: the declaration, its own methods, and the headers of trait implementations.
fn entries(page: &str) -> impl Iterator<Item = String> {
    let declaration = between(page, "<pre class=\"rust item-decl\"><code>", "</code></pre>");
    let mut found = declaration.map_or_else(Vec::new, |html| declared(&text(html)));
    // The page is divided by headings of level 2; those of other sections are not part of the API of this item.
    for section in page.split("<h2 id=\"").skip(1) {
        let is_own = section.starts_with("implementations\"");
        if !is_own && !section.starts_with("trait-implementations\"") {
            continue;
        }
        let mut header = String::new();
        for part in section.split(" class=\"code-header\">").skip(1) {
            let (html, end) = part.split_once("</h").unwrap_or((part, ""));
            let line = one_line(&text(html));
            if end.starts_with('3') {
                header = line;
                // A type's own methods say enough.
                if !is_own {
                    found.push(header.clone());
                }
            } else if is_own || line.starts_with("type ") || line.starts_with("const ") {
                found.push(format!("{header} {{ {line} }}"));
            }
        }
    }
    found.into_iter()
}

/// A declaration as lines: its header, and each field, variant or method on a line of its own.
fn declared(declaration: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut open = String::new();
    let without_comments = declaration
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with("//"));
    for line in without_comments {
        open = one_line(&format!("{open} {line}"));
        let is_closed = open.matches(['(', '[']).count() <= open.matches([')', ']']).count();
        if is_closed && line.ends_with(['{', '}', ',', ';', ']']) {
            lines.push(std::mem::take(&mut open));
        }
    }
    lines.push(open);
    lines.retain(|line| !matches!(line.as_str(), "" | "{" | "}"));
    lines
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(start)?;
    rest.split_once(end).map(|(between, _)| between)
}

/// The text of a piece of HTML, without tags and without summaries of folded parts.
fn text(html: &str) -> String {
    let mut plain = String::new();
    let mut rest = html;
    while let Some((before, after)) = rest.split_once('<') {
        plain.push_str(before);
        let end = if after.starts_with("summary") {
            "</summary>"
        } else {
            ">"
        };
        rest = after.split_once(end).map_or("", |(_, rest)| rest);
    }
    plain.push_str(rest);
    let entities = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&amp;", "&"),
    ];
    entities
        .into_iter()
        .fold(plain.replace('§', ""), |text, (entity, letter)| {
            text.replace(entity, letter)
        })
}

/// The text on one line, as it would be written if it fitted there.
fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let ugly = [("( ", "("), (", )", ")"), ("]pub", "] pub"), (" { ... }", ";")];
    ugly.into_iter()
        .fold(line, |line, (from, to)| line.replace(from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "<pre class=\"rust item-decl\"><code>pub struct <a>Batch</a>&lt;'a&gt; {\n    pub items: <a>Vec</a>&lt;u8&gt;,\n    \
        /* private fields */\n}</code></pre><h2 id=\"implementations\">I</h2><h3 class=\"code-header\">impl Batch&lt;'_&gt;</h3>\
        <h4 class=\"code-header\">pub fn <a>take</a>(\n    &amp;mut self,\n) -&gt; u8</h4>\
        <h2 id=\"trait-implementations\">T</h2><h3 class=\"code-header\">impl Iterator for Batch</h3>\
        <h4 class=\"code-header\">type Item = u8</h4><h4 class=\"code-header\">fn next(&amp;mut self)</h4>\
        <h2 id=\"synthetic-implementations\">A</h2><h3 class=\"code-header\">impl Send for Batch</h3>";

    #[test]
    fn a_page_gives_the_declaration_the_methods_and_the_implemented_traits() {
        let expected = [
            "pub struct Batch<'a> {",
            "pub items: Vec<u8>,",
            "/* private fields */ }",
            "impl Batch<'_> { pub fn take(&mut self) -> u8 }",
            "impl Iterator for Batch",
            "impl Iterator for Batch { type Item = u8 }",
        ];
        assert_eq!(entries(PAGE).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn pages_are_those_of_the_index_and_give_the_paths_of_their_items() {
        let index =
            "<a href=\"../a/index.html\">a</a><a href=\"fn.run.html\">r</a><a href=\"b/struct.C.html\">C</a>";
        let items: Vec<_> = pages(index).map(|page| item("a", page)).collect();
        assert_eq!(items, ["a::run", "a::b::C"]);
    }

    #[test]
    fn re_exports_of_the_root_are_listed() {
        let index = "<dt id=\"reexport.C\"><code>pub use b::<a href=\"b/struct.C.html\">C</a>;</code></dt>";
        assert_eq!(re_exports(index).collect::<Vec<_>>(), ["pub use b::C;"]);
    }

    #[test]
    fn a_changed_signature_is_a_removed_and_an_added_line() {
        assert_eq!(differences("a\nb: u8\n", "a\nb: u16\n"), ["- b: u8", "+ b: u16"]);
    }
}
