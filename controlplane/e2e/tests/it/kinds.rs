//! Kinds of objects that agents write, as a cluster may have them: as the agent has them, in another version, without a field.

use std::io::Write as _;
use std::process::Stdio;

use testkit::Kubeconfig;

/// What a node tells of itself, as it is installed.
pub(crate) const CNR: &str = include_str!("../../../../deploy/crds/customnoderesources.yaml");
pub(crate) const TOPOLOGY: &str = include_str!("noderesourcetopologies.yaml");

pub(crate) fn cnr_of_another_version() -> String {
    replaced("    - name: v1alpha1\n", "    - name: v1beta1\n")
}

/// As somebody had it before this field came.
pub(crate) fn cnr_without_topology_policy() -> String {
    replaced("                topologyPolicy: { type: string }\n", "")
}

fn replaced(line: &str, by: &str) -> String {
    assert_eq!(CNR.matches(line).count(), 1, "{line:?}");
    CNR.replace(line, by)
}

/// What is there under the same name becomes this one.
pub(crate) fn install(admin: &Kubeconfig, kind: &str) {
    with_kubectl(admin, &["apply", "--server-side", "-f", "-"], kind);
}

/// With all objects of it; returns when they are gone.
pub(crate) fn remove(admin: &Kubeconfig, kind: &str) {
    with_kubectl(admin, &["delete", "--wait=true", "-f", "-"], kind);
}

fn with_kubectl(admin: &Kubeconfig, words: &[&str], document: &str) {
    let mut kubectl = admin.kubectl().unwrap();
    let mut kubectl = kubectl
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    kubectl.stdin.take().unwrap().write_all(document.as_bytes()).unwrap();
    let output = kubectl.wait_with_output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
}
