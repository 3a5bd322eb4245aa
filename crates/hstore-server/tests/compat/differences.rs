//! What differs, and the table of what may.
//!
//! The table is the one between two marks in `docs/etcd-compatibility.md`. A row names a field of a
//! method's answers (`KV.Range kvs[].key`, or `KV.Range *` for all of them), the etcd that answers differently (`all`, or how its
//! version begins), the case (or `any`), what each side answers and why. What a cell has in
//! backticks is compared exactly; other words are for people.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::Path;

use super::answer::{self, Answer, Transcript};
use super::script::Case;

/// The page with the table.
pub(super) const PAGE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../docs/etcd-compatibility.md"
);

const BEGIN: &str = "<!-- differences: begin -->";
const END: &str = "<!-- differences: end -->";

/// What a field has that is not there.
const ABSENT: &str = "nothing";

/// The case of a row that is of every case.
const ANY: &str = "any";

/// One field that two servers do not answer alike.
#[derive(Debug)]
pub(super) struct Difference {
    case: String,
    /// The case's file, and the line and its text.
    at: String,
    oracle: String,
    method: String,
    path: String,
    theirs: String,
    ours: String,
}

/// Every difference between two transcripts of a case.
pub(super) fn compare(
    case: &Case,
    oracle: &str,
    ours: &Transcript,
    theirs: &Transcript,
) -> Vec<Difference> {
    let mut found = Vec::new();
    let none = Answer::none();
    for index in 0..ours.len().max(theirs.len()) {
        let (ours, theirs) = (ours.get(index), theirs.get(index));
        let Some(answered) = ours.or(theirs) else {
            break;
        };
        let step = &case.steps[answered.step];
        let ours = &ours.unwrap_or(&none).fields;
        let theirs = &theirs.unwrap_or(&none).fields;
        let mut paths: BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
        // Where one fails and the other answers, what it answers is beside the point.
        if paths.iter().any(|path| *path == answer::FAILURE) {
            paths.retain(|path| *path == answer::FAILURE);
        }
        for path in paths {
            let value = |fields: &answer::Fields| {
                let value = fields.get(path).map(String::as_str);
                value.unwrap_or(ABSENT).to_owned()
            };
            let (ours, theirs) = (value(ours), value(theirs));
            if !answer::same(path, &ours, &theirs) {
                found.push(Difference {
                    case: case.name.clone(),
                    at: format!("{}:{}: {}", case.file, step.line, step.text),
                    oracle: oracle.to_owned(),
                    method: answered.method.clone(),
                    path: path.clone(),
                    theirs,
                    ours,
                });
            }
        }
    }
    found
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n  case {}", self.at, self.case)?;
        writeln!(f, "  {} {}", self.method, self.path)?;
        writeln!(f, "    {}: {}", self.oracle, self.theirs)?;
        write!(f, "    hstore: {}", self.ours)
    }
}

/// The rows of the table.
pub(super) struct Listed {
    rows: Vec<Row>,
}

struct Row {
    text: String,
    field: String,
    /// How the oracle's version begins; empty for every oracle.
    version: String,
    case: String,
    theirs: Option<String>,
    ours: Option<String>,
    seen: bool,
}

impl Listed {
    pub(super) fn read(page: &Path) -> Listed {
        let text = fs::read_to_string(page).expect("the page of differences is there");
        let (_, text) = text.split_once(BEGIN).expect("the table has a beginning");
        let (text, _) = text.split_once(END).expect("the table has an end");
        let lines = text.lines().filter(|line| line.starts_with("| `"));
        Listed {
            rows: lines.map(Row::read).collect(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The differences that no row allows.
    pub(super) fn sort_out<'a>(&mut self, found: &'a [Difference]) -> Vec<&'a Difference> {
        let mut unknown = Vec::new();
        for difference in found {
            let mut allowed = false;
            for row in &mut self.rows {
                if row.allows(difference) {
                    row.seen = true;
                    allowed = true;
                }
            }
            if !allowed {
                unknown.push(difference);
            }
        }
        unknown
    }

    /// The rows that allowed nothing, though their etcd was asked and their cases were run.
    pub(super) fn unseen(&self, oracles: &[&str], cases: &[Case]) -> Vec<&str> {
        let methods: BTreeSet<_> = cases.iter().flat_map(Case::methods).collect();
        let names: BTreeSet<_> = cases.iter().map(|case| case.name.as_str()).collect();
        let asked = |row: &&Row| {
            let method = row.field.split(' ').next().unwrap_or_default();
            let is_page = !method.contains('.');
            (is_page || methods.contains(method))
                && (row.case == ANY || names.contains(row.case.as_str()))
                && oracles.iter().any(|oracle| row.is_of(oracle))
        };
        let rows = self.rows.iter().filter(|row| !row.seen).filter(asked);
        rows.map(|row| row.text.as_str()).collect()
    }
}

impl Row {
    fn read(text: &str) -> Row {
        let cells: Vec<_> = text.trim_matches('|').split('|').map(str::trim).collect();
        let [field, version, case, theirs, ours, why] = cells[..] else {
            panic!("a row of differences has six cells: {text}");
        };
        assert!(!why.is_empty(), "a difference has a reason: {text}");
        let exact = |cell: &str| {
            let inside = cell.strip_prefix('`')?.strip_suffix('`')?;
            Some(inside.to_owned())
        };
        Row {
            text: text.to_owned(),
            field: exact(field).expect("the field is in backticks"),
            version: if version == "all" { "" } else { version }.to_owned(),
            case: case.to_owned(),
            theirs: exact(theirs),
            ours: exact(ours),
            seen: false,
        }
    }

    fn is_of(&self, oracle: &str) -> bool {
        let version = oracle.strip_prefix("etcd ").unwrap_or(oracle);
        version.starts_with(&self.version)
    }

    fn allows(&self, difference: &Difference) -> bool {
        let is = |wanted: &Option<String>, value: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted == value)
        };
        let field = format!(
            "{} {}",
            difference.method,
            without_indices(&difference.path)
        );
        let is_field = match self.field.strip_suffix('*') {
            Some(beginning) => field.starts_with(beginning),
            None => self.field == field,
        };
        is_field
            && self.is_of(&difference.oracle)
            && (self.case == ANY || self.case == difference.case)
            && is(&self.theirs, &difference.theirs)
            && is(&self.ours, &difference.ours)
    }
}

/// `kvs[3].key` as `kvs[].key`.
fn without_indices(path: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for letter in path.chars() {
        inside = letter == '[' || (inside && letter != ']');
        if !inside || letter == '[' {
            out.push(letter);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(case: &str, path: &str, theirs: &str) -> Difference {
        Difference {
            case: case.to_owned(),
            at: String::new(),
            oracle: "etcd 3.5.1".to_owned(),
            method: "KV.Range".to_owned(),
            path: path.to_owned(),
            theirs: theirs.to_owned(),
            ours: "2".to_owned(),
        }
    }

    #[test]
    fn a_row_allows_its_field_its_case_and_its_values_and_nothing_else() {
        let row = Row::read("| `KV.Range kvs[].key` | 3.5 | sorted | `1` | something | a reason |");
        assert!(row.allows(&difference("sorted", "kvs[12].key", "1")));
        assert!(!row.allows(&difference("sorted", "kvs[12].value", "1")));
        assert!(!row.allows(&difference("other", "kvs[0].key", "1")));
        assert!(!row.allows(&difference("sorted", "kvs[0].key", "3")));
        let old = Row::read("| `KV.Range kvs[].key` | 3.4 | any | `1` | `2` | a reason |");
        assert!(!old.allows(&difference("sorted", "kvs[0].key", "1")));
        let all = Row::read("| `KV.Range *` | all | sorted | x | y | a reason |");
        assert!(all.allows(&difference("sorted", "more", "1")));
        let any = Row::read("| `KV.Range kvs[].key` | all | any | `1` | `2` | a reason |");
        assert!(any.allows(&difference("sorted", "kvs[0].key", "1")));
    }

    #[test]
    fn a_row_that_allows_nothing_is_named_if_its_etcd_was_asked() {
        let row = Row::read("| `KV.Range more` | 3.5 | any | x | y | a reason |");
        let mut listed = Listed { rows: vec![row] };
        let cases = [Case::calling("KV.Range")];
        assert_eq!(listed.unseen(&["etcd 3.4.23"], &cases).len(), 0);
        assert_eq!(listed.unseen(&["etcd 3.5.1"], &[]).len(), 0);
        assert_eq!(listed.unseen(&["etcd 3.5.1"], &cases).len(), 1);
        let found = [difference("a", "more", "x")];
        assert!(listed.sort_out(&found).is_empty());
        assert_eq!(listed.unseen(&["etcd 3.5.1"], &cases).len(), 0);
    }
}
