//! One case on one server.
//!
//! Invariant: a case ends with an answer for each of its steps, whatever the server does, so that
//! the transcripts of two servers can be laid beside each other.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use prost_reflect::{DynamicMessage, Value};
use tonic::Status;

use super::answer::{self, Answer, Fields, Names, Transcript};
use super::calls::{self, Metadata, Next, Stream};
use super::http;
use super::script::{Action, Case, Step};
use super::servers::Server;
use super::wire::Protos;

/// How long a key may take to go.
const GONE_WITHIN: Duration = Duration::from_secs(20);

/// The pause between two looks for it.
const PAUSE: Duration = Duration::from_millis(100);

/// Every key.
const EVERY_KEY: &str = r#"key: "\0" range_end: "\0""#;

/// Runs a case.
pub(super) async fn case(protos: &Protos, case: &Case, server: &Server) -> Transcript {
    let mut run = Run {
        protos,
        server,
        at: format!("{}: {} on {}", case.file, case.name, server.name),
        names: Names::default(),
        kept: BTreeMap::new(),
        streams: BTreeMap::new(),
        transcript: Vec::new(),
    };
    run.begin().await;
    for (index, step) in case.steps.iter().enumerate() {
        run.step(index, step).await;
    }
    let with_users = case.methods().any(|method| method.starts_with("Auth."));
    if with_users {
        run.end_users().await;
    }
    run.transcript
}

struct Run<'a> {
    protos: &'a Protos,
    server: &'a Server,
    /// For what a failing test says.
    at: String,
    names: Names,
    kept: BTreeMap<String, DynamicMessage>,
    streams: BTreeMap<String, Stream>,
    transcript: Transcript,
}

impl Run<'_> {
    /// An empty store, whatever the case before left.
    async fn begin(&mut self) {
        let leases = self.must("Lease.LeaseLeases", "").await;
        for lease in list(&leases, "leases") {
            let id = number(&lease, "ID");
            self.must("Lease.LeaseRevoke", &format!("ID: {id}")).await;
        }
        self.must("KV.DeleteRange", EVERY_KEY).await;
        let answer = self.must("KV.Range", EVERY_KEY).await;
        let header = answer.get_field_by_name("header").unwrap().into_owned();
        self.names.base = number(header.as_message().unwrap(), "revision");
    }

    /// No users and no roles, whatever the case did.
    async fn end_users(&mut self) {
        let root = r#"name: "root" password: "root""#;
        if let Ok(answer) = self.call("Auth.Authenticate", &[], root).await {
            let token = answer.get_field_by_name("token").unwrap().into_owned();
            let token = [("token".to_owned(), token.as_str().unwrap().to_owned())];
            // It may be off already.
            let _off = self.call("Auth.AuthDisable", &token, "").await;
        }
        let users = self.must("Auth.UserList", "").await;
        for user in texts(&users, "users") {
            let request = format!("name: {user:?}");
            self.must("Auth.UserDelete", &request).await;
        }
        let roles = self.must("Auth.RoleList", "").await;
        for role in texts(&roles, "roles") {
            let request = format!("role: {role:?}");
            self.must("Auth.RoleDelete", &request).await;
        }
    }

    async fn step(&mut self, index: usize, step: &Step) {
        match &step.action {
            Action::Call {
                keep,
                metadata,
                method,
                request,
            } => {
                let metadata = self.metadata(metadata);
                let request = self.expand(request);
                let fields = match self.call(method, &metadata, &request).await {
                    Err(status) => answer::failure(&status),
                    Ok(answer) => {
                        self.names.note(&answer);
                        let fields = self.names.fields(&answer);
                        if let Some(name) = keep {
                            self.kept.insert(name.clone(), answer);
                        }
                        fields
                    }
                };
                self.tell(index, method, fields);
            }
            Action::Open {
                stream,
                metadata,
                method,
            } => {
                let metadata = self.metadata(metadata);
                let method = self.protos.method(method).expect("the reader looked");
                let opened = Stream::open(&self.server.channel, method, &metadata);
                self.streams.insert(stream.clone(), opened);
            }
            Action::Send { stream, request } => {
                let request = self.expand(request);
                let method = self.stream(stream).method.clone();
                let message = self.message(&method.input(), &request);
                let stream = self.stream(stream);
                stream.send(message).await;
                if !method.is_client_streaming() {
                    stream.send_no_more();
                }
            }
            Action::Read { stream, count } => {
                for _ in 0..*count {
                    let next = self.stream(stream).next().await;
                    self.tell_next(index, stream, next);
                }
            }
            Action::Events { stream, count } => self.events(index, stream, *count).await,
            Action::Quiet { stream } => match self.stream(stream).next_if_any().await {
                Next::Nothing => {}
                next => self.tell_next(index, stream, next),
            },
            Action::Half { stream } => self.stream(stream).send_no_more(),
            Action::Close { stream } => {
                self.stream(stream).send_no_more();
                loop {
                    let next = self.stream(stream).next().await;
                    let over = !matches!(next, Next::Message(_));
                    self.tell_next(index, stream, next);
                    if over {
                        break;
                    }
                }
            }
            Action::Drain { stream } => self.drain(index, stream).await,
            Action::Gone { key } => self.gone(index, key).await,
            Action::Http { method, path, body } => {
                let body = self.expand(body);
                let page = http::ask(&self.server.address, method, path, &body).await;
                let fields = page.fields(&self.names);
                self.tell(index, &format!("{method} {path}"), fields);
            }
            Action::Wait { milliseconds } => {
                tokio::time::sleep(Duration::from_millis(*milliseconds)).await;
            }
        }
    }

    /// Events one after the other for each watch, however they are packed into answers.
    async fn events(&mut self, index: usize, stream: &str, count: usize) {
        let mut by_watch: BTreeMap<i64, Vec<DynamicMessage>> = BTreeMap::new();
        let mut missing = count;
        while missing > 0 {
            match self.stream(stream).next().await {
                Next::Message(answer) if !list(&answer, "events").is_empty() => {
                    let events = list(&answer, "events");
                    missing = missing.saturating_sub(events.len());
                    let watch = number(&answer, "watch_id");
                    by_watch.entry(watch).or_default().extend(events);
                }
                next => {
                    let over = !matches!(next, Next::Message(_));
                    self.tell_next(index, stream, next);
                    if over {
                        break;
                    }
                }
            }
        }
        let mut fields = Fields::new();
        for (watch, events) in by_watch {
            for (n, event) in events.iter().enumerate() {
                let path = format!("watch[{watch}].events[{n}]");
                self.names.add_message(&path, event, &mut fields);
            }
        }
        let method = self.name_of(stream);
        self.tell(index, &method, fields);
    }

    async fn drain(&mut self, index: usize, stream: &str) {
        let mut first = None;
        let mut last = None;
        let end = loop {
            match self.stream(stream).next().await {
                Next::Message(message) if first.is_none() => first = Some(message),
                Next::Message(message) => last = Some(message),
                end => break end,
            }
        };
        for message in first.into_iter().chain(last) {
            self.tell_next(index, stream, Next::Message(message));
        }
        self.tell_next(index, stream, end);
    }

    async fn gone(&mut self, index: usize, key: &str) {
        let begin = Instant::now();
        let request = format!("key: {key} count_only: true");
        while begin.elapsed() < GONE_WITHIN {
            if number(&self.must("KV.Range", &request).await, "count") == 0 {
                return self.tell(index, "KV.Range", answer::word("gone"));
            }
            tokio::time::sleep(PAUSE).await;
        }
        self.tell(index, "KV.Range", answer::word("still there"));
    }

    fn tell_next(&mut self, index: usize, stream: &str, next: Next) {
        let fields = match next {
            Next::Message(message) => self.names.fields(&message),
            Next::End => answer::word("end"),
            Next::Failed(status) => answer::failure(&status),
            Next::Nothing => answer::word("nothing came"),
        };
        let method = self.name_of(stream);
        self.tell(index, &method, fields);
    }

    fn tell(&mut self, step: usize, method: &str, fields: Fields) {
        self.transcript.push(Answer {
            step,
            method: method.to_owned(),
            fields,
        });
    }

    async fn call(
        &self,
        method: &str,
        metadata: &Metadata,
        request: &str,
    ) -> Result<DynamicMessage, Status> {
        let method = self.protos.method(method).expect("the reader looked");
        let message = self.message(&method.input(), request);
        calls::unary(&self.server.channel, &method, metadata, message).await
    }

    /// A call of the runner itself, which a server never refuses.
    async fn must(&self, method: &str, request: &str) -> DynamicMessage {
        match self.call(method, &[], request).await {
            Ok(answer) => answer,
            Err(status) => panic!("{}: {method} {request}: {status}", self.at),
        }
    }

    fn message(&self, kind: &prost_reflect::MessageDescriptor, text: &str) -> DynamicMessage {
        DynamicMessage::parse_text_format(kind.clone(), text)
            .unwrap_or_else(|error| panic!("{}: {text}: {error}", self.at))
    }

    fn stream(&mut self, name: &str) -> &mut Stream {
        let found = self.streams.get_mut(name);
        found.unwrap_or_else(|| panic!("{}: no stream {name} is open", self.at))
    }

    fn name_of(&mut self, stream: &str) -> String {
        let method = &self.stream(stream).method;
        format!("{}.{}", method.parent_service().name(), method.name())
    }

    fn metadata(&self, pairs: &Metadata) -> Vec<(String, String)> {
        let expanded = pairs
            .iter()
            .map(|(name, value)| (name.clone(), self.expand(value)));
        expanded.collect()
    }

    /// A request with its revisions, kept answers and repetitions put in.
    fn expand(&self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['@', '$', '<']) {
            let (before, from) = rest.split_at(at);
            out.push_str(before);
            let (piece, used) = if let Some(inside) = from.strip_prefix("<<") {
                let end = inside.find(">>").expect("a repetition ends with >>");
                (repeat(&inside[..end]), end + 4)
            } else if let Some(inside) = from.strip_prefix('@') {
                let digits = length(inside, |c| c.is_ascii_digit() || c == '-');
                let offset: i64 = inside[..digits].parse().expect("@ is a revision");
                ((self.names.base + offset).to_string(), digits + 1)
            } else if let Some(inside) = from.strip_prefix('$') {
                let used = length(inside, |c| c.is_alphanumeric() || c == '.' || c == '_');
                (self.kept_value(&inside[..used]), used + 1)
            } else {
                ("<".to_owned(), 1)
            };
            out.push_str(&piece);
            rest = &from[used..];
        }
        out.push_str(rest);
        out
    }

    /// The value at a path like `name.field.0.field`. An answer that failed has only zeros.
    fn kept_value(&self, path: &str) -> String {
        let mut parts = path.split('.');
        let name = parts.next().unwrap_or_default();
        let Some(kept) = self.kept.get(name) else {
            return "0".to_owned();
        };
        let mut value = Value::Message(kept.clone());
        for part in parts {
            value = match value {
                Value::Message(message) => message
                    .get_field_by_name(part)
                    .unwrap_or_else(|| panic!("{}: ${path} is not there", self.at))
                    .into_owned(),
                Value::List(items) => {
                    let index: usize = part.parse().expect("a list is indexed with a number");
                    items.get(index).cloned().unwrap_or(Value::I64(0))
                }
                other => other,
            };
        }
        match value {
            Value::I64(number) => number.to_string(),
            Value::U64(number) => number.to_string(),
            Value::String(text) => text,
            Value::Bytes(bytes) => bytes.escape_ascii().to_string(),
            other => panic!("{}: ${path} is {other:?}", self.at),
        }
    }
}

/// `3:text`, three times.
fn repeat(inside: &str) -> String {
    let (times, text) = inside.split_once(':').expect("a repetition is <<N:text>>");
    let times: usize = times.parse().expect("a repetition has a number");
    (0..times)
        .map(|n| text.replace("%d", &n.to_string()))
        .collect()
}

fn length(text: &str, is_part: impl Fn(char) -> bool) -> usize {
    text.find(|c| !is_part(c)).unwrap_or(text.len())
}

fn number(message: &DynamicMessage, field: &str) -> i64 {
    let value = message.get_field_by_name(field);
    value.and_then(|value| value.as_i64()).unwrap_or_default()
}

fn list(message: &DynamicMessage, field: &str) -> Vec<DynamicMessage> {
    let value = message.get_field_by_name(field);
    let items = value.as_ref().and_then(|value| value.as_list());
    let messages = items.into_iter().flatten().filter_map(Value::as_message);
    messages.cloned().collect()
}

fn texts(message: &DynamicMessage, field: &str) -> Vec<String> {
    let value = message.get_field_by_name(field);
    let items = value.as_ref().and_then(|value| value.as_list());
    let texts = items.into_iter().flatten().filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}
