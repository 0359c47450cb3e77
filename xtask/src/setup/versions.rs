//! The pins of `xtask/versions.toml` as values. Compiled in, so that a pin and the code that installs
//! it cannot come from two different trees.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Versions {
    pub(crate) debian: Debian,
    pub(crate) apt: BTreeMap<String, BTreeMap<String, String>>,
    /// Group, package, version.
    pub(crate) packages: BTreeMap<String, BTreeMap<String, String>>,
    /// Suite, package, version.
    pub(crate) suite: BTreeMap<String, BTreeMap<String, String>>,
    pub(crate) kernel: BTreeMap<String, KernelPin>,
    pub(crate) modules: Modules,
    pub(crate) cargo: BTreeMap<String, CargoTool>,
    pub(crate) go: Go,
    /// Name of the folder below `xtask/kube`, what it builds.
    pub(crate) kube: BTreeMap<String, GoModule>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Debian {
    pub(crate) id: String,
    pub(crate) version_id: String,
}

#[derive(Debug, Hash, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KernelPin {
    pub(crate) package: String,
    pub(crate) version: String,
    /// apt's regular expression for packages that may stand in when the pinned one has gone.
    pub(crate) family: String,
}

#[derive(Debug, Hash, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Modules {
    pub(crate) names: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CargoTool {
    pub(crate) version: String,
    pub(crate) features: String,
    pub(crate) llvm: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Go {
    pub(crate) version: String,
    /// On the Python index.
    pub(crate) package: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GoModule {
    pub(crate) module: String,
    pub(crate) version: String,
    #[serde(default)]
    pub(crate) tags: String,
    /// Variable, value.
    #[serde(default)]
    pub(crate) stamps: BTreeMap<String, String>,
    /// Name, package.
    pub(crate) programs: BTreeMap<String, String>,
}

pub(crate) fn pinned() -> anyhow::Result<Versions> {
    toml::from_str(include_str!("../../versions.toml")).context("xtask/versions.toml")
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_file_parses_and_pins_both_kernels() {
        let versions = super::pinned().unwrap();
        assert_eq!(versions.kernel.keys().collect::<Vec<_>>(), ["6.1", "6.12"]);
        assert!(versions.packages["guest"].contains_key("busybox-static"));
        assert!(versions.suite[crate::setup::qemu::SUITE].contains_key("qemu-system-x86"));
    }
}
