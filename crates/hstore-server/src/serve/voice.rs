//! How a node that starts tells how it gets on: to the person at the terminal, or through a pipe
//! to the process that put it into the background.

use std::io::{BufRead, Write as _};

use hstore_core::error::ErrorCode;
use serde::{Deserialize, Serialize};

use crate::fault::{Exit, Fault};
use crate::screen::{self, Block};

/// One line of the pipe.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Report {
    /// It gets on.
    Progress(String),
    /// It is ready.
    Ready(Box<Block>),
    /// It is not, and ends.
    Failed {
        code: String,
        exit: u8,
        sentence: String,
        hint: Option<String>,
    },
}

/// Tells how the start gets on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Voice {
    /// Into the pipe that is stdout.
    Pipe,
    /// For people: progress to stderr, the block to stdout.
    Screen,
    /// For programs: one object to stdout when it is ready.
    Json,
}

impl Voice {
    /// Something moved.
    pub(crate) fn progress(self, text: &str) {
        match self {
            Voice::Pipe => send(&Report::Progress(text.to_owned())),
            Voice::Screen => screen::talk(text),
            Voice::Json => {}
        }
    }

    /// The node is ready.
    pub(crate) fn ready(self, block: &Block) {
        match self {
            Voice::Pipe => send(&Report::Ready(Box::new(block.clone()))),
            Voice::Screen => screen::data(block),
            Voice::Json => screen::data(
                serde_json::to_string(block).expect("a block of plain fields is always JSON"),
            ),
        }
    }

    /// The node will not be ready. On a screen whoever ends the process says so.
    pub(crate) fn failed(self, fault: &Fault) {
        if self == Voice::Pipe {
            send(&Report::Failed {
                code: fault.code.to_string(),
                exit: fault.exit as u8,
                sentence: fault.sentence().to_owned(),
                hint: fault.advice().map(str::to_owned),
            });
        }
    }
}

fn send(report: &Report) {
    let line = serde_json::to_string(report).expect("a report of plain fields is always JSON");
    let mut stdout = std::io::stdout().lock();
    // Nobody listens once the node is ready; that is how it should be.
    let _gone = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

/// Reads the pipe of a node in the background until it is ready or has failed.
pub(crate) fn follow(pipe: impl BufRead, voice: Voice) -> Result<Block, Fault> {
    for line in pipe.lines() {
        let Ok(line) = line else { break };
        match serde_json::from_str(&line) {
            Ok(Report::Progress(text)) => voice.progress(&text),
            Ok(Report::Ready(block)) => return Ok(*block),
            Ok(Report::Failed {
                code,
                exit,
                sentence,
                hint,
            }) => {
                let known = ErrorCode::ALL.iter().find(|known| known.as_str() == code);
                let fault = Fault::new(*known.unwrap_or(&ErrorCode::Internal), sentence)
                    .exit(Exit::of_number(exit));
                return Err(match hint {
                    Some(hint) => fault.hint(hint),
                    None => fault,
                });
            }
            // A line of someone else: not ours to judge.
            Err(_other) => {}
        }
    }
    Err(Fault::new(
        ErrorCode::Internal,
        "the node ended before it was ready and did not say why",
    )
    .hint("its log is server.log in the data folder"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(report: &Report) -> String {
        serde_json::to_string(report).unwrap() + "\n"
    }

    #[test]
    fn a_failure_passes_through_the_pipe_as_it_was() {
        let text = line(&Report::Progress("on it".to_owned()))
            + "noise\n"
            + &line(&Report::Failed {
                code: "data_unusable".to_owned(),
                exit: 6,
                sentence: "no".to_owned(),
                hint: Some("yes".to_owned()),
            });
        let fault = follow(text.as_bytes(), Voice::Json).unwrap_err();
        let expected = Fault::new(ErrorCode::DataUnusable, "no")
            .exit(Exit::Permission)
            .hint("yes");
        assert_eq!(fault, expected);
    }

    #[test]
    fn a_pipe_that_ends_without_a_word_is_a_failure() {
        let fault = follow(&b""[..], Voice::Json).unwrap_err();
        assert_eq!(fault.code, ErrorCode::Internal);
    }
}
