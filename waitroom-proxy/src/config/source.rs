//! Where a config comes from, and how it is loaded: file or `--origin`, then environment, then flags.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::check::{Checker, TemplateCheck};
use super::document::{Document, check_plain};
use super::schema::{Node, schema};
use super::{Config, Problem, overrides};

/// Largest config file; a room takes about half a kilobyte.
const MAX_BYTES: u64 = 1 << 20;

/// Everything that a config is made of; kept, so that a reload asks the same again.
#[derive(Clone, Debug)]
pub struct Source {
    base: Base,
    /// `--listen`, over everything else.
    listen: Option<String>,
    /// `WAITROOM_…` variables, name and value.
    environment: Vec<(String, String)>,
}

#[derive(Clone, Debug)]
enum Base {
    File(PathBuf),
    Origin { url: String, rate_per_s: f64 },
}

/// All that is to say about a config.
#[derive(Debug)]
pub struct Report {
    /// Every mistake, in the order of the file.
    pub mistakes: Vec<Problem>,
    /// What is legal and unwise.
    pub warnings: Vec<Problem>,
    /// There when there are no mistakes.
    pub config: Option<Config>,
    /// The config file and every file that it names.
    pub files: Vec<PathBuf>,
}

/// A config without mistakes.
#[derive(Debug)]
pub struct Loaded {
    /// The config.
    pub config: Config,
    /// What is legal and unwise.
    pub warnings: Vec<Problem>,
    /// The config file and every file that it names: what a watcher should watch.
    pub files: Vec<PathBuf>,
}

impl Source {
    /// From a file.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self { base: Base::File(path.into()), listen: None, environment: Vec::new() }
    }

    /// One room in front of any site: `run --origin URL --rate N`.
    #[must_use]
    pub fn origin(url: impl Into<String>, rate_per_s: f64) -> Self {
        Self { base: Base::Origin { url: url.into(), rate_per_s }, listen: None, environment: Vec::new() }
    }

    /// With `--listen`.
    #[must_use]
    pub fn with_listen(mut self, listen: Option<String>) -> Self {
        self.listen = listen;
        self
    }

    /// With the environment: name and value of each variable. Others than `WAITROOM_…` are ignored.
    #[must_use]
    pub fn with_environment(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        self.environment = variables.into_iter().filter(|(name, _)| name.starts_with("WAITROOM_")).collect();
        self.environment.sort();
        self
    }

    /// The config file, if there is one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match &self.base {
            Base::File(path) => Some(path),
            Base::Origin { .. } => None,
        }
    }

    /// Reads and checks everything. `template` checks an operator's own waiting page.
    ///
    /// # Errors
    /// Every mistake, in the order of the file.
    pub fn load(&self, template: TemplateCheck<'_>) -> Result<Loaded, Vec<Problem>> {
        let Report { mistakes, warnings, config, files } = self.report(template);
        config.map(|config| Loaded { config, warnings, files }).ok_or(mistakes)
    }

    /// As [`Source::load`], with the warnings also when there are mistakes.
    #[must_use]
    pub fn report(&self, template: TemplateCheck<'_>) -> Report {
        let schema = schema();
        let files: Vec<PathBuf> = self.path().map(Path::to_owned).into_iter().collect();
        let (mut document, mut mistakes) = match self.document(&schema) {
            Ok(read) => read,
            Err(mistake) => return Report { mistakes: vec![mistake], warnings: Vec::new(), config: None, files },
        };
        let (wrong, mut warnings) = overrides::environment(&mut document, &schema, &self.environment);
        mistakes.extend(wrong);
        if let Some(listen) = &self.listen {
            document.put("server.listen", json!([listen]), "flag --listen");
        }
        let folder = self.path().and_then(Path::parent).unwrap_or(Path::new(""));
        let mut checker = Checker::new(&document, folder, template);
        let config = checker.config();
        mistakes.append(&mut checker.mistakes);
        warnings.append(&mut checker.warnings);
        // Flags and variables last: they have no line.
        for list in [&mut mistakes, &mut warnings] {
            list.sort_by_key(|problem| problem.line.unwrap_or(usize::MAX));
        }
        let files = files.into_iter().chain(checker.files).collect();
        Report { config: config.filter(|_| mistakes.is_empty()), mistakes, warnings, files }
    }

    fn document(&self, schema: &Value) -> Result<(Document, Vec<Problem>), Problem> {
        match &self.base {
            Base::File(path) => match read_bounded(path) {
                Ok(text) => Ok(Document::from_toml(path, &text, schema)),
                Err(error) => {
                    let message = format!("cannot be read: {error}");
                    let source = path.display().to_string();
                    Err(Problem { source, line: None, key: String::new(), message })
                }
            },
            Base::Origin { url, rate_per_s } => origin_document(url, *rate_per_s, schema),
        }
    }
}

/// Reads a config file; a device or a log given by mistake must not fill the memory.
fn read_bounded(path: &Path) -> std::io::Result<String> {
    use std::io::Read as _;
    let wrong = |what: &str| Err(std::io::Error::other(what.to_owned()));
    let file = std::fs::File::open(path)?;
    if !file.metadata()?.is_file() {
        return wrong("it is not a file");
    }
    let mut text = String::new();
    file.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_BYTES {
        return wrong("it is larger than 1 MiB, which no config is");
    }
    Ok(text)
}

fn origin_document(url: &str, rate_per_s: f64, schema: &Value) -> Result<(Document, Vec<Problem>), Problem> {
    let flag = |flag: &str, message: String| Problem {
        source: format!("flag {flag}"),
        line: None,
        key: String::new(),
        message,
    };
    let room = Node::root(schema).property("rooms").and_then(|rooms| rooms.items().property("rate_per_s"));
    match room.map(|node| check_plain(json!(rate_per_s), node)) {
        // JSON has no word for NaN and infinity.
        _ if !rate_per_s.is_finite() => {
            return Err(flag("--rate", format!("must be a finite number, not {rate_per_s}")));
        }
        Some(Err(message)) => return Err(flag("--rate", message)),
        _ => {}
    }
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Err(flag("--origin", format!("{url:?} must be a URL like \"http://127.0.0.1:3000\"")));
    }
    let mut room = json!({ "name": "default", "upstreams": [url], "rate_per_s": rate_per_s });
    if let Some(host) = host_of(url) {
        room["upstream_host"] = host.into();
    }
    let mut document = Document::empty("flags");
    document.put("rooms", json!([room]), "flag --origin");
    Ok((document, Vec::new()))
}

/// The `Host` that a site of this URL wants to hear: its name, since it may be one of many at its address. `None`: an
/// address or this machine, where the visitor's own says more.
fn host_of(url: &str) -> Option<String> {
    // What is no URL is told where upstreams are checked.
    let url: http::Uri = url.parse().ok()?;
    let host = url.host()?.to_ascii_lowercase();
    let is_name = host != "localhost" && !host.starts_with('[') && host.parse::<std::net::IpAddr>().is_err();
    let usual = if url.scheme_str() == Some("https") { 443 } else { 80 };
    is_name.then(|| match url.port_u16() {
        Some(port) if port != usual => format!("{host}:{port}"),
        _ => host,
    })
}
