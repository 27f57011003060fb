//! Program `sandhog-sim`.

fn main() -> std::process::ExitCode {
    sandhog_sim::cli::main()
}
