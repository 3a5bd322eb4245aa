//! `man`: the manual pages, from the same grammar as the help.

use std::path::Path;

use clap::CommandFactory as _;

use crate::fault::{Exit, Fault};
use crate::grammar::Line;
use crate::screen;

/// Prints the page of the program, or writes all pages to a folder.
pub(super) fn run(folder: Option<&Path>) -> Result<Exit, Fault> {
    match folder {
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Line::command())
                .render(&mut page)
                .map_err(|error| Fault::of_file("the manual page", &error))?;
            screen::raw(&page);
        }
        Some(folder) => std::fs::create_dir_all(folder)
            .and_then(|()| clap_mangen::generate_to(Line::command(), folder))
            .map_err(|error| Fault::of_file(folder.display().to_string(), &error))?,
    }
    Ok(Exit::Ok)
}
