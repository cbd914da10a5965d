//! The real binary in front of a scripted origin, and a client that sees every byte.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::Duration;

use testbed::clock::Clock;
use testbed::origin::Origin;
use testbed::process::{Child, Program};
use testbed::scratch::Scratch;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Longest that anything here may take; reached only by what is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A proxy under test.
pub(crate) struct Proxy {
    pub(crate) process: Child,
    pub(crate) visitors: SocketAddr,
    pub(crate) operators: SocketAddr,
    pub(crate) config: std::path::PathBuf,
    /// Of a machine whose clock is wrong.
    _clock: Option<Clock>,
    _folder: Scratch,
}

/// A response, as it came.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

/// A room of the config: `{origin}` stands for the origin's address.
pub(crate) fn room(more: &str) -> String {
    format!("[[rooms]]\nname = \"concert\"\nupstreams = [\"{{origin}}\"]\n{more}\n")
}

impl Proxy {
    /// Starts with `rooms` (TOML) and the memory store.
    pub(crate) async fn start(origin: &Origin, rooms: &str) -> Self {
        Self::start_with(origin, "", rooms).await
    }

    /// Starts with more of the config in front of the rooms.
    pub(crate) async fn start_with(origin: &Origin, top: &str, rooms: &str) -> Self {
        Self::start_until("the room starts", origin, top, rooms, &[]).await
    }

    /// Starts one more, on a store where the room is already.
    pub(crate) async fn start_another(origin: &Origin, top: &str, rooms: &str) -> Self {
        Self::start_until("joined the room", origin, top, rooms, &[]).await
    }

    /// Starts one more on a machine whose clock is off by so many seconds.
    pub(crate) async fn start_by_clock(origin: &Origin, top: &str, rooms: &str, off_s: i64) -> Self {
        let clock = Clock::new().unwrap();
        clock.step_to(off_s).unwrap();
        let environment = clock.environment();
        let proxy = Self::start_until("the store's differ", origin, top, rooms, &environment).await;
        proxy.process.wait_for_line("joined the room", PATIENCE).await.unwrap();
        Self { _clock: Some(clock), ..proxy }
    }

    async fn start_until(line: &str, origin: &Origin, top: &str, rooms: &str, environment: &[(&str, String)]) -> Self {
        let (folder, config) = config(origin, top, rooms);
        let program = environment.iter().fold(program(&config), |program, (key, value)| program.env(key, value));
        let process = program.start().unwrap();
        let visitors = address(&process, "visitors: http://").await;
        let operators = address(&process, "operators: http://").await;
        process.wait_for_line(line, PATIENCE).await.unwrap();
        process.wait_for_port(visitors, PATIENCE).await.unwrap();
        Self { process, visitors, operators, config, _clock: None, _folder: folder }
    }

    /// Starts what must not start: its exit status and all it said.
    pub(crate) async fn fails_to_start(origin: &Origin, top: &str, rooms: &str) -> (Option<i32>, String) {
        let (_folder, config) = config(origin, top, rooms);
        let process = program(&config).start().unwrap();
        let status = process.wait(PATIENCE).await.unwrap();
        (status.code(), process.log())
    }

    /// Sends the same request many times over a few connections that are kept.
    pub(crate) async fn repeat(&self, request: &str, times: u64) {
        const CONNECTIONS: u64 = 8;
        let workers = (0..CONNECTIONS).map(|_| async {
            let mut stream = TcpStream::connect(self.visitors).await.unwrap();
            let mut answer = vec![0; 64 * 1024];
            for _ in 0..times / CONNECTIONS {
                stream.write_all(request.as_bytes()).await.unwrap();
                // Answers are short: one read has the head, and Content-Length says whether it has all.
                let mut read = stream.read(&mut answer).await.unwrap();
                while !whole(&answer[..read]) {
                    let more = stream.read(&mut answer[read..]).await.unwrap();
                    assert!(more > 0, "closed: {}", String::from_utf8_lossy(&answer[..read]));
                    read += more;
                }
                assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..read]));
            }
        });
        futures_util::future::join_all(workers).await;
    }

    /// Sends a request with these fields and no body.
    pub(crate) async fn request(&self, method: &str, path: &str, fields: &[(&str, &str)]) -> Response {
        let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        self.raw(&format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}\r\n")).await
    }

    /// A browser's request for a page.
    pub(crate) async fn page(&self, path: &str, cookies: &str) -> Response {
        let mut fields = vec![("Accept", "text/html,*/*;q=0.8")];
        if !cookies.is_empty() {
            fields.push(("Cookie", cookies));
        }
        self.request("GET", path, &fields).await
    }

    /// Sends bytes and reads to the end.
    pub(crate) async fn raw(&self, bytes: &str) -> Response {
        Response::parse(&exchange(self.visitors, bytes.as_bytes()).await)
    }

    /// An operator's order.
    pub(crate) async fn order(&self, path: &str) -> Response {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nX-Waitroom-Admin: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            self.operators
        );
        Response::parse(&exchange(self.operators, request.as_bytes()).await)
    }

    /// What operators see.
    pub(crate) async fn look(&self, path: &str) -> Response {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.operators);
        Response::parse(&exchange(self.operators, request.as_bytes()).await)
    }

    /// Polls until the status is as wanted; the cookies of the last answer count.
    pub(crate) async fn poll_until(
        &self,
        jar: &mut Jar,
        wanted: impl Fn(&serde_json::Value) -> bool,
    ) -> serde_json::Value {
        let (jar, last) = (RefCell::new(jar), RefCell::new(serde_json::Value::Null));
        let poll = async || {
            let cookies = jar.borrow().header();
            let response = self.request("GET", "/queue/status?room=concert", &[("Cookie", &cookies)]).await;
            assert_eq!(response.status, 200, "{response:?}");
            jar.borrow_mut().take(&response);
            let status = response.json();
            last.replace(status.clone());
            wanted(&status).then_some(status)
        };
        let polled = testbed::wait::until_some("the wanted status", PATIENCE, poll).await;
        polled.unwrap_or_else(|error| panic!("{error}; last: {}", last.borrow()))
    }

    /// Takes every turn there is by the fast lane, so that the next visitor must wait.
    pub(crate) async fn exhaust(&self) {
        for _ in 0..10_000 {
            if self.request("GET", "/taken", &[]).await.status == 429 {
                return;
            }
        }
        panic!("the fast lane never ends");
    }
}

fn config(origin: &Origin, top: &str, rooms: &str) -> (Scratch, std::path::PathBuf) {
    let folder = Scratch::new("proxy").unwrap();
    let config = folder.path().join("waitroom.toml");
    let rooms = rooms.replace("{origin}", &origin.addr().to_string());
    let listen = if top.contains("listen") { "" } else { "listen = [\"127.0.0.1:0\"]" };
    std::fs::write(&config, format!("[server]\nadmin_listen = \"127.0.0.1:0\"\n{listen}\n{top}\n{rooms}")).unwrap();
    (folder, config)
}

fn program(config: &std::path::Path) -> Program {
    Program::new(env!("CARGO_BIN_EXE_waitroom-proxy")).named("waitroom-proxy").args([
        "run",
        "--config",
        config.to_str().unwrap(),
    ])
}

/// An event stream, read as it comes.
pub(crate) struct Events {
    stream: TcpStream,
    pub(crate) text: String,
}

impl Events {
    /// Asks for the stream with these fields.
    pub(crate) async fn open(proxy: &Proxy, fields: &str) -> Self {
        let mut stream = TcpStream::connect(proxy.visitors).await.unwrap();
        let request = format!("GET /queue/events?room=concert HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut events = Self { stream, text: String::new() };
        events.until("\r\n\r\n").await;
        events
    }

    /// Reads until this has come; `false` when the stream ends before.
    pub(crate) async fn comes(&mut self, needle: &str) -> bool {
        let reading = async {
            let mut piece = [0; 4_096];
            while !self.text.contains(needle) {
                match self.stream.read(&mut piece).await {
                    Ok(read) if read > 0 => self.text.push_str(&String::from_utf8_lossy(&piece[..read])),
                    _ => return false,
                }
            }
            true
        };
        tokio::time::timeout(PATIENCE, reading).await.expect("the stream stays silent")
    }

    /// Reads until this has come.
    pub(crate) async fn until(&mut self, needle: &str) {
        assert!(self.comes(needle).await, "ended without {needle}: {}", self.text);
    }

    /// Reads to the end.
    pub(crate) async fn end(&mut self) {
        assert!(!self.comes("\u{0}").await);
    }

    /// The connection itself.
    pub(crate) fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// The head, as it came.
    pub(crate) fn head(&self) -> Response {
        Response::parse(self.text.as_bytes())
    }

    /// The data of all events of this name, in order.
    pub(crate) fn data(&self, name: &str) -> Vec<serde_json::Value> {
        let marker = format!("event: {name}\ndata: ");
        let events = self.text.split(&marker).skip(1);
        events.map(|rest| serde_json::from_str(rest.lines().next().unwrap()).unwrap()).collect()
    }
}

/// Whether the bytes hold a head and as much body as it says.
fn whole(bytes: &[u8]) -> bool {
    let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length: ").and_then(|n| n.parse::<usize>().ok()));
    bytes.len() >= end + 4 + length.unwrap_or(0)
}

async fn address(process: &Child, prefix: &str) -> SocketAddr {
    let line = process.wait_for_line(prefix, PATIENCE).await.unwrap();
    let (_, address) = line.split_once(prefix).unwrap();
    address.trim().parse().unwrap()
}

/// Sends bytes, reads until the other side closes.
pub(crate) async fn exchange(to: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let talk = async {
        let mut stream = TcpStream::connect(to).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        // A reset after the answer still leaves the answer.
        let _ = stream.read_to_end(&mut answer).await;
        answer
    };
    tokio::time::timeout(PATIENCE, talk).await.expect("the connection stays open")
}

impl Response {
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or_else(|| {
            panic!("no response: {:?}", String::from_utf8_lossy(bytes));
        });
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines
            .map(|line| line.split_once(':').unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Self { status, headers, body: String::from_utf8_lossy(&bytes[end + 4..]).into_owned() }
    }

    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str()).collect()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let all = self.all(name);
        assert_eq!(all.len(), 1, "{name} in {self:?}");
        all[0]
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A browser's cookies.
#[derive(Clone, Debug, Default)]
pub(crate) struct Jar(pub(crate) std::collections::BTreeMap<String, String>);

impl Jar {
    pub(crate) fn take(&mut self, response: &Response) {
        for cookie in response.all("set-cookie") {
            let (pair, attributes) = cookie.split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            if attributes.contains("Max-Age=0") {
                self.0.remove(name);
            } else {
                self.0.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    pub(crate) fn header(&self) -> String {
        self.0.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }
}
