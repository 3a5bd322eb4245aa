//! The bytes of users and roles, members, alarms and hashes.

use hstore_proto::authpb::{Permission, UserAddOptions};
use hstore_proto::etcdserverpb::{
    AlarmMember, AlarmRequest, AlarmResponse, AuthEnableRequest, AuthRoleGetResponse,
    AuthRoleGrantPermissionRequest, AuthRoleRevokePermissionRequest, AuthStatusResponse,
    AuthUserAddRequest, AuthUserChangePasswordRequest, AuthUserGetResponse,
    AuthUserGrantRoleRequest, AuthUserListResponse, AuthUserRevokeRoleRequest, AuthenticateRequest,
    AuthenticateResponse, DefragmentResponse, DowngradeRequest, HashKvRequest, HashKvResponse,
    HashResponse, Member, MemberAddRequest, MemberAddResponse, MemberListRequest,
    MemberPromoteRequest, MemberRemoveRequest, MemberUpdateRequest, MoveLeaderRequest,
};

use super::{HEADER, golden, header, text};

fn word(word: &str) -> String {
    word.to_owned()
}

#[test]
fn a_user_and_a_token_keep_their_bytes() {
    golden(&AuthEnableRequest {}, "");
    let proof = AuthenticateRequest {
        name: word("n"),
        password: word("p"),
    };
    golden(&proof, "0a016e 120170");
    let token = AuthenticateResponse {
        header: Some(header()),
        token: word("t"),
    };
    golden(&token, &format!("0a09{HEADER} 120174"));
    let status = AuthStatusResponse {
        header: Some(header()),
        enabled: true,
        auth_revision: 300,
    };
    golden(&status, &format!("0a09{HEADER} 1001 18ac02"));
    let user = AuthUserAddRequest {
        name: word("n"),
        password: word("p"),
        options: Some(UserAddOptions { no_password: true }),
        hashed_password: word("h"),
    };
    golden(&user, "0a016e 120170 1a020801 220168");
    let changed = AuthUserChangePasswordRequest {
        name: word("n"),
        password: word("p"),
        hashed_password: word("h"),
    };
    golden(&changed, "0a016e 120170 1a0168");
    let granted = AuthUserGrantRoleRequest {
        user: word("n"),
        role: word("r"),
    };
    golden(&granted, "0a016e 120172");
    let revoked = AuthUserRevokeRoleRequest {
        name: word("n"),
        role: word("r"),
    };
    golden(&revoked, "0a016e 120172");
    let roles = AuthUserGetResponse {
        header: Some(header()),
        roles: vec![word("r"), word("s")],
    };
    golden(&roles, &format!("0a09{HEADER} 120172 120173"));
    let users = AuthUserListResponse {
        header: Some(header()),
        users: vec![word("n")],
    };
    golden(&users, &format!("0a09{HEADER} 12016e"));
}

#[test]
fn a_role_keeps_its_bytes() {
    let permission = Permission {
        perm_type: 2,
        key: text("k"),
        range_end: text("z"),
    };
    let granted = AuthRoleGrantPermissionRequest {
        name: word("r"),
        perm: Some(permission.clone()),
    };
    golden(&granted, "0a0172 1208 0802 12016b 1a017a");
    let told = AuthRoleGetResponse {
        header: Some(header()),
        perm: vec![permission],
    };
    golden(&told, &format!("0a09{HEADER} 1208 0802 12016b 1a017a"));
    let revoked = AuthRoleRevokePermissionRequest {
        role: word("r"),
        key: text("k"),
        range_end: text("z"),
    };
    golden(&revoked, "0a0172 12016b 1a017a");
}

#[test]
fn a_change_of_members_keeps_its_bytes() {
    let added = MemberAddRequest {
        peer_ur_ls: vec![word("p"), word("q")],
        is_learner: true,
    };
    golden(&added, "0a0170 0a0171 1001");
    let member = Member {
        id: 300,
        peer_ur_ls: vec![word("p")],
        ..Member::default()
    };
    let kept = MemberAddResponse {
        header: Some(header()),
        member: Some(member.clone()),
        members: vec![member],
    };
    let member = "08ac02 1a0170";
    golden(&kept, &format!("0a09{HEADER} 1206{member} 1a06{member}"));
    golden(&MemberRemoveRequest { id: 300 }, "08ac02");
    golden(&MemberPromoteRequest { id: 300 }, "08ac02");
    let moved = MemberUpdateRequest {
        id: 300,
        peer_ur_ls: vec![word("p")],
    };
    golden(&moved, "08ac02 120170");
    golden(&MemberListRequest { linearizable: true }, "0801");
}

#[test]
fn looking_after_a_node_keeps_its_bytes() {
    let raised = AlarmRequest {
        action: 1,
        member_id: 300,
        alarm: 2,
    };
    golden(&raised, "0801 10ac02 1802");
    let alarms = AlarmResponse {
        header: Some(header()),
        alarms: vec![AlarmMember {
            member_id: 300,
            alarm: 1,
        }],
    };
    golden(&alarms, &format!("0a09{HEADER} 1205 08ac02 1001"));
    golden(&MoveLeaderRequest { target_id: 300 }, "08ac02");
    let tidied = DefragmentResponse {
        header: Some(header()),
    };
    golden(&tidied, &format!("0a09{HEADER}"));
    let hash = HashResponse {
        header: Some(header()),
        hash: 300,
    };
    golden(&hash, &format!("0a09{HEADER} 10ac02"));
    golden(&HashKvRequest { revision: 300 }, "08ac02");
    let hash = HashKvResponse {
        header: Some(header()),
        hash: 300,
        compact_revision: 4,
        hash_revision: 5,
    };
    golden(&hash, &format!("0a09{HEADER} 10ac02 1804 2005"));
    let back = DowngradeRequest {
        action: 2,
        version: word("v"),
    };
    golden(&back, "0802 120176");
}
