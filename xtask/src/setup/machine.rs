//! Is this a machine that set-up can change? One message says what is missing when it is not.

use std::fs;

use anyhow::bail;

use super::step::Step;
use super::versions::Debian;

/// Fails with the list of missing steps unless this is root on the Debian release the pins belong to.
pub(super) fn check(wanted: &Debian, steps: &[Step<'_>]) -> anyhow::Result<()> {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let problem = match (is_release(&release, wanted), is_root()) {
        (true, true) => return Ok(()),
        (true, false) => "set-up needs root".to_owned(),
        (false, _) => format!("set-up knows Debian {} only", wanted.version_id),
    };
    let missing: Vec<_> =
        steps.iter().filter(|step| !(step.is_present)()).map(|step| step.name.as_str()).collect();
    bail!("{problem}; missing on this machine: {}", missing.join(", "))
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
    use super::{Debian, is_release};

    #[track_caller]
    fn check(os_release: &str, expected: bool) {
        let wanted = Debian { id: "debian".to_owned(), version_id: "12".to_owned() };
        assert_eq!(is_release(os_release, &wanted), expected, "{os_release:?}");
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
