//! The program `hstore-server`.

use std::process::ExitCode;

fn main() -> ExitCode {
    hstore_server::main()
}
