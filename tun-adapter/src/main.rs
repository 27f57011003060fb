//! The program `sandhog`.

use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    let cli: sandhog::cli::Cli = clap::Parser::parse();
    let format = cli.log_format;
    match sandhog::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            sandhog::logging::report_failure(format, &failure);
            failure.exit.into()
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!("error: sandhog needs Linux TUN devices and runs on Linux only");
    ExitCode::FAILURE
}
