//! The program `hstore-cli`.

use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    hstore_cli::main_with(std::env::args_os().collect()).await
}
