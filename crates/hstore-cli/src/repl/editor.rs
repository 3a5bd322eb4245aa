//! The line editor, on a thread of its own: it blocks, and the runtime must not.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use rustyline::config::Configurer;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{ColorMode, CompletionType, Config, Editor as Readline, ExternalPrinter};
use tokio::sync::mpsc;

use super::helper::Helper;
use crate::failure::Failure;

/// How many lines are kept.
const LINES_MAX: usize = 10_000;

/// What came of a prompt.
#[derive(Debug)]
pub(super) enum Told {
    /// A line.
    Line(String),
    /// Ctrl-C: the line is dropped.
    Dropped,
    /// Ctrl-D, or the terminal went away.
    End,
    /// The terminal cannot be read.
    Broken(String),
}

/// The prompt, plain and styled.
type Prompt = (String, String);

/// The shell's end of the editor.
pub(super) struct Editor {
    ask: SyncSender<Prompt>,
    told: mpsc::Receiver<Told>,
    printer: Printer,
}

/// Writes a line above the prompt, or plainly where there is no prompt.
#[derive(Clone)]
pub(super) struct Printer(Arc<Mutex<Print>>);

type Print = Box<dyn FnMut(String) + Send>;

impl Printer {
    pub(super) fn say(&self, line: &str) {
        let mut print = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        print(format!("{line}\n"));
    }
}

impl Editor {
    /// Takes the terminal. Lines are kept in `file`, if there is one.
    pub(super) fn start(helper: Helper, file: Option<PathBuf>) -> Result<Editor, Failure> {
        let broken = |error: ReadlineError| Failure::File {
            what: "the terminal".to_owned(),
            error: std::io::Error::other(error),
        };
        let config = Config::builder()
            .completion_type(CompletionType::List)
            .color_mode(if helper.color {
                ColorMode::Enabled
            } else {
                ColorMode::Disabled
            })
            .history_ignore_dups(true)
            .map_err(broken)?
            .max_history_size(LINES_MAX)
            .map_err(broken)?
            .history_ignore_space(true)
            .auto_add_history(false)
            .build();
        let mut readline: Readline<Helper, FileHistory> =
            Readline::with_config(config).map_err(broken)?;
        readline.set_helper(Some(helper));
        readline.set_completion_show_all_if_ambiguous(false);
        if let Some(file) = &file {
            // A file that cannot be read costs the lines of old, nothing else.
            let _unread = readline.load_history(file).is_err();
        }
        let printer: Print = match readline.create_external_printer() {
            Ok(mut printer) => Box::new(move |line| {
                let _unsaid = printer.print(line).is_err();
            }),
            Err(_) => Box::new(|line| eprint!("{line}")),
        };
        let (ask, asked) = sync_channel(1);
        let (tell, told) = mpsc::channel(1);
        std::thread::Builder::new()
            .name("line-editor".to_owned())
            .spawn(move || serve(&mut readline, file.as_ref(), &asked, &tell))
            .map_err(|error| Failure::File {
                what: "the editor's thread".to_owned(),
                error,
            })?;
        Ok(Editor {
            ask,
            told,
            printer: Printer(Arc::new(Mutex::new(printer))),
        })
    }

    /// A way to say something while a person types.
    pub(super) fn printer(&self) -> Printer {
        self.printer.clone()
    }

    /// Shows a prompt and waits for a line.
    pub(super) async fn line(&mut self, prompt: Prompt) -> Told {
        if self.ask.send(prompt).is_err() {
            return Told::End;
        }
        self.told.recv().await.unwrap_or(Told::End)
    }
}

fn serve(
    readline: &mut Readline<Helper, FileHistory>,
    file: Option<&PathBuf>,
    asked: &Receiver<Prompt>,
    tell: &mpsc::Sender<Told>,
) {
    while let Ok(prompt) = asked.recv() {
        let told = match readline.readline(&prompt) {
            Ok(line) => {
                // The line counts even where it cannot be kept.
                let kept = readline.add_history_entry(line.as_str()).unwrap_or(false);
                if let Some(file) = file.filter(|_| kept) {
                    let _unkept = readline.append_history(file).is_err();
                }
                Told::Line(line)
            }
            Err(ReadlineError::Interrupted) => Told::Dropped,
            Err(ReadlineError::Eof) => Told::End,
            Err(error) => Told::Broken(error.to_string()),
        };
        if tell.blocking_send(told).is_err() {
            return;
        }
    }
}
