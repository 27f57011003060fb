//! Static program, linked with musl. It runs on any Linux for the same processor.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use super::{licences, set_up_a_server};
use crate::{shell, tools::MUSL};

/// Builds and tests the program. Writes the licences of its libraries beside it.
///
/// # Errors
/// The build fails, or the program is not static or does not run.
pub(super) fn build() -> Result<PathBuf> {
    let mut command = shell::cargo("build --release --locked --package sandhog --bin sandhog --target");
    // Names of functions are kept for a backtrace. Line numbers would be most of the file.
    command.arg(MUSL).env("CARGO_PROFILE_RELEASE_STRIP", "debuginfo");
    shell::run(&mut command)?;
    let folder = shell::target_dir().join(MUSL).join("release");
    let program = folder.join("sandhog");
    is_static(&program)?;
    licences::write(&folder)?;
    set_up_a_server(&program, &shell::scratch("static")?.join("server"))?;
    Ok(program)
}

/// Checks that the program needs no loader and no shared library.
fn is_static(program: &Path) -> Result<()> {
    let segments = shell::read(shell::command("readelf", "--wide --program-headers").arg(program))?;
    let dynamic = shell::read(shell::command("readelf", "--wide --dynamic").arg(program))?;
    let reason = reason_against(&segments, &dynamic);
    ensure!(
        reason.is_none(),
        "{} {}",
        program.display(),
        reason.unwrap_or_default()
    );
    println!("{}: static", program.display());
    Ok(())
}

/// The reason why a program is not static, from the output of readelf.
fn reason_against(segments: &str, dynamic: &str) -> Option<&'static str> {
    let has = |text: &str, word: &str| text.split_whitespace().any(|other| other == word);
    match () {
        () if !has(segments, "LOAD") => Some("is not a program that readelf can read"),
        () if has(segments, "INTERP") => Some("needs a loader"),
        () if has(dynamic, "(NEEDED)") => Some("needs a shared library"),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loader_or_a_shared_library_is_found() {
        let load = "  LOAD           0x000000 0x0 0x0 0x0012 0x0012 R   0x1000\n";
        let interp = "  INTERP         0x000318 0x318 0x318 0x00001c 0x00001c R   0x1\n";
        let needed = " 0x0000000000000001 (NEEDED)             Shared library: [libc.so.6]\n";
        assert_eq!(
            reason_against(load, "There is no dynamic section in this file."),
            None
        );
        assert!(reason_against("", "").is_some());
        assert!(reason_against(&format!("{interp}{load}"), "").is_some());
        assert!(reason_against(load, needed).is_some());
    }
}
