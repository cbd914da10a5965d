//! The waiting page of one room, in every language, cut so that answering is copying. Pure.

use std::sync::Arc;

use bytes::Bytes;

use crate::status::{State, Status};

use super::{
    Parts,
    encoding::Encoding,
    gzip::{self, Chunk, Stream},
    html_escape,
    lang::Lang,
    slot::{FixedSlot, LiveSlot, RoomLabel, Slot},
    template::{Piece, Template},
    texts::Texts,
    view::{self, View},
};

/// With a pre-ticket the place is one request away.
const FIRST_REFRESH_S: u32 = 1;
/// What the live slots take together, as a rule; more only costs a second allocation.
const LIVE_BYTES: usize = 1_024;

/// The pages of a room. Cheap to share, made anew when the config changes.
#[derive(Debug)]
pub struct RoomPage {
    parts: Arc<Parts>,
    csp: Arc<str>,
    label: RoomLabel,
    /// In the order of [`Lang::ALL`].
    pages: Vec<LangPage>,
}

#[derive(Debug)]
struct LangPage {
    rows: Rows,
    first_sight: Coded,
    /// The same while an operator has paused the room.
    paused: Coded,
    left: Coded,
}

/// The same page in each encoding.
#[derive(Debug)]
struct Coded {
    identity: Bytes,
    gzip: Bytes,
}

/// A template in which only the live slots are open.
#[derive(Debug)]
struct Rows {
    rows: Vec<Row>,
    identity_len: usize,
    gzip_len: usize,
}

#[derive(Debug)]
enum Row {
    Fixed(Chunk),
    Live(LiveSlot),
}

impl RoomPage {
    pub(super) fn new(parts: &Arc<Parts>, csp: Arc<str>, name: &str, home: &str) -> Self {
        let label = RoomLabel::new(name, home);
        let page = |(lang, texts): (&Lang, &Texts)| {
            let rows = Rows::new(&parts.template, parts, *lang, texts, &label);
            let left = Rows::new(&parts.left, parts, *lang, texts, &label);
            let coded = |rows: &Rows, status: &Status| {
                Coded::new(rows.identity(&Fill { status, refresh_s: FIRST_REFRESH_S, texts, label: &label }))
            };
            let waiting = nobody(name, State::Waiting);
            LangPage {
                first_sight: coded(&rows, &waiting),
                paused: coded(&rows, &Status { paused: true, ..waiting }),
                left: coded(&left, &nobody(name, State::None)),
                rows,
            }
        };
        let pages = Lang::ALL.iter().zip(&parts.texts).map(page).collect();
        Self { parts: Arc::clone(parts), csp, label, pages }
    }

    /// The page for somebody who has no ticket yet, the same for everybody; reloads after a second without script.
    #[must_use]
    pub fn first_sight(&self, lang: Lang, encoding: Encoding) -> Bytes {
        self.pages[lang.index()].first_sight.get(encoding)
    }

    /// The same while an operator has paused the room.
    #[must_use]
    pub fn paused(&self, lang: Lang, encoding: Encoding) -> Bytes {
        self.pages[lang.index()].paused.get(encoding)
    }

    /// The page for a visitor; without script it reloads after `refresh_s`.
    #[must_use]
    pub fn render(&self, lang: Lang, status: &Status, refresh_s: u32, encoding: Encoding) -> Bytes {
        let fill = Fill { status, refresh_s, texts: &self.parts.texts[lang.index()], label: &self.label };
        let rows = &self.pages[lang.index()].rows;
        match encoding {
            Encoding::Identity => rows.identity(&fill).into(),
            Encoding::Gzip => rows.gzip(&fill).into(),
        }
    }

    /// The page after leaving, for browsers that sent the form by themselves.
    #[must_use]
    pub fn left(&self, lang: Lang, encoding: Encoding) -> Bytes {
        self.pages[lang.index()].left.get(encoding)
    }

    /// The `Content-Security-Policy` that goes with every page of the room.
    #[must_use]
    pub fn csp(&self) -> &str {
        &self.csp
    }
}

impl Coded {
    fn new(identity: Vec<u8>) -> Self {
        Self { gzip: gzip::whole(&identity).into(), identity: identity.into() }
    }

    fn get(&self, encoding: Encoding) -> Bytes {
        match encoding {
            Encoding::Identity => self.identity.clone(),
            Encoding::Gzip => self.gzip.clone(),
        }
    }
}

impl Rows {
    fn new(template: &Template, parts: &Parts, lang: Lang, texts: &Texts, label: &RoomLabel) -> Self {
        let mut cutter = Cutter { rows: Vec::new(), text: String::new() };
        for piece in &template.pieces {
            match piece {
                Piece::Text(text) => cutter.text.push_str(text),
                Piece::Slot(Slot::Fixed(slot)) => cutter.fixed(slot, parts, lang, texts, label),
                Piece::Slot(Slot::Live(slot)) => cutter.live(*slot),
                Piece::Slot(Slot::Refresh) => {
                    cutter.text.push_str("<noscript><meta http-equiv=\"refresh\" content=\"");
                    cutter.open(LiveSlot::RefreshSeconds);
                    cutter.text.push_str("\"></noscript>");
                }
                Piece::Slot(Slot::Data) => {
                    cutter.text.push_str("<script type=\"application/json\" id=\"waitroom-texts\">");
                    cutter.text.push_str(&json_for_html(&texts.live));
                    cutter.text.push_str("</script><script type=\"application/json\" id=\"waitroom-status\">");
                    cutter.open(LiveSlot::StatusJson);
                    cutter.text.push_str("</script>");
                }
            }
        }
        cutter.close();
        let fixed =
            || cutter.rows.iter().filter_map(|row| if let Row::Fixed(chunk) = row { Some(chunk) } else { None });
        let identity_len = fixed().map(|chunk| chunk.raw().len()).sum();
        let gzip_len = fixed().map(Chunk::gzip_len).sum();
        Self { identity_len, gzip_len, rows: cutter.rows }
    }

    fn identity(&self, fill: &Fill<'_>) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.identity_len + LIVE_BYTES);
        for row in &self.rows {
            match row {
                Row::Fixed(chunk) => out.extend_from_slice(chunk.raw()),
                Row::Live(slot) => out.extend_from_slice(fill.slot(*slot).as_bytes()),
            }
        }
        out
    }

    fn gzip(&self, fill: &Fill<'_>) -> Vec<u8> {
        let mut stream = Stream::with_capacity(self.gzip_len + LIVE_BYTES);
        for row in &self.rows {
            match row {
                Row::Fixed(chunk) => stream.push_chunk(chunk),
                Row::Live(slot) => stream.push_raw(fill.slot(*slot).as_bytes()),
            }
        }
        stream.finish()
    }
}

/// Gathers text until a live slot interrupts it: the longer a chunk, the better it compresses.
struct Cutter {
    rows: Vec<Row>,
    text: String,
}

impl Cutter {
    fn fixed(&mut self, slot: &FixedSlot, parts: &Parts, lang: Lang, texts: &Texts, label: &RoomLabel) {
        match slot {
            FixedSlot::Lang => self.text.push_str(lang.tag()),
            FixedSlot::Room => self.text.push_str(&label.label),
            FixedSlot::Home => self.text.push_str(&label.home),
            FixedSlot::LeaveAction => self.text.push_str(&label.leave_action),
            FixedSlot::Style => self.text.extend(["<style>", &parts.style, "</style>"]),
            FixedSlot::Script => self.text.extend(["<script>", &parts.script, "</script>"]),
            FixedSlot::Text(name) => {
                // `Template::parse` let only names pass that exist in every language.
                let text = texts.page.get(name).map(|text| html_escape(text));
                self.text.push_str(&text.unwrap_or_default());
            }
        }
    }

    /// Words that the script keeps up to date stand in an element that it can find.
    fn live(&mut self, slot: LiveSlot) {
        let Some(element) = slot.element() else { return self.open(slot) };
        self.text.extend(["<span data-wr=\"", element, "\""]);
        if slot == LiveSlot::Position {
            self.text.push_str(" data-len=\"");
            self.open(LiveSlot::PositionLen);
            self.text.push('"');
        }
        self.text.push('>');
        self.open(slot);
        self.text.push_str("</span>");
    }

    fn open(&mut self, slot: LiveSlot) {
        self.close();
        self.rows.push(Row::Live(slot));
    }

    fn close(&mut self) {
        if !self.text.is_empty() {
            self.rows.push(Row::Fixed(Chunk::new(&self.text)));
            self.text.clear();
        }
    }
}

/// Everything the live slots of one answer are filled from.
struct Fill<'a> {
    status: &'a Status,
    refresh_s: u32,
    texts: &'a Texts,
    label: &'a RoomLabel,
}

impl Fill<'_> {
    /// Safe where the slot may stand: figures, our own texts, the room's escaped label, escaped JSON.
    fn slot(&self, slot: LiveSlot) -> String {
        let (status, live) = (self.status, &self.texts.live);
        match slot {
            LiveSlot::Title => view::title(status, &self.label.label, live),
            LiveSlot::View => View::of(status).name().to_owned(),
            LiveSlot::Heading => live.view(View::of(status)).heading.clone(),
            LiveSlot::Message => live.view(View::of(status)).message.clone(),
            LiveSlot::Notice => {
                if status.stale {
                    live.stale.clone()
                } else {
                    String::new()
                }
            }
            LiveSlot::Position => view::position(status),
            LiveSlot::PositionLen => view::position(status).chars().count().to_string(),
            LiveSlot::Waiting => view::waiting(status),
            LiveSlot::Eta => view::eta(status.eta_s, &live.eta),
            LiveSlot::RefreshSeconds => self.refresh_s.max(1).to_string(),
            LiveSlot::StatusJson => self.status_json(),
        }
    }

    fn status_json(&self) -> String {
        if self.status.token.is_some() {
            // A token is for clients that asked with a header, never for a page.
            return json_for_html(&Status { token: None, ..self.status.clone() });
        }
        json_for_html(self.status)
    }
}

/// JSON that can stand in a `<script>`: no `<`, so nothing in it ends the element or opens a comment.
fn json_for_html(value: &impl serde::Serialize) -> String {
    // Plain structs of text and figures always serialise; `null` makes the script ask the server.
    let json = serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned());
    if json.contains('<') { json.replace('<', "\\u003c") } else { json }
}

/// The status of somebody of whom nothing is known yet.
fn nobody(room: &str, state: State) -> Status {
    Status {
        room: room.to_owned(),
        state,
        seq: None,
        position: None,
        waiting: 0,
        rate_per_s: 0.0,
        eta_s: None,
        poll_after_ms: 0,
        paused: false,
        stale: false,
        server_time_ms: 0,
        expires_at_ms: None,
        token: None,
    }
}
