//! The query of an address: names and values that are plain words.

/// The values of a name, empty where it stands alone. What is escaped is no plain word, so it is
/// left as it is and is equal to nothing that is asked for here.
pub(super) fn values<'a>(query: Option<&'a str>, name: &'a str) -> impl Iterator<Item = &'a str> {
    query
        .unwrap_or_default()
        .split('&')
        .filter_map(move |part| match part.split_once('=') {
            Some((key, value)) => (key == name).then_some(value),
            None => (part == name).then_some(""),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_names_and_values() {
        let query = Some("verbose&exclude=a&exclude=b&c=d=e&=x");
        let all = |name| values(query, name).collect::<Vec<_>>();
        assert_eq!(all("verbose"), [""]);
        assert_eq!(all("exclude"), ["a", "b"]);
        assert_eq!(all("c"), ["d=e"]);
        assert!(all("x").is_empty());
        assert_eq!(values(None, "verbose").count(), 0);
    }
}
