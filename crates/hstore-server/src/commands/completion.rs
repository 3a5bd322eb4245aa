//! `completion`: the script that teaches a shell this grammar.

use clap::CommandFactory as _;

use crate::fault::Exit;
use crate::grammar::Line;
use crate::screen;

/// Prints the script.
pub(super) fn run(shell: clap_complete::Shell) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Line::command(), "hstore-server", &mut script);
    screen::raw(&script);
    Exit::Ok
}
