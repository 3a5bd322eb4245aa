//! The lines of the table of pages: what is at a path, what it takes, who may ask, and what it does.
//!
//! The router, the checks of a request and the description of the API are all made from these
//! lines, so that none of them can know what the others do not. Invariants: (1) a page that is not
//! [`Page::Asked`] looks after its own parameters and callers; (2) one that is gets no parameter
//! that its line does not name, and calls no method of gRPC that its line does not name.

use futures::future::BoxFuture;
use hstore_core::error::ErrorCode;
use hyper::{Method, Response};
use serde_json::Value;
use tonic::body::Body;

use super::ask::Ask;
use super::health::Check;
use super::problem::Problem;
use crate::grpc::Need;

/// The methods of HTTP that pages take. `HEAD` goes with `GET`, and `OPTIONS` with all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verb {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Verb {
    /// The verb of a method.
    pub(super) fn of(method: &Method) -> Option<Verb> {
        match *method {
            Method::GET | Method::HEAD => Some(Verb::Get),
            Method::POST => Some(Verb::Post),
            Method::PUT => Some(Verb::Put),
            Method::PATCH => Some(Verb::Patch),
            Method::DELETE => Some(Verb::Delete),
            _ => None,
        }
    }

    /// As it is written.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Verb::Get => "GET",
            Verb::Post => "POST",
            Verb::Put => "PUT",
            Verb::Patch => "PATCH",
            Verb::Delete => "DELETE",
        }
    }
}

/// What answers.
#[derive(Clone, Copy, Debug)]
pub(super) enum Page {
    /// A method of gRPC, by its place in the gateway.
    Gateway(usize),
    /// etcd's older word on whether the node is well.
    Health,
    /// Some checks, by name.
    Checks(&'static [Check]),
    /// What is counted.
    Metrics,
    /// Which version this is.
    Version,
    /// Whatever this function says, to who may ask it.
    Asked(Handler),
}

/// A page: it parses, calls, renders.
pub(super) type Handler = fn(Ask) -> BoxFuture<'static, Result<Response<Body>, Problem>>;

/// Where a parameter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the path, where it is named in braces.
    Path,
    /// In the query.
    Query,
    /// In a header; here it is only told of, and the page reads it.
    Header,
}

/// What a parameter may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `true` or `false`, or its name alone for `true`.
    Flag,
    /// A whole number within bounds.
    Number(i64, i64),
    /// Any bytes, percent-encoded.
    Bytes,
    /// One of these.
    Word(&'static [&'static str]),
}

/// What a request may or must say beside its body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Param {
    pub(super) name: &'static str,
    pub(super) place: Place,
    pub(super) kind: Kind,
    /// In a sentence.
    pub(super) says: &'static str,
}

/// What a request carries, or an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Content {
    /// The types that it may have.
    pub(super) types: &'static [&'static str],
    /// What it looks like in JSON; nothing where it is not JSON.
    pub(super) schema: fn() -> Value,
}

/// An answer that is no refusal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Success {
    pub(super) status: u16,
    /// In a sentence.
    pub(super) says: &'static str,
    pub(super) content: Option<Content>,
}

/// One line: what is at a path for a verb.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub(super) verb: Verb,
    /// The path: `{name}` stands for one segment, `{name*}` at its end for all that is left.
    pub(super) path: &'static str,
    pub(super) page: Page,
    /// What a caller needs while users are asked who they are.
    pub(super) need: Need,
    /// The methods of gRPC that the page may call.
    pub(super) calls: &'static [&'static str],
    /// Whether asking changes anything: then no page of another site may ask.
    pub(super) has_effects: bool,
    /// Whether strangers' requests, made up by the thousand, leave the node what it was: they do
    /// not where the page ends nodes, or goes on until its client goes.
    pub(super) may_be_made_up: bool,
    /// In a sentence.
    pub(super) says: &'static str,
    pub(super) params: &'static [&'static [Param]],
    pub(super) body: Option<Content>,
    pub(super) successes: &'static [Success],
    /// The refusals that it may answer, beside those that every page may.
    pub(super) refusals: &'static [&'static [ErrorCode]],
}

impl Line {
    /// A page that is only looked at.
    pub(super) const fn get(path: &'static str, page: Page) -> Line {
        Line {
            verb: Verb::Get,
            path,
            page,
            need: Need::Anyone,
            calls: &[],
            has_effects: false,
            may_be_made_up: true,
            says: "",
            params: &[],
            body: None,
            successes: &[],
            refusals: &[],
        }
    }

    /// A page that changes something.
    pub(super) const fn change(verb: Verb, path: &'static str, page: Page) -> Line {
        let line = Line::get(path, page);
        Line {
            verb,
            has_effects: true,
            ..line
        }
    }

    /// The same, in a sentence.
    pub(super) const fn says(self, says: &'static str) -> Line {
        Line { says, ..self }
    }

    /// The same, for who has what is needed, by calling these methods.
    pub(super) const fn needs(self, need: Need, calls: &'static [&'static str]) -> Line {
        Line {
            need,
            calls,
            ..self
        }
    }

    /// The same, with parameters.
    pub(super) const fn takes(self, params: &'static [&'static [Param]]) -> Line {
        Line { params, ..self }
    }

    /// The same, with a body.
    pub(super) const fn body(self, content: Content) -> Line {
        Line {
            body: Some(content),
            ..self
        }
    }

    /// The same, with its answers.
    pub(super) const fn answers(
        self,
        successes: &'static [Success],
        refusals: &'static [&'static [ErrorCode]],
    ) -> Line {
        Line {
            successes,
            refusals,
            ..self
        }
    }

    /// The same, changing something although it is a `GET`.
    pub(super) const fn with_effects(self) -> Line {
        Line {
            has_effects: true,
            ..self
        }
    }

    /// The same, not to be asked by who makes requests up.
    pub(super) const fn not_made_up(self) -> Line {
        Line {
            may_be_made_up: false,
            ..self
        }
    }

    /// Its parameters.
    pub(super) fn params(&self) -> impl Iterator<Item = &'static Param> + use<> {
        self.params.iter().flat_map(|some| some.iter())
    }
}
