//! What may come next in a line, read from the grammar itself.

use clap::{Arg, ArgAction, Command};

use crate::args::Line;

/// What the word at the cursor may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// One of these.
    OneOf(Vec<String>),
    /// A key.
    Key,
    /// The address of a node.
    Host,
    /// The name of a file.
    File,
    /// Anything.
    Free,
}

/// The grammar of a line.
pub(crate) struct Grammar(Command);

impl Grammar {
    pub(crate) fn new() -> Grammar {
        let mut command = Line::grammar();
        command.build();
        Grammar(command)
    }

    /// What the last word may be, after the words before it.
    pub(crate) fn next(&self, before: &[String], last: &str) -> Next {
        let Some((first, rest)) = before.split_first() else {
            return Next::OneOf(self.commands());
        };
        if first == "help" {
            return Next::OneOf(self.commands());
        }
        let Some(mut command) = self.0.find_subcommand(first) else {
            return Next::Free;
        };
        let mut rest = rest;
        while command.has_subcommands() {
            let Some((word, further)) = rest.split_first() else {
                return Next::OneOf(names(command));
            };
            let Some(inner) = command.find_subcommand(word) else {
                return Next::Free;
            };
            (command, rest) = (inner, further);
        }
        if let Some(option) = rest.last().and_then(|word| option(command, word)) {
            return value_of(option);
        }
        if last.starts_with('-') {
            return Next::OneOf(flags(command));
        }
        match positionals(command).nth(given(command, rest)) {
            Some(argument) => value_of(argument),
            None => Next::OneOf(flags(command)),
        }
    }

    /// What is still to be typed after complete words, as `KEY VALUE`.
    pub(crate) fn missing(&self, words: &[String]) -> Option<String> {
        let (first, mut rest) = words.split_first()?;
        let mut command = self.0.find_subcommand(first)?;
        while command.has_subcommands() {
            let Some((word, further)) = rest.split_first() else {
                let is_needed = command.is_subcommand_required_set();
                return Some(if is_needed { "COMMAND" } else { "[COMMAND]" }.to_owned());
            };
            (command, rest) = (command.find_subcommand(word)?, further);
        }
        if rest
            .last()
            .is_some_and(|word| option(command, word).is_some())
        {
            return None;
        }
        let missing: Vec<String> = positionals(command)
            .skip(given(command, rest))
            .map(|argument| {
                let name = argument.get_id().as_str().to_uppercase();
                if argument.is_required_set() {
                    name
                } else {
                    format!("[{name}]")
                }
            })
            .collect();
        (!missing.is_empty()).then(|| missing.join(" "))
    }

    fn commands(&self) -> Vec<String> {
        names(&self.0)
    }
}

/// The commands within a command.
fn names(command: &Command) -> Vec<String> {
    let shown = command
        .get_subcommands()
        .filter(|command| !command.is_hide_set());
    let mut names: Vec<String> = shown.map(|command| command.get_name().to_owned()).collect();
    names.sort();
    names
}

fn positionals(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_positionals()
}

/// How many of the words after the command are its arguments, rather than options and their
/// values.
fn given(command: &Command, rest: &[String]) -> usize {
    let mut count = 0;
    let mut previous_takes_value = false;
    for word in rest {
        let takes_value = option(command, word).is_some();
        let is_flag = word.len() > 1 && word.starts_with('-');
        if !previous_takes_value && !is_flag {
            count += 1;
        }
        previous_takes_value = takes_value && !previous_takes_value;
    }
    count
}

/// The option that `word` names, if it is one that takes the next word.
fn option<'a>(command: &'a Command, word: &str) -> Option<&'a Arg> {
    command.get_arguments().find(|argument| {
        let takes = matches!(argument.get_action(), ArgAction::Set | ArgAction::Append);
        let long = argument
            .get_long()
            .is_some_and(|long| word.strip_prefix("--") == Some(long));
        let short = argument
            .get_short()
            .is_some_and(|short| word == format!("-{short}"));
        takes && !argument.is_positional() && (long || short)
    })
}

fn flags(command: &Command) -> Vec<String> {
    let mut flags: Vec<String> = command
        .get_arguments()
        .filter(|argument| !argument.is_positional() && !argument.is_hide_set())
        .filter_map(|argument| argument.get_long().map(|long| format!("--{long}")))
        .collect();
    flags.sort();
    flags
}

fn value_of(argument: &Arg) -> Next {
    let values: Vec<String> = argument
        .get_possible_values()
        .iter()
        .map(|value| value.get_name().to_owned())
        .collect();
    if !values.is_empty() {
        return Next::OneOf(values);
    }
    match argument.get_id().as_str() {
        "key" | "prefix" if argument.is_positional() => Next::Key,
        "host" => Next::Host,
        "file" | "dir" => Next::File,
        _ => Next::Free,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(line: &str) -> Next {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let (last, before) = words.split_last().expect("a split has one part");
        Grammar::new().next(before, last)
    }

    fn holds(next: &Next, word: &str) -> bool {
        matches!(next, Next::OneOf(words) if words.iter().any(|known| known == word))
    }

    #[test]
    fn commands_come_first() {
        for word in ["get", "set", "nodes", "list", "help", "exit", "import"] {
            assert!(
                holds(&next(""), word) && holds(&next("help "), word),
                "{word}"
            );
        }
        assert_eq!(next("nonsense x"), Next::Free);
    }

    #[test]
    fn keys_come_where_keys_are_meant() {
        for line in [
            "get ",
            "get f",
            "set f",
            "put f",
            "del f",
            "scan f",
            "cas f",
            "history f",
            "export f",
            "get --output json f",
            "get -o json --serializable f",
        ] {
            assert_eq!(next(line), Next::Key, "{line}");
        }
        assert_eq!(next("set f x"), Next::Free);
        assert_eq!(next("set f --file x"), Next::File);
        assert_eq!(next("import x"), Next::File);
        assert_eq!(next("get -h "), Next::Host);
    }

    #[test]
    fn flags_and_their_values_come_where_they_are_begun() {
        for flag in ["--serializable", "--rev", "--output", "--base64"] {
            assert!(holds(&next("get -"), flag), "{flag}");
            assert!(holds(&next("get foo --"), flag), "{flag}");
        }
        assert!(holds(&next("get --output "), "json"));
        assert!(holds(&next("list "), "nodes"));
        assert!(holds(&next("lease "), "grant"));
        assert!(holds(&next("lease renew --"), "--once"));
        assert_eq!(next("lease nonsense x"), Next::Free);
        assert!(holds(&next("nodes "), "--output"));
    }

    #[test]
    fn what_is_missing_is_named() {
        let grammar = Grammar::new();
        let missing = |line: &str| {
            let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            grammar.missing(&words)
        };
        for (line, expected) in [
            ("get", Some("KEY")),
            ("set", Some("KEY [VALUE]")),
            ("set k", Some("[VALUE]")),
            ("set k v", None),
            ("get -o", None),
            ("lease", Some("COMMAND")),
            ("leader", Some("[COMMAND]")),
            ("lease grant", Some("TTL")),
            ("lease revoke 7", None),
            ("lock", Some("NAME [COMMAND]")),
            ("elect", Some("NAME [VALUE]")),
            ("nodes", None),
            ("nonsense", None),
        ] {
            assert_eq!(missing(line).as_deref(), expected, "{line}");
        }
    }
}
