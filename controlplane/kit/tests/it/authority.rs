//! An authority that is made anew for each test, and the certificates it signs.

use std::net::{IpAddr, Ipv4Addr};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType,
};
use tonic::transport::{Certificate, Identity, ServerTlsConfig};

pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate with its key, PEM.
pub(crate) struct Issued {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Issued {
    pub(crate) fn identity(&self) -> Identity {
        Identity::from_pem(&self.certificate, &self.key)
    }
}

impl Authority {
    pub(crate) fn new() -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().expect("a key");
        Authority(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn certificate(&self) -> Certificate {
        Certificate::from_pem(self.pem())
    }

    fn issue(&self, user: &str, name: SanType, usage: ExtendedKeyUsagePurpose) -> Issued {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, user);
        params.distinguished_name.push(DnType::OrganizationName, "system:nodes");
        params.subject_alt_names = vec![name];
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        Issued { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    pub(crate) fn client(&self, user: &str, uri: &str) -> Issued {
        let name = SanType::URI(uri.try_into().expect("a URI"));
        self.issue(user, name, ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// For a server on the loopback address that asks its clients for certificates of this authority.
    pub(crate) fn server_tls(&self) -> ServerTlsConfig {
        let name = SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let own = self.issue("server", name, ExtendedKeyUsagePurpose::ServerAuth);
        ServerTlsConfig::new()
            .identity(own.identity())
            .client_ca_root(self.certificate())
            .client_auth_optional(true)
    }
}
