//! Every error code has its page, and every page its code.
//!
//! Invariant: the list of codes is the one that the code uses, never a copy.

use std::collections::BTreeSet;

use hstore_core::error::ErrorCode;

use super::Violation;

/// What each page must say, as its headings.
const SECTIONS: &[&str] = &["## Meaning", "## Likely cause", "## What to do"];

/// The codes that exist.
pub(super) fn known() -> BTreeSet<String> {
    ErrorCode::ALL
        .iter()
        .map(|code| code.as_str().to_owned())
        .collect()
}

/// Missing pages, pages without a code, pages that leave a question open.
pub(super) fn check(codes: &BTreeSet<String>, pages: &[(String, String)]) -> Vec<Violation> {
    let place = |code: &str| format!("docs/errors/{code}.md");
    let mut violations = Vec::new();
    for code in codes {
        if !pages.iter().any(|(page, _)| page == code) {
            violations.push(Violation::new(
                place(code),
                "is missing: write meaning, likely cause and what to do",
            ));
        }
    }
    for (code, text) in pages {
        if !codes.contains(code) {
            violations.push(Violation::new(
                place(code),
                "has no code in hstore-core/src/error.rs",
            ));
        }
        for section in SECTIONS {
            if !text.lines().any(|line| line == *section) {
                violations.push(Violation::new(place(code), format!("lacks `{section}`")));
            }
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(code: &str) -> (String, String) {
        (
            code.to_owned(),
            format!("# {code}\n{}\n", SECTIONS.join("\n\n")),
        )
    }

    #[test]
    fn a_page_for_each_code_passes() {
        let codes = ["conflict".to_owned()].into();
        assert_eq!(check(&codes, &[page("conflict")]), Vec::new());
    }

    #[test]
    fn a_missing_an_orphaned_and_a_bare_page_are_named() {
        let codes = BTreeSet::from(["conflict".to_owned(), "timeout".to_owned()]);
        let bare = ("timeout".to_owned(), "# timeout\n".to_owned());
        let places = |pages: &[(String, String)]| {
            check(&codes, pages)
                .into_iter()
                .map(|violation| violation.place)
                .collect::<Vec<_>>()
        };
        assert_eq!(places(&[page("timeout")]), ["docs/errors/conflict.md"]);
        assert_eq!(
            places(&[page("conflict"), page("timeout"), page("gone")]),
            ["docs/errors/gone.md"]
        );
        assert_eq!(places(&[page("conflict"), bare]).len(), SECTIONS.len());
    }
}
