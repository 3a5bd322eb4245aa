//! Users, roles and what they may do.

use std::time::Duration;

use etcd_client::{
    Compare, CompareOp, Error, GetOptions, Permission, PermissionType, PutOptions,
    RoleRevokePermissionOptions, Txn, TxnOp, UserAddOptions,
};

use crate::World;

const DENIED: &str = "etcdserver: permission denied";

pub(crate) async fn roles(world: &mut World) -> Result<(), Error> {
    let World { client, checks, .. } = world;
    client.role_add("rs-role").await?;
    client.role_add("rs-second").await?;
    let told = client.role_add("rs-role").await;
    checks.fails("a role twice", "etcdserver: role name already exists", told);
    for permission in [
        Permission::read("456").with_range_end("457"),
        Permission::read("abc"),
        Permission::read_write("123").with_prefix(),
        Permission::write("b").with_from_key(),
    ] {
        client.role_grant_permission("rs-role", permission).await?;
    }
    let found = client.role_get("rs-role").await?.permissions();
    let mut found: Vec<_> = found
        .iter()
        .map(|one| (one.key().to_vec(), one.range_end().to_vec(), one.get_type()))
        .collect();
    found.sort();
    let wanted = [
        ("123", "124", PermissionType::Readwrite),
        ("456", "457", PermissionType::Read),
        ("abc", "", PermissionType::Read),
        ("b", "\0", PermissionType::Write),
    ];
    let wanted: Vec<_> = wanted
        .iter()
        .map(|(key, end, kind)| {
            (
                key.as_bytes().to_vec(),
                end.as_bytes().to_vec(),
                *kind as i32,
            )
        })
        .collect();
    checks.equal("what it may", found, wanted);
    client
        .role_revoke_permission("rs-role", "abc", None)
        .await?;
    let range = RoleRevokePermissionOptions::new().with_range_end("457");
    client
        .role_revoke_permission("rs-role", "456", Some(range))
        .await?;
    let rest = RoleRevokePermissionOptions::new().with_from_key();
    client
        .role_revoke_permission("rs-role", "b", Some(rest))
        .await?;
    let left = client.role_get("rs-role").await?.permissions();
    checks.equal("what is left", left.len(), 1);
    let told = client.role_revoke_permission("rs-role", "abc", None).await;
    let words = "etcdserver: permission is not granted to the role";
    checks.fails("what it may not anyhow", words, told);
    let listed = client.role_list().await?;
    checks.holds(
        "listed",
        listed.roles().iter().any(|role| role == "rs-second"),
    );
    client.role_delete("rs-second").await?;
    client.role_delete("rs-role").await?;
    let told = client.role_get("rs-role").await;
    checks.fails("gone", "etcdserver: role name not found", told);
    Ok(())
}

pub(crate) async fn users(world: &mut World) -> Result<(), Error> {
    let World { client, checks, .. } = world;
    client.user_add("rs-one", "pwd1", None).await?;
    let without = UserAddOptions::new().with_no_pwd();
    client.user_add("rs-two", "", Some(without)).await?;
    let told = client.user_add("rs-one", "x", None).await;
    checks.fails("a user twice", "etcdserver: user name already exists", told);
    client.user_change_password("rs-one", "pwd2").await?;
    client.role_add("rs-role").await?;
    client.user_grant_role("rs-one", "rs-role").await?;
    checks.equal(
        "its roles",
        client.user_get("rs-one").await?.roles(),
        ["rs-role"],
    );
    client.user_revoke_role("rs-one", "rs-role").await?;
    checks.equal("none", client.user_get("rs-one").await?.roles().len(), 0);
    let listed = client.user_list().await?;
    checks.holds("listed", listed.users().iter().any(|user| user == "rs-two"));
    client.role_delete("rs-role").await?;
    client.user_delete("rs-one").await?;
    client.user_delete("rs-two").await?;
    let told = client.user_get("rs-one").await;
    checks.fails("gone", "etcdserver: user name not found", told);
    Ok(())
}

pub(crate) async fn rights(world: &mut World) -> Result<(), Error> {
    let World { client, checks, .. } = world;
    let told = client.auth_enable().await;
    checks.fails(
        "not without root",
        "etcdserver: root user does not exist",
        told,
    );
    client.user_add("root", "rootpwd", None).await?;
    client.role_add("root").await?;
    client.user_grant_role("root", "root").await?;
    client.user_add("rs-app", "apppwd", None).await?;
    client.role_add("rs-app").await?;
    let own = Permission::read_write("rs/app/").with_prefix();
    client.role_grant_permission("rs-app", own).await?;
    client.user_grant_role("rs-app", "rs-app").await?;
    client.auth_enable().await?;

    let told = client.put("rs/app/x", "x", None).await;
    checks.fails("nobody", "etcdserver: user name is empty", told);
    let words = "etcdserver: authentication failed, invalid user ID or password";
    let wrong = world.client_of("rs-app", "wrong").await;
    world
        .checks
        .fails("a wrong password", words, wrong.map(drop));

    let mut root = world.client_of("root", "rootpwd").await?;
    let mut app = world.client_of("rs-app", "apppwd").await?;
    let checks = &mut world.checks;
    app.put("rs/app/x", "1", None).await?;
    let found = app
        .get("rs/app/", Some(GetOptions::new().with_prefix()))
        .await?;
    checks.equal("its own", found.kvs().len(), 1);
    checks.fails(
        "what is not its own",
        DENIED,
        app.put("rs/other", "x", None).await,
    );
    checks.fails("more than its own", DENIED, {
        app.get("rs/", Some(GetOptions::new().with_prefix())).await
    });
    let txn = Txn::new()
        .when([Compare::version("rs/app/x", CompareOp::Greater, 100)])
        .and_then([TxnOp::txn(
            Txn::new().or_else([TxnOp::put("rs/other", "x", None)]),
        )]);
    checks.fails("deep in a branch", DENIED, app.txn(txn).await);
    checks.fails("to ask for users", DENIED, app.user_list().await);
    checks.equal(
        "about itself",
        app.user_get("rs-app").await?.roles(),
        ["rs-app"],
    );
    let lease = root.lease_grant(60, None).await?.id();
    let leased = PutOptions::new().with_lease(lease);
    root.put("rs/other", "x", Some(leased)).await?;
    checks.fails(
        "to end what others lean on",
        DENIED,
        app.lease_revoke(lease).await,
    );
    root.lease_revoke(lease).await?;
    let mut watch = app.watch("rs/other", None).await?;
    let told = watch.message().await?.expect("a refusal is told");
    checks.holds("watching others", told.canceled());

    root.user_change_password("rs-app", "newpwd").await?;
    let told = app.put("rs/app/x", "2", None).await;
    checks.fails(
        "with an old password's token",
        "etcdserver: invalid auth token",
        told,
    );
    app.update_user(Some(("rs-app".to_owned(), "newpwd".to_owned())))
        .await?;
    app.put("rs/app/x", "3", None).await?;
    root.user_revoke_role("rs-app", "rs-app").await?;
    checks.fails(
        "when the role is gone",
        DENIED,
        app.get("rs/app/x", None).await,
    );
    root.delete("rs/app/x", None).await?;
    root.auth_disable().await?;
    // Each call goes to any of the nodes, and every one of them knows.
    let mut asked = false;
    for _call in 0..30 {
        asked |= world.client.get("rs/app/x", None).await.is_err();
    }
    world.checks.holds("nobody is asked any more", !asked);
    Ok(())
}

/// Users are not asked any more, and those of this program are gone. What is so already is refused.
pub(crate) async fn clean_up(world: &mut World) {
    if let Ok(mut root) = world.client_of("root", "rootpwd").await {
        let _off = root.auth_disable().await;
    }
    for name in ["root", "rs-app", "rs-one", "rs-two"] {
        let _gone = world.client.user_delete(name).await;
    }
    for name in ["root", "rs-app", "rs-role", "rs-second"] {
        let _gone = world.client.role_delete(name).await;
    }
}
