//! A seeded service behind the real proxy, with a browser in front; and questions to the browser.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use queue_token::SigningKey;
use reservation_svc::config::{self, Needs, Overrides};
use reservation_svc::ledger::{Ledger, LedgerSettings};
use reservation_svc::metrics::Metrics;
use reservation_svc::serve::Service;
use serde_json::Value;
use testbed::browser::{Browser, Options};
use testbed::gateway::Gateway;
use testbed::ports;
use testbed::postgres::{self, TestDatabase};
use testbed::process::{Child, Program};
use testbed::scratch::Scratch;
use testbed::wait;
use tokio::sync::OnceCell;

/// Two cores that compile at the same time are slow; nothing waits this long when all is well.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// The proxy is built once a run, which may be the first time.
const BUILT_WITHIN: Duration = Duration::from_secs(1_200);

pub(crate) struct Site {
    pub(crate) browser: Browser,
    pub(crate) database: TestDatabase<'static>,
    pub(crate) visitors: SocketAddr,
    admin: SocketAddr,
    _proxy: Child,
    _service: Service,
    _folder: Scratch,
}

impl Site {
    /// Visitors of the demo.
    pub(crate) async fn start(options: Options) -> Self {
        Self::with(options, "demo_login = true").await
    }

    /// Visitors of the demo, who can pay by card too.
    pub(crate) async fn at(options: Options, gateway: &Gateway) -> Self {
        Self::of(options, "demo_login = true", Some(gateway)).await
    }

    /// With these lines of `[users]`.
    pub(crate) async fn with(options: Options, users: &str) -> Self {
        Self::of(options, users, None).await
    }

    async fn of(options: Options, users: &str, gateway: Option<&Gateway>) -> Self {
        let database = seeded().await;
        let folder = Scratch::new("booking").unwrap();
        let visitors = SocketAddr::from(([127, 0, 0, 1], ports::free()));
        let admin = SocketAddr::from(([127, 0, 0, 1], ports::free()));
        let service = service(&folder, &database.url(), visitors, users, gateway).await;
        let proxy = proxy(&folder, visitors, admin, service.addr()).await;
        let browser = options.start().await.unwrap();
        let watch = "window.blocked = []; addEventListener('securitypolicyviolation', \
                     (event) => blocked.push(event.violatedDirective + ' ' + event.blockedURI))";
        let watch = serde_json::json!({ "source": watch });
        browser.cdp("Page.addScriptToEvaluateOnNewDocument", watch).await.unwrap();
        Self { browser, database, visitors, admin, _proxy: proxy, _service: service, _folder: folder }
    }

    /// Opens a view.
    pub(crate) async fn open(&self, view: &str) {
        self.browser.goto(&format!("http://{}/{view}", self.visitors)).await.unwrap();
        self.until("document.querySelector('main h1')").await;
    }

    /// The value of an expression in the page.
    pub(crate) async fn ask(&self, expression: &str) -> Value {
        self.browser.execute(&format!("return {expression}"), Vec::new()).await.unwrap()
    }

    /// Waits until an expression in the page is true. A page on its way out has no answer: asked again.
    pub(crate) async fn until(&self, expression: &str) {
        let script = format!("return Promise.resolve({expression}).then(Boolean)");
        let yes = async || self.browser.execute(&script, Vec::new()).await.is_ok_and(|value| value == true);
        if let Err(error) = wait::until(expression, SOON, yes).await {
            panic!("{error}\n{}", self.browser.source().await.unwrap_or_default());
        }
    }

    pub(crate) async fn until_heading(&self, text: &str) {
        self.until(&format!("document.querySelector('main h1')?.textContent === '{text}'")).await;
    }

    /// Presses the button with this text.
    pub(crate) async fn press(&self, text: &str) {
        let button = format!(
            "[...document.querySelectorAll('button, a')].find((made) => made.checkVisibility() && \
             !made.disabled && made.textContent.trim().startsWith('{text}'))"
        );
        self.until(&button).await;
        self.browser.execute(&format!("{button}.click()"), Vec::new()).await.unwrap();
    }

    /// Ends all sessions and lets nobody in, as an operator can.
    pub(crate) async fn end_sessions(&self) {
        self.order("pause").await;
        self.order("reset").await;
        // From the moment that the proxy has heard of it.
        self.until("fetch('/concerts').then((answer) => answer.status === 429)").await;
    }

    /// Lets visitors in again.
    pub(crate) async fn resume(&self) {
        self.order("resume").await;
    }

    async fn order(&self, what: &str) {
        let order = http::Request::post(format!("http://{}/admin/rooms/concert/{what}", self.admin))
            .header("x-waitroom-admin", "1")
            .body(Empty::<Bytes>::new())
            .unwrap();
        let answer = Client::builder(TokioExecutor::new()).build_http().request(order).await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.status());
    }

    pub(crate) async fn assert_nothing_blocked(&self) {
        assert_eq!(self.ask("blocked").await, serde_json::json!([]));
    }
}

async fn seeded() -> TestDatabase<'static> {
    let server = postgres::shared().await;
    let fill = |url: String| async move {
        let settings = LedgerSettings { url: url.into(), replica_url: None, max_connections: 2 };
        let ledger = Ledger::new(&settings, Metrics::new().unwrap())?;
        ledger.migrate().await?;
        ledger.seed().await?;
        ledger.close().await;
        Ok::<_, reservation_svc::ledger::LedgerError>(())
    };
    server.create_template("seeded", fill).await.unwrap();
    server.database_from("seeded").await.unwrap()
}

async fn service(
    folder: &Scratch,
    database: &str,
    visitors: SocketAddr,
    users: &str,
    gateway: Option<&Gateway>,
) -> Service {
    let secret = folder.path().join("users.key");
    std::fs::write(&secret, [7; 32]).unwrap();
    let tickets = folder.path().join("tickets.pem");
    std::fs::write(&tickets, SigningKey::generate_ed25519("t").unwrap().to_pem().unwrap()).unwrap();
    let gateway = gateway.map_or(String::new(), |gateway| {
        let secret = folder.path().join("gateway.key");
        std::fs::write(&secret, gateway.secret()).unwrap();
        format!("[gateway]\nurl = {:?}\nsecret_file = {secret:?}\n", gateway.url())
    });
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\n[database]\nurl = {database:?}\n\
         [queue_token]\naudiences = [\"concert\"]\njwks_url = \"http://{visitors}/.well-known/jwks.json\"\n\
         [limits]\nuser_requests_per_s = 0\n[users]\nhs256_secret_file = {secret:?}\n{users}\n\
         [tickets]\nkey_file = {tickets:?}\n{gateway}"
    );
    let config = config::parse(&text, Overrides::default(), Needs::Everything).map_err(|error| error.to_string());
    Service::start(config.unwrap()).await.unwrap()
}

async fn proxy(folder: &Scratch, visitors: SocketAddr, admin: SocketAddr, service: SocketAddr) -> Child {
    let config = folder.path().join("waitroom.toml");
    let text = format!(
        "[server]\nlisten = [\"{visitors}\"]\nadmin_listen = \"{admin}\"\n[[rooms]]\nname = \"concert\"\n\
         paths = [\"/\"]\nbypass_paths = [\"/assets/\"]\nupstreams = [\"{service}\"]\nrate_per_s = 100.0\n"
    );
    std::fs::write(&config, text).unwrap();
    let proxy = Program::new(proxy_binary().await).args(["run", "--config"]).arg(&config).start().unwrap();
    proxy.wait_for_port(visitors, SOON).await.unwrap();
    proxy.wait_for_line("the room starts", SOON).await.unwrap();
    proxy
}

/// The proxy: `WAITROOM_PROXY`, else that of this workspace, built first, since no test of this package does it.
async fn proxy_binary() -> &'static Path {
    static BUILT: OnceCell<PathBuf> = OnceCell::const_new();
    BUILT
        .get_or_init(|| async {
            if let Some(path) = std::env::var_os("WAITROOM_PROXY") {
                return path.into();
            }
            let built = Program::new(env!("CARGO")).args(["build", "--quiet", "-p", "waitroom-proxy"]);
            let built = built.output(BUILT_WITHIN).await.unwrap();
            assert!(built.status.success(), "{}", built.stderr);
            Path::new(env!("CARGO_BIN_EXE_reservation-svc")).with_file_name("waitroom-proxy")
        })
        .await
}
