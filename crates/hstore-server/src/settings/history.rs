//! How a person says how much history is kept.

use std::time::Duration;

use hstore_node::KeepHistory;

use super::units::parse_duration;

/// The shortest history: it goes in steps, and leaders look once a second.
const AGE_MIN: Duration = Duration::from_secs(1);

/// Reads `off`, `72h`, `100000 revisions`, or a time and a count with a comma between.
pub(super) fn parse(text: &str) -> Option<KeepHistory> {
    let mut keep = KeepHistory::default();
    if text.trim() == "off" {
        return Some(keep);
    }
    for part in text.split(',') {
        let part = part.trim();
        let count = part.strip_suffix("revisions");
        let count = count.or_else(|| part.strip_suffix("revision"));
        if let Some(count) = count {
            let count = count.trim().replace('_', "").parse().ok();
            let count = count.filter(|count: &u64| *count > 0)?;
            if keep.revisions.replace(count).is_some() {
                return None;
            }
        } else {
            let age = age(part).filter(|age| *age >= AGE_MIN)?;
            if keep.age.replace(age).is_some() {
                return None;
            }
        }
    }
    Some(keep)
}

/// Writes it as `parse` reads it.
pub(super) fn show(keep: KeepHistory) -> String {
    let age = keep.age.map(|age| match age.as_secs() {
        seconds if age.subsec_nanos() > 0 || seconds == 0 => format!("{}ms", age.as_millis()),
        seconds if seconds.is_multiple_of(3600) => format!("{}h", seconds / 3600),
        seconds => format!("{seconds}s"),
    });
    let count = keep.revisions.map(|count| format!("{count} revisions"));
    let parts: Vec<String> = age.into_iter().chain(count).collect();
    if parts.is_empty() {
        return "off".to_owned();
    }
    parts.join(", ")
}

/// A time, with hours and days as well, since history is counted in them.
fn age(text: &str) -> Option<Duration> {
    let seconds_each = match text.chars().last()? {
        'h' => 3600,
        'd' => 86_400,
        _ => return parse_duration(text),
    };
    let number: u64 = text[..text.len() - 1].trim().parse().ok()?;
    // As with other times, a century is a slip of the finger.
    let seconds = number.checked_mul(seconds_each)?;
    (seconds < 3_200_000_000).then_some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_is_a_time_a_count_or_both() {
        let keep = |seconds: u64, revisions: u64| KeepHistory {
            age: (seconds > 0).then(|| Duration::from_secs(seconds)),
            revisions: (revisions > 0).then_some(revisions),
        };
        for (text, expected) in [
            ("off", keep(0, 0)),
            ("72h", keep(72 * 3600, 0)),
            ("30d", keep(30 * 86_400, 0)),
            ("90m", keep(5400, 0)),
            ("5s", keep(5, 0)),
            ("100000 revisions", keep(0, 100_000)),
            ("1_000revisions", keep(0, 1000)),
            ("1 revision", keep(0, 1)),
            ("72h, 10000000 revisions", keep(72 * 3600, 10_000_000)),
            ("5 revisions,1m", keep(60, 5)),
        ] {
            assert_eq!(parse(text), Some(expected), "{text}");
        }
        for text in [
            "",
            "on",
            "72",
            "100000",
            "0 revisions",
            "-1 revisions",
            "revisions",
            "500ms",
            "1h, 2h",
            "1 revisions, 2 revisions",
            "1h,",
            "off, 1h",
            "99999999999999d",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
