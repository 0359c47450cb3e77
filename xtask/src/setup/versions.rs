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
    /// For the C compiler, where part of the module is C.
    pub(crate) cgo: Option<String>,
    /// Variable, value.
    #[serde(default)]
    pub(crate) stamps: BTreeMap<String, String>,
    /// Name, package.
    pub(crate) programs: BTreeMap<String, String>,
}

pub(crate) fn pinned() -> anyhow::Result<Versions> {
    toml::from_str(include_str!("../../versions.toml")).context("xtask/versions.toml")
}

/// Everything that is pinned, for people: how it comes, its name, its version, its programs.
pub(crate) fn table(versions: &Versions) -> String {
    let mut rows = vec![["Go", "go", &versions.go.version, ""].map(str::to_owned)];
    for module in versions.kube.values() {
        let programs = module.programs.keys().map(String::as_str).collect::<Vec<_>>().join(" ");
        rows.push(["compiled", &module.module, &module.version, &programs].map(str::to_owned));
    }
    for (name, tool) in &versions.cargo {
        rows.push(["compiled", name, &tool.version, ""].map(str::to_owned));
    }
    for (series, kernel) in &versions.kernel {
        let remark = format!("guests on {series}");
        rows.push(["unpacked", &kernel.package, &kernel.version, &remark].map(str::to_owned));
    }
    for (how, groups) in [
        ("unpacked", &versions.packages),
        ("unpacked", &versions.suite),
        ("installed", &versions.apt),
    ] {
        for (group, packages) in groups {
            let row = |(name, version): (&String, &String)| {
                [how, name, version, group].map(str::to_owned)
            };
            rows.extend(packages.iter().map(row));
        }
    }
    rows.iter().map(line).collect()
}

fn line([how, name, version, remark]: &[String; 4]) -> String {
    format!("{how:<10} {name:<43} {version:<35} {remark}").trim_end().to_owned() + "\n"
}

#[cfg(test)]
mod tests {
    /// No pin of the file is left out, whatever section is added to it.
    #[test]
    fn the_table_names_every_version_of_the_file() {
        let table = super::table(&super::pinned().unwrap());
        let file = include_str!("../../versions.toml");
        let is_pin = |line: &&str| {
            let value = line.split_once(" = \"").map_or("", |(_, value)| value);
            value.starts_with(|c: char| c.is_ascii_digit()) && !line.starts_with("version_id")
        };
        // Quoted names are those of stamps, which repeat a version.
        let lines = file.lines().filter(|line| !line.starts_with('"'));
        let pins: Vec<_> = lines.filter(is_pin).collect();
        assert!(pins.len() > 20, "{pins:?}");
        for pin in pins {
            let version = pin.split('"').nth(1).unwrap();
            assert!(table.contains(version), "{pin}");
        }
    }

    #[test]
    fn the_file_parses_and_pins_both_kernels() {
        let versions = super::pinned().unwrap();
        assert_eq!(versions.kernel.keys().collect::<Vec<_>>(), ["6.1", "6.12"]);
        assert!(versions.packages["guest"].contains_key("busybox-static"));
        assert!(versions.suite[crate::setup::qemu::SUITE].contains_key("qemu-system-x86"));
    }
}
