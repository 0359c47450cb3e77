//! Everything that needs files: folders that look like a cgroup tree, and recorded machines.

#[cfg(test)]
mod cgroup_folder;
#[cfg(test)]
mod lstopo;
#[cfg(test)]
mod recorded_machines;
