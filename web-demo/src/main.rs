//! The program `sandhog-web`: it builds the page with its WebAssembly module and serves the page on loopback.
//!
//! Exit 0: stopped with Ctrl-C, or built. 1: the build failed. 2: bad input (a port in use, a folder that cannot be written).

mod bundle;
mod serve;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Watch the real protocol on a simulated network, in a browser tab.
#[derive(Parser)]
#[command(name = "sandhog-web", version)]
struct Arguments {
    /// Port on 127.0.0.1 for the page; 0 means any free port
    #[arg(long, default_value_t = 8080, value_name = "PORT")]
    port: u16,
    /// Build the page into DIR and exit
    #[arg(long, value_name = "DIR", conflicts_with = "port")]
    build_only: Option<PathBuf>,
    /// Build the module with the dev profile: quicker to build, slower to run. The checks use it
    #[arg(long)]
    dev: bool,
}

/// An error that ends the program. Each kind has its own exit code.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The tools that build the module failed. Exit 1.
    Build(String),
    /// An argument cannot be used. Exit 2.
    Input(String),
}

fn main() -> ExitCode {
    match work(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Build(message)) => {
            eprintln!("error: {message}");
            ExitCode::from(1)
        }
        Err(Failure::Input(message)) => {
            eprintln!("error: {message}");
            ExitCode::from(2)
        }
    }
}

fn work(arguments: &Arguments) -> Result<(), Failure> {
    if let Some(folder) = &arguments.build_only {
        bundle::prepare_folder(folder)?;
        let module = bundle::compile_module(arguments.dev)?;
        bundle::assemble(&module, folder)?;
        println!("built the page in {}", folder.display());
        return Ok(());
    }
    // Listen before the build: a port in use is then reported at once, and not after a minute of compiling.
    let listener = serve::listen(arguments.port)?;
    let module = bundle::compile_module(arguments.dev)?;
    let folder = module.target_folder.join("web");
    bundle::prepare_folder(&folder)?;
    bundle::assemble(&module, &folder)?;
    serve::serve(listener, &folder)
}
