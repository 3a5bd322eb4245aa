//! The language of the cases, and its reader.
//!
//! ```text
//! # A comment. A line that begins with a space goes on with the line before it.
//! case a sentence that says what is held
//! KV.Put key: "k" value: "v"            a call: service, method, the request in protobuf's text
//! a = KV.Range key: "k"                 the same, and the answer is kept: $a.kvs.0.version
//! [token=$t.token] KV.Range key: "k"    with metadata
//! open w Watch.Watch                    a stream
//! send w create_request { key: "k" }    a message on it
//! read w 2                              its next answers, compared as they are
//! events w 5                            its next events, however they are packed
//! quiet w                               nothing comes for a while
//! half w                                no more requests
//! close w                               no more requests, what else comes, and how it ends
//! drain w                               the first and the last of what else comes, and how it ends
//! gone "k"                              waits until the key is not there any more
//! wait 100                              waits so many milliseconds
//! http POST /v3/kv/put {"key": "YQ=="}  a request over HTTP
//! ```
//!
//! Lines that several cases begin with stand once, behind `set name`; `do name` puts them into a case.
//! `fresh` before a case gives it, and those behind it, servers that no case has used.
//!
//! In a request `@3` is the third revision of the case, and `<<3:x>>` is `x` three times, with `%d`
//! in it replaced by 0, 1, 2.
//!
//! Invariants: (1) every case begins with no key, no lease, no user and no role, and its revisions
//! count from there; (2) a line that is not understood fails the test.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::wire::Protos;

/// Where the cases are.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/compat/cases");

/// One case.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) file: String,
    pub(super) name: String,
    pub(super) steps: Vec<Step>,
    /// Whether it may not share its servers with the case before it.
    fresh: bool,
}

/// One line of a case.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) line: usize,
    pub(super) text: String,
    pub(super) action: Action,
}

/// What a line does.
#[derive(Clone, Debug)]
pub(super) enum Action {
    Call {
        keep: Option<String>,
        metadata: Vec<(String, String)>,
        method: String,
        request: String,
    },
    Open {
        stream: String,
        metadata: Vec<(String, String)>,
        method: String,
    },
    Send {
        stream: String,
        request: String,
    },
    Read {
        stream: String,
        count: usize,
    },
    Events {
        stream: String,
        count: usize,
    },
    Quiet {
        stream: String,
    },
    Half {
        stream: String,
    },
    Close {
        stream: String,
    },
    Drain {
        stream: String,
    },
    Gone {
        key: String,
    },
    Wait {
        milliseconds: u64,
    },
    Http {
        method: String,
        path: String,
        body: String,
    },
}

impl Case {
    /// Whether a case may run on the servers of the one before it.
    pub(super) fn may_follow(_before: &Case, case: &Case) -> bool {
        !case.fresh
    }

    /// A case of one call, for tests.
    pub(super) fn calling(method: &str) -> Case {
        let action = action(method, "a test");
        let step = Step {
            line: 1,
            text: method.to_owned(),
            action,
        };
        Case {
            file: String::new(),
            name: "a case".to_owned(),
            steps: vec![step],
            fresh: false,
        }
    }

    /// The methods that it calls.
    pub(super) fn methods(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().filter_map(|step| match &step.action {
            Action::Call { method, .. } | Action::Open { method, .. } => Some(method.as_str()),
            _ => None,
        })
    }

    /// What is said to which method: calls, and messages on streams.
    pub(super) fn requests(&self) -> impl Iterator<Item = (&str, &str)> {
        let method_of = |wanted: &str| {
            self.steps.iter().find_map(|step| match &step.action {
                Action::Open { stream, method, .. } if stream == wanted => Some(method.as_str()),
                _ => None,
            })
        };
        self.steps
            .iter()
            .filter_map(move |step| match &step.action {
                Action::Call {
                    method, request, ..
                } => Some((method.as_str(), request.as_str())),
                Action::Send { stream, request } => Some((method_of(stream)?, request.as_str())),
                _ => None,
            })
    }
}

/// Every case, in the order of the files' names.
pub(super) fn all(protos: &Protos) -> Vec<Case> {
    let mut paths: Vec<_> = fs::read_dir(FOLDER)
        .expect("the folder of the cases is there")
        .map(|entry| entry.expect("the folder can be read").path())
        .collect();
    paths.sort();
    let mut cases = Vec::new();
    for path in paths {
        read_file(&path, protos, &mut cases);
    }
    cases
}

fn read_file(path: &Path, protos: &Protos, cases: &mut Vec<Case>) {
    let text = fs::read_to_string(path).expect("a case file is text");
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let mut fresh = false;
    let mut sets: BTreeMap<String, Vec<Step>> = BTreeMap::new();
    let mut set = None;
    for (line, text) in joined(&text) {
        let at = format!("{file}:{line}");
        if text == "fresh" {
            fresh = true;
        } else if let Some(name) = text.strip_prefix("set ") {
            set = Some(name.to_owned());
        } else if let Some(name) = text.strip_prefix("case ") {
            set = None;
            cases.push(Case {
                file: file.clone().into_owned(),
                name: name.to_owned(),
                steps: Vec::new(),
                fresh: std::mem::take(&mut fresh),
            });
        } else {
            let steps = if let Some(name) = text.strip_prefix("do ") {
                let found = sets.get(name);
                found
                    .unwrap_or_else(|| panic!("{at}: no set {name}"))
                    .clone()
            } else {
                let action = action(&text, &at);
                vec![Step { line, text, action }]
            };
            let into = if let Some(name) = &set {
                sets.entry(name.clone()).or_default()
            } else {
                let case = cases.last_mut().filter(|case| case.file == file);
                let case = case.unwrap_or_else(|| panic!("{at}: a line before the first case"));
                &mut case.steps
            };
            into.extend(steps);
        }
    }
    for case in cases.iter().filter(|case| case.file == file) {
        for method in case.methods() {
            assert!(protos.knows(method), "{file}: there is no method {method}");
        }
    }
}

/// The lines with their numbers, without comments, each with the lines that go on with it.
fn joined(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        match lines.last_mut() {
            Some((_, before)) if line.starts_with(' ') => {
                before.push(' ');
                before.push_str(line.trim());
            }
            _ => lines.push((index + 1, line.trim_end().to_owned())),
        }
    }
    lines
}

fn action(text: &str, at: &str) -> Action {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    let named = |rest: &str| {
        let (stream, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        (stream.to_owned(), rest.trim().to_owned())
    };
    let number = |text: &str| -> u64 {
        text.parse()
            .unwrap_or_else(|_| panic!("{at}: {text:?} is not a number"))
    };
    match word {
        "open" => {
            let (stream, rest) = named(rest);
            let (metadata, method) = metadata(&rest, at);
            Action::Open {
                stream,
                metadata,
                method: method.to_owned(),
            }
        }
        "send" => {
            let (stream, request) = named(rest);
            Action::Send { stream, request }
        }
        "read" | "events" => {
            let (stream, count) = named(rest);
            let count = number(&count) as usize;
            if word == "read" {
                Action::Read { stream, count }
            } else {
                Action::Events { stream, count }
            }
        }
        "quiet" => Action::Quiet {
            stream: rest.to_owned(),
        },
        "half" => Action::Half {
            stream: rest.to_owned(),
        },
        "close" => Action::Close {
            stream: rest.to_owned(),
        },
        "drain" => Action::Drain {
            stream: rest.to_owned(),
        },
        "gone" => Action::Gone {
            key: rest.to_owned(),
        },
        "http" => {
            let (method, rest) = named(rest);
            let (path, body) = named(&rest);
            Action::Http { method, path, body }
        }
        "wait" => Action::Wait {
            milliseconds: number(rest),
        },
        _ => call(text, at),
    }
}

fn call(text: &str, at: &str) -> Action {
    let (keep, text) = match text.split_once(" = ") {
        Some((name, rest)) if name.chars().all(char::is_alphanumeric) => {
            (Some(name.to_owned()), rest)
        }
        _ => (None, text),
    };
    let (metadata, text) = metadata(text, at);
    let (method, request) = text.split_once(' ').unwrap_or((text, ""));
    assert!(method.contains('.'), "{at}: {method:?} is not a method");
    Action::Call {
        keep,
        metadata,
        method: method.to_owned(),
        request: request.to_owned(),
    }
}

/// The metadata in front of a method, and the rest.
fn metadata<'a>(text: &'a str, at: &str) -> (Vec<(String, String)>, &'a str) {
    let Some(inside) = text.strip_prefix('[') else {
        return (Vec::new(), text);
    };
    let (inside, rest) = inside
        .split_once("] ")
        .unwrap_or_else(|| panic!("{at}: the metadata has no end"));
    let pairs = inside.split(' ').map(|pair| {
        let (name, value) = pair.split_once('=').expect("metadata is name=value");
        (name.to_owned(), value.to_owned())
    });
    (pairs.collect(), rest)
}
