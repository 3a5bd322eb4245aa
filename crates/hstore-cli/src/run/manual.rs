//! `completion` and `man`: made from the grammar, so that they are never behind it.

use std::fs;
use std::path::Path;

use clap_complete::Shell;

use crate::args::Cli;
use crate::failure::Failure;
use crate::render::Data;

pub(super) fn completion(shell: Shell) -> Data {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::grammar(), "hstore-cli", &mut script);
    Data::Text(String::from_utf8_lossy(&script).into_owned())
}

pub(super) fn man(folder: Option<&Path>) -> Result<Data, Failure> {
    let Some(folder) = folder else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::grammar()).render(&mut page)?;
        return Ok(Data::Text(String::from_utf8_lossy(&page).into_owned()));
    };
    fs::create_dir_all(folder).map_err(|error| Failure::at(folder, error))?;
    clap_mangen::generate_to(Cli::grammar(), folder).map_err(|error| Failure::at(folder, error))?;
    Ok(Data::Text(format!(
        "The pages are in {}\n",
        folder.display()
    )))
}
