//! The one binary of tests that run in the guest. Modules by what they try: `probe_*` BPF, `cgroup_*`
//! the kernel's knobs, `agent_*` the agent as a process.

mod agent_blind;
mod agent_control;
mod agent_explain;
mod agent_faults;
mod agent_hosts;
mod agent_pods;
mod agent_process;
mod agent_provision;
mod agent_reading;
mod agent_recording;
mod agent_refused;
mod agent_rights;
mod agent_soak;
mod cgroup_faults;
mod cgroup_knobs;
mod cgroup_refusals;
mod cgroup_resources;
mod cgroup_rights;
mod cgroup_signals;
mod environment;
mod nri_runtime;
mod probe_accounting;
mod probe_bursts;
mod probe_causes;
mod probe_faults;
mod probe_kit;
mod seccomp;
