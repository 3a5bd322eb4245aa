//! Which line of the table a path and a method lead to.
//!
//! Invariants: (1) a path without parameters wins over one with; (2) two lines never stand for the
//! same path and verb.

use std::collections::BTreeMap;

use super::line::{Line, Page, Verb};
use super::{TABLES, percent};

/// All paths.
#[derive(Debug)]
pub(super) struct Routes {
    exact: BTreeMap<&'static str, Vec<Line>>,
    patterns: Vec<(Pattern, Vec<Line>)>,
}

/// A path with parameters.
#[derive(Debug, PartialEq, Eq)]
struct Pattern(Vec<Segment>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Segment {
    Literal(&'static str),
    /// One segment, which is not empty.
    One(&'static str),
    /// All that is left, slashes too; it may be empty.
    Rest(&'static str),
}

/// What stands in a path for its parameters, decoded.
pub(super) type InPath = Vec<(&'static str, Vec<u8>)>;

/// What is at a path.
#[derive(Debug)]
pub(super) struct Found<'a> {
    /// A line for each verb that it takes.
    pub(super) lines: &'a [Line],
    /// None where an escape in the path is none.
    pub(super) params: Option<InPath>,
}

impl Routes {
    /// Every path that this version serves; those of the gateway in the order of their places.
    pub(super) fn new(gateway: &[&'static str]) -> Routes {
        let mut routes = Routes {
            exact: BTreeMap::new(),
            patterns: Vec::new(),
        };
        for line in TABLES.iter().flat_map(|table| table.iter()) {
            routes.add(*line);
        }
        for (place, path) in gateway.iter().enumerate() {
            routes.add(Line::change(Verb::Post, path, Page::Gateway(place)));
        }
        routes
    }

    /// What is at a path.
    pub(super) fn at(&self, path: &str) -> Option<Found<'_>> {
        if let Some(lines) = self.exact.get(path) {
            return Some(Found {
                lines,
                params: Some(InPath::new()),
            });
        }
        self.patterns.iter().find_map(|(pattern, lines)| {
            let params = pattern.matches(path)?;
            let decoded = params
                .into_iter()
                .map(|(name, text)| Some((name, percent::decode(text, false)?)));
            Some(Found {
                lines,
                params: decoded.collect(),
            })
        })
    }

    /// All lines.
    pub(super) fn lines(&self) -> impl Iterator<Item = &Line> {
        let exact = self.exact.values();
        exact
            .chain(self.patterns.iter().map(|(_, lines)| lines))
            .flatten()
    }

    fn add(&mut self, line: Line) {
        let lines = if line.path.contains('{') {
            let pattern = Pattern::parse(line.path);
            let known = self
                .patterns
                .iter()
                .position(|(known, _)| *known == pattern);
            let at = known.unwrap_or_else(|| {
                self.patterns.push((pattern, Vec::new()));
                self.patterns.len() - 1
            });
            &mut self.patterns[at].1
        } else {
            self.exact.entry(line.path).or_default()
        };
        let taken = lines.iter().any(|other| other.verb == line.verb);
        debug_assert!(!taken, "{} is there twice", line.path);
        lines.push(line);
    }
}

impl Pattern {
    fn parse(path: &'static str) -> Pattern {
        let segments = path.trim_start_matches('/').split('/');
        let segments = segments.map(|segment| {
            let name = segment
                .strip_prefix('{')
                .and_then(|rest| rest.strip_suffix('}'));
            match name.map(|name| (name, name.strip_suffix('*'))) {
                None => Segment::Literal(segment),
                Some((_, Some(name))) => Segment::Rest(name),
                Some((name, None)) => Segment::One(name),
            }
        });
        Pattern(segments.collect())
    }

    /// The texts of the parameters, if the path is one of these.
    fn matches<'a>(&self, path: &'a str) -> Option<Vec<(&'static str, &'a str)>> {
        let mut params = Vec::new();
        let mut rest = Some(path.strip_prefix('/')?);
        for segment in &self.0 {
            let left = rest?;
            if let Segment::Rest(name) = segment {
                params.push((*name, left));
                return Some(params);
            }
            let (text, then) = match left.split_once('/') {
                Some((text, then)) => (text, Some(then)),
                None => (left, None),
            };
            match segment {
                Segment::Literal(literal) if *literal == text => {}
                Segment::One(name) if !text.is_empty() => params.push((*name, text)),
                Segment::Literal(_) | Segment::One(_) | Segment::Rest(_) => return None,
            }
            rest = then;
        }
        rest.is_none().then_some(params)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_segment_by_segment_and_its_end_takes_all_that_is_left() {
        type Params = Option<&'static [(&'static str, &'static str)]>;
        let table: [(&'static str, &str, Params); 13] = [
            ("/read/{key*}", "/read/a", Some(&[("key", "a")])),
            ("/read/{key*}", "/read/a/b//c", Some(&[("key", "a/b//c")])),
            ("/read/{key*}", "/read//a", Some(&[("key", "/a")])),
            ("/read/{key*}", "/read/", Some(&[("key", "")])),
            ("/read/{key*}", "/read", None),
            ("/read/{key*}", "/reads/a", None),
            ("/read/{key*}", "//read/a", None),
            ("/nodes/{id}/stop", "/nodes/3/stop", Some(&[("id", "3")])),
            ("/nodes/{id}/stop", "/nodes//stop", None),
            ("/nodes/{id}/stop", "/nodes/3/stop/", None),
            ("/nodes/{id}/stop", "/nodes/3", None),
            ("/nodes/{id}", "/nodes/3", Some(&[("id", "3")])),
            ("/nodes/{id}", "nodes/3", None),
        ];
        for (pattern, path, params) in table {
            let found = Pattern::parse(pattern).matches(path);
            assert_eq!(found.as_deref(), params, "{pattern} {path}");
        }
    }

    #[test]
    fn every_line_is_found_at_its_path_and_names_each_parameter_of_it() {
        let routes = Routes::new(&["/v3/kv/put"]);
        let mut count = 0;
        for line in routes.lines() {
            count += 1;
            let path = line.path.replace("{key*}", "a%2Fb").replace(['{', '}'], "");
            let found = routes.at(&path).unwrap();
            let own = found.lines.iter().filter(|other| other.verb == line.verb);
            let paths: Vec<_> = own.map(|other| other.path).collect();
            assert_eq!(paths, [line.path]);
            let params = found.params.unwrap();
            for (name, _) in &params {
                assert!(
                    line.params().any(|param| param.name == *name),
                    "{} does not say what {name} is",
                    line.path
                );
            }
            for param in line.params() {
                let in_path = params.iter().any(|(name, _)| *name == param.name);
                let says = param.place == super::super::line::Place::Path;
                assert_eq!(in_path, says, "{} {}", line.path, param.name);
            }
        }
        assert!(count > 10);
        assert!(routes.at("/read/%zz").unwrap().params.is_none());
        assert!(routes.at("/never").is_none());
    }
}
