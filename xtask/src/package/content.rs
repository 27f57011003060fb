//! Required content of the Debian package: files with their modes and owner, and the fields of the control file.

use std::path::Path;

use anyhow::{Result, ensure};

use crate::shell;

/// Root, by number, as cargo-deb writes it.
const OWNER: &str = "0/0";

/// Required files and their modes, as `dpkg-deb --contents` shows them.
const FILES: &[(&str, &str)] = &[
    ("-rwxr-xr-x", "./usr/bin/sandhog"),
    ("-rw-r--r--", "./usr/lib/systemd/system/sandhog-server@.service"),
    ("-rw-r--r--", "./usr/lib/systemd/system/sandhog-client@.service"),
    ("-rw-r--r--", "./usr/share/bash-completion/completions/sandhog"),
    ("-rw-r--r--", "./usr/share/zsh/vendor-completions/_sandhog"),
    ("-rw-r--r--", "./usr/share/fish/vendor_completions.d/sandhog.fish"),
    ("-rw-r--r--", "./usr/share/doc/sandhog/copyright"),
    ("-rw-r--r--", "./usr/share/doc/sandhog/licences.txt.gz"),
    ("-rw-r--r--", "./usr/share/doc/sandhog/changelog.gz"),
    ("-rw-r--r--", "./usr/share/doc/sandhog/README.md"),
    ("-rw-r--r--", "./usr/share/doc/sandhog/SECURITY.md"),
    ("-rw-r--r--", "./usr/share/doc/sandhog/docs/running.md"),
    ("-rw-r--r--", "./usr/share/doc/sandhog/docs/protocol.md"),
];

/// Fields of the control file, and a text that each must contain.
const FIELDS: &[(&str, &str)] = &[
    ("Package", "sandhog"),
    ("Version", env!("CARGO_PKG_VERSION")),
    ("Maintainer", "The Sandhog authors"),
    ("Section", "net"),
    ("Depends", "libc6"),
    ("Recommends", "nftables"),
    ("Suggests", "systemd-resolved | resolvconf"),
    ("Description", "OPAQUE"),
];

/// Compares the package with the lists above. `pages` are the manual pages that it must contain.
///
/// # Errors
/// A file or a field is missing or wrong.
pub(super) fn check(package: &Path, pages: &[String]) -> Result<()> {
    let listed = shell::read(shell::command("dpkg-deb", "--contents").arg(package))?;
    let files: Vec<_> = listed.lines().filter_map(file).collect();
    let missing = missing(&files, pages);
    ensure!(
        missing.is_empty(),
        "files are missing in the package, or have another mode or owner:\n  {}\nThe package contains:\n{listed}",
        missing.join("\n  ")
    );
    for (field, expected) in FIELDS {
        let value = shell::read(shell::command("dpkg-deb", "--field").arg(package).arg(field))?;
        ensure!(
            value.contains(expected),
            "the field {field} is `{}`, without `{expected}`",
            value.trim()
        );
    }
    println!(
        "{}: {} files, {} manual pages, all fields",
        package.display(),
        files.len(),
        pages.len()
    );
    Ok(())
}

/// Mode, owner and path in a line; none for a folder.
fn file(line: &str) -> Option<(&str, &str, &str)> {
    let mut words = line.split_whitespace();
    let (mode, owner) = (words.next()?, words.next()?);
    // Size, date and time are skipped.
    let path = words.nth(3)?;
    (!mode.starts_with('d')).then_some((mode, owner, path))
}

/// Required files that are not in `files`.
fn missing(files: &[(&str, &str, &str)], pages: &[String]) -> Vec<String> {
    let pages = pages
        .iter()
        .map(|page| ("-rw-r--r--", format!("./usr/share/man/man1/{page}")));
    let expected = FILES.iter().map(|(mode, path)| (*mode, (*path).to_owned()));
    expected
        .chain(pages)
        .filter(|(mode, path)| !files.contains(&(mode, OWNER, path)))
        .map(|(mode, path)| format!("{mode} {OWNER} {path}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "-rw-r--r-- 0/0             831 2026-01-02 03:04 ./usr/share/man/man1/sandhog.1.gz";

    #[test]
    fn a_line_is_read_by_its_columns_and_folders_are_skipped() {
        assert_eq!(
            file(LINE),
            Some(("-rw-r--r--", OWNER, "./usr/share/man/man1/sandhog.1.gz"))
        );
        assert_eq!(
            file("drwxr-xr-x 0/0               0 2026-01-02 03:04 ./usr/"),
            None
        );
    }

    #[test]
    fn a_file_of_another_owner_or_mode_counts_as_missing() {
        let pages = ["sandhog.1.gz".to_owned()];
        let lacks = |line: &str| {
            let files: Vec<_> = file(line).into_iter().collect();
            let missing = missing(&files, &pages);
            missing.iter().any(|entry| entry.ends_with("sandhog.1.gz"))
        };
        assert!(!lacks(LINE));
        assert!(lacks(&LINE.replace(OWNER, "1000/1000")));
        assert!(lacks(&LINE.replace("-rw-r--r--", "-rw-rw-rw-")));
    }
}
