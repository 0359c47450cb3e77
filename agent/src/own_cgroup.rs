//! Moves the agent into the cgroup its configuration names and gives it a weight there. The cgroup
//! must exist: the agent makes none.

use hostfs::{CgroupFile, CgroupTree, HostRoot};
use model::qos::CgroupPath;
use tracing::{info, warn};

use crate::config::Config;

/// Joins `agent.own_cgroup`, if there is one; a refusal is logged and survived.
pub fn join(config: &Config) {
    let Some(path) = &config.agent.own_cgroup else {
        return;
    };
    match try_join(config, path) {
        Ok(()) => info!(cgroup = %path, weight = config.agent.own_weight, "Joined the own cgroup"),
        Err(why) => warn!(cgroup = %path, %why, "The agent stays in the cgroup it was started in"),
    }
}

fn try_join(config: &Config, path: &str) -> Result<(), String> {
    let host = HostRoot::new(&config.host.root);
    let tree = CgroupTree::open(&host, &CgroupPath::from("/")).map_err(|e| e.to_string())?;
    let cgroup = tree.cgroup(&CgroupPath::from(path)).map_err(|e| e.to_string())?;
    cgroup.attach(std::process::id()).map_err(|e| e.to_string())?;
    cgroup
        .write(CgroupFile::CpuWeight, &config.agent.own_weight.to_string())
        .map_err(|e| e.to_string())
}
