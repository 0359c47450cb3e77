//! Files that are there, wrong, missing and renewed.

use std::fs;

use super::*;

struct Made {
    folder: tempfile::TempDir,
}

impl Made {
    fn new() -> Made {
        let made = Made { folder: tempfile::tempdir().unwrap() };
        made.renew("server");
        made.renew("other");
        fs::write(made.path("empty.pem"), "").unwrap();
        fs::write(made.path("words.pem"), "no certificate").unwrap();
        made
    }

    fn renew(&self, name: &str) {
        let names = vec!["localhost".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        fs::write(self.path(&format!("{name}.pem")), made.cert.pem()).unwrap();
        fs::write(self.path(&format!("{name}.key")), made.signing_key.serialize_pem()).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn files(&self, certificate: &str, key: &str, authority: &str, needs_client: bool) -> Files {
        Files {
            certificate: self.path(certificate),
            key: self.path(key),
            authority: Some(authority).filter(|name| !name.is_empty()).map(|name| self.path(name)),
            needs_client,
        }
    }
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_name() {
    let made = Made::new();
    for (certificate, key, authority, needs_client, told) in [
        ("server.pem", "server.key", "", false, ""),
        ("server.pem", "server.key", "other.pem", false, ""),
        ("server.pem", "server.key", "other.pem", true, ""),
        ("server.pem", "server.key", "", true, "--trusted-ca-file says nobody"),
        ("none.pem", "server.key", "", false, "none.pem"),
        ("server.pem", "none.key", "", false, "none.key"),
        ("empty.pem", "server.key", "", false, "empty.pem holds no certificate"),
        ("words.pem", "server.key", "", false, "words.pem holds no certificate"),
        ("server.pem", "words.pem", "", false, "words.pem"),
        ("server.pem", "other.key", "", false, "do not belong together"),
        ("server.pem", "server.key", "empty.pem", true, "empty.pem holds no certificate"),
    ] {
        let files = made.files(certificate, key, authority, needs_client);
        let loaded = Certificates::load(files);
        let said = loaded.err().map(|error| error.to_string()).unwrap_or_default();
        assert_eq!(said.is_empty(), told.is_empty(), "{certificate} {key} {authority}: {said}");
        assert!(said.contains(told), "{certificate} {key} {authority}: {said}");
    }
}

/// A renewed pair is used, half of one is not.
#[test]
fn renewed_files_are_read_again() {
    let made = Made::new();
    let certificates =
        Certificates::load(made.files("server.pem", "server.key", "", false)).unwrap();
    let first = certificates.current();
    let look = || {
        certificates.look(&mut certificates.loaded.lock().unwrap());
        certificates.current()
    };
    assert!(Arc::ptr_eq(&first, &look()), "nothing has changed");
    fs::copy(made.path("other.key"), made.path("server.key")).unwrap();
    assert!(Arc::ptr_eq(&first, &look()), "the key is of another certificate");
    fs::copy(made.path("other.pem"), made.path("server.pem")).unwrap();
    let second = look();
    assert!(!Arc::ptr_eq(&first, &second));
    assert!(Arc::ptr_eq(&second, &look()));
}
