//! Reads a template into text and slots, with every problem at once. Pure.

use thiserror::Error;

use super::{
    checks,
    html::{self, Token},
    slot::{Place, REQUIRED, Slot},
};

/// A template is read into memory for each room and language: a page, not an album.
const MAX_SOURCE: usize = 256 * 1024;

/// Something in a template that has to be put right.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {message}")]
pub struct TemplateProblem {
    /// Counts from 1.
    pub line: usize,
    /// What is wrong and what to do.
    pub message: String,
}

/// A template without problems.
#[derive(Debug)]
pub(super) struct Template {
    pub(super) pieces: Vec<Piece>,
    /// The insides of its own scripts and styles, for their hashes.
    pub(super) scripts: Vec<String>,
    pub(super) styles: Vec<String>,
    /// Whether it brings fonts along as `data:` URLs.
    pub(super) fonts: bool,
    /// What is legal and unwise.
    pub(super) warnings: Vec<String>,
}

#[derive(Debug)]
pub(super) enum Piece {
    Text(String),
    Slot(Slot),
}

/// Problems while they are gathered.
pub(super) struct Problems<'s> {
    source: &'s str,
    found: Vec<TemplateProblem>,
}

impl Problems<'_> {
    pub(super) fn add(&mut self, at: usize, message: impl Into<String>) {
        let line = 1 + self.source[..at].matches('\n').count();
        self.found.push(TemplateProblem { line, message: message.into() });
    }
}

impl Template {
    /// A waiting page, which has to have the required slots.
    pub(super) fn parse(source: &str, is_text: impl Fn(&str) -> bool) -> Result<Self, Vec<TemplateProblem>> {
        Self::read(source, &is_text, true)
    }

    /// A page that need not wait for anything.
    pub(super) fn parse_part(source: &str, is_text: impl Fn(&str) -> bool) -> Result<Self, Vec<TemplateProblem>> {
        Self::read(source, &is_text, false)
    }

    fn read(source: &str, is_text: &dyn Fn(&str) -> bool, waits: bool) -> Result<Self, Vec<TemplateProblem>> {
        if source.len() > MAX_SOURCE {
            let message = format!("the template has {} bytes; at most {MAX_SOURCE} are allowed", source.len());
            return Err(vec![TemplateProblem { line: 1, message }]);
        }
        // Browsers do the same before they hash what stands in a script.
        let source = source.trim_start_matches('\u{feff}').replace("\r\n", "\n").replace('\r', "\n");
        let mut problems = Problems { source: &source, found: Vec::new() };
        if let Some(at) = source.find('\0') {
            problems.add(at, "a NUL character; save the template as UTF-8 text");
        }
        let tokens = html::tokens(&source).unwrap_or_else(|unclosed| {
            problems.add(unclosed.at, format!("this {} is never closed", unclosed.what));
            Vec::new()
        });
        let mut template =
            Self { pieces: Vec::new(), scripts: Vec::new(), styles: Vec::new(), fonts: false, warnings: Vec::new() };
        if problems.found.is_empty() {
            let seen = template.cut(&source, &tokens, is_text, &mut problems);
            if waits {
                template.check_counts(&seen, &mut problems);
            }
            checks::check(&tokens, &mut template, &mut problems);
        }
        if problems.found.is_empty() { Ok(template) } else { Err(sorted(problems.found)) }
    }

    /// Cuts the source at its slots; returns their names and places.
    fn cut<'s>(
        &mut self,
        source: &'s str,
        tokens: &[Token<'_>],
        is_text: &dyn Fn(&str) -> bool,
        problems: &mut Problems<'_>,
    ) -> Vec<(&'s str, usize)> {
        let mut seen = Vec::new();
        let mut done = 0;
        let mut from = 0;
        while let Some(open) = source[from..].find("{{").map(|found| found + from) {
            from = open + 2;
            let place = place_of(tokens, open);
            let close = source[from..].find("}}").map(|found| found + from);
            let name = close.map(|close| source[from..close].trim());
            let name = name.filter(|name| name.len() <= 64 && !name.contains(['\n', '{', '<']));
            let (Some(name), Some(close)) = (name, close) else {
                // Braces are at home in scripts and styles.
                if place != Place::Code {
                    problems.add(open, "a slot that is opened with {{ and never closed with }}");
                }
                continue;
            };
            let slot = Slot::named(name).filter(|_| name.strip_prefix("t.").is_none_or(is_text));
            if let Some(problem) = misuse(name, slot.as_ref(), place) {
                problems.add(open, problem);
            }
            let Some(slot) = slot.filter(|_| place != Place::Code) else { continue };
            seen.push((name, open));
            self.pieces.push(Piece::Text(source[done..open].to_owned()));
            self.pieces.push(Piece::Slot(slot));
            done = close + 2;
            from = done;
        }
        self.pieces.push(Piece::Text(source[done..].to_owned()));
        seen
    }

    fn check_counts(&mut self, seen: &[(&str, usize)], problems: &mut Problems<'_>) {
        for (name, why) in REQUIRED {
            let mut places = seen.iter().filter(|(seen, _)| *seen == name);
            if places.next().is_none() {
                problems.add(0, format!("the slot {{{{{name}}}}} is missing: {why}"));
            }
            if name != "position"
                && let Some((_, again)) = places.next()
            {
                problems.add(*again, format!("the slot {{{{{name}}}}} may occur only once"));
            }
        }
        for (name, why) in [
            ("leave_action", "visitors can't give up their place"),
            ("lang", "screen readers have to guess the language"),
            ("title", "a tab in the background can't show the position"),
            ("eta", "visitors can't see how long it will take"),
        ] {
            if !seen.iter().any(|(seen, _)| *seen == name) {
                self.warnings.push(format!("the template has no {{{{{name}}}}}: {why}"));
            }
        }
    }
}

fn misuse(name: &str, slot: Option<&Slot>, place: Place) -> Option<String> {
    match (slot, place) {
        (None, Place::Code) => None,
        (None, _) => Some(format!("there is no slot {{{{{name}}}}}")),
        (Some(_), Place::Code) => Some(format!(
            "{{{{{name}}}}} can't stand in a script or style: the Content-Security-Policy knows them by their hash"
        )),
        (Some(_), Place::Comment) => Some(format!("{{{{{name}}}}} stands in a comment, where it does nothing")),
        (Some(slot), place) if !slot.fits(place) => {
            Some(format!("{{{{{name}}}}} can't be used {}", where_it_is(place)))
        }
        _ => None,
    }
}

fn where_it_is(place: Place) -> &'static str {
    match place {
        Place::Text => "as text; put it into an attribute",
        Place::Attribute => "in an attribute",
        Place::Title => "in <title> or <textarea>",
        Place::Tag => "in a tag outside quotes",
        Place::Code => "in a script or style",
        Place::Comment => "in a comment",
    }
}

fn place_of(tokens: &[Token<'_>], at: usize) -> Place {
    for token in tokens {
        match token {
            Token::Text(text, start) if (*start..start + text.len()).contains(&at) => return Place::Text,
            Token::Comment(start, end) if (*start..*end).contains(&at) => return Place::Comment,
            Token::Raw { element, text, at: start } if (*start..start + text.len()).contains(&at) => {
                let code = matches!(element.name.as_str(), "script" | "style");
                return if code { Place::Code } else { Place::Title };
            }
            Token::Tag(tag) if (tag.at..tag.end).contains(&at) => {
                let within = |start: usize, len: usize| (start..start + len).contains(&at);
                let valued = tag.attributes.iter().any(|attribute| within(attribute.at, attribute.value.len()));
                return if valued { Place::Attribute } else { Place::Tag };
            }
            _ => {}
        }
    }
    // Between the tokens stand only declarations.
    Place::Tag
}

fn sorted(mut problems: Vec<TemplateProblem>) -> Vec<TemplateProblem> {
    problems.sort_by_key(|problem| problem.line);
    problems.dedup();
    problems
}
