//! Raw config → checked config. Every mistake is collected; nothing is checked twice. Reads the files that
//! the config names, opens no socket.

mod files;
mod names;
mod room;
mod rooms;
mod server;
mod store;
mod tokens;
mod upstream;

use std::path::{Path, PathBuf};

use serde::Deserialize as _;

use super::document::Document;
use super::raw::RawConfig;
use super::{Config, Problem};

/// Checks an operator's waiting page: warnings, or every mistake with its line.
pub type TemplateCheck<'a> = &'a (dyn Fn(&str) -> Result<Vec<String>, Vec<(usize, String)>> + 'a);

/// What a check found, and what it needs to find it.
pub(super) struct Checker<'a> {
    document: &'a Document,
    /// Relative paths start here.
    folder: &'a Path,
    template: TemplateCheck<'a>,
    pub(super) mistakes: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
    /// Every file that was read, for the watcher.
    pub(super) files: Vec<PathBuf>,
}

impl<'a> Checker<'a> {
    pub(super) fn new(document: &'a Document, folder: &'a Path, template: TemplateCheck<'a>) -> Self {
        Self { document, folder, template, mistakes: Vec::new(), warnings: Vec::new(), files: Vec::new() }
    }

    /// `None` means that at least one mistake was reported here, or before, by the reader.
    pub(super) fn config(&mut self) -> Option<Config> {
        let raw = match RawConfig::deserialize(&self.document.value) {
            Ok(raw) => raw,
            Err(error) => {
                self.mistake("", format!("cannot be read: {error}"));
                return None;
            }
        };
        let server = server::check(self, &raw.server);
        let store = store::check(self, &raw.store);
        let tokens = tokens::check(self, &raw.tokens);
        let listen = server.as_ref().map(|server| server.listen.as_slice()).unwrap_or_default();
        let rooms = rooms::check(self, &raw.rooms, listen);
        Some(Config { server: server?, store: store?, tokens: tokens?, rooms: rooms? })
    }

    fn mistake(&mut self, key: &str, message: impl Into<String>) {
        self.mistakes.push(self.problem(key, message.into()));
    }

    fn warning(&mut self, key: &str, message: impl Into<String>) {
        self.warnings.push(self.problem(key, message.into()));
    }

    fn problem(&self, key: &str, message: String) -> Problem {
        let place = self.document.place(key);
        Problem { source: place.source, line: place.line, key: key.to_owned(), message }
    }

    /// The value, or `None` with the mistake reported under `key`.
    fn accept<T>(&mut self, key: &str, result: Result<T, String>) -> Option<T> {
        result.map_err(|message| self.mistake(key, message)).ok()
    }

    /// Parses a list, item by item; `None` when one of them is wrong or stands there twice.
    fn list<T: PartialEq>(
        &mut self,
        key: &str,
        items: &[String],
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let mut parsed = Vec::with_capacity(items.len());
        let mut complete = true;
        for (i, item) in items.iter().enumerate() {
            let key = format!("{key}[{i}]");
            match self.accept(&key, parse(item)) {
                Some(value) if parsed.contains(&value) => {
                    self.mistake(&key, format!("{item:?} stands there twice: remove one"));
                    complete = false;
                }
                Some(value) => parsed.push(value),
                None => complete = false,
            }
        }
        complete.then_some(parsed)
    }
}
