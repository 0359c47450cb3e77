//! The certificates of a client, by the flags that etcdctl has for them. Owns reading the files and what TLS makes of them; whom it
//! connects to is its user's.

use std::path::{Path, PathBuf};

use thiserror::Error;
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Credentials {
    /// Who signs the server's certificate
    #[arg(long, value_name = "FILE")]
    pub(crate) cacert: Option<PathBuf>,
    /// Certificate of this client
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) cert: Option<PathBuf>,
    /// Its key
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
}

#[derive(Debug, Error)]
#[error("read {}", path.display())]
pub(crate) struct Unreadable {
    path: PathBuf,
    source: std::io::Error,
}

impl Credentials {
    pub(crate) fn tls(&self) -> Result<ClientTlsConfig, Unreadable> {
        let mut tls = ClientTlsConfig::new();
        if let Some(path) = &self.cacert {
            tls = tls.ca_certificate(Certificate::from_pem(read(path)?));
        }
        if let Some((certificate, key)) = self.cert.as_ref().zip(self.key.as_ref()) {
            tls = tls.identity(Identity::from_pem(read(certificate)?, read(key)?));
        }
        Ok(tls)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Unreadable> {
    std::fs::read(path).map_err(|source| Unreadable { path: path.to_owned(), source })
}
