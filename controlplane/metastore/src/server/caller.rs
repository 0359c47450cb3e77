//! Who is at the other end of a TLS connection: the common name of the certificate that he has shown. Whether it is genuine, TLS has
//! decided before; what he may do is decided elsewhere.

use std::sync::Arc;

use tokio_rustls::rustls::ServerConnection;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::grpc::Caller;

/// Nobody where there is no certificate, no name in it or no way to read it: he has no more rights than all others.
pub(super) fn of(connection: &ServerConnection) -> Caller {
    let own = connection.peer_certificates().and_then(|chain| chain.first());
    Caller(own.and_then(|certificate| common_name(certificate)))
}

/// Of several the last, which is the one that belongs to the subject itself (RFC 4514 has the most specific part last in DER).
fn common_name(certificate: &[u8]) -> Option<Arc<str>> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let name = certificate.subject().iter_common_name().last()?;
    let name = name.as_str().ok().filter(|name| !name.is_empty())?;
    Some(Arc::from(name))
}
