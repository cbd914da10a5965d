//! What a template may leave open, and with what it is filled. Pure.

use super::html_escape;

/// A place in a template, written `{{name}}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// Filled once for each room and language.
    Fixed(FixedSlot),
    /// Filled for each visitor.
    Live(LiveSlot),
    /// Has to be there: a reload for visitors without script.
    Refresh,
    /// What the script starts from: the status and the texts.
    Data,
}

/// The same for everybody in a room who reads the same language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FixedSlot {
    Lang,
    Room,
    Home,
    LeaveAction,
    Style,
    Script,
    /// A sentence of the language, by its name.
    Text(String),
}

/// Different from visitor to visitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LiveSlot {
    Title,
    View,
    Heading,
    Message,
    Notice,
    Position,
    Waiting,
    Eta,
    /// The number of characters of the position, for its size.
    PositionLen,
    RefreshSeconds,
    StatusJson,
}

/// Where in the HTML a slot stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Text,
    Attribute,
    /// Inside `<title>` or `<textarea>`.
    Title,
    /// Inside `<script>` or `<style>`, whose hash must be known beforehand.
    Code,
    /// Inside a tag, but not in a value.
    Tag,
    Comment,
}

/// Slots that an operator's template can't do without, and why.
pub(super) const REQUIRED: [(&str, &str); 4] = [
    ("refresh", "it goes into <head> and lets visitors without script in"),
    ("position", "it shows the visitor's place"),
    ("data", "it tells the script where the visitor stands"),
    ("script", "it keeps the page up to date and opens the site"),
];

impl Slot {
    /// `None`: there is no slot of this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "lang" => Self::Fixed(FixedSlot::Lang),
            "room" => Self::Fixed(FixedSlot::Room),
            "home" => Self::Fixed(FixedSlot::Home),
            "leave_action" => Self::Fixed(FixedSlot::LeaveAction),
            "style" => Self::Fixed(FixedSlot::Style),
            "script" => Self::Fixed(FixedSlot::Script),
            "title" => Self::Live(LiveSlot::Title),
            "view" => Self::Live(LiveSlot::View),
            "heading" => Self::Live(LiveSlot::Heading),
            "message" => Self::Live(LiveSlot::Message),
            "notice" => Self::Live(LiveSlot::Notice),
            "position" => Self::Live(LiveSlot::Position),
            "waiting" => Self::Live(LiveSlot::Waiting),
            "eta" => Self::Live(LiveSlot::Eta),
            "refresh" => Self::Refresh,
            "data" => Self::Data,
            _ => Self::Fixed(FixedSlot::Text(name.strip_prefix("t.")?.to_owned())),
        })
    }

    /// Whether what it is filled with makes sense there.
    pub(super) fn fits(&self, place: Place) -> bool {
        let words = matches!(
            self,
            Self::Fixed(
                FixedSlot::Lang | FixedSlot::Room | FixedSlot::Home | FixedSlot::LeaveAction | FixedSlot::Text(_)
            ) | Self::Live(LiveSlot::Title | LiveSlot::View)
        );
        match place {
            Place::Text => !matches!(self, Self::Live(LiveSlot::View)),
            Place::Attribute | Place::Title => words,
            Place::Code | Place::Tag | Place::Comment => false,
        }
    }
}

impl LiveSlot {
    /// The name under which the script finds the element, where it has one.
    pub(super) fn element(self) -> Option<&'static str> {
        match self {
            Self::Heading => Some("heading"),
            Self::Message => Some("message"),
            Self::Notice => Some("notice"),
            Self::Position => Some("position"),
            Self::Waiting => Some("waiting"),
            Self::Eta => Some("eta"),
            Self::Title | Self::View | Self::PositionLen | Self::RefreshSeconds | Self::StatusJson => None,
        }
    }
}

/// What a room is called and where it begins, made safe for HTML.
#[derive(Clone, Debug)]
pub(super) struct RoomLabel {
    /// `vip_sale` → `Vip sale`; empty for a room without a name of its own.
    pub(super) label: String,
    pub(super) home: String,
    pub(super) leave_action: String,
}

impl RoomLabel {
    pub(super) fn new(name: &str, home: &str) -> Self {
        let mut letters = name.chars().map(|letter| if matches!(letter, '-' | '_') { ' ' } else { letter });
        let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
        // The room of `run --origin` was named by nobody.
        let label = if name == "default" { String::new() } else { first + letters.collect::<String>().as_str() };
        let label = html_escape(&label);
        // Only a path of this site: `//host` would lead elsewhere.
        let local = home.starts_with('/') && !home.starts_with("//") && !home.starts_with("/\\");
        let home = html_escape(if local { home } else { "/" });
        Self { label, home, leave_action: format!("/queue/leave?room={}", percent_encode(name)) }
    }
}

fn percent_encode(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_called_by_its_name() {
        let room = RoomLabel::new("vip_sale-2", "/buy");
        assert_eq!((room.label.as_str(), room.home.as_str()), ("Vip sale 2", "/buy"));
        assert_eq!(room.leave_action, "/queue/leave?room=vip_sale-2");
        assert_eq!(RoomLabel::new("default", "/").label, "");
    }

    #[test]
    fn refused_homes_on_other_hosts() {
        for home in ["//evil.example", "/\\evil.example", "https://evil.example", "javascript:alert(1)", ""] {
            assert_eq!(RoomLabel::new("a", home).home, "/");
        }
        let odd = RoomLabel::new("<&\">", "/\"><script>");
        assert_eq!(odd.label, "&lt;&amp;&quot;&gt;");
        assert_eq!(odd.home, "/&quot;&gt;&lt;script&gt;");
        assert_eq!(odd.leave_action, "/queue/leave?room=%3C%26%22%3E");
    }
}
