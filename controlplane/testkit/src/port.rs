//! Ports for servers that must be told their port before they start. Owns the reservation, not the server.

use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};

/// A loopback port that nobody else is given within the next minute, though nobody listens on it yet.
///
/// Asking for port 0 and closing the listener would let the kernel give the same port to the next one who asks. So a
/// connection is made and closed from the listening side: its socket stays behind in TIME_WAIT (60 s), and while it does the
/// kernel chooses the port neither for port 0 nor for an outgoing connection. A server that names the port may have it,
/// because servers set SO_REUSEADDR.
pub(crate) fn reserve() -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let client = TcpStream::connect(address)?;
    let (served, _) = listener.accept()?;
    // Who closes first keeps the TIME_WAIT.
    drop(served);
    drop(client);
    Ok(address.port())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::{Ipv4Addr, TcpListener};

    use super::reserve;

    #[test]
    fn a_reserved_port_is_given_to_nobody_else_and_can_be_listened_on() {
        let reserved: Vec<u16> = (0..200).map(|_| reserve().unwrap()).collect();
        let different: BTreeSet<u16> = reserved.iter().copied().collect();
        assert_eq!(different.len(), reserved.len());
        let others: Vec<_> =
            (0..2000).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).collect();
        let taken: BTreeSet<u16> =
            others.iter().map(|other| other.local_addr().unwrap().port()).collect();
        assert_eq!(different.intersection(&taken).count(), 0);
        for port in reserved {
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        }
    }
}
