//! What the words of a command mean as bytes, and where values come from.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use bytes::Bytes;

use crate::failure::Failure;
use crate::text;

/// The longest value that is read from a file or the standard input. A node refuses far smaller
/// ones; this only bounds the memory that a wrong file name costs.
const VALUE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How words become bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input {
    /// Words are base64.
    pub(crate) base64: bool,
    /// `-` may read the standard input; not where the lines of a script come from it.
    pub(crate) stdin: bool,
}

impl Input {
    /// A key that is to be there: not empty.
    pub(crate) fn key(self, word: &OsStr) -> Result<Bytes, Failure> {
        let key = self.bytes(word)?;
        if key.is_empty() {
            return Err(Failure::EmptyKey);
        }
        Ok(key)
    }

    /// Any bytes.
    pub(crate) fn bytes(self, word: &OsStr) -> Result<Bytes, Failure> {
        if !self.base64 {
            return Ok(Bytes::copy_from_slice(word.as_bytes()));
        }
        text::from_base64(word.as_bytes())
            .map(Bytes::from)
            .ok_or_else(|| {
                Failure::Usage(format!("{} is not base64", text::escape(word.as_bytes())))
            })
    }

    /// A value from a word, the standard input, or a file, of which the bytes are taken as they
    /// are, also under `--base64`.
    pub(crate) async fn value(
        self,
        word: Option<&OsString>,
        file: Option<&PathBuf>,
    ) -> Result<Bytes, Failure> {
        match (word, file) {
            (_, Some(path)) => {
                let source = fs::File::open(path).map_err(|error| Failure::at(path, error))?;
                bounded(source, &path.display().to_string())
            }
            (Some(word), None) if word == "-" => {
                if !self.stdin {
                    return Err(Failure::Usage(
                        "the standard input is taken by the lines of the shell; use --file"
                            .to_owned(),
                    ));
                }
                waited("the standard input", || {
                    bounded(io::stdin().lock(), "the standard input")
                })
                .await
            }
            (Some(word), None) => self.bytes(word),
            (None, None) => Err(Failure::Usage("a value is missing".to_owned())),
        }
    }
}

/// Reads what a person may take any time to type, on a thread of its own, so that Ctrl-C is heard.
pub(crate) async fn waited<T: Send + 'static>(
    what: &str,
    read: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let ended = |error| Failure::File {
        what: what.to_owned(),
        error: io::Error::other(error),
    };
    tokio::task::spawn_blocking(read).await.map_err(ended)?
}

fn bounded(source: impl Read, name: &str) -> Result<Bytes, Failure> {
    let mut value = Vec::new();
    let failure = |error| Failure::File {
        what: name.to_owned(),
        error,
    };
    source
        .take(VALUE_BYTES_MAX + 1)
        .read_to_end(&mut value)
        .map_err(failure)?;
    if value.len() as u64 > VALUE_BYTES_MAX {
        return Err(Failure::Usage(format!(
            "{name} holds more than {}, which no node takes as a value",
            text::size(VALUE_BYTES_MAX)
        )));
    }
    Ok(value.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_bytes_or_base64() {
        let plain = Input {
            base64: false,
            stdin: false,
        };
        let base64 = Input {
            base64: true,
            stdin: false,
        };
        assert_eq!(plain.key(OsStr::from_bytes(b"\xff")).unwrap(), &b"\xff"[..]);
        assert_eq!(base64.key(OsStr::new("/w==")).unwrap(), &b"\xff"[..]);
        assert_eq!(base64.key(OsStr::new("/w=")).unwrap_err().exit() as u8, 2);
        assert_eq!(plain.key(OsStr::new("")).unwrap_err().exit() as u8, 2);
        assert_eq!(plain.bytes(OsStr::new("")).unwrap(), "");
    }

    #[tokio::test]
    async fn a_value_is_a_word_or_a_file_but_no_input_that_is_taken() {
        let input = Input {
            base64: true,
            stdin: false,
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("value");
        fs::write(&path, b"\xfe!").unwrap();
        assert_eq!(input.value(None, Some(&path)).await.unwrap(), &b"\xfe!"[..]);
        assert_eq!(
            input.value(Some(&"Zm9v".into()), None).await.unwrap(),
            "foo"
        );
        let refused = input.value(Some(&"-".into()), None).await.unwrap_err();
        assert_eq!(refused.exit() as u8, 2);
        let missing = input
            .value(None, Some(&folder.path().join("no")))
            .await
            .unwrap_err();
        assert_eq!(
            (missing.exit() as u8, missing.code().as_str()),
            (1, "file_unusable")
        );
    }
}
