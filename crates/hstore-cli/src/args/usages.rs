//! What is said about the grammar that clap does not make of it by itself.

use std::ffi::OsString;

use clap::{Command, CommandFactory as _, FromArgMatches as _};

use super::{Cli, Line};

/// The usages of commands of which one thing of several must be given. Clap would name those first,
/// wherever they stand in a line.
const USAGES: [(&[&str], &str); 6] = [
    (&["set"], "set [OPTIONS] <KEY> <VALUE|-|--file FILE>"),
    (&["update"], "update [OPTIONS] <KEY> <VALUE|-|--file FILE>"),
    (
        &["cas"],
        "cas [OPTIONS] <KEY> <--if-rev REVISION|--if-value VALUE> <NEW|-|--file FILE>",
    ),
    (&["elect"], "elect [OPTIONS] <NAME> <VALUE|--observe>"),
    (
        &["role", "grant"],
        "role grant [OPTIONS] <NAME> <ACCESS> <KEY|--all>",
    ),
    (
        &["role", "revoke"],
        "role revoke [OPTIONS] <NAME> <KEY|--all>",
    ),
];

impl Cli {
    /// The grammar of the command line.
    pub(crate) fn grammar() -> Command {
        with_usages(Cli::command(), "hstore-cli ")
    }

    /// Reads the arguments of a process, its own name first.
    pub(crate) fn read(arguments: &[OsString]) -> Result<Cli, clap::Error> {
        let mut grammar = Cli::grammar();
        let matches = grammar.try_get_matches_from_mut(arguments)?;
        Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut grammar))
    }
}

impl Line {
    /// The grammar of a line of the shell.
    pub(crate) fn grammar() -> Command {
        with_usages(Line::command(), "")
    }

    /// Reads a line.
    pub(crate) fn read(words: &[OsString]) -> Result<Line, clap::Error> {
        let mut grammar = Line::grammar();
        let matches = grammar.try_get_matches_from_mut(words)?;
        Line::from_arg_matches(&matches).map_err(|error| error.format(&mut grammar))
    }
}

/// What may follow the command that these words end with.
pub(crate) fn followed_by(grammar: &Command, words: &[OsString]) -> String {
    let (mut command, mut path) = (grammar, Vec::new());
    for word in words {
        if let Some(inner) = command.find_subcommand(word) {
            path.push(inner.get_name());
            command = inner;
        }
    }
    let shown = command
        .get_subcommands()
        .filter(|command| !command.is_hide_set());
    let names: Vec<&str> = shown.map(Command::get_name).collect();
    format!("`{}` is followed by {}", path.join(" "), names.join(", "))
}

fn with_usages(grammar: Command, before: &str) -> Command {
    USAGES.iter().fold(grammar, |grammar, (path, usage)| {
        with_usage(grammar, path, format!("{before}{usage}"))
    })
}

fn with_usage(command: Command, path: &[&str], usage: String) -> Command {
    match path {
        [] => command.override_usage(usage),
        [first, rest @ ..] => command.mut_subcommand(first, |inner| with_usage(inner, rest, usage)),
    }
}
