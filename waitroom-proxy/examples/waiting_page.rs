//! Writes the waiting page in every language and state into a folder, to look at while designing one:
//! `cargo run -p waitroom-proxy --example waiting_page -- FOLDER [TEMPLATE]`.

use std::{fs, path::Path};

use anyhow::{Context, bail};
use waitroom_proxy::{
    page::{Encoding, Lang, WaitingPage},
    status::{Eta, State, Status},
};

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().context("name the folder to write to")?;
    let folder = Path::new(&folder);
    let page = match arguments.next() {
        None => WaitingPage::built_in(),
        Some(file) => WaitingPage::from_template(&fs::read_to_string(&file).context(file)?),
    };
    let page = match page {
        Ok(page) => page,
        Err(problems) => {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            bail!("the template has problems:\n{}", problems.join("\n"));
        }
    };
    let room = page.for_room("concert", "/");
    fs::create_dir_all(folder)?;
    fs::write(folder.join("csp.txt"), room.csp())?;
    for lang in Lang::ALL {
        let write = |name: &str, html: &[u8]| fs::write(folder.join(format!("{}-{name}.html", lang.tag())), html);
        write("first", &room.first_sight(lang, Encoding::Identity))?;
        write("left-page", &room.left(lang, Encoding::Identity))?;
        for (name, status) in states() {
            write(name, &room.render(lang, &status, 5, Encoding::Identity))?;
            fs::write(folder.join(format!("{}-{name}.json", lang.tag())), serde_json::to_string(&status)?)?;
        }
    }
    Ok(())
}

fn states() -> Vec<(&'static str, Status)> {
    let waiting = Status {
        room: "concert".to_owned(),
        state: State::Waiting,
        seq: Some(88_123),
        position: Some(1_234),
        waiting: 50_210,
        rate_per_s: 5.0,
        eta_s: Some(Eta { low: 230, high: 280 }),
        poll_after_ms: 2_000,
        paused: false,
        stale: false,
        server_time_ms: 1_795_161_600_000,
        expires_at_ms: None,
        token: None,
    };
    let near = Status { seq: Some(2), position: Some(7), eta_s: Some(Eta { low: 1, high: 3 }), ..waiting.clone() };
    let long = Status {
        seq: Some(3),
        position: Some(1_234_567),
        waiting: 12_345_678,
        eta_s: Some(Eta { low: 12_000, high: 16_000 }),
        ..waiting.clone()
    };
    let paused = Status { paused: true, eta_s: None, ..waiting.clone() };
    let stale = Status { stale: true, ..waiting.clone() };
    let admitted = Status { state: State::Admitted, seq: None, position: None, ..waiting.clone() };
    let left = Status { state: State::None, seq: None, position: None, ..waiting.clone() };
    vec![
        ("waiting", waiting),
        ("near", near),
        ("long", long),
        ("paused", paused),
        ("stale", stale),
        ("admitted", admitted),
        ("left", left),
    ]
}
