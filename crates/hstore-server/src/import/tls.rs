//! The TLS that etcd is spoken to with: whom we believe, and who we are.
//!
//! Only an etcd that comes over is spoken to so; no door of hstore's knows of this. Invariants: (1) the
//! server's certificate and its name are always verified; (2) every file is read and understood
//! before a connection is made, and one that is not what it is given as is refused by its name.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hstore_core::error::ErrorCode;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{
    self, ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier, crypto,
};
use tonic::transport::{ClientTlsConfig, Identity};

use crate::fault::Fault;

/// The largest file that is read; the list of a whole system's authorities has a quarter of it.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// What HTTP/2 is called in a handshake.
pub(super) const ALPN: &[u8] = b"h2";

/// The files for TLS that a person named, as etcdctl names them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Files {
    /// The authorities that etcd's certificate may be signed by; without it those of the system.
    pub(crate) cacert: Option<PathBuf>,
    /// The certificate that proves who we are, and its key.
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
}

impl Files {
    /// Whether any was named.
    pub(super) fn are_given(&self) -> bool {
        self.cacert.is_some() || self.identity.is_some()
    }
}

/// TLS as it is spoken with every member of etcd.
#[derive(Clone)]
pub(super) struct Tls {
    /// For a handshake of our own.
    pub(super) config: Arc<ClientConfig>,
    /// The same for gRPC.
    pub(super) grpc: ClientTlsConfig,
    files: Files,
}

impl Tls {
    /// Reads the files.
    pub(super) fn read(files: &Files) -> Result<Tls, Fault> {
        let roots = match &files.cacert {
            Some(path) => authorities(path)?,
            None => of_the_system()?,
        };
        let mut grpc = ClientTlsConfig::new().trust_anchors(roots.roots.clone());
        let builder = begin()?.with_root_certificates(roots);
        let mut config = match &files.identity {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => {
                let (cert_pem, key_pem) = (read(cert)?, read(key)?);
                let chain = certificates(cert, &cert_pem)?;
                let secret = private_key(key, &key_pem)?;
                grpc = grpc.identity(Identity::from_pem(cert_pem, key_pem));
                builder
                    .with_client_auth_cert(chain, secret)
                    .map_err(|error| no_pair(cert, key, &error))?
            }
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Tls {
            config: Arc::new(config),
            grpc,
            files: files.clone(),
        })
    }

    /// Who may have signed etcd's certificate, in words.
    pub(super) fn authority(&self) -> String {
        match &self.files.cacert {
            Some(path) => format!("an authority of {}", path.display()),
            None => "an authority that this machine knows".to_owned(),
        }
    }

    /// The file that says who we are.
    pub(super) fn identity(&self) -> Option<&Path> {
        let named = self.files.identity.as_ref();
        named.map(|(cert, _key)| cert.as_path())
    }
}

/// TLS that believes no certificate: enough to see whether the other side speaks it.
pub(super) fn believing_nobody() -> Result<Arc<ClientConfig>, Fault> {
    let builder = begin()?.with_root_certificates(RootCertStore::empty());
    Ok(Arc::new(builder.with_no_client_auth()))
}

fn begin() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, Fault> {
    let provider = Arc::new(crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Fault::new(ErrorCode::Internal, error.to_string()))
}

/// The authorities of a file.
fn authorities(path: &Path) -> Result<RootCertStore, Fault> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, &read(path)?)? {
        roots
            .add(certificate)
            .map_err(|error| unusable(path, format!("no certificate of an authority: {error}")))?;
    }
    Ok(roots)
}

/// Those that this machine believes. A system's list may well have one that is not understood.
fn of_the_system() -> Result<RootCertStore, Fault> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        let sentence = "this machine has no list of authorities that sign certificates";
        return Err(Fault::new(ErrorCode::TlsFailed, sentence)
            .hint("--cacert FILE   the authority that signed etcd's certificate"));
    }
    Ok(roots)
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let found: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_none) => Err(unusable(path, "no certificate is in it (PEM)")),
        Err(error) => Err(unusable(path, format!("it cannot be read as PEM: {error}"))),
    }
}

fn private_key(path: &Path, pem: &[u8]) -> Result<PrivateKeyDer<'static>, Fault> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        pem::Error::NoItemsFound if is_locked(pem) => {
            unusable(path, "the key in it is encrypted with a password")
                .hint("openssl pkey -in FILE -out FILE2   writes it without one")
        }
        pem::Error::NoItemsFound => unusable(path, "no private key is in it (PEM)"),
        error => unusable(path, format!("it cannot be read as PEM: {error}")),
    })
}

fn is_locked(pem: &[u8]) -> bool {
    let head = b"-----BEGIN ENCRYPTED PRIVATE KEY-----";
    pem.windows(head.len()).any(|window| window == head)
}

fn no_pair(cert: &Path, key: &Path, error: &rustls::Error) -> Fault {
    let why = match error {
        rustls::Error::InconsistentKeys(_) => "they do not belong together".to_owned(),
        error => error.to_string(),
    };
    Fault::new(
        ErrorCode::FileUnusable,
        format!("{} and {}: {why}", cert.display(), key.display()),
    )
    .hint("--cert FILE is a certificate, --key FILE the private key that it was made with")
}

fn unusable(path: &Path, why: impl std::fmt::Display) -> Fault {
    Fault::new(
        ErrorCode::FileUnusable,
        format!("{}: {why}", path.display()),
    )
}

fn read(path: &Path) -> Result<Vec<u8>, Fault> {
    use std::io::Read as _;

    let failed = |error: &std::io::Error| {
        let exit = Fault::of_file(path.display(), error).exit;
        unusable(path, error).exit(exit)
    };
    let file = std::fs::File::open(path).map_err(|error| failed(&error))?;
    let mut bytes = Vec::new();
    let mut bounded = file.take(FILE_BYTES_MAX + 1);
    bounded
        .read_to_end(&mut bytes)
        .map_err(|error| failed(&error))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(unusable(path, "more than a mebibyte; it is no certificate"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use tempfile::TempDir;

    use super::*;

    fn pair() -> CertifiedKey<rcgen::KeyPair> {
        generate_simple_self_signed(["a".to_owned()]).unwrap()
    }

    struct Folder(TempDir);

    impl Folder {
        fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
            let path = self.0.path().join(name);
            fs::write(&path, content).unwrap();
            path
        }
    }

    #[test]
    fn files_that_are_what_they_are_given_as_are_taken() {
        let folder = Folder(TempDir::new().unwrap());
        let pair = pair();
        let cert = folder.file("cert", pair.cert.pem());
        let key = folder.file("key", pair.signing_key.serialize_pem());
        let files = Files {
            cacert: Some(cert.clone()),
            identity: Some((cert, key)),
        };
        let tls = Tls::read(&files).unwrap();
        assert!(tls.config.client_auth_cert_resolver.has_certs());
        assert!(tls.authority().contains("/cert"));
    }

    #[test]
    fn a_file_that_is_something_else_is_refused_with_its_name() {
        let folder = Folder(TempDir::new().unwrap());
        let (one, other) = (pair(), pair());
        let cert = folder.file("cert", one.cert.pem());
        let key = folder.file("key", one.signing_key.serialize_pem());
        let strange = folder.file("strange", other.signing_key.serialize_pem());
        let text = folder.file("text", "not a certificate");
        let torn = folder.file("torn", &one.cert.pem()[..200]);
        let broken = folder.file(
            "broken",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        );
        let locked = folder.file(
            "locked",
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
        );
        let huge = folder.file("huge", vec![b'x'; FILE_BYTES_MAX as usize + 1]);
        let none = folder.0.path().join("none");
        let of = |cacert: &PathBuf, identity: Option<(&PathBuf, &PathBuf)>| {
            let files = Files {
                cacert: Some(cacert.clone()),
                identity: identity.map(|(cert, key)| (cert.clone(), key.clone())),
            };
            let refused = Tls::read(&files).err().expect("it is refused");
            assert_eq!(refused.code, ErrorCode::FileUnusable, "{refused}");
            refused
        };
        for (cacert, identity, name, words) in [
            (&text, None, "text", "no certificate"),
            (&key, None, "key", "no certificate"),
            (&torn, None, "torn", "PEM"),
            (&broken, None, "broken", "no certificate of an authority"),
            (&huge, None, "huge", "mebibyte"),
            (&none, None, "none", "No such file"),
            (&cert, Some((&text, &key)), "text", "no certificate"),
            (&cert, Some((&cert, &text)), "text", "no private key"),
            (&cert, Some((&cert, &locked)), "locked", "encrypted"),
            (&cert, Some((&cert, &strange)), "strange", "belong together"),
            (&cert, Some((&none, &key)), "none", "No such file"),
        ] {
            let refused = of(cacert, identity).to_string();
            assert!(refused.contains(name), "{name}: {refused}");
            assert!(refused.contains(words), "{words}: {refused}");
        }
    }
}
