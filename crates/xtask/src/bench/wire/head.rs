//! The heads of requests, in HPACK (RFC 7541).
//!
//! As the clients of gRPC do, a field is written out once and is a number from then on, in the
//! table that both sides keep. Invariant: the fields are few and small, so that none ever leaves
//! the table of 4096 bytes that every server keeps unless it says otherwise.

use bytes::{BufMut as _, Bytes, BytesMut};

/// The fields of the table that every connection begins with.
const STATIC_FIELDS: usize = 61;

/// What is in the table already: the method and the scheme of every call.
const METHOD_POST: u8 = 0x80 | 3;
const SCHEME_HTTP: u8 = 0x80 | 6;

/// Where the table has the names of fields.
const NAME_AUTHORITY: u8 = 1;
const NAME_PATH: u8 = 4;
const NAME_CONTENT_TYPE: u8 = 31;

/// A field that is written out and goes to the table; with it the number of its name, or 0.
const ADDED: u8 = 0x40;

/// The heads of the calls of one connection.
#[derive(Debug)]
pub(super) struct Heads {
    authority: String,
    /// What was added to the table, in that order.
    added: Vec<Field>,
}

/// A field that is the same in many calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Authority,
    ContentType,
    Trailers,
    Path(&'static str),
}

impl Heads {
    /// The heads of calls to a server.
    pub(super) fn new(authority: &str) -> Heads {
        Heads {
            authority: authority.to_owned(),
            added: Vec::new(),
        }
    }

    /// The head of a call, which has to be sent before the next one is made.
    pub(super) fn encode(&mut self, path: &'static str) -> Bytes {
        let mut head = BytesMut::with_capacity(128);
        head.put_u8(METHOD_POST);
        head.put_u8(SCHEME_HTTP);
        for field in [
            Field::Path(path),
            Field::Authority,
            Field::ContentType,
            Field::Trailers,
        ] {
            self.put(&mut head, field);
        }
        head.freeze()
    }

    fn put(&mut self, head: &mut BytesMut, field: Field) {
        if let Some(at) = self.added.iter().position(|added| *added == field) {
            // The newest comes first.
            let number = STATIC_FIELDS + self.added.len() - at;
            assert!(number < 127, "a connection makes few kinds of calls");
            head.put_u8(0x80 | number as u8);
            return;
        }
        match field {
            Field::Authority => put_new(head, NAME_AUTHORITY, "", &self.authority),
            Field::ContentType => put_new(head, NAME_CONTENT_TYPE, "", "application/grpc"),
            Field::Trailers => put_new(head, 0, "te", "trailers"),
            Field::Path(path) => put_new(head, NAME_PATH, "", path),
        }
        self.added.push(field);
    }
}

fn put_new(head: &mut BytesMut, number: u8, name: &str, value: &str) {
    head.put_u8(ADDED | number);
    if number == 0 {
        put_text(head, name);
    }
    put_text(head, value);
}

fn put_text(head: &mut BytesMut, text: &str) {
    assert!(text.len() < 127, "the texts of heads are short");
    head.put_u8(text.len() as u8);
    head.put_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_written_out_once_and_is_a_number_then() {
        let mut heads = Heads::new("127.0.0.1:1");
        let first = heads.encode("/a/B");
        assert!(first.starts_with(&[0x83, 0x86, 0x44, 4]));
        // The path was added first of four, so it is the oldest.
        assert_eq!(&*heads.encode("/a/B"), [0x83, 0x86, 0xc1, 0xc0, 0xbf, 0xbe]);
        let other = heads.encode("/a/C");
        assert_eq!(&other[..4], [0x83, 0x86, 0x44, 4]);
        // Behind the new path all others are one older.
        assert_eq!(&other[8..], [0xc1, 0xc0, 0xbf]);
        assert_eq!(&*heads.encode("/a/C"), [0x83, 0x86, 0xbe, 0xc1, 0xc0, 0xbf]);
    }
}
