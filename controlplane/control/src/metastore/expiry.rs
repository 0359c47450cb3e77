//! When the certificate of the server ends, as a series. Owns the look at the file; who is let in is decided elsewhere.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tracing::warn;
use x509_parser::prelude::{FromDer as _, X509Certificate};

const LOOK_EVERY: Duration = Duration::from_secs(30);

/// Tells, for as long as it is polled, how long the certificate in `file` is still good. A file that cannot be read is as one whose time is
/// over.
pub(super) fn watch(file: PathBuf, registry: &mut Registry) -> impl Future<Output = ()> + use<> {
    let remaining: Gauge = Gauge::default();
    let about = "Until the certificate in --cert-file ends; negative afterwards";
    registry.register("certificate_remaining_seconds", about, remaining.clone());
    remaining.set(remaining_s(&file));
    async move {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            remaining.set(remaining_s(&file));
        }
    }
}

fn remaining_s(file: &Path) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now_s = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    ends_at(file).map_or(0, |end_s| end_s.saturating_sub(now_s))
}

/// Since 1970.
fn ends_at(file: &Path) -> Option<i64> {
    let read = CertificateDer::from_pem_file(file);
    let der = read.inspect_err(|error| warn!(%error, "The certificate cannot be read")).ok()?;
    let (_, certificate) = X509Certificate::from_der(&der).ok()?;
    Some(certificate.validity().not_after.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_says_when_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("server.crt");
        assert_eq!(remaining_s(&file), 0, "there is none");
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.not_after = rcgen::date_time_ymd(2001, 1, 1);
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
        std::fs::write(&file, params.self_signed(&key).unwrap().pem()).unwrap();
        assert_eq!(ends_at(&file), Some(978_307_200));
        assert!(remaining_s(&file) < 0);
    }
}
