//! Requests over HTTP/1.1, and their answers as fields.
//!
//! Invariant: one connection for each request, which the server closes; an answer is read to its end
//! or to its deadline.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::answer::{self, Fields, Names};

/// How long an answer may take.
const SOON: Duration = Duration::from_secs(8);

/// The states of paths that are not there, or not for this method.
const NOT_THERE: [u16; 2] = [404, 405];

/// An answer.
pub(super) struct Page {
    status: u16,
    body: String,
}

/// Asks for a page.
pub(super) async fn ask(address: &str, method: &str, path: &str, body: &str) -> Page {
    let asked = tokio::time::timeout(SOON, ask_now(address, method, path, body)).await;
    let answer = asked.ok().and_then(Result::ok).unwrap_or_default();
    read(&answer)
}

async fn ask_now(address: &str, method: &str, path: &str, body: &str) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer)
}

fn read(answer: &[u8]) -> Page {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    let chunked = head.lines().any(|line| {
        let line = line.to_ascii_lowercase();
        line.starts_with("transfer-encoding:") && line.contains("chunked")
    });
    Page {
        status: status.unwrap_or_default(),
        body: if chunked {
            joined(body)
        } else {
            body.to_owned()
        },
    }
}

/// The chunks of a body, one behind the other.
fn joined(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((length, behind)) = rest.split_once("\r\n") {
        let length = usize::from_str_radix(length.trim(), 16).unwrap_or(0);
        let (Some(chunk), true) = (behind.get(..length), length > 0) else {
            break;
        };
        body.push_str(chunk);
        rest = behind[length..].trim_start_matches("\r\n");
    }
    body
}

impl Page {
    /// Its fields: the status, and what is in its JSON, or its text. What a page says of a path that
    /// is not there is for people, and not compared.
    pub(super) fn fields(&self, names: &Names) -> Fields {
        let mut fields = Fields::from([("http".to_owned(), self.status.to_string())]);
        if NOT_THERE.contains(&self.status) {
            return fields;
        }
        if let Ok(value) = serde_json::from_str(&self.body) {
            add("", &value, names, &mut fields);
        } else {
            let text = answer::short(self.body.trim());
            fields.insert("body".to_owned(), text);
        }
        fields
    }
}

fn add(path: &str, value: &Value, names: &Names, fields: &mut Fields) {
    match value {
        Value::Object(members) => {
            if !path.is_empty() {
                fields.insert(path.to_owned(), "{}".to_owned());
            }
            for (name, value) in members {
                add(&answer::join(path, name), value, names, fields);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                add(&format!("{path}[{index}]"), item, names, fields);
            }
        }
        value => {
            let text = match value {
                // Numbers of 64 bits are strings, and anything else that is one is told apart.
                Value::String(text) => names.json_text(path, text),
                other => format!("{other} (no string)"),
            };
            fields.insert(path.to_owned(), text);
        }
    }
}
