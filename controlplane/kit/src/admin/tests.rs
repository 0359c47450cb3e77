//! The port over a real loopback socket: answers, limits, shutdown.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use prometheus_client::metrics::counter::Counter;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;

struct Port {
    addr: SocketAddr,
    probe_loaded: Arc<AtomicBool>,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

async fn port() -> Port {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let addr = listener.local_addr().expect("bound");
    let probe_loaded = Arc::new(AtomicBool::new(false));
    let mut registry = Registry::default();
    let ticks: Counter = Counter::default();
    ticks.inc_by(7);
    registry.register("berth_ticks", "Turns of the loop", ticks);
    let loaded = Arc::clone(&probe_loaded);
    let admin = Admin {
        health: Arc::new(Vec::new),
        readiness: Arc::new(move || {
            let probe = match loaded.load(Ordering::Relaxed) {
                true => Ok("4 programs".to_owned()),
                false => Err("no BTF".to_owned()),
            };
            let turning = Check { name: "loop", result: Ok(String::new()) };
            vec![turning, Check { name: "probe", result: probe }]
        }),
        registry: Arc::new(registry),
    };
    let (stop, stopped) = oneshot::channel();
    let server = tokio::spawn(serve(listener, admin, async move {
        let _ = stopped.await;
    }));
    Port { addr, probe_loaded, stop, server }
}

async fn exchange(addr: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.expect("connect");
    stream.write_all(request.as_bytes()).await.expect("send");
    let mut reply = String::new();
    // a reset after the answer is fine: what was read counts
    let _ = stream.read_to_string(&mut reply).await;
    reply
}

#[track_caller]
fn check(reply: &str, status: &str, body: &str) {
    let (head, got) = reply.split_once("\r\n\r\n").expect(reply);
    assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{head}");
    assert_eq!(got, body);
}

async fn get(addr: SocketAddr, path: &str) -> String {
    exchange(addr, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await
}

#[tokio::test]
async fn each_path_answers_and_readiness_names_its_reasons() {
    let port = port().await;
    check(&get(port.addr, "/healthz").await, "200", "ok\n");
    let not_ready = "[+] loop\n[-] probe: no BTF\nfailed\n";
    check(&get(port.addr, "/readyz").await, "503", not_ready);
    port.probe_loaded.store(true, Ordering::Relaxed);
    check(&get(port.addr, "/readyz?verbose").await, "200", "[+] loop\n[+] probe: 4 programs\nok\n");
    let metrics = get(port.addr, "/metrics").await;
    assert!(metrics.contains("application/openmetrics-text"), "{metrics}");
    assert!(metrics.contains("berth_ticks_total 7\n# EOF\n"), "{metrics}");
    check(&get(port.addr, "/").await, "404", "try /healthz, /readyz or /metrics\n");
}

#[tokio::test]
async fn other_methods_are_refused_and_a_body_is_not_read() {
    let port = port().await;
    let post = "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n";
    check(&exchange(port.addr, post).await, "405", "GET only\n");
    let head = "HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    check(&exchange(port.addr, head).await, "200", "");
}

#[tokio::test]
async fn headers_have_a_limit() {
    let port = port().await;
    let long = "a".repeat(MAX_HEADER_BYTES);
    let request = format!("GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: {long}\r\n\r\n");
    let reply = exchange(port.addr, &request).await;
    assert!(reply.starts_with("HTTP/1.1 431") || reply.is_empty(), "{reply}");
}

#[tokio::test]
async fn silent_peers_do_not_lock_others_out_for_longer_than_the_header_timeout() {
    let port = port().await;
    let mut silent = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        silent.push(TcpStream::connect(port.addr).await.expect("connect"));
    }
    let started = tokio::time::Instant::now();
    check(&get(port.addr, "/healthz").await, "200", "ok\n");
    assert!(started.elapsed() < HEADER_TIMEOUT + Duration::from_secs(2));
}

#[tokio::test]
async fn shutdown_closes_the_port_and_does_not_wait_for_a_silent_peer() {
    let port = port().await;
    let _silent = TcpStream::connect(port.addr).await.expect("connect");
    check(&get(port.addr, "/healthz").await, "200", "ok\n");
    port.stop.send(()).expect("server runs");
    let ended = tokio::time::timeout(SHUTDOWN_GRACE * 3, port.server).await;
    ended.expect("ends in time").expect("no panic");
    TcpStream::connect(port.addr).await.expect_err("the port is closed");
}

#[tokio::test]
async fn a_port_for_metrics_answers_nothing_else() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let addr = listener.local_addr().expect("bound");
    let (stop, stopped) = oneshot::channel::<()>();
    let registry = Arc::new(Registry::default());
    let server = tokio::spawn(serve_metrics(listener, registry, async move {
        let _ = stopped.await;
    }));
    check(&get(addr, "/metrics").await, "200", "# EOF\n");
    for path in ["/", "/healthz", "/readyz", "/metrics/", "/debug"] {
        check(&get(addr, path).await, "404", "try /metrics\n");
    }
    let post = exchange(addr, "POST /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
    check(&post, "405", "GET only\n");
    drop(stop);
    server.await.expect("ends");
}
