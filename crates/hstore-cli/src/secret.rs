//! Who a person is, and passwords that nobody sees being typed.

use std::io::{self, BufRead, IsTerminal, Write};

use hstore_client::Credentials;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use crate::failure::Failure;

/// The variables that say who a person is.
const USER: &str = "HSTORE_USER";
const PASSWORD: &str = "HSTORE_PASSWORD";

/// Who asks: `--user NAME[:PASSWORD]`, or else the environment; a password that is nowhere is asked
/// for on a terminal. None when nobody was named.
pub(crate) fn credentials(named: Option<&str>) -> Result<Option<Credentials>, Failure> {
    let variable = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
    choose(named, variable, || {
        if io::stdin().is_terminal() && io::stderr().is_terminal() {
            Some(read)
        } else {
            None
        }
    })
}

type Read = fn(&str) -> Result<String, Failure>;

fn choose(
    named: Option<&str>,
    variable: impl Fn(&'static str) -> Option<String>,
    terminal: impl Fn() -> Option<Read>,
) -> Result<Option<Credentials>, Failure> {
    let text = match named {
        Some(text) => text.to_owned(),
        None => match variable(USER) {
            Some(text) => text,
            None => return Ok(None),
        },
    };
    let (name, password) = match text.split_once(':') {
        Some((name, password)) => (name, Some(password.to_owned())),
        None => (text.as_str(), variable(PASSWORD)),
    };
    if name.is_empty() {
        return Err(Failure::Usage("the user has no name".to_owned()));
    }
    let password = match (password, terminal()) {
        (Some(password), _) => password,
        (None, Some(read)) => read(&format!("Password of {name}: "))?,
        (None, None) => {
            let what = format!("the password of {name} is missing: set {PASSWORD}");
            return Err(Failure::Usage(what));
        }
    };
    Ok(Some(Credentials::new(name, &password)))
}

/// Reads a line from the terminal without showing it.
pub(crate) fn read(prompt: &str) -> Result<String, Failure> {
    ask(prompt).map_err(|error| Failure::File {
        what: "the terminal".to_owned(),
        error,
    })
}

/// The same, for whoever has another way to tell of failures.
pub fn ask(prompt: &str) -> io::Result<String> {
    let stdin = io::stdin();
    let mut stderr = io::stderr();
    let shown = tcgetattr(&stdin)?;
    let mut hidden = shown.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    write!(stderr, "{prompt}")?;
    stderr.flush()?;
    tcsetattr(&stdin, OptionalActions::Now, &hidden)?;
    let mut line = String::new();
    let read = stdin.lock().read_line(&mut line);
    let restored = tcsetattr(&stdin, OptionalActions::Now, &shown);
    // The line end that was not shown either.
    writeln!(stderr)?;
    restored?;
    read?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(prompt: &str) -> Result<String, Failure> {
        match prompt {
            "Password of a: " => Ok("typed".to_owned()),
            _ => Err(Failure::Usage(prompt.to_owned())),
        }
    }

    #[test]
    fn the_flag_comes_before_the_environment_and_the_terminal_last() {
        let none = |_name: &'static str| None;
        let both = |name: &'static str| match name {
            USER => Some("env".to_owned()),
            _ => Some("secret".to_owned()),
        };
        let terminal = || Some(typed as Read);
        let nobody = || None;
        let of = |name: &str, password: &str| Some(Credentials::new(name, password));
        assert_eq!(choose(None, none, terminal).unwrap(), None);
        assert_eq!(choose(Some("a:b:c"), both, nobody).unwrap(), of("a", "b:c"));
        assert_eq!(choose(Some("a"), both, nobody).unwrap(), of("a", "secret"));
        assert_eq!(choose(None, both, nobody).unwrap(), of("env", "secret"));
        assert_eq!(choose(Some("a"), none, terminal).unwrap(), of("a", "typed"));
        assert_eq!(choose(Some("a"), none, nobody).unwrap_err().exit() as u8, 2);
        assert_eq!(
            choose(Some(":x"), none, nobody).unwrap_err().exit() as u8,
            2
        );
    }
}
