//! The question over real TLS, against a server that says one thing, for ever or not at all.

use std::path::PathBuf;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::*;

/// What the server does with a question.
#[derive(Clone, Debug)]
enum Says {
    Answer(&'static str, String),
    /// Nothing, until the other end goes.
    Nothing,
    /// More and more of a body.
    ForEver,
    /// Half of what it promised.
    Half,
}

struct Server {
    configz: Configz,
    kubeconfig: PathBuf,
    _folder: tempfile::TempDir,
    /// What it was asked, head by head.
    asked: mpsc::Receiver<String>,
}

impl Server {
    /// Its certificate is its own, as a kubelet's.
    async fn start(says: Says) -> Server {
        let own = rcgen::generate_simple_self_signed(vec!["worker".to_owned()]).expect("a key");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own.signing_key.serialize_der()));
        let tls = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key)
            .expect("a certificate");
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("https://{}", listener.local_addr().expect("an address"));
        let (tell, asked) = mpsc::channel(16);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, says, tell) = (acceptor.clone(), says.clone(), tell.clone());
                tokio::spawn(async move { serve(acceptor, stream, says, tell).await });
            }
        });
        let folder = tempfile::tempdir().expect("a folder");
        let kubeconfig = folder.path().join("kubeconfig");
        let server = Server {
            configz: Configz {
                url,
                access: Access::Kubeconfig(kubeconfig.clone()),
                socket: folder.path().join("kubelet.sock"),
            },
            kubeconfig,
            _folder: folder,
            asked,
        };
        server.token("first");
        server
    }

    /// The account has another token from now on.
    fn token(&self, token: &str) {
        // The apiserver's address is none, and its authority is not the kubelet's.
        let text = format!(
            "{{apiVersion: v1, kind: Config, current-context: c, contexts: [{{name: c, context: {{cluster: c, user: u}}}}],
              clusters: [{{name: c, cluster: {{server: 'https://192.0.2.1:1', proxy-url: 'http://127.0.0.1:1'}}}}],
              users: [{{name: u, user: {{token: {token}}}}}]}}"
        );
        std::fs::write(&self.kubeconfig, text).expect("write");
    }
}

async fn serve(
    acceptor: TlsAcceptor,
    stream: tokio::net::TcpStream,
    says: Says,
    tell: mpsc::Sender<String>,
) -> Option<()> {
    let mut stream = acceptor.accept(stream).await.ok()?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    tell.send(String::from_utf8(head).ok()?).await.ok()?;
    match says {
        Says::Answer(status, body) => {
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all(head.as_bytes()).await.ok()?;
            stream.write_all(body.as_bytes()).await.ok()?;
        }
        Says::Nothing => drop(stream.read_u8().await),
        Says::ForEver => {
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
            stream.write_all(head.as_bytes()).await.ok()?;
            let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
            while stream.write_all(chunk.as_bytes()).await.is_ok() {}
        }
        Says::Half => {
            let head = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{";
            stream.write_all(head.as_bytes()).await.ok()?;
        }
    }
    stream.shutdown().await.ok()
}

/// What is known after one question; the address is `URL` in it.
#[track_caller]
fn check_said(server: &Server, told: Result<KubeletConfig, ConfigzError>, expect: &str) {
    let line = match told {
        Ok(config) => format!("{:?}", config.cpu_manager),
        Err(error) => watching::fault(&error).replace(&server.configz.url, "URL"),
    };
    assert!(line.starts_with(expect), "{line}");
}

async fn check(says: Says, expect: &str) {
    let server = Server::start(says).await;
    check_said(&server, server.configz.ask().await, expect);
}

fn ok(body: &str) -> Says {
    Says::Answer("200 OK", body.to_owned())
}

const STATIC: &str = r#"{"kubeletconfig":{"cpuManagerPolicy":"static"}}"#;

#[tokio::test]
async fn each_answer_is_told_as_what_it_is() {
    check(ok(STATIC), r#"Some("static")"#).await;
    check(ok("{}"), "the kubelet's answer cannot be read: no document of a kubelet's").await;
    let fine = "Forbidden (user=u, verb=get, resource=nodes, subresource(s)=[configz proxy])\n";
    check(
        Says::Answer("403 Forbidden", fine.to_owned()),
        "the kubelet at URL forbids it (403): the account has no right to get nodes/configz",
    )
    .await;
    let old = "Forbidden (user=u, verb=get, resource=nodes, subresource=proxy)\n";
    check(
        Says::Answer("403 Forbidden", old.to_owned()),
        "the kubelet at URL forbids it (403): one older than Kubernetes 1.33 asks for nodes/proxy",
    )
    .await;
    check(
        Says::Answer("401 Unauthorized", "Unauthorized".to_owned()),
        "the kubelet at URL does not know the account (401)",
    )
    .await;
    check(
        Says::Answer("503 Service Unavailable", String::new()),
        "the kubelet at URL answers with status 503",
    )
    .await;
    // A token is not carried on to where somebody points.
    check(
        Says::Answer("302 Found\r\nlocation: https://192.0.2.1/", String::new()),
        "the kubelet at URL answers with status 302",
    )
    .await;
    check(Says::Half, "the kubelet's answer ends early").await;
}

#[tokio::test]
async fn an_answer_without_an_end_is_cut_off() {
    check(Says::ForEver, "the kubelet at URL answers with more than 1048576 bytes").await;
}

#[tokio::test]
async fn nobody_is_waited_for_longer_than_the_limit() {
    let began = Instant::now();
    check(Says::Nothing, "the kubelet at URL does not answer within 5 s").await;
    assert!(began.elapsed() < LIMIT * 4, "{:?}", began.elapsed());
}

#[tokio::test]
async fn nobody_there_and_no_account() {
    let mut server = Server::start(ok(STATIC)).await;
    std::fs::remove_file(&server.kubeconfig).expect("remove");
    let told = server.configz.ask().await;
    check_said(&server, told, "there is no account to show to the kubelet: read /");
    server.token("second");
    server.configz.url = "https://127.0.0.1:1".to_owned();
    check_said(&server, server.configz.ask().await, "the kubelet at URL is not reached");
    server.configz.url = "https://[".to_owned();
    check_said(&server, server.configz.ask().await, "URL is no address of a kubelet");
}

/// One question with the token of now, and nothing but that.
#[tokio::test]
async fn the_token_is_read_anew_for_every_question() {
    let mut server = Server::start(ok(STATIC)).await;
    for token in ["first", "second"] {
        server.token(token);
        server.configz.ask().await.expect("told");
        let head = server.asked.recv().await.expect("asked");
        assert!(head.starts_with("GET /configz HTTP/1.1\r\n"), "{head}");
        assert!(
            head.to_lowercase().contains(&format!("authorization: bearer {token}\r\n")),
            "{head}"
        );
    }
}

/// What was told stays while nothing new is; a kubelet that starts anew is asked at once.
#[tokio::test]
async fn a_kubelet_is_followed_through_its_lives() {
    let mut server = Server::start(ok(STATIC)).await;
    let configz = server.configz.clone();
    let socket = configz.socket.clone();
    std::fs::write(&socket, "").expect("write");
    let (tell, mut heard) = watch::channel(ConfigHeard::default());
    let following = tokio::spawn(async move { follow(&configz, &tell).await });
    let told = heard.wait_for(|heard| heard.config.is_some()).await.expect("told").clone();
    assert_eq!(told.config.expect("told").cpu_manager.as_deref(), Some("static"));
    server.asked.recv().await.expect("asked");
    std::fs::remove_file(&socket).expect("remove");
    std::fs::write(&socket, "").expect("write");
    let again = timeout(LOOK_EVERY * 6, server.asked.recv()).await.expect("asked in time");
    assert!(again.is_some());
    assert!(!heard.has_changed().expect("alive"), "the same again is nothing new");
    following.abort();
}

#[test]
fn what_was_told_stays_with_the_reason_beside_it() {
    let (tell, heard) = watch::channel(ConfigHeard::default());
    let config = KubeletConfig { cpu_manager: Some("none".to_owned()), ..Default::default() };
    let gone = || ConfigzError::Slow { url: "URL".to_owned() };
    let line = || {
        let heard = heard.borrow();
        let policy = heard.config.as_ref().and_then(|config| config.cpu_manager.clone());
        (policy, heard.fault.clone())
    };
    let slow = Some("the kubelet at URL does not answer within 5 s".to_owned());
    hear(&tell, Err(gone()));
    assert_eq!(line(), (None, slow.clone()));
    hear(&tell, Ok(config.clone()));
    assert_eq!(line(), (Some("none".to_owned()), None));
    hear(&tell, Err(gone()));
    assert_eq!(line(), (Some("none".to_owned()), slow));
    hear(&tell, Ok(KubeletConfig::default()));
    assert_eq!(line(), (None, None));
}
