//! A service with two listeners, one with TLS and one without, and its clients with their certificates.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tonic::transport::{Channel, Endpoint};

use crate::grpc::Settings;
use crate::server::tls::{Certificates, Files};
use crate::service::{self, Allowed, Config, Deps, EngineUrl, Listener, ServiceError};

pub(super) struct World {
    authority: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
    secure: SocketAddr,
    plain: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    service: JoinHandle<Result<(), ServiceError>>,
}

pub(super) fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().unwrap()
}

impl World {
    pub(super) async fn start(policy: Option<&str>, key_prefix: Option<&str>) -> World {
        let (authority, folder) = (authority(), tempfile::tempdir().unwrap());
        let path = |name: &str| folder.path().join(name);
        if let Some(policy) = policy {
            std::fs::write(path("policy.yaml"), policy).unwrap();
        }
        let (certificate, key) = issued(&authority, None, ExtendedKeyUsagePurpose::ServerAuth);
        std::fs::write(path("server.pem"), certificate.pem()).unwrap();
        std::fs::write(path("server.key"), key.serialize_pem()).unwrap();
        std::fs::write(path("ca.pem"), authority.pem()).unwrap();
        let files = Files {
            certificate: path("server.pem"),
            key: path("server.key"),
            authority: Some(path("ca.pem")),
            needs_client: false,
        };
        let certificates = Arc::new(Certificates::load(files).unwrap());
        let (secure, plain) = (listener().await, listener().await);
        let addresses = (secure.local_addr().unwrap(), plain.local_addr().unwrap());
        let listeners = vec![
            Listener { socket: secure, certificates: Some(certificates) },
            Listener { socket: plain, certificates: None },
        ];
        let config = config(policy.map(|_| path("policy.yaml")), key_prefix);
        let (stop, stopping) = oneshot::channel::<()>();
        let shutdown = async { drop(stopping.await) };
        let deps = Deps { listeners, pages: Vec::new(), opened: None };
        let service = tokio::spawn(service::run(config, deps, shutdown));
        let (secure, plain) = addresses;
        World { authority, folder, secure, plain, stop: Some(stop), service }
    }

    pub(super) fn write_policy(&self, text: &str) {
        std::fs::write(self.folder.path().join("policy.yaml"), text).unwrap();
    }

    /// By the letter of the rows.
    pub(super) async fn client(&self, letter: char) -> Channel {
        let name = match letter {
            'A' => Some("kube-apiserver"),
            'R' => Some("reader"),
            'W' => Some("writer"),
            'P' => {
                let endpoint = Endpoint::from_shared(format!("http://{}", self.plain)).unwrap();
                return endpoint.connect().await.unwrap();
            }
            _ => None,
        };
        let (config, address) = (Arc::new(self.tls(name)), self.secure);
        let connector = tower::service_fn(move |_: http::Uri| {
            let connector = TlsConnector::from(Arc::clone(&config));
            async move {
                let stream = TcpStream::connect(address).await?;
                let server = ServerName::from(IpAddr::V4(Ipv4Addr::LOCALHOST));
                Ok::<_, std::io::Error>(TokioIo::new(connector.connect(server, stream).await?))
            }
        });
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        endpoint.connect_with_connector(connector).await.unwrap()
    }

    fn tls(&self, name: Option<&str>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der().clone()).unwrap();
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let builder = builder.with_root_certificates(roots);
        let mut config = match name {
            None => builder.with_no_client_auth(),
            Some(name) => {
                let usage = ExtendedKeyUsagePurpose::ClientAuth;
                let (certificate, key) = issued(&self.authority, Some(name), usage);
                let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
                builder.with_client_auth_cert(vec![certificate.der().clone()], key).unwrap()
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        config
    }

    pub(super) async fn end(&mut self) {
        drop(self.stop.take());
        (&mut self.service).await.unwrap().unwrap();
    }
}

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

fn config(policy_file: Option<PathBuf>, key_prefix: Option<&str>) -> Config {
    Config {
        engine: EngineUrl::Memory,
        segment_bytes: 1 << 20,
        recent_bytes: 1 << 20,
        settings: Settings {
            name: "test".to_owned(),
            client_urls: Vec::new(),
            max_request_bytes: 1 << 20,
            max_txn_ops: 128,
            quota_bytes: 0,
            progress_every: Duration::from_millis(50),
            stream_bytes: 1 << 20,
        },
        allowed: Allowed {
            policy_file,
            key_prefix: key_prefix.map(str::to_owned),
            ..Allowed::default()
        },
    }
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn issued(
    authority: &CertifiedIssuer<'static, KeyPair>,
    name: Option<&str>,
    usage: ExtendedKeyUsagePurpose,
) -> (rcgen::Certificate, KeyPair) {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name.unwrap_or("server"));
    params.subject_alt_names = vec![SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST))];
    params.extended_key_usages = vec![usage];
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    (certificate, key)
}
