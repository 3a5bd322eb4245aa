//! `user`, `role` and `auth`: who there is, what they may do, and whether anybody is asked.

use std::io::BufRead as _;

use hstore_client::KeyRange;
use hstore_core::auth::Access;

use crate::args::{AccessWord, Auth, Keys, Role, User};
use crate::failure::Failure;
use crate::input::waited;
use crate::render::{AuthData, Data};
use crate::run::Context;
use crate::secret;

pub(super) async fn auth(context: &Context, what: &Auth) -> Result<Data, Failure> {
    let client = &context.client;
    match what {
        Auth::Enable => client.enable_auth().await?,
        Auth::Disable => client.disable_auth().await?,
        Auth::Status => {
            let status = client.auth_status().await?;
            return Ok(Data::Auth(AuthData::Status(status)));
        }
    }
    Ok(Data::Auth(AuthData::Done))
}

pub(super) async fn user(context: &Context, what: &User) -> Result<Data, Failure> {
    let client = &context.client;
    match what {
        User::Add { name, no_password } => {
            let password = if *no_password {
                None
            } else {
                Some(new_password(context, name).await?)
            };
            client.add_user(name, password.as_deref()).await?;
        }
        User::Delete { name } => client.delete_user(name).await?,
        User::List => return Ok(Data::Auth(AuthData::Users(client.users().await?))),
        User::Show { name } => {
            let (name, roles) = (name.clone(), client.roles_of(name).await?);
            return Ok(Data::Auth(AuthData::User { name, roles }));
        }
        User::Password { name } => {
            let password = new_password(context, name).await?;
            client.change_password(name, &password).await?;
        }
        User::Grant { name, role } => client.grant_role(name, role).await?,
        User::Revoke { name, role } => client.revoke_role(name, role).await?,
    }
    Ok(Data::Auth(AuthData::Done))
}

pub(super) async fn role(context: &Context, what: &Role) -> Result<Data, Failure> {
    let client = &context.client;
    match what {
        Role::Add { name } => client.add_role(name).await?,
        Role::Delete { name } => client.delete_role(name).await?,
        Role::List => return Ok(Data::Auth(AuthData::Roles(client.roles().await?))),
        Role::Show { name } => {
            let permissions = client.permissions_of(name).await?;
            let name = name.clone();
            return Ok(Data::Auth(AuthData::Role { name, permissions }));
        }
        Role::Grant { name, access, keys } => {
            let access = match access {
                AccessWord::Read => Access::Read,
                AccessWord::Write => Access::Write,
                AccessWord::Both => Access::ReadWrite,
            };
            let keys = range(context, keys)?;
            client.grant_permission(name, access, keys).await?;
        }
        Role::Revoke { name, keys } => {
            let keys = range(context, keys)?;
            client.revoke_permission(name, keys).await?;
        }
    }
    Ok(Data::Auth(AuthData::Done))
}

fn range(context: &Context, keys: &Keys) -> Result<KeyRange, Failure> {
    let Some(word) = &keys.key else {
        return Ok(KeyRange::all());
    };
    let key = context.input.key(word)?;
    Ok(match &keys.end {
        Some(end) => KeyRange::Span {
            start: key,
            end: context.input.key(end)?,
        },
        None if keys.prefix => KeyRange::prefix(&key),
        None if keys.from => KeyRange::From(key),
        None => KeyRange::One(key),
    })
}

/// A password that a person types twice, or the next line of the standard input.
async fn new_password(context: &Context, name: &str) -> Result<String, Failure> {
    if context.interactive {
        let prompt = format!("Password for {name}: ");
        return waited("the terminal", move || {
            let password = secret::read(&prompt)?;
            if secret::read("Again: ")? != password {
                return Err(Failure::Usage("the two passwords differ".to_owned()));
            }
            Ok(password)
        })
        .await;
    }
    if !context.input.stdin {
        return Err(Failure::Usage(
            "a password cannot be read where the lines of the shell come from".to_owned(),
        ));
    }
    waited("the standard input", || {
        let mut line = String::new();
        let read = std::io::stdin().lock().read_line(&mut line);
        read.map_err(|error| Failure::File {
            what: "the standard input".to_owned(),
            error,
        })?;
        let password = line.trim_end_matches(['\r', '\n']);
        if password.is_empty() {
            return Err(Failure::Usage(
                "the standard input holds no password".to_owned(),
            ));
        }
        Ok(password.to_owned())
    })
    .await
}
