//! The names in the log's folder.

/// A segment in use, by its sequence number.
const SEGMENT_SUFFIX: &str = ".wal";
/// A segment whose entries were purged, kept for its written blocks, by its old number.
const SPARE_SUFFIX: &str = ".spare";
/// The digits of a sequence number, so that the order of names is the order of numbers.
const DIGITS: usize = 20;

pub(super) fn segment_name(sequence: u64) -> String {
    format!("{sequence:020}{SEGMENT_SUFFIX}")
}

pub(super) fn spare_name(sequence: u64) -> String {
    format!("{sequence:020}{SPARE_SUFFIX}")
}

/// The sequence number that a segment's name says; `None` for any other name.
pub(super) fn parse_segment(name: &str) -> Option<u64> {
    parse(name, SEGMENT_SUFFIX)
}

/// The old number that a spare's name says; `None` for any other name.
pub(super) fn parse_spare(name: &str) -> Option<u64> {
    parse(name, SPARE_SUFFIX)
}

fn parse(name: &str, suffix: &str) -> Option<u64> {
    let digits = name.strip_suffix(suffix)?;
    let plain = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    // Sequence numbers begin at 1: zeros in a file can then never name a segment.
    plain
        .then(|| digits.parse().ok())?
        .filter(|sequence| *sequence > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_foreign_names_are_refused() {
        assert_eq!(segment_name(7), "00000000000000000007.wal");
        assert_eq!(spare_name(7), "00000000000000000007.spare");
        assert_eq!(parse_segment(&segment_name(u64::MAX)), Some(u64::MAX));
        assert_eq!(parse_spare(&spare_name(7)), Some(7));
        for name in [
            "7.wal",
            "00000000000000000000.wal",
            "0000000000000000000a.wal",
            "x",
            "",
        ] {
            assert_eq!(parse_segment(name), None, "{name}");
        }
        assert_eq!(parse_segment("99999999999999999999.wal"), None);
        assert_eq!(parse_segment(&spare_name(7)), None);
        assert_eq!(parse_spare(&segment_name(7)), None);
    }
}
