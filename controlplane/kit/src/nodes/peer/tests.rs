//! Names in certificates that are made here, and claims against them.

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};

use super::*;

fn certificate(user: &str, group: &str, uris: &[&str]) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, user);
    params.distinguished_name.push(DnType::OrganizationName, group);
    params.subject_alt_names =
        uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())).collect();
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

fn said(found: Result<AllowedNode, Denied>) -> String {
    match found {
        Ok(AllowedNode::Any) => "any".to_owned(),
        Ok(AllowedNode::Named { cluster, node }) => {
            format!("{}/{node}", cluster.as_deref().unwrap_or("*"))
        }
        Err(denied) => denied.to_string(),
    }
}

#[track_caller]
fn check(user: &str, group: &str, uris: &[&str], expect: &str) {
    assert_eq!(said(of_certificate(&certificate(user, group, uris))), expect);
}

#[test]
fn a_certificate_names_a_node_in_one_of_two_ways() {
    const NONE: &str = "the client certificate names no node: neither system:node:NAME in \
                        system:nodes nor spiffe://DOMAIN/cluster/CLUSTER/node/NAME";
    check("system:node:n1", "system:nodes", &[], "*/n1");
    check("system:node:n1", "system:masters", &[], NONE);
    check("system:node:", "system:nodes", &[], NONE);
    check("n1", "system:nodes", &[], NONE);
    check("x", "y", &["spiffe://berth.dev/cluster/c1/node/n1"], "c1/n1");
    check("x", "y", &["spiffe://berth.dev/cluster/c1/node/"], NONE);
    check("x", "y", &["spiffe://berth.dev/cluster/c1/node/n1/more"], NONE);
    check("x", "y", &["spiffe:///cluster/c1/node/n1"], NONE);
    check("x", "y", &["https://berth.dev/cluster/c1/node/n1"], NONE);
    let both = ["spiffe://d/cluster/c/node/n1", "spiffe://d/cluster/c/node/n2"];
    check("x", "y", &both, "the client certificate names several nodes: n1 and n2");
    check("x", "y", &[both[0], both[0]], "c/n1");
    let mixed = "the client certificate names several nodes: n2 and n1";
    check("system:node:n2", "system:nodes", &both[..1], mixed);
}

#[test]
fn bytes_that_are_no_certificate_are_denied() {
    let der = certificate("system:node:n1", "system:nodes", &[]);
    for bytes in [&der[..0], &der[..1], &der[..der.len() - 1], b"0\x82\xff\xff", &[0xff; 64]] {
        assert_eq!(said(of_certificate(bytes)), "the client certificate cannot be read");
    }
}

#[test]
fn a_listener_of_one_cluster_takes_no_other() {
    #[track_caller]
    fn check(trusted: Option<&str>, said_cluster: Option<&str>, expect: &str) {
        let cluster = said_cluster.map(str::to_owned);
        let named = AllowedNode::Named { cluster, node: "n".to_owned() };
        assert_eq!(said(within(trusted, named)), expect);
    }
    check(None, None, "*/n");
    check(None, Some("a"), "a/n");
    check(Some("a"), None, "a/n");
    check(Some("a"), Some("a"), "a/n");
    let other = "this peer is of cluster a, it may not report nodes of cluster b";
    check(Some("a"), Some("b"), other);
}

#[test]
fn a_peer_reports_itself_only() {
    #[track_caller]
    fn check(allowed: &AllowedNode, cluster: &str, node: &str, expect: Result<(), &str>) {
        let (cluster, node) = (cluster.to_owned(), node.to_owned());
        let claimed = NodeIdentity { cluster, node, ..NodeIdentity::default() };
        let got = allowed.check(&claimed).map_err(|denied| denied.to_string());
        assert_eq!(got, expect.map_err(str::to_owned));
    }
    let named = |cluster: Option<&str>| AllowedNode::Named {
        cluster: cluster.map(str::to_owned),
        node: "n1".to_owned(),
    };
    check(&AllowedNode::Any, "c", "n2", Ok(()));
    for node in ["a/b", "../n1", "n 1", "n\u{e9}", "n\n"] {
        let allowed = "allowed are letters, digits, '-', '_' and '.'";
        check(
            &AllowedNode::Any,
            "c",
            node,
            Err(&format!("{node:?} is no name of a node: {allowed}")),
        );
    }
    check(&named(None), "c", "n1", Ok(()));
    check(&named(Some("c")), "c", "n1", Ok(()));
    check(&named(None), "c", "n2", Err("this peer is node n1, it may not report node n2"));
    let other = "this peer is of cluster d, it may not report nodes of cluster c";
    check(&named(Some("d")), "c", "n1", Err(other));
}
