//! A running etcd comes over that is spoken to with TLS: it is believed for its certificate, and asks
//! for ours; and every way in which the two do not get on is said in a sentence, at once.

use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use serde_json::Value;

use crate::harness::{Done, SOON, World, until};
use crate::import::{Etcd, is_missing};

/// Who signs certificates.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    file: String,
    key: String,
}

/// A certificate and its key, as files.
struct Pair {
    cert: String,
    key: String,
}

fn text(path: PathBuf) -> String {
    path.into_os_string().into_string().unwrap()
}

impl Authority {
    fn new(world: &World, name: &str) -> Authority {
        let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, format!("authority {name}"));
        let key = KeyPair::generate().unwrap();
        let cert = params.self_signed(&key).unwrap();
        Authority {
            file: text(world.file(&format!("{name}.pem"), cert.pem().as_bytes())),
            key: text(world.file(&format!("{name}.key"), key.serialize_pem().as_bytes())),
            issuer: Issuer::new(params, key),
        }
    }

    /// A certificate for a server of these names, or for a client of this common name.
    fn sign(&self, world: &World, common: &str, names: &[&str], is_over: bool) -> Pair {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, common);
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        if is_over {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        let file =
            |kind: &str, pem: String| text(world.file(&format!("{common}.{kind}"), pem.as_bytes()));
        Pair {
            cert: file("cert", cert.pem()),
            key: file("key", key.serialize_pem()),
        }
    }
}

/// What etcdctl says with TLS.
fn etcdctl(world: &World, endpoint: &str, tls: &[&str], arguments: &[&str]) -> Done {
    let mut command = world.command("etcdctl");
    command
        .env("ETCDCTL_API", "3")
        .arg(format!("--endpoints={endpoint}"))
        .args(tls)
        .args(arguments);
    world.finish(&mut command)
}

fn keys(answer: &str) -> Value {
    serde_json::from_str::<Value>(answer).unwrap()["kvs"].take()
}

/// Every key with its revisions and its version.
const EVERYTHING: [&str; 5] = ["get", "", "--prefix", "-w", "json"];

fn serves(world: &World, endpoint: &str, tls: &[&str]) {
    until("etcd serves", SOON, || {
        let done = etcdctl(world, endpoint, tls, &["put", "here", "x"]);
        (done.code == 0).then_some(())
    });
}

#[test]
fn an_etcd_with_tls_comes_over_and_who_is_not_believed_is_said() {
    if is_missing() {
        return;
    }
    let world = World::new();
    let ours = Authority::new(&world, "ours");
    let other = Authority::new(&world, "other");
    let pair = ours.sign(&world, "server", &["localhost"], false);
    let flags = ["--cert-file", &pair.cert, "--key-file", &pair.key];
    let etcd = Etcd::begin(&world, "source", "https", &flags);
    let (_host, port) = etcd.address.split_once(':').unwrap();
    let by_name = format!("localhost:{port}");
    let (named, numbered) = (
        format!("https://{by_name}"),
        format!("https://{}", etcd.address),
    );
    let trust = ["--cacert", ours.file.as_str()];
    serves(&world, &named, &trust);
    for n in 0..20 {
        etcdctl(
            &world,
            &named,
            &trust,
            &["put", &format!("k{}", n % 7), "v"],
        )
        .ok();
    }
    let data = world.data("n1");
    let import = |endpoint: &str, tls: &[&str]| {
        let line = ["import-etcd", endpoint, "--once", "--name", "n1", "--data"];
        world.server(&[&line[..], &[data.to_str().unwrap()], tls].concat())
    };
    import(&named, &["--cacert", &other.file])
        .failed(1, "tls_failed")
        .says("not signed by an authority of")
        .says("--cacert FILE");
    import(&named, &[])
        .failed(1, "tls_failed")
        .says("an authority that this machine knows");
    import(&numbered, &trust)
        .failed(1, "tls_failed")
        .says("its certificate is not for 127.0.0.1, but for localhost");
    import(&format!("http://{by_name}"), &[])
        .failed(1, "tls_failed")
        .says("speaks TLS only")
        .says(&named);
    import(&named, &["--cacert", &pair.key])
        .failed(1, "file_unusable")
        .says("no certificate is in it");
    import(&format!("http://{by_name}"), &trust)
        .failed(2, "invalid_argument")
        .says("https://");
    let plain = Etcd::start(&world, "plain");
    import(&format!("https://{}", plain.address), &trust)
        .failed(1, "tls_failed")
        .says("does not speak TLS")
        .says(&format!("http://{}", plain.address));
    assert!(!data.exists(), "a refusal leaves nothing behind");

    // A member that is away is no reason to refuse. Where nothing says how, the file does.
    let nobody = "https://localhost:1";
    import(&format!("{by_name},{nobody}"), &trust).ok();
    let node = world.start("n1", &[]);
    let theirs = etcdctl(&world, &named, &trust, &EVERYTHING).ok();
    let here = etcdctl(&world, &node.address(), &[], &EVERYTHING).ok();
    assert_eq!(keys(&here), keys(&theirs));
    assert_eq!(keys(&here).as_array().unwrap().len(), 8);
}

#[test]
fn an_etcd_that_asks_for_certificates_comes_over_and_the_certificate_may_be_the_user() {
    if is_missing() {
        return;
    }
    let world = World::new();
    let ours = Authority::new(&world, "ours");
    let other = Authority::new(&world, "other");
    let pair = ours.sign(&world, "server", &["127.0.0.1"], false);
    let root = ours.sign(&world, "root", &[], false);
    let over = ours.sign(&world, "over", &[], true);
    let strange = other.sign(&world, "strange", &[], false);
    let flags = [
        "--cert-file",
        &pair.cert,
        "--key-file",
        &pair.key,
        "--trusted-ca-file",
        &ours.file,
        "--client-cert-auth",
    ];
    let etcd = Etcd::begin(&world, "source", "https", &flags);
    let endpoint = format!("https://{}", etcd.address);
    let who = |pair: &Pair| {
        let files = [
            "--cacert", &ours.file, "--cert", &pair.cert, "--key", &pair.key,
        ];
        files.map(str::to_owned)
    };
    let as_root = who(&root);
    let as_root: Vec<&str> = as_root.iter().map(String::as_str).collect();
    serves(&world, &endpoint, &as_root);
    for line in [
        &["put", "a", "1"][..],
        &["put", "a", "2"],
        &["user", "add", "root", "--no-password"],
        &["user", "grant-role", "root", "root"],
        &["auth", "enable"],
    ] {
        etcdctl(&world, &endpoint, &as_root, line).ok();
    }
    let data = world.data("n1");
    let import = |tls: &[&str]| {
        let line = ["import-etcd", &endpoint, "--once", "--name", "n1", "--data"];
        world.server(&[&line[..], &[data.to_str().unwrap()], tls].concat())
    };
    import(&["--cacert", &ours.file])
        .failed(1, "tls_failed")
        .says("it asks for a client certificate")
        .says("--cert FILE --key FILE");
    for wrong in [&strange, &over] {
        let wrong = who(wrong);
        let wrong: Vec<&str> = wrong.iter().map(String::as_str).collect();
        import(&wrong)
            .failed(1, "tls_failed")
            .says("does not accept the client certificate");
    }
    let mixed = [
        "--cacert", &ours.file, "--cert", &root.cert, "--key", &over.key,
    ];
    import(&mixed)
        .failed(1, "file_unusable")
        .says("do not belong together");
    assert!(!data.exists(), "a refusal leaves nothing behind");

    import(&as_root).ok();
    let node = world.start("n1", &[]);
    let theirs = etcdctl(&world, &endpoint, &as_root, &EVERYTHING).ok();
    let here = etcdctl(&world, &node.address(), &[], &EVERYTHING).ok();
    assert_eq!(keys(&here), keys(&theirs));
}

#[test]
fn a_certificate_that_is_over_or_an_authoritys_own_is_not_believed() {
    if is_missing() {
        return;
    }
    let world = World::new();
    let ours = Authority::new(&world, "ours");
    let over = ours.sign(&world, "server", &["127.0.0.1"], true);
    for (name, cert, key, words) in [
        ("over", &over.cert, &over.key, "has expired"),
        ("own", &ours.file, &ours.key, "is an authority's"),
    ] {
        let flags = ["--cert-file", cert, "--key-file", key];
        let etcd = Etcd::begin(&world, name, "https", &flags);
        let endpoint = format!("https://{}", etcd.address);
        let refused = until("etcd serves", SOON, || {
            std::net::TcpStream::connect(&etcd.address).ok()?;
            let data = world.data("n1");
            let line = ["import-etcd", &endpoint, "--cacert", &ours.file, "--data"];
            Some(world.server(&[&line[..], &[data.to_str().unwrap()]].concat()))
        });
        refused.failed(1, "tls_failed").says(words);
    }
}
