//! Flags and what they come to.

use clap::Parser;

use super::*;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

fn parsed(flags: &str) -> Result<Args, String> {
    let words = std::iter::once("metastore").chain(flags.split_whitespace());
    Line::try_parse_from(words).map(|line| line.args).map_err(|error| error.to_string())
}

#[track_caller]
fn refused(flags: &str, told: &str) {
    let said = parsed(flags).and_then(|args| args.config().map(|_| String::new()));
    let said = said.expect_err("flags that are refused");
    assert!(said.contains(told), "{flags}: {said}");
}

#[test]
fn where_clients_are_listened_to() {
    for (flags, urls, pages) in [
        ("", "http://127.0.0.1:2379", ""),
        ("--port 3379", "http://0.0.0.0:3379", ""),
        ("--port 3379 --cert-file c --key-file k", "https://0.0.0.0:3379", ""),
        ("--listen-client-urls http://a:1,https://b:2", "http://a:1,https://b:2", ""),
        ("--info-port 8080", "http://127.0.0.1:2379", "http://0.0.0.0:8080"),
        ("--listen-metrics-urls http://a:1 --info-port 0", "http://127.0.0.1:2379", "http://a:1"),
    ] {
        let args = parsed(flags).unwrap();
        assert_eq!(args.client_urls().join(","), urls, "{flags}");
        assert_eq!(args.metrics_urls().join(","), pages, "{flags}");
        assert_eq!(args.config().unwrap().settings.client_urls.join(","), urls, "{flags}");
    }
    refused("--port 1 --listen-client-urls http://a:1", "cannot be used with");
}

#[test]
fn what_is_kept() {
    let hours = |n: u64| Mode::Periodic(Duration::from_secs(3600 * n));
    for (flags, expected) in [
        ("", Mode::Off),
        ("--auto-compaction-retention 0", Mode::Off),
        ("--auto-compaction-retention 1", hours(1)),
        ("--auto-compaction-retention 72h", hours(72)),
        ("--auto-compaction-retention 1h30m", Mode::Periodic(Duration::from_secs(5400))),
        ("--auto-compaction-mode revision --auto-compaction-retention 1000", Mode::Revision(1000)),
        ("--auto-compaction-mode revision", Mode::Off),
    ] {
        assert_eq!(
            parsed(flags).unwrap().config().unwrap().allowed.auto_compaction,
            expected,
            "{flags}"
        );
    }
    refused("--auto-compaction-retention 5x", "5x");
    refused(
        "--auto-compaction-mode revision --auto-compaction-retention 1h",
        "a number of revisions",
    );
    refused("--auto-compaction-mode daily", "periodic");
}

#[test]
fn quotas_and_prefixes() {
    let config = |flags| parsed(flags).unwrap().config().unwrap();
    assert_eq!(config("").settings.quota_bytes, 0);
    assert_eq!(config("--quota-backend-bytes -1").settings.quota_bytes, 0);
    assert_eq!(config("--quota-backend-bytes 2147483648").settings.quota_bytes, 2 << 30);
    assert_eq!(config("").allowed.key_prefix, None);
    assert_eq!(config("--key-prefix /registry").allowed.key_prefix.unwrap(), "/registry");
    refused("--key-prefix /registry/", "no slash at its end");
}

#[test]
fn what_has_no_effect_is_named() {
    let given = |flags| parsed(flags).unwrap().without_effect.given().join(" ");
    assert_eq!(given(""), "");
    let flags = "--compatible-with-etcd --peer-port 2380 --enable-storage-metrics=false \
                 --watch-cache-size 9 --cluster-name c --skip-key-prefix /a,/b --allow-insecure=true";
    let expected = "--peer-port --skip-key-prefix --compatible-with-etcd --watch-cache-size \
                    --cluster-name --allow-insecure --enable-storage-metrics";
    assert_eq!(given(flags), expected);
    refused("--pd-addrs a", "--pd-addrs");
}
