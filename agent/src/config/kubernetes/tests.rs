//! What the section says together with a pod's environment: who the node is, and where its kubelet is asked.

use super::*;

/// A pod of the manifest.
fn pod() -> Surroundings {
    Surroundings {
        node: Some("n1".to_owned()),
        host_ip: Some("192.0.2.7".parse().expect("an address")),
        has_account: true,
    }
}

/// Where the kubelet is asked, or what is refused.
#[track_caller]
fn check_configz(section: &str, around: &Surroundings, expect: &str) {
    let check = Checker { path: Path::new("agent.toml"), text: section };
    let raw: RawKubernetes = toml::from_str(section).expect("keys that are known");
    let line = match read(&check, raw, around) {
        Ok(KubernetesConfig { apiserver: Some(config), .. }) => match config.configz {
            Some(configz) => {
                assert_eq!(configz.access, config.access);
                assert_eq!(
                    configz.socket,
                    Path::new("/var/lib/kubelet/pod-resources/kubelet.sock")
                );
                configz.url
            }
            None => "nobody".to_owned(),
        },
        Ok(_) => "no apiserver".to_owned(),
        Err(error) => error.to_string(),
    };
    assert_eq!(line, expect);
}

#[test]
fn the_kubelet_is_asked_at_the_nodes_own_address() {
    let on_host = Surroundings::default();
    let six = Surroundings { host_ip: Some("2001:db8::7".parse().expect("one")), ..pod() };
    let unsaid = Surroundings { host_ip: None, ..pod() };
    check_configz("", &pod(), "https://192.0.2.7:10250");
    check_configz("configz = 'auto'", &six, "https://[2001:db8::7]:10250");
    check_configz("configz = 'off'", &pod(), "nobody");
    check_configz("", &unsaid, "nobody");
    check_configz("configz = 'auto'", &unsaid, "nobody");
    check_configz("configz = 'https://127.0.0.1'", &unsaid, "https://127.0.0.1:10250");
    check_configz("configz = 'https://[::1]:1/'", &pod(), "https://[::1]:1");
    // No account, so nobody to ask as.
    check_configz("", &on_host, "no apiserver");
    check_configz("apiserver = 'off'\nconfigz = 'auto'", &pod(), "no apiserver");
    let file = "apiserver = '/etc/kubeconfig'\nnode = 'n1'\nconfigz = 'https://127.0.0.1:10250'";
    check_configz(file, &on_host, "https://127.0.0.1:10250");
}

#[test]
fn the_token_goes_to_no_name_and_no_plain_port() {
    let allowed = "allowed is \"auto\" ($HOST_IP), \"off\" or https://ADDRESS[:10250] with an address of this node";
    for bad in [
        "http://127.0.0.1:10250",
        "https://localhost:10250",
        "https://worker-1",
        "https://127.0.0.1:10250/configz",
        "https://127.0.0.1:10250?x",
        "https://me@127.0.0.1:10250",
        "127.0.0.1:10250",
        "on",
        "",
    ] {
        let section = format!("configz = '{bad}'");
        let expect = format!("agent.toml:1: kubernetes.configz = {bad:?}: {allowed}");
        check_configz(&section, &pod(), &expect);
    }
    check_configz(
        "apiserver = 'off'\nconfigz = 'https://127.0.0.1'",
        &pod(),
        "agent.toml:2: kubernetes.configz = \"https://127.0.0.1\": allowed is \"off\" where kubernetes.apiserver is off: the kubelet asks who we are",
    );
}
