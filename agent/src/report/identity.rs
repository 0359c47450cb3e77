//! Who reports: the names of cluster, node, machine, boot and agent start. Owns what stands in for a name that the host
//! does not give.

use hostfs::HostRoot;
use model::Timestamp;
use proto::v1;
use tracing::warn;

use crate::config::ReportConfig;

/// Of an agent that started at `started`; the uid is left empty where the Node object (`has_object`) has one to be asked for. Fails where the
/// kernel gives no random number.
pub fn identity(
    config: &ReportConfig,
    host: &HostRoot,
    started: Timestamp,
    has_object: bool,
) -> Result<v1::NodeIdentity, hostfs::ReadError> {
    let node = config.node.clone().unwrap_or_else(host_name);
    let agent_start_id = hostfs::identity::new_uuid()?;
    Ok(v1::NodeIdentity {
        cluster: config.cluster.clone(),
        node_uid: if has_object { String::new() } else { machine(host, &node) },
        boot_id: boot(host, &agent_start_id),
        node,
        agent_start_id,
        agent_started_mono_ns: started.0,
    })
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Without one, two machines that report under one name are not told apart.
fn machine(host: &HostRoot, node: &str) -> String {
    hostfs::identity::machine_id(host).unwrap_or_else(|error| {
        let error = kit::chain(&error).to_string();
        warn!(%error, "Without a machine id the node's name stands for the machine in reports");
        format!("name:{node}")
    })
}

/// Without one every start of the agent counts as a boot of its own: then too the newest start is the one believed.
fn boot(host: &HostRoot, agent_start_id: &str) -> String {
    hostfs::identity::boot_id(host).unwrap_or_else(|error| {
        let error = kit::chain(&error).to_string();
        warn!(%error, "Without a boot id every start of the agent counts as a boot in reports");
        format!("start:{agent_start_id}")
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn config(more: &str) -> ReportConfig {
        let text = format!("[report]\nendpoints = [\"http://127.0.0.1:1\"]\n{more}");
        let config = crate::config::parse(Path::new("agent.toml"), &text).expect("good");
        config.report.expect("endpoints")
    }

    #[test]
    fn names_come_from_the_host_and_are_never_empty() {
        let dir = tempfile::tempdir().expect("temp dir");
        let root = HostRoot::new(dir.path());
        let random = dir.path().join("proc/sys/kernel/random");
        std::fs::create_dir_all(&random).expect("proc");
        std::fs::create_dir(dir.path().join("etc")).expect("etc");
        let nameless =
            identity(&config("node = \"n1\""), &root, Timestamp(7), false).expect("random");
        assert_eq!((nameless.cluster.as_str(), nameless.node.as_str()), ("default", "n1"));
        assert_eq!(nameless.node_uid, "name:n1");
        assert_eq!(nameless.boot_id, format!("start:{}", nameless.agent_start_id));
        assert_eq!(nameless.agent_started_mono_ns, 7);
        let (machine, boot) = ("a".repeat(32), "8f14e45f-ceea-467f-a12c-000000000001");
        std::fs::write(dir.path().join("etc/machine-id"), &machine).expect("write");
        std::fs::write(random.join("boot_id"), boot).expect("write");
        let named =
            identity(&config("cluster = \"c\""), &root, Timestamp(8), false).expect("random");
        assert_eq!((named.node_uid.as_str(), named.boot_id.as_str()), (machine.as_str(), boot));
        assert!(named.cluster == "c" && !named.node.is_empty());
        assert_ne!(named.agent_start_id, nameless.agent_start_id);
        let object = identity(&config("node = \"n1\""), &root, Timestamp(9), true);
        assert_eq!(object.expect("random").node_uid, "", "the apiserver tells it");
    }
}
