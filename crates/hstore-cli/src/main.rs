//! The program `hstore-cli`.

use std::process::ExitCode;

fn main() -> std::io::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let exit = runtime.block_on(hstore_cli::main_with(std::env::args_os().collect()));
    // A thread that still waits for the terminal must not hold the process.
    runtime.shutdown_background();
    Ok(exit)
}
