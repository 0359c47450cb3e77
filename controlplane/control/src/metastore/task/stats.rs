//! `berth-control metastore stats`: what a server says of what is in it, as tables or as it is.

use std::time::Duration;

use anyhow::Context as _;
use http_body_util::BodyExt as _;
use serde_json::Value;
use tonic::transport::Channel;

use super::client;
use super::progress::bytes;
use super::say;
use crate::credentials::Credentials;

#[derive(Debug, clap::Args)]
pub(in crate::metastore) struct Args {
    /// Where the store is: http://HOST:PORT or https://HOST:PORT
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:2379")]
    endpoint: String,
    /// How long what is written is counted
    #[arg(long, value_name = "TIME", value_parser = crate::metastore::values::duration, default_value = "1s")]
    interval: Duration,
    /// How many parts of a key make a prefix: 2 is /registry/pods/, 3 is /registry/pods/default/
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=16))]
    depth: u8,
    /// The most prefixes and watched ranges that are shown
    #[arg(long, value_name = "N", default_value_t = 15)]
    top: usize,
    /// As the server says it, for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    credentials: Credentials,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<()> {
    let channel = client::connect(&args.endpoint, &args.credentials).await?;
    let before = fetch(&channel, "?depth=0").await?;
    tokio::time::sleep(args.interval).await;
    let path = format!("?depth={}&top={}", args.depth, args.top);
    let mut now = fetch(&channel, &path).await?;
    let seconds = args.interval.as_secs_f64();
    let rate = |field: &str| {
        let difference = number(&now, field).saturating_sub(number(&before, field));
        Value::from((difference as f64 / seconds).round())
    };
    let (revisions, log) = (rate("revision"), rate("log_head"));
    now["revisions_per_second"] = revisions;
    now["log_bytes_per_second"] = log;
    if args.json {
        say(&serde_json::to_string_pretty(&now)?);
    } else {
        tables(&now).iter().for_each(|line| say(line));
    }
    Ok(())
}

async fn fetch(channel: &Channel, query: &str) -> anyhow::Result<Value> {
    use tonic::codegen::Service as _;
    let request = http::Request::get(format!("/debug/metastore/stats{query}"))
        .body(tonic::body::Body::empty())?;
    let mut channel = channel.clone();
    std::future::poll_fn(|context| channel.poll_ready(context)).await?;
    let response = channel.call(request).await.context("ask for the figures")?;
    let status = response.status();
    let body = response.into_body().collect().await.context("read the figures")?.to_bytes();
    let text = String::from_utf8_lossy(&body);
    anyhow::ensure!(status.is_success(), "the server answers {status}: {}", text.trim());
    serde_json::from_slice(&body).with_context(|| format!("the server answers {text:?}"))
}

fn number(value: &Value, field: &str) -> u64 {
    value[field].as_u64().unwrap_or_default()
}

fn tables(stats: &Value) -> Vec<String> {
    let number = |field| number(stats, field);
    let mut lines = vec![
        format!("revision   {}, compacted {}", number("revision"), number("compacted")),
        format!(
            "keys       {}, {} of keys and values; {} versions are kept, {}",
            number("keys"),
            bytes(number("bytes")),
            number("versions"),
            bytes(number("kept_bytes")),
        ),
        format!(
            "log        {} on disk, {} of it in use",
            bytes(number("log_bytes_on_disk")),
            bytes(number("log_bytes_in_use"))
        ),
        format!(
            "writes     {} revisions and {} of log a second",
            stats["revisions_per_second"],
            bytes(stats["log_bytes_per_second"].as_f64().unwrap_or_default() as u64)
        ),
        format!("leases     {}", number("leases")),
    ];
    let columns = [("keys", false), ("versions", false), ("bytes", true), ("kept_bytes", true)];
    lines.extend(table("prefix", &stats["prefixes"], &columns));
    let columns = [("watches", false), ("behind", false), ("behind_by", false)];
    lines.extend(table("watched", &stats["watched"], &columns));
    lines
}

fn table(name: &str, rows: &Value, columns: &[(&str, bool)]) -> Vec<String> {
    let Some(rows) = rows.as_array().filter(|rows| !rows.is_empty()) else { return Vec::new() };
    let head = columns.iter().map(|(column, _)| format!("{:>12}", column.replace('_', " ")));
    let mut lines = vec![String::new(), head.collect::<String>() + "  " + name];
    for row in rows {
        let cell = |(column, is_bytes): &(&str, bool)| {
            let number = number(row, column);
            format!("{:>12}", if *is_bytes { bytes(number) } else { number.to_string() })
        };
        let cells: String = columns.iter().map(cell).collect();
        lines.push(cells + "  " + row[name].as_str().unwrap_or("(all others)"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_as_tables() {
        let stats = serde_json::json!({
            "revision": 12, "compacted": 3, "keys": 2, "bytes": 2048, "versions": 5, "kept_bytes": 4096,
            "log_bytes_on_disk": 1_048_576, "log_bytes_in_use": 100, "leases": 1,
            "revisions_per_second": 7.0, "log_bytes_per_second": 0.0,
            "prefixes": [{"prefix": "/registry/pods/", "keys": 2, "versions": 5, "bytes": 10, "kept_bytes": 20}, {"keys": 1}],
            "watched": [],
        });
        let expected = "\
revision   12, compacted 3
keys       2, 2.00 KiB of keys and values; 5 versions are kept, 4.00 KiB
log        1.00 MiB on disk, 100 B of it in use
writes     7.0 revisions and 0 B of log a second
leases     1

        keys    versions       bytes  kept bytes  prefix
           2           5        10 B        20 B  /registry/pods/
           1           0         0 B         0 B  (all others)";
        assert_eq!(tables(&stats).join("\n"), expected);
    }
}
