//! Which of the types that a page has is sent: what the header `Accept` likes best (RFC 9110,
//! section 12.5.1).

use hstore_core::error::ErrorCode;
use hyper::StatusCode;
use hyper::header::{self, HeaderMap};

use super::problem::Problem;

/// The most ranges of types that are looked at.
const RANGES_MAX: usize = 32;

/// The best of the types on offer; the first of those that are liked alike.
pub(super) fn best(headers: &HeaderMap, offers: &[&'static str]) -> Result<&'static str, Problem> {
    let told: Vec<&str> = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|range| !range.is_empty())
        .take(RANGES_MAX)
        .collect();
    let liked = offers.iter().rev().map(|offer| {
        let liking = if told.is_empty() {
            1000
        } else {
            liking(&told, offer)
        };
        (liking, *offer)
    });
    // Of those that are liked alike the last of the reversed offers is taken: the first.
    match liked.max_by_key(|(liking, _)| *liking) {
        Some((liking, offer)) if liking > 0 => Ok(offer),
        _none => {
            let what = format!("what is asked for is to be had as {}", offers.join(", "));
            let problem = Problem::new(ErrorCode::InvalidArgument, what);
            Err(problem.status(StatusCode::NOT_ACCEPTABLE))
        }
    }
}

/// How much a type is liked, from 0 to 1000: the most exact range says it.
fn liking(ranges: &[&str], offer: &str) -> u32 {
    let (kind, _) = offer.split_once('/').unwrap_or((offer, ""));
    let found = ranges.iter().filter_map(|range| {
        let (name, rest) = range.split_once(';').unwrap_or((range, ""));
        let name = name.trim();
        let exact = if name.eq_ignore_ascii_case(offer) {
            2
        } else if name
            .strip_suffix("/*")
            .is_some_and(|name| name.eq_ignore_ascii_case(kind))
        {
            1
        } else if name == "*/*" {
            0
        } else {
            return None;
        };
        Some((exact, quality(rest)))
    });
    found.max().map_or(0, |(_, quality)| quality)
}

/// The weight among the parameters of a range, in thousandths; one that is not understood is 1.
fn quality(parameters: &str) -> u32 {
    let weight = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("q")
            .then(|| value.trim().parse::<f32>().ok())
            .flatten()
    });
    weight.map_or(1000, |weight| (weight.clamp(0.0, 1.0) * 1000.0) as u32)
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn what_is_liked_best_is_sent_and_the_first_of_equals() {
        let offers = ["application/json", "text/plain", "application/octet-stream"];
        for (accept, chosen) in [
            ("", Some("application/json")),
            ("*/*", Some("application/json")),
            ("text/html, */*;q=0.8", Some("application/json")),
            ("text/plain", Some("text/plain")),
            ("TEXT/PLAIN; charset=utf-8", Some("text/plain")),
            ("text/*", Some("text/plain")),
            ("application/*;q=0.5, text/*", Some("text/plain")),
            (
                "application/json;q=0, application/*",
                Some("application/octet-stream"),
            ),
            ("application/json;q=nonsense", Some("application/json")),
            ("text/html", None),
            ("application/json;q=0", None),
            ("nonsense", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            let told = best(&headers, &offers);
            assert_eq!(told.ok(), chosen, "{accept}");
        }
        assert_eq!(best(&HeaderMap::new(), &offers).ok(), Some(offers[0]));
    }
}
