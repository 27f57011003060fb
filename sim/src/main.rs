//! The laboratory's command line, `sandhog-sim`.

fn main() -> std::process::ExitCode {
    sandhog_sim::cli::main()
}
