//! nginx as upstream and as reference: one process on one core, saying the same bytes as the proxy.

use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use testbed::process::{Child, Program};

use crate::http::Answer;

const STARTED_WITHIN: Duration = Duration::from_secs(20);

/// Headers that nginx makes itself, or that belong to the connection.
const NOT_COPIED: [&str; 6] = ["connection", "content-length", "content-type", "date", "server", "transfer-encoding"];

/// What nginx is to say at a path.
pub(super) struct Location<'a> {
    pub(super) path: &'a str,
    pub(super) answer: &'a Answer,
    /// From a file, as static pages are; else as a constant in the config.
    pub(super) from_file: bool,
}

/// Starts an nginx in `folder` on `core`.
pub(super) async fn start(folder: &Path, core: usize, addr: SocketAddr, locations: &[Location<'_>]) -> Result<Child> {
    let folder = folder.join(format!("nginx-{}", addr.port()));
    fs::create_dir_all(folder.join("files")).with_context(|| format!("making {}", folder.display()))?;
    let config = folder.join("nginx.conf");
    fs::write(&config, configure(&folder, addr, locations)?)
        .with_context(|| format!("writing {}", config.display()))?;
    let child = pinned(core, "nginx")?.args(["-e", "stderr"]).arg("-p").arg(&folder).arg("-c").arg(&config).start()?;
    child.wait_for_port(addr, STARTED_WITHIN).await?;
    Ok(child)
}

/// A program that may run on one core only.
pub(super) fn pinned(core: usize, program: &str) -> Result<Program> {
    let taskset = Program::installed("taskset", "util-linux")?;
    Ok(taskset.named(program).args(["-c", &core.to_string(), program]))
}

fn configure(folder: &Path, addr: SocketAddr, locations: &[Location<'_>]) -> Result<String> {
    let mut config = format!(
        "daemon off;\nmaster_process off;\nworker_processes 1;\npid nginx.pid;\nerror_log stderr warn;\n\
         events {{ worker_connections 4096; }}\n\
         http {{\n  access_log off;\n  sendfile on;\n  server_tokens off;\n  etag off;\n  max_ranges 0;\n  \
         keepalive_requests 1000000000;\n  keepalive_timeout 600s;\n  open_file_cache max=100;\n  types {{ }}\n  \
         client_body_temp_path body;\n  proxy_temp_path proxy;\n  fastcgi_temp_path fastcgi;\n  \
         uwsgi_temp_path uwsgi;\n  scgi_temp_path scgi;\n  server {{\n    listen {addr};\n    root {};\n",
        folder.join("files").display()
    );
    for location in locations {
        let kind = location.answer.head.headers.get("content-type");
        let kind = kind.map_or(Ok("text/plain"), |kind| kind.to_str()).context("a content type that is no text")?;
        writeln!(config, "    location {} {{\n      default_type {};", location.path, quoted(kind)?)?;
        for (name, value) in &location.answer.head.headers {
            if !NOT_COPIED.contains(&name.as_str()) {
                let value = value.to_str().context("a header that is no text")?;
                writeln!(config, "      add_header {name} {} always;", quoted(value)?)?;
            }
        }
        if location.from_file {
            let file = folder.join("files").join(location.path.trim_start_matches(['=', ' ', '/']));
            fs::write(&file, &location.answer.body).with_context(|| format!("writing {}", file.display()))?;
            // The proxy says neither of these about a page that must not be stored.
            writeln!(config, "      if_modified_since off;\n      add_header last-modified \"\";")?;
        } else {
            let body = std::str::from_utf8(&location.answer.body).context("a constant that is no text")?;
            writeln!(config, "      return 200 {};", quoted(body)?)?;
        }
        config += "    }\n";
    }
    config += "  }\n}\n";
    Ok(config)
}

/// A string of nginx. It has no way to write a dollar sign.
fn quoted(text: &str) -> Result<String> {
    ensure!(!text.contains('$'), "nginx would take the dollar sign in `{text}` for a variable");
    Ok(format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_quoted_and_variables_refused() {
        assert_eq!(quoted(r#"{"a": "b\c"}"#).unwrap(), r#""{\"a\": \"b\\c\"}""#);
        assert!(quoted("$host").is_err());
    }
}
