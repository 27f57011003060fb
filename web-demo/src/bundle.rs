//! The build of the page: a folder with the WebAssembly module, its bindings and the page's files.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use wasm_bindgen_cli_support::Bindgen;

use crate::Failure;

/// The compile target of the module.
const TARGET: &str = "wasm32-unknown-unknown";

/// The folder of this crate. It contains the page's sources, and cargo runs in it.
const CRATE_FOLDER: &str = env!("CARGO_MANIFEST_DIR");

/// A compiled module without its bindings.
pub(crate) struct Module {
    /// The `.wasm` file from the compiler.
    file: PathBuf,
    /// Cargo's target folder, as set by the caller's environment.
    pub(crate) target_folder: PathBuf,
}

/// Creates `folder` and checks that it can be written, before the long compilation starts.
pub(crate) fn prepare_folder(folder: &Path) -> Result<(), Failure> {
    let probe = folder.join(".writable");
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(&probe, b""))
        .and_then(|()| fs::remove_file(&probe))
        .map_err(|error| Failure::Input(format!("cannot write into {}: {error}", folder.display())))
}

/// Compiles the library for the browser with the workspace's own toolchain and settings.
pub(crate) fn compile_module(is_dev: bool) -> Result<Module, Failure> {
    ensure_target()?;
    let profile = if is_dev { "dev" } else { "release" };
    let mut cargo = Command::new("cargo")
        .current_dir(CRATE_FOLDER)
        .args(["build", "--lib", "--package", "sandhog-web"])
        .args(["--profile", profile, "--target", TARGET])
        .args(["--locked", "--message-format", "json-render-diagnostics"])
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| Failure::Build(format!("cannot start cargo: {error}")))?;
    let mut file = None;
    if let Some(messages) = cargo.stdout.take() {
        for line in BufReader::new(messages).lines().map_while(Result::ok) {
            file = wasm_file_of(&line).or(file);
        }
    }
    let status = cargo
        .wait()
        .map_err(|error| Failure::Build(format!("cannot wait for cargo: {error}")))?;
    let file = file
        .filter(|_| status.success())
        .ok_or_else(|| Failure::Build(format!("the module for {TARGET} did not compile ({status})")))?;
    // <target folder>/wasm32-unknown-unknown/release/sandhog_web.wasm
    let target_folder = file
        .ancestors()
        .nth(3)
        .map(Path::to_path_buf)
        .ok_or_else(|| Failure::Build(format!("{} is not in a target folder", file.display())))?;
    Ok(Module { file, target_folder })
}

/// The path of the module, if `line` is cargo's message about this crate's library.
fn wasm_file_of(line: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(line).ok()?;
    if message["reason"] != "compiler-artifact" || message["target"]["name"] != "sandhog_web" {
        return None;
    }
    let names = message["filenames"]
        .as_array()?
        .iter()
        .filter_map(serde_json::Value::as_str);
    names
        .map(PathBuf::from)
        .find(|name| name.extension().is_some_and(|ending| ending == "wasm"))
}

/// Adds the standard library of [`TARGET`] if the toolchain does not have it.
fn ensure_target() -> Result<(), Failure> {
    let folder = Command::new("rustc")
        .current_dir(CRATE_FOLDER)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .map_err(|error| Failure::Build(format!("cannot start rustc: {error}")))?;
    if Path::new(String::from_utf8_lossy(&folder.stdout).trim()).is_dir() {
        return Ok(());
    }
    eprintln!("the toolchain has no target {TARGET}; running `rustup target add {TARGET}`");
    let added = Command::new("rustup")
        .current_dir(CRATE_FOLDER)
        .args(["target", "add", TARGET])
        .status();
    match added {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::Build(format!(
            "`rustup target add {TARGET}` failed ({status})"
        ))),
        Err(error) => Err(Failure::Build(format!(
            "the toolchain has no target {TARGET}, and rustup cannot be started to add it: {error}"
        ))),
    }
}

/// Writes the page's files into `folder`, and the module with its bindings into `pkg/` below it.
pub(crate) fn assemble(module: &Module, folder: &Path) -> Result<(), Failure> {
    Bindgen::new()
        .input_path(&module.file)
        .out_name("sandhog_web")
        .omit_default_module_path(false)
        .typescript(false)
        .web(true)
        .and_then(|bindgen| bindgen.generate(folder.join("pkg")))
        .map_err(|error| Failure::Build(format!("wasm-bindgen failed: {error:#}")))?;
    copy_files(&Path::new(CRATE_FOLDER).join("page"), folder)
        .map_err(|error| Failure::Build(format!("cannot copy the page to {}: {error}", folder.display())))
}

/// Copies the files of a folder without subfolders.
fn copy_files(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}
