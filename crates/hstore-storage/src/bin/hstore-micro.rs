//! Does one kind of small work so many times: what `cargo xtask count` runs where instructions are
//! counted. `hstore-micro` names all of them, `hstore-micro NAME COUNT` does one.

use std::io::{self, Write as _};
use std::process::ExitCode;

use hstore_storage::micro::{WORKLOADS, Workload};

fn main() -> io::Result<ExitCode> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => {
            let mut out = io::stdout().lock();
            for Workload {
                name, operation, ..
            } in WORKLOADS
            {
                writeln!(out, "{name}\t{operation}")?;
            }
            Ok(ExitCode::SUCCESS)
        }
        [name, count] => {
            let (Some(workload), Ok(count)) = (Workload::find(name), count.parse()) else {
                return Ok(ExitCode::FAILURE);
            };
            workload.begin()(count);
            Ok(ExitCode::SUCCESS)
        }
        _ => Ok(ExitCode::FAILURE),
    }
}
