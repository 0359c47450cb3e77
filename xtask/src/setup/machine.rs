//! Is this a machine that set-up can change? One message says what is missing when it is not, and who can bring it.

use std::fs;

use anyhow::{Context as _, bail};

use super::debs;
use super::step::{Needs, Step};
use super::versions::Debian;

/// Fails with the steps that cannot be done here and why. Fetches package lists where a step will ask for them.
pub(super) fn prepare(wanted: &Debian, missing: &[&Step<'_>]) -> anyhow::Result<()> {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let (is_debian, is_root) = (is_release(&release, wanted), is_root());
    let steps: Vec<_> = missing.iter().map(|step| (step.name.as_str(), step.needs)).collect();
    if let Some(problem) = problem(&steps, is_debian, is_root, wanted) {
        bail!("{problem}");
    }
    if steps.iter().any(|(_, needs)| *needs != Needs::Nothing) {
        debs::ensure_lists().context("fetch Debian's package lists")?;
    }
    Ok(())
}

/// What nobody can do here, or what only root can.
fn problem(
    steps: &[(&str, Needs)],
    is_debian: bool,
    is_root: bool,
    wanted: &Debian,
) -> Option<String> {
    let those = |kinds: &[Needs]| {
        let names = steps.iter().filter(|(_, needs)| kinds.contains(needs)).map(|(name, _)| *name);
        names.collect::<Vec<_>>().join(", ")
    };
    let of_debian = those(&[Needs::Archive, Needs::Root]);
    if !is_debian && !of_debian.is_empty() {
        let release = &wanted.version_id;
        return Some(format!(
            "set-up knows the packages of Debian {release} only; missing on this machine: {of_debian}"
        ));
    }
    let of_root = those(&[Needs::Root]);
    if is_root || of_root.is_empty() {
        return None;
    }
    Some(format!(
        "only root can install {of_root}; run this set-up once as root, then as yourself: the rest needs no rights"
    ))
}

fn is_release(os_release: &str, wanted: &Debian) -> bool {
    let value = |key: &str| {
        os_release
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
            .map(|text| text.trim_matches('"'))
    };
    value("ID") == Some(&wanted.id) && value("VERSION_ID") == Some(&wanted.version_id)
}

fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    // Uid: real effective saved file-system
    let effective =
        status.lines().find_map(|line| line.strip_prefix("Uid:")?.split_whitespace().nth(1));
    effective == Some("0")
}

#[cfg(test)]
mod tests {
    use super::{Debian, Needs, is_release, problem};

    fn debian() -> Debian {
        Debian { id: "debian".to_owned(), version_id: "12".to_owned() }
    }

    #[track_caller]
    fn check(os_release: &str, expected: bool) {
        assert_eq!(is_release(os_release, &debian()), expected, "{os_release:?}");
    }

    #[track_caller]
    fn check_problem(needs: Needs, is_debian: bool, is_root: bool, expected: Option<&str>) {
        let steps = [("one", Needs::Nothing), ("two", needs)];
        let said = problem(&steps, is_debian, is_root, &debian());
        assert_eq!(said.is_some(), expected.is_some(), "{said:?}");
        let said = said.unwrap_or_default();
        assert!(said.contains(expected.unwrap_or("")) && !said.contains("one,"), "{said}");
    }

    #[test]
    fn only_an_installation_needs_root_and_only_debians_packages_need_debian() {
        check_problem(Needs::Nothing, false, false, None);
        check_problem(Needs::Archive, true, false, None);
        check_problem(Needs::Archive, false, true, Some("Debian 12 only"));
        check_problem(Needs::Root, true, false, Some("only root can install two"));
        check_problem(Needs::Root, true, true, None);
    }

    #[test]
    fn release_rows() {
        check(
            "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID=\"12\"\nID=debian\n",
            true,
        );
        check("ID=debian\nVERSION_ID=\"13\"\n", false);
        check("ID=ubuntu\nVERSION_ID=\"12\"\nID_LIKE=debian\n", false);
        check("", false);
    }
}
