//! The certificates of one apiserver: an authority of its own, the server's certificate, one per client. Owns the files; who may
//! do what is the apiserver's affair.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType,
};

/// The host as a guest of QEMU's user-mode network sees it.
pub const HOST_OF_GUESTS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
/// The service `kubernetes`: the first address of [`crate::apiserver::SERVICE_RANGE`].
const FIRST_SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);

/// An authority and the folder of its files.
#[derive(Debug)]
pub struct Pki {
    folder: PathBuf,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate with its key, as files.
#[derive(Clone, Debug)]
pub struct Identity {
    certificate: PathBuf,
    key: PathBuf,
}

/// Files of the key that tokens are signed with.
#[derive(Debug)]
pub(crate) struct TokenKeys {
    pub(crate) private: PathBuf,
    pub(crate) public: PathBuf,
}

impl Pki {
    /// Keys are elliptic: an RSA key takes a guest seconds.
    pub fn create(folder: &Path) -> anyhow::Result<Pki> {
        let mut params = CertificateParams::default();
        params.distinguished_name = name("berth bench", None);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().context("make the authority's key")?;
        let issuer = CertifiedIssuer::self_signed(params, key).context("sign the authority")?;
        let pki = Pki { folder: folder.to_owned(), issuer };
        write(&pki.authority(), &pki.issuer.pem())?;
        Ok(pki)
    }

    /// The authority's certificate.
    pub fn authority(&self) -> PathBuf {
        self.folder.join("ca.crt")
    }

    /// For a server on the loopback address that guests reach too.
    pub fn server(&self, file: &str) -> anyhow::Result<Identity> {
        let mut params = CertificateParams::default();
        params.distinguished_name = name(file, None);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let addresses = [Ipv4Addr::LOCALHOST, HOST_OF_GUESTS, FIRST_SERVICE];
        params.subject_alt_names =
            addresses.into_iter().map(|ip| SanType::IpAddress(IpAddr::V4(ip))).collect();
        for host in ["localhost", "kubernetes", "kubernetes.default.svc"] {
            let host = host.try_into().with_context(|| format!("take {host} as a name"))?;
            params.subject_alt_names.push(SanType::DnsName(host));
        }
        self.issue(file, params)
    }

    /// For the server of a node, whose name is an address.
    pub(crate) fn server_at(&self, file: &str, address: &str) -> anyhow::Result<Identity> {
        let address = address.parse().with_context(|| format!("take {address} as an address"))?;
        let mut params = CertificateParams::default();
        params.distinguished_name = name(file, None);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.subject_alt_names = vec![SanType::IpAddress(address)];
        self.issue(file, params)
    }

    /// For a client: Kubernetes reads the user from the common name and the group from the organization.
    pub fn client(&self, file: &str, user: &str, group: Option<&str>) -> anyhow::Result<Identity> {
        let mut params = CertificateParams::default();
        params.distinguished_name = name(user, group);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(file, params)
    }

    /// The key that tokens of service accounts are signed with. Kubernetes wants a public key here, not a certificate.
    pub(crate) fn token_keys(&self) -> anyhow::Result<TokenKeys> {
        let key = KeyPair::generate().context("make the key of service accounts")?;
        let keys = TokenKeys {
            private: self.folder.join("service-account.key"),
            public: self.folder.join("service-account.pub"),
        };
        write(&keys.private, &key.serialize_pem())?;
        write(&keys.public, &key.public_key_pem())?;
        Ok(keys)
    }

    fn issue(&self, file: &str, params: CertificateParams) -> anyhow::Result<Identity> {
        let key = KeyPair::generate().with_context(|| format!("make the key of {file}"))?;
        let signed = params.signed_by(&key, &self.issuer);
        let certificate = signed.with_context(|| format!("sign the certificate of {file}"))?;
        let identity = Identity {
            certificate: self.folder.join(format!("{file}.crt")),
            key: self.folder.join(format!("{file}.key")),
        };
        write(&identity.certificate, &certificate.pem())?;
        write(&identity.key, &key.serialize_pem())?;
        Ok(identity)
    }
}

impl Identity {
    pub fn certificate(&self) -> &Path {
        &self.certificate
    }

    pub fn key(&self) -> &Path {
        &self.key
    }
}

fn name(common: &str, organization: Option<&str>) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    if let Some(organization) = organization {
        name.push(DnType::OrganizationName, organization);
    }
    name
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("write {}", path.display()))
}
