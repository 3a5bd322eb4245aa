//! What holds a command together from the arguments to the exit code.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::error::ErrorKind;
use hstore_client::Client;

use crate::args::{Cli, Color, Command, Format, Global, followed_by};
use crate::failure::{Exit, Failure};
use crate::input::Input;
use crate::render::{self, Data, View};
use crate::run::{self, Context};
use crate::{hosts, repl, secret};

/// The settings of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct App {
    global: Global,
}

/// Runs the arguments of a process, its own name first.
pub(crate) async fn main(arguments: Vec<OsString>) -> ExitCode {
    let cli = match Cli::read(&arguments) {
        Ok(cli) => cli,
        Err(error) if !error.use_stderr() => {
            print_help(&error);
            return Exit::Ok.into();
        }
        Err(error) => return usage_error(&error, &arguments).into(),
    };
    let app = App { global: cli.global };
    match cli.command {
        Some(command) => match app.run_once(&command).await {
            Ok(()) => Exit::Ok.into(),
            // The command that ran under a lock has said itself what there was to say.
            Err(Failure::Ended { exit }) => ExitCode::from(exit),
            Err(failure) => {
                let exit = app.tell(&failure);
                failure.number().map_or(exit.into(), ExitCode::from)
            }
        },
        None => app.shell(cli.keep_going).await.into(),
    }
}

/// Runs the shell against `hosts`.
pub(crate) async fn shell(hosts: Vec<String>) -> Exit {
    let app = App {
        global: Global {
            host: hosts,
            ..Global::default()
        },
    };
    app.shell(false).await
}

impl App {
    async fn shell(&self, keep_going: bool) -> Exit {
        let client = match self.client(&self.global.host) {
            Ok(client) => self.timed(client),
            Err(failure) => return self.tell(&failure),
        };
        if repl::is_interactive() {
            repl::interactive(self, client).await
        } else {
            repl::script(self, client, keep_going).await
        }
    }

    async fn run_once(&self, command: &Command) -> Result<(), Failure> {
        // What needs no cluster must not mind what runs here.
        let nowhere = ["127.0.0.1".to_owned()];
        let hosts = if run::needs_cluster(command) {
            self.global.host.as_slice()
        } else {
            &nowhere
        };
        let client = if run::needs_cluster(command) {
            self.client(hosts)?
        } else {
            hosts::client(hosts)?
        };
        let client = self.timed(client);
        run_one(&self.context(client, true), command).await
    }

    /// Runs a line of the shell, with the options of the line over those of the shell.
    pub(crate) async fn run_line(
        &self,
        client: &Client,
        global: &Global,
        command: &Command,
        is_script: bool,
    ) -> Result<(), Failure> {
        let app = self.with(global);
        let client = match (global.host.as_slice(), &global.user) {
            ([], None) => client.clone(),
            // Who the shell is stays who it is: another user has connections of their own.
            ([], Some(_)) => app.known(Client::to(client.addresses())?)?,
            (named, _) => app.client(named)?,
        };
        let mut context = app.context(app.timed(client), false);
        context.interactive &= !is_script;
        run_one(&context, command).await
    }

    /// The same with the options of a line over those of the shell.
    pub(crate) fn with(&self, line: &Global) -> App {
        App {
            global: Global {
                host: Vec::new(),
                user: line.user.clone().or_else(|| self.global.user.clone()),
                output: line.output.or(self.global.output),
                timeout: line.timeout.or(self.global.timeout),
                json: line.json || (line.output.is_none() && self.global.json),
                base64: line.base64 || self.global.base64,
                color: if line.color == Color::Auto {
                    self.global.color
                } else {
                    line.color
                },
                help: None,
            },
        }
    }

    /// A client of the nodes that were named, or are found, as whoever was named.
    fn client(&self, named: &[String]) -> Result<Client, Failure> {
        self.known(hosts::client(named)?)
    }

    fn known(&self, client: Client) -> Result<Client, Failure> {
        Ok(match secret::credentials(self.global.user.as_deref())? {
            Some(user) => client.as_user(user),
            None => client,
        })
    }

    fn timed(&self, client: Client) -> Client {
        match self.global.timeout {
            Some(timeout) => client.with_timeout(timeout),
            None => client,
        }
    }

    fn context(&self, client: Client, stdin: bool) -> Context {
        let interactive = io::stdin().is_terminal() && io::stderr().is_terminal();
        Context {
            client,
            input: Input {
                base64: self.global.base64,
                stdin,
            },
            view: View {
                format: self.format(),
                base64: self.global.base64,
                color: self.color(&io::stdout()),
            },
            timeout: self.global.timeout,
            interactive,
            progress: io::stderr().is_terminal() && self.format() == Format::Table,
        }
    }

    fn format(&self) -> Format {
        if self.global.json {
            return Format::Json;
        }
        self.global.output.unwrap_or_default()
    }

    /// Whether what goes to the standard error may be coloured.
    pub(crate) fn color_of_errors(&self) -> bool {
        self.color(&io::stderr())
    }

    fn color(&self, to: &impl IsTerminal) -> bool {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        match self.global.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
                to.is_terminal() && !set("NO_COLOR") && !dumb
            }
        }
    }

    /// Says a failure on the standard error. Answers the exit code that is due.
    pub(crate) fn tell(&self, failure: &Failure) -> Exit {
        if failure.is_broken_pipe() {
            return Exit::Ok;
        }
        // The findings have said it.
        if let Failure::Diagnosed(exit) = failure {
            return *exit;
        }
        match self.format() {
            Format::Json => eprintln!("{}", failure.json()),
            Format::Table | Format::Raw => eprintln!("{}", failure.line(self.color_of_errors())),
        }
        failure.exit()
    }

    /// The same of a line of a script.
    pub(crate) fn tell_at(&self, failure: &Failure, line: u64) -> Exit {
        if self.format() != Format::Json && !matches!(failure, Failure::Diagnosed(_)) {
            eprint!("line {line}: ");
        }
        self.tell(failure)
    }
}

/// Runs a command to its end, or until the person says stop.
async fn run_one(context: &Context, command: &Command) -> Result<(), Failure> {
    let data = if run::minds_interrupts(command) {
        run::command(context, command).await?
    } else {
        tokio::select! {
            data = run::command(context, command) => data?,
            _ = tokio::signal::ctrl_c() => return Err(interrupted(command)),
        }
    };
    write(context.view, &data)?;
    Ok(())
}

fn interrupted(command: &Command) -> Failure {
    let is_write = matches!(
        command,
        Command::Set(_)
            | Command::Update(_)
            | Command::Delete(_)
            | Command::Cas(_)
            | Command::Txn(_)
    );
    let words = if is_write {
        "interrupted; the write may or may not be applied, now or later"
    } else {
        "interrupted"
    };
    Failure::Interrupted(words.to_owned())
}

fn write(view: View, data: &Data) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    render::data(&mut out, view, data)?;
    out.flush()
}

/// Shows what clap has to say that is no error. A reader that went away has read enough.
pub(crate) fn print_help(help: &clap::Error) {
    let _unread = help.print().is_err();
}

/// What is wrong with what was typed, without clap's own `error:` before it.
pub(crate) fn usage(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let text = text
        .split("\n\nFor more information")
        .next()
        .unwrap_or(text);
    let text = text
        .split("\n\nUsage: COMMAND [ARGUMENTS]")
        .next()
        .unwrap_or(text);
    text.trim_end().to_owned()
}

fn usage_error(error: &clap::Error, arguments: &[OsString]) -> Exit {
    if wants_json(arguments) {
        let text = if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
            followed_by(&Cli::grammar(), arguments)
        } else {
            usage(error)
        };
        let paragraph = text.split("\n\n").next().unwrap_or_default();
        let words: Vec<&str> = paragraph.split_whitespace().collect();
        eprintln!("{}", Failure::Usage(words.join(" ")).json());
    } else if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        print_help(error);
    } else {
        let app = App::default();
        eprintln!(
            "{}",
            Failure::Usage(usage(error)).line(app.color_of_errors())
        );
    }
    Exit::Usage
}

/// Whether JSON was asked for, as far as that can be told of arguments that make no sense.
fn wants_json(arguments: &[OsString]) -> bool {
    let texts: Vec<&str> = arguments
        .iter()
        .filter_map(|argument| argument.to_str())
        .collect();
    texts
        .windows(2)
        .any(|pair| matches!(pair, ["--output" | "-o", "json"]))
        || texts
            .iter()
            .any(|text| matches!(*text, "--json" | "--output=json" | "-ojson" | "-o=json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_recognised_in_arguments_that_make_no_sense() {
        for (line, expected) in [
            ("x --output json", true),
            ("x -o json", true),
            ("x --json", true),
            ("x --output=json", true),
            ("x --output table json", false),
            ("x json", false),
        ] {
            let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            assert_eq!(wants_json(&arguments), expected, "{line}");
        }
    }

    #[test]
    fn the_options_of_a_line_go_before_those_of_the_shell() {
        let shell = App {
            global: Global {
                output: Some(Format::Json),
                base64: true,
                ..Global::default()
            },
        };
        assert_eq!(shell.with(&Global::default()).format(), Format::Json);
        let line = Global {
            output: Some(Format::Raw),
            ..Global::default()
        };
        assert_eq!(shell.with(&line).format(), Format::Raw);
        let line = Global { json: true, ..line };
        assert_eq!(shell.with(&line).format(), Format::Json);
        assert!(shell.with(&line).global.base64);
    }
}
