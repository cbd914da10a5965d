//! A payment gateway to try the service with: the testbed's, as a program of its own. It moves no real money.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use testbed::gateway::Gateway;

const USAGE: &str = "usage: gateway --listen ADDR --secret-file FILE [--book FILE]\n\
    ADDR: a loopback address such as 127.0.0.1:9100; docs/GATEWAY.md says what can be asked there";

/// Between looks at whether it was told to die. Only ever a little late to end.
const LOOK: Duration = Duration::from_millis(20);

struct Arguments {
    listen: SocketAddr,
    secret: String,
    book: Option<PathBuf>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = match arguments(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(mistake) => return fail(&format!("gateway: {mistake}\n{USAGE}"), 64),
    };
    let gateway = match Gateway::serve(arguments.listen, arguments.secret, arguments.book).await {
        Ok(gateway) => gateway,
        Err(error) => return fail(&format!("gateway: {error}"), 1),
    };
    let _ = writeln!(std::io::stdout(), "listening on {}", gateway.addr());
    while !gateway.is_dead() {
        tokio::time::sleep(LOOK).await;
    }
    fail("gateway: died, as told", 1)
}

fn fail(message: &str, code: u8) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "{message}");
    ExitCode::from(code)
}

fn arguments(mut given: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let (mut listen, mut secret, mut book) = (None, None, None);
    while let Some(flag) = given.next() {
        let value = given.next().ok_or_else(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--listen" => listen = Some(value.parse::<SocketAddr>().map_err(|error| format!("--listen: {error}"))?),
            "--secret-file" => {
                let text =
                    std::fs::read_to_string(&value).map_err(|error| format!("--secret-file {value}: {error}"))?;
                secret = Some(text.trim_end().to_owned()).filter(|secret| !secret.is_empty());
            }
            "--book" => book = Some(PathBuf::from(value)),
            _ => return Err(format!("{flag} is not known")),
        }
    }
    let listen = listen.filter(|listen| listen.ip().is_loopback()).ok_or("--listen needs a loopback address")?;
    Ok(Arguments { listen, secret: secret.ok_or("--secret-file is missing or empty")?, book })
}
