//! The cargo that xtask runs, and what it says of what it has built. Owns that it sees nothing of xtask's own package: `cargo run` tells a program where its manifest lies, and
//! build scripts that look at these variables (that of `ring` does) would run anew in every checkout, and all crates above with them.

use std::env;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

/// In `root`. The one that runs us, so that a pinned tool-chain stays pinned.
pub(crate) fn cargo(root: &Path) -> Command {
    let program = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.current_dir(root);
    for (name, _) in env::vars_os() {
        let is_of_package = |name: &str| PACKAGE.iter().any(|prefix| name.starts_with(prefix));
        if name.to_str().is_some_and(is_of_package) {
            command.env_remove(name);
        }
    }
    command
}

/// What a cargo says to a program about each unit; errors go to whoever looks on.
pub(crate) const MESSAGES: &str = "--message-format=json-render-diagnostics";

/// Runs a cargo that has [`MESSAGES`] among its arguments to its end, and answers them.
pub(crate) fn messages(cargo: &mut Command) -> anyhow::Result<String> {
    let output =
        cargo.stdin(Stdio::null()).stderr(Stdio::inherit()).output().context("run cargo")?;
    ensure!(output.status.success(), "cargo ended with {}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What is told about the package of a program.
const PACKAGE: [&str; 3] = ["CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_CRATE_"];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::cargo;

    #[test]
    fn nothing_of_our_own_package_is_told() {
        // Cargo runs this test, so it has told us.
        assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
        let command = cargo(Path::new("/"));
        let removed: Vec<_> = command.get_envs().filter(|(_, value)| value.is_none()).collect();
        assert!(removed.iter().any(|(name, _)| *name == "CARGO_MANIFEST_DIR"), "{removed:?}");
        assert!(removed.iter().any(|(name, _)| *name == "CARGO_PKG_NAME"), "{removed:?}");
        assert!(!removed.iter().any(|(name, _)| *name == "CARGO_TARGET_DIR"), "{removed:?}");
    }
}
