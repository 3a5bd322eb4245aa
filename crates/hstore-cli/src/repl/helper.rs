//! What the editor shows beside the line: candidates, hints, and whether the line is finished.

use std::borrow::Cow;
use std::ffi::OsString;
use std::sync::Arc;

use rustyline::Context;
use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::{Hinter, HistoryHinter};
use rustyline::validate::{ValidationContext, ValidationResult, Validator};

use super::cluster::Cluster;
use super::grammar::{Grammar, Next};
use super::keys::{HINT, Keys, TAB};
use super::words::{self, BadLine};

/// The editor's helper.
pub(super) struct Helper {
    pub(super) grammar: Grammar,
    pub(super) keys: Keys,
    pub(super) cluster: Arc<Cluster>,
    pub(super) color: bool,
}

impl Helper {
    /// The words that may stand where the last one is being typed.
    fn candidates(&self, before: &[OsString], last: &[u8], for_tab: bool) -> Vec<Vec<u8>> {
        let before: Vec<String> = before
            .iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        let typed = String::from_utf8_lossy(last);
        let all: Vec<Vec<u8>> = match self.grammar.next(&before, &typed) {
            Next::OneOf(words) => words.into_iter().map(String::into_bytes).collect(),
            Next::Key if self.cluster.connected() && (for_tab || !last.is_empty()) => {
                let within = if for_tab { TAB } else { HINT };
                let keys = self.keys.beginning_with(last, within);
                keys.into_iter().map(|key| key.to_vec()).collect()
            }
            Next::Host => self.hosts(),
            Next::Key | Next::File | Next::Free => Vec::new(),
        };
        all.into_iter()
            .filter(|word| word.starts_with(last))
            .collect()
    }

    fn hosts(&self) -> Vec<Vec<u8>> {
        let members = self.cluster.description().unwrap_or_default().members;
        members
            .into_iter()
            .filter_map(|status| status.member)
            .map(|member| member.client_address.into_bytes())
            .collect()
    }
}

impl Completer for Helper {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        pos: usize,
        context: &Context<'_>,
    ) -> Result<(usize, Vec<Pair>), ReadlineError> {
        let Ok((before, last)) = words::split_last(&line[..pos]) else {
            return Ok((pos, Vec::new()));
        };
        let texts: Vec<String> = before
            .iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        if self
            .grammar
            .next(&texts, &String::from_utf8_lossy(&last.bytes))
            == Next::File
        {
            return FilenameCompleter::new().complete(line, pos, context);
        }
        let candidates = self.candidates(&before, &last.bytes, true);
        let only = candidates.len() == 1;
        let pairs = candidates
            .into_iter()
            .map(|word| {
                let display = words::quote(&word);
                let replacement = if only {
                    format!("{display} ")
                } else {
                    display.clone()
                };
                Pair {
                    display,
                    replacement,
                }
            })
            .collect();
        Ok((last.start, pairs))
    }
}

impl Hinter for Helper {
    type Hint = String;

    fn hint(&self, line: &str, pos: usize, context: &Context<'_>) -> Option<String> {
        if pos < line.len() || line.trim().is_empty() {
            return None;
        }
        if let Some(hint) = HistoryHinter::new().hint(line, pos, context) {
            return Some(hint);
        }
        let (before, last) = words::split_last(line).ok()?;
        if last.bytes.is_empty() {
            let words: Vec<String> = before
                .iter()
                .map(|word| word.to_string_lossy().into_owned())
                .collect();
            return self.grammar.missing(&words);
        }
        // A quoted word is left alone: what follows would have to be quoted likewise.
        let typed = &line[last.start..];
        let best = self
            .candidates(&before, &last.bytes, false)
            .into_iter()
            .map(|word| words::quote(&word))
            .find(|word| word.starts_with(typed) && word != typed)?;
        Some(best[typed.len()..].to_owned())
    }
}

impl Highlighter for Helper {
    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        if self.color {
            format!("\x1b[2m{hint}\x1b[0m").into()
        } else {
            hint.into()
        }
    }
}

impl Validator for Helper {
    fn validate(
        &self,
        context: &mut ValidationContext<'_>,
    ) -> Result<ValidationResult, ReadlineError> {
        Ok(match words::split(context.input()) {
            Err(BadLine::Unfinished) => ValidationResult::Incomplete,
            _ => ValidationResult::Valid(None),
        })
    }
}

impl rustyline::Helper for Helper {}
