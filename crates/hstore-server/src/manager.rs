//! Who manages nodes: the user that this process names where a node asks.
//!
//! Invariants: (1) no password is taken from the command line, where everybody on the machine sees
//! it; (2) who was named there is known, and proved to have a password, before anything is asked.

use std::fs;
use std::io::IsTerminal as _;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use hstore_core::error::ErrorCode;
use hstore_proto::etcdserverpb::AuthenticateRequest;
use zeroize::Zeroizing;

use crate::fault::{Exit, Fault};

const USER: &str = "HSTORE_USER";
const PASSWORD: &str = "HSTORE_PASSWORD";

/// The longest file of a password.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Who was named on the command line.
static NAMED: OnceLock<Manager> = OnceLock::new();

/// A user with a password.
struct Manager {
    name: String,
    password: Zeroizing<String>,
}

/// Asks a person for the password of a user.
type Ask = fn(&str) -> Result<String, Fault>;

/// Takes the user of the command line, with the password from a file, the environment or the
/// terminal.
pub(crate) fn named(user: Option<&str>, file: Option<&Path>) -> Result<(), Fault> {
    let Some(user) = user else {
        return Ok(());
    };
    let is_terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    let terminal = is_terminal.then_some(ask as Ask);
    let manager = choose(user, file, variable(PASSWORD), terminal)?;
    // The command line is read once.
    let _first = NAMED.set(manager);
    Ok(())
}

/// The proof of the user of the command line; none when nobody was named there.
pub(crate) fn named_proof() -> Option<AuthenticateRequest> {
    let Manager { name, password } = NAMED.get()?;
    Some(AuthenticateRequest {
        name: name.clone(),
        password: password.to_string(),
    })
}

/// The proof that a node asks for; none when nobody was named.
pub(crate) fn proof() -> Option<AuthenticateRequest> {
    if let Some(named) = named_proof() {
        return Some(named);
    }
    let user = variable(USER)?;
    let (name, password) = match user.split_once(':') {
        Some((name, password)) => (name.to_owned(), password.to_owned()),
        None => (user, variable(PASSWORD).unwrap_or_default()),
    };
    Some(AuthenticateRequest { name, password })
}

/// Lets a process that this one starts manage as the same user.
pub(crate) fn hand_over(command: &mut Command) {
    if let Some(Manager { name, password }) = NAMED.get() {
        command.env(USER, name).env(PASSWORD, password.as_str());
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

fn ask(name: &str) -> Result<String, Fault> {
    let read = hstore_cli::ask_secret(&format!("Password of {name}: "));
    read.map_err(|error| Fault::of_file("the terminal", &error))
}

fn choose(
    user: &str,
    file: Option<&Path>,
    variable: Option<String>,
    terminal: Option<Ask>,
) -> Result<Manager, Fault> {
    let usage = |what: &str| Fault::new(ErrorCode::InvalidArgument, what).exit(Exit::Usage);
    if user.is_empty() {
        return Err(usage("the user has no name"));
    }
    if user.contains(':') {
        let what = "a password on the command line is seen by everybody on this machine";
        return Err(usage(what).hint("--password-file FILE, or HSTORE_PASSWORD"));
    }
    let password = match (file, variable, terminal) {
        (Some(path), _, _) => read(path)?,
        (None, Some(password), _) => password,
        (None, None, Some(ask)) => ask(user)?,
        (None, None, None) => {
            let what = format!("the password of {user} is missing");
            return Err(usage(&what).hint("--password-file FILE, or HSTORE_PASSWORD"));
        }
    };
    Ok(Manager {
        name: user.to_owned(),
        password: Zeroizing::new(password),
    })
}

/// The password in a file: everything but the end of the line.
fn read(path: &Path) -> Result<String, Fault> {
    use std::io::Read as _;

    let failed = |error: &std::io::Error| Fault::of_file(path.display(), error);
    let mut text = String::new();
    let file = fs::File::open(path).map_err(|error| failed(&error))?;
    let bytes = file.take(FILE_BYTES_MAX).read_to_string(&mut text);
    bytes.map_err(|error| failed(&error))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(name: &str) -> Result<String, Fault> {
        match name {
            "root" => Ok("typed for root".to_owned()),
            other => Err(Fault::new(ErrorCode::Internal, other)),
        }
    }

    #[test]
    fn the_file_comes_before_the_environment_and_the_terminal_last() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, "of the file\n").unwrap();
        let (file, variable) = (Some(path.as_path()), Some("of the variable".to_owned()));
        let terminal = Some(typed as Ask);
        for (file, variable, terminal, found) in [
            (file, variable.clone(), terminal, "of the file"),
            (None, variable, terminal, "of the variable"),
            (None, None, terminal, "typed for root"),
        ] {
            let manager = choose("root", file, variable, terminal).ok().unwrap();
            assert_eq!(manager.name, "root");
            assert_eq!(manager.password.as_str(), found);
        }
    }

    #[test]
    fn no_password_a_bad_name_and_a_secret_on_the_command_line_are_refused() {
        let nowhere = Path::new("/nowhere/secret");
        let given = || Some("secret".to_owned());
        for (user, file, variable, exit) in [
            ("root", None, None, Exit::Usage),
            ("", None, given(), Exit::Usage),
            ("root:secret", None, given(), Exit::Usage),
        ] {
            let fault = choose(user, file, variable, None).err().unwrap();
            assert_eq!(fault.code, ErrorCode::InvalidArgument, "{user}");
            assert_eq!(fault.exit, exit, "{user}");
        }
        let fault = choose("root", Some(nowhere), given(), None).err().unwrap();
        assert!(fault.to_string().contains("/nowhere/secret"), "{fault}");
    }
}
