//! Certificates of the listener: read from files, and read again when they are renewed, so that nothing has to be restarted for it. Owns
//! who is let in; who he is is read from his certificate elsewhere.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use tokio_rustls::rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig};
use tracing::{info, warn};

/// etcd's `--cert-file`, `--key-file`, `--trusted-ca-file` and `--client-cert-auth`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// Who signs clients.
    pub authority: Option<PathBuf>,
    /// Whether a client without a certificate is refused.
    pub needs_client: bool,
}

#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsError {
    #[error("read {}: {source}", path.display())]
    File { path: PathBuf, source: pem::Error },
    #[error("{} holds no certificate", path.display())]
    Empty { path: PathBuf },
    #[error("{} holds a certificate that cannot be trusted: {source}", path.display())]
    Authority { path: PathBuf, source: rustls::Error },
    #[error("clients must show a certificate, and --trusted-ca-file says nobody who signs one")]
    NoAuthority,
    #[error(transparent)]
    Verifier(#[from] VerifierBuilderError),
    #[error("{} and {} do not belong together: {source}", certificate.display(), key.display())]
    Pair { certificate: PathBuf, key: PathBuf, source: rustls::Error },
    #[error(transparent)]
    Protocol(#[from] rustls::Error),
}

/// How old what was read may be when somebody connects.
const FRESH_FOR: Duration = Duration::from_secs(10);

/// What is shown to clients now.
#[derive(Debug)]
pub struct Certificates {
    files: Files,
    loaded: Mutex<Loaded>,
}

#[derive(Debug)]
struct Loaded {
    config: Arc<ServerConfig>,
    looked_at: Instant,
    changed: Vec<Option<std::time::SystemTime>>,
}

impl Certificates {
    pub fn load(files: Files) -> Result<Certificates, TlsError> {
        let loaded = Loaded {
            config: Arc::new(config(&files)?),
            looked_at: Instant::now(),
            changed: changed(&files),
        };
        Ok(Certificates { files, loaded: Mutex::new(loaded) })
    }

    /// With files that have changed since. Those that cannot be read yet are tried again at a later connection.
    pub fn current(&self) -> Arc<ServerConfig> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if loaded.looked_at.elapsed() >= FRESH_FOR {
            loaded.looked_at = Instant::now();
            self.look(&mut loaded);
        }
        Arc::clone(&loaded.config)
    }

    fn look(&self, loaded: &mut Loaded) {
        let now = changed(&self.files);
        if now == loaded.changed {
            return;
        }
        match config(&self.files) {
            Ok(config) => {
                info!(file = %self.files.certificate.display(), "The certificate was renewed");
                (loaded.config, loaded.changed) = (Arc::new(config), now);
            }
            Err(error) => warn!(%error, "Renewed certificates cannot be used yet"),
        }
    }
}

fn changed(files: &Files) -> Vec<Option<std::time::SystemTime>> {
    let of = |path: &Path| -> io::Result<_> { std::fs::metadata(path)?.modified() };
    let paths = [Some(&files.certificate), Some(&files.key), files.authority.as_ref()];
    paths.into_iter().flatten().map(|path| of(path).ok()).collect()
}

fn config(files: &Files) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let builder = match (&files.authority, files.needs_client) {
        (None, true) => return Err(TlsError::NoAuthority),
        (None, false) => builder.with_no_client_auth(),
        (Some(path), needs_client) => {
            let roots = Arc::new(authority(path)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
            let verifier = if needs_client { verifier } else { verifier.allow_unauthenticated() };
            builder.with_client_cert_verifier(verifier.build()?)
        }
    };
    let (certificate, key) = (&files.certificate, &files.key);
    let private = PrivateKeyDer::from_pem_file(key)
        .map_err(|source| TlsError::File { path: key.clone(), source })?;
    let mut config = builder.with_single_cert(chain(certificate)?, private).map_err(|source| {
        TlsError::Pair { certificate: certificate.clone(), key: key.clone(), source }
    })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let file = |source| TlsError::File { path: path.to_owned(), source };
    let all = CertificateDer::pem_file_iter(path).map_err(file)?;
    let all = all.collect::<Result<Vec<_>, _>>().map_err(file)?;
    if all.is_empty() { Err(TlsError::Empty { path: path.to_owned() }) } else { Ok(all) }
}

fn authority(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in chain(path)? {
        let trusted = roots.add(certificate);
        trusted.map_err(|source| TlsError::Authority { path: path.to_owned(), source })?;
    }
    Ok(roots)
}

#[cfg(test)]
mod tests;
