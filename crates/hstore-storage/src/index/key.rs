//! A key as the index keeps it: short ones without an allocation of their own.
//!
//! Invariant: two keys are equal, and in order, exactly as their bytes are.

use std::borrow::Borrow;
use std::cmp::Ordering;

/// The longest key that needs no allocation.
const INLINE_BYTES_MAX: usize = 22;

/// A key of 24 bytes beside what a long one allocates.
#[derive(Clone, Debug)]
pub(crate) enum Key {
    /// Up to 22 bytes, in place.
    Inline {
        len: u8,
        bytes: [u8; INLINE_BYTES_MAX],
    },
    /// More.
    Boxed(Box<[u8]>),
}

impl Key {
    /// The key of these bytes.
    pub(crate) fn new(key: &[u8]) -> Key {
        if key.len() > INLINE_BYTES_MAX {
            return Key::Boxed(key.into());
        }
        let mut bytes = [0; INLINE_BYTES_MAX];
        bytes[..key.len()].copy_from_slice(key);
        Key::Inline {
            len: key.len() as u8,
            bytes,
        }
    }

    /// Its bytes.
    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Key::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Key::Boxed(bytes) => bytes,
        }
    }
}

impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        self.as_slice()
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Key) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Key) -> Ordering {
        self.as_slice().cmp(other.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_24_bytes_and_orders_as_its_bytes_do() {
        assert_eq!(size_of::<Key>(), 24);
        let keys: Vec<Vec<u8>> = [0usize, 1, 5, 21, 22, 23, 24, 300]
            .into_iter()
            .flat_map(|len| [vec![0; len], vec![7; len], vec![255; len]])
            .collect();
        for left in &keys {
            assert_eq!(Key::new(left).as_slice(), left);
            for right in &keys {
                assert_eq!(Key::new(left).cmp(&Key::new(right)), left.cmp(right));
                assert_eq!(Key::new(left) == Key::new(right), left == right);
            }
        }
    }
}
