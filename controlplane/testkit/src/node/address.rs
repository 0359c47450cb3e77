//! The address of a node on the host: one of the loopback network, which is its name as well. The apiserver reaches the kubelet at
//! port 10250 of it, as everywhere, because QEMU forwards that port.

use std::net::{Ipv4Addr, TcpListener};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};

use anyhow::{Context as _, bail};

/// Ports that QEMU forwards into the node: ssh and the kubelet.
pub(super) const PORTS: [u16; 2] = [22, 10250];

/// An address that no other node on this machine has while this value lives.
#[derive(Debug)]
pub(super) struct Address {
    ip: Ipv4Addr,
    // A name in the kernel that one process at a time can have, and that goes with it.
    _claim: UnixListener,
}

impl Address {
    /// The first free one: 127.0.0.2, 127.0.0.3 and so on.
    pub(super) fn reserve() -> anyhow::Result<Address> {
        for last in 2..=254 {
            let ip = Ipv4Addr::new(127, 0, 0, last);
            let claim = SocketAddr::from_abstract_name(format!("berth-node-{ip}"))
                .context("name a claim")?;
            let Ok(claim) = UnixListener::bind_addr(&claim) else { continue };
            // Somebody who claims nothing may listen there, such as a server on all addresses.
            if PORTS.iter().all(|&port| TcpListener::bind((ip, port)).is_ok()) {
                return Ok(Address { ip, _claim: claim });
            }
        }
        bail!(
            "no address from 127.0.0.2 to 127.0.0.254 has the ports 22 and 10250 free; \
             a server that listens on all addresses takes them all (`ss -ltn`)"
        )
    }

    pub(super) fn name(&self) -> String {
        self.ip.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::Address;

    #[test]
    fn two_nodes_have_two_addresses_and_one_that_ended_gives_its_back() {
        let first = Address::reserve().unwrap();
        let second = Address::reserve().unwrap();
        assert_ne!(first.name(), second.name());
        let name = first.name();
        drop(first);
        let third = Address::reserve().unwrap();
        assert_eq!(third.name(), name);
    }
}
