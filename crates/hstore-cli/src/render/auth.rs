//! Users, roles and permissions, in all three forms.

use std::io::{self, Write};

use hstore_client::{AuthStatus, KeyRange};
use hstore_core::auth::{Access, Permission};
use serde_json::{Map, Value, json};

use super::{View, json as form, table};
use crate::text;

/// What a command about users found out.
#[derive(Clone, Debug)]
pub(crate) enum AuthData {
    /// It was done.
    Done,
    /// Whether anybody is asked.
    Status(AuthStatus),
    /// The names of all users.
    Users(Vec<String>),
    /// One user.
    User {
        /// The name.
        name: String,
        /// The roles.
        roles: Vec<String>,
    },
    /// The names of all roles.
    Roles(Vec<String>),
    /// One role.
    Role {
        /// The name.
        name: String,
        /// What it may do.
        permissions: Vec<Permission>,
    },
}

pub(super) fn table(out: &mut dyn Write, view: View, data: &AuthData) -> io::Result<()> {
    match data {
        AuthData::Done => writeln!(out, "{}", table::ok(view)),
        AuthData::Status(AuthStatus { enabled, revision }) => {
            let state = if *enabled { "enabled" } else { "disabled" };
            writeln!(out, "authentication is {state}, revision {revision}")
        }
        AuthData::Users(names) | AuthData::Roles(names) => lines(out, names),
        AuthData::User { name, roles } => {
            writeln!(out, "user   {name}")?;
            let roles = if roles.is_empty() {
                "none".to_owned()
            } else {
                roles.join(", ")
            };
            writeln!(out, "roles  {roles}")
        }
        AuthData::Role { name, permissions } => {
            writeln!(out, "role   {name}")?;
            permissions.iter().try_for_each(|permission| {
                let keys = range(view, &permission.keys);
                writeln!(out, "{:<6} {keys}", word(permission.access))
            })
        }
    }
}

pub(super) fn raw(out: &mut dyn Write, view: View, data: &AuthData) -> io::Result<()> {
    match data {
        AuthData::Done => Ok(()),
        AuthData::Status(status) => writeln!(out, "{}", status.enabled),
        AuthData::Users(names) | AuthData::Roles(names) => lines(out, names),
        AuthData::User { roles, .. } => lines(out, roles),
        AuthData::Role { permissions, .. } => permissions.iter().try_for_each(|permission| {
            let keys = range(view, &permission.keys);
            writeln!(out, "{}\t{keys}", word(permission.access))
        }),
    }
}

pub(super) fn json(view: View, data: &AuthData) -> Value {
    match data {
        AuthData::Done => json!({"ok": true}),
        AuthData::Status(AuthStatus { enabled, revision }) => {
            json!({"enabled": enabled, "auth_revision": revision})
        }
        AuthData::Users(names) => json!({"users": names}),
        AuthData::User { name, roles } => json!({"user": name, "roles": roles}),
        AuthData::Roles(names) => json!({"roles": names}),
        AuthData::Role { name, permissions } => {
            let permissions = permissions.iter().map(|permission| {
                let mut value = Map::new();
                value.insert("access".to_owned(), word(permission.access).into());
                form::put(&mut value, view, "key", permission.keys.start());
                match &permission.keys {
                    KeyRange::One(_) => {}
                    KeyRange::Span { end, .. } => form::put(&mut value, view, "end", end),
                    KeyRange::From(_) => {
                        value.insert("end".to_owned(), Value::Null);
                    }
                }
                Value::Object(value)
            });
            json!({"role": name, "permissions": permissions.collect::<Vec<_>>()})
        }
    }
}

fn lines(out: &mut dyn Write, lines: &[String]) -> io::Result<()> {
    lines.iter().try_for_each(|line| writeln!(out, "{line}"))
}

fn word(access: Access) -> &'static str {
    match access {
        Access::Read => "read",
        Access::Write => "write",
        Access::ReadWrite => "both",
    }
}

/// A range as a person would say it.
fn range(view: View, keys: &KeyRange) -> String {
    let shown = |bytes: &[u8]| {
        if view.base64 {
            text::to_base64(bytes)
        } else {
            text::escape(bytes)
        }
    };
    match keys {
        KeyRange::One(key) => shown(key),
        keys if *keys == KeyRange::all() || keys.start().is_empty() => "every key".to_owned(),
        KeyRange::Span { start, .. } if *keys == KeyRange::prefix(start) => {
            format!("{}... (prefix)", shown(start))
        }
        KeyRange::Span { start, end } => format!("{} up to {}", shown(start), shown(end)),
        KeyRange::From(start) => format!("{} and all after it", shown(start)),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::args::Format;

    fn key(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[test]
    fn a_role_shows_what_it_may_do_in_all_three_forms() {
        let view = View {
            format: Format::Table,
            base64: false,
            color: false,
        };
        let permission = |access, keys| Permission { keys, access };
        let span = KeyRange::Span {
            start: key("a"),
            end: key("f"),
        };
        let data = AuthData::Role {
            name: "r".to_owned(),
            permissions: vec![
                permission(Access::Read, KeyRange::One(key("k"))),
                permission(Access::Write, KeyRange::prefix(&key("app/"))),
                permission(Access::ReadWrite, span),
                permission(Access::Read, KeyRange::From(key("z"))),
                permission(Access::Read, KeyRange::all()),
            ],
        };
        let mut out = Vec::new();
        table(&mut out, view, &data).unwrap();
        let expected = "role   r\nread   k\nwrite  app/... (prefix)\nboth   a up to f\n\
            read   z and all after it\nread   every key\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        let mut out = Vec::new();
        raw(&mut out, view, &data).unwrap();
        assert!(
            String::from_utf8(out)
                .unwrap()
                .starts_with("read\tk\nwrite\tapp/")
        );
        let value = json(view, &data);
        assert_eq!(
            value["permissions"][0],
            json!({"access": "read", "key": "k"})
        );
        assert_eq!(value["permissions"][2]["end"], "f");
        assert_eq!(value["permissions"][3]["end"], Value::Null);
    }
}
