//! The one binary of tests that run in the guest. Modules by what they try: `probe_*` BPF, `cgroup_*`
//! the kernel's knobs, `agent_*` the agent as a process.

mod cgroup_faults;
mod cgroup_knobs;
mod cgroup_refusals;
mod cgroup_signals;
mod environment;
