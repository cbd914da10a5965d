//! Keys that outlive a process and are shared by proxies, and their rotation while people wait.

use std::path::Path;

use testbed::origin::Origin;
use testbed::process::Program;
use testbed::scratch::Scratch;

use crate::harness::{Jar, PATIENCE, Proxy, room};

/// Key files, made as an operator makes them.
pub(crate) struct Keys {
    folder: Scratch,
    kids: Vec<(String, String)>,
}

impl Keys {
    pub(crate) async fn make(kid: &str, seal_kid: &str) -> Self {
        let mut keys = Self { folder: Scratch::new("keys").unwrap(), kids: Vec::new() };
        keys.add(kid, seal_kid).await;
        keys
    }

    /// One more of each kind, behind the others.
    async fn add(&mut self, kid: &str, seal_kid: &str) {
        let keygen = Program::new(env!("CARGO_BIN_EXE_waitroom-proxy"));
        let keygen = keygen.args(["keygen", "--kid", kid, "--seal-kid", seal_kid]).arg(self.folder.path());
        let output = keygen.output(PATIENCE).await.unwrap();
        assert!(output.status.success(), "{}", output.stderr);
        self.kids.push((kid.to_owned(), seal_kid.to_owned()));
    }

    /// The last ones come first.
    fn turn(&mut self) {
        self.kids.rotate_right(1);
    }

    fn drop_last(&mut self) {
        self.kids.pop();
    }

    /// Where a seal key is.
    pub(crate) fn seal_file(&self, kid: &str) -> std::path::PathBuf {
        self.folder.path().join(format!("{kid}.key"))
    }

    /// The part `[tokens]` of a config.
    pub(crate) fn config(&self) -> String {
        let one = |kid: &str, ending: &str| {
            let file = Path::new(self.folder.path()).join(format!("{kid}.{ending}"));
            format!("{{ kid = \"{kid}\", file = \"{}\" }}", file.display())
        };
        let signing = self.kids.iter().map(|(kid, _)| one(kid, "pem")).collect::<Vec<_>>().join(", ");
        let sealing = self.kids.iter().map(|(_, kid)| one(kid, "key")).collect::<Vec<_>>().join(", ");
        format!("[tokens]\nkeys = [{signing}]\nseal_keys = [{sealing}]\n")
    }
}

#[tokio::test]
async fn f23_keys_are_rotated_in_the_middle_of_the_queue() {
    let (origin, mut keys) = (Origin::start().await.unwrap(), Keys::make("k1", "s1").await);
    let proxy =
        Proxy::start_with(&origin, &keys.config(), &room("rate_per_s = 0.001\nburst = 1\nsession_ttl_s = 600")).await;
    let mut inside = Jar::default();
    inside.take(&proxy.page("/", "").await);
    inside.take(&proxy.page("/", &inside.header()).await);
    let (mut early, mut told) = (Jar::default(), Vec::new());
    early.take(&proxy.page("/", "").await);
    told.push(proxy.poll_until(&mut early, |status| status["seq"].is_u64()).await["seq"].clone());
    let reload = async |keys: &Keys| {
        let old = std::fs::read_to_string(&proxy.config).unwrap();
        let (before, rest) = old.split_once("[tokens]").unwrap();
        let rooms = &rest[rest.find("[[rooms]]").unwrap()..];
        std::fs::write(&proxy.config, format!("{before}{}{rooms}", keys.config())).unwrap();
        let reloaded = proxy.order("/admin/reload").await;
        assert_eq!(reloaded.status, 200, "{reloaded:?}");
    };
    keys.add("k2", "s2").await;
    reload(&keys).await;
    keys.turn();
    reload(&keys).await;
    // Who came under the old keys stays where he is; who comes now gets the new ones.
    assert_eq!(proxy.poll_until(&mut early, |_| true).await["seq"], told[0], "i4");
    assert_eq!(proxy.page("/", &inside.header()).await.body, "ok");
    let mut late = Jar::default();
    late.take(&proxy.page("/", "").await);
    told.push(proxy.poll_until(&mut late, |status| status["seq"].is_u64()).await["seq"].clone());
    keys.drop_last();
    reload(&keys).await;
    assert_eq!(proxy.poll_until(&mut late, |_| true).await["seq"], told[1], "the old keys are gone, his is new");
    let refused = proxy.request("GET", "/", &[("Cookie", &inside.header())]).await;
    assert_eq!(refused.status, 429, "only a key that is still there counts");
}

#[tokio::test]
async fn i8_a_lone_proxy_honours_no_session_of_a_life_before_its_restart() {
    let (origin, keys) = (Origin::start().await.unwrap(), Keys::make("k1", "s1").await);
    let rooms = room("rate_per_s = 0.001\nburst = 1");
    let before = Proxy::start_with(&origin, &keys.config(), &rooms).await;
    let mut jar = Jar::default();
    jar.take(&before.page("/", "").await);
    jar.take(&before.page("/", &jar.header()).await);
    let left = [("Cookie", jar.header()), ("Content-Length", "0".to_owned())];
    let left: Vec<(&str, &str)> = left.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(before.request("POST", "/queue/leave?room=concert", &left).await.status, 204);
    before.process.kill().await.unwrap();
    // Nobody remembers what ended before: all that was signed then counts for nothing.
    let after = Proxy::start_with(&origin, &keys.config(), &rooms).await;
    after.exhaust().await;
    origin.forget_requests();
    assert_eq!(after.request("GET", "/", &[("Cookie", &jar.header())]).await.status, 429);
    assert!(origin.requests().is_empty(), "an ended session came back");
}
