//! Reads keys one by one from flags, environment and file, and gathers what is wrong with them.
//! Values of secrets are never repeated in a mistake.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;

use toml::{Table, Value};

use super::Overrides;

/// One thing wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// `section.key`.
    pub key: String,
    /// What is wrong, and where it was read if not in the file.
    pub what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.key, self.what)
    }
}

/// A file's table with what goes before it. Keys that nobody asked for are mistakes.
pub struct Reader {
    table: Table,
    overrides: Overrides,
    sections: BTreeSet<String>,
    mistakes: Vec<Mistake>,
}

impl Reader {
    /// A reader that has read nothing.
    pub fn new(table: Table, overrides: Overrides) -> Self {
        Self { table, overrides, sections: BTreeSet::new(), mistakes: Vec::new() }
    }

    /// Notes a mistake.
    pub fn mistake(&mut self, key: &str, what: &str) {
        self.mistakes.push(Mistake { key: key.to_owned(), what: what.to_owned() });
    }

    /// A string.
    pub fn text(&mut self, key: &str, default: &str) -> String {
        match self.take(key) {
            None => default.to_owned(),
            Some(Found::Text(text) | Found::File(Value::String(text))) => text,
            Some(Found::File(other)) => {
                self.mistake(key, &format!("must be a string, not {}", other.type_str()));
                default.to_owned()
            }
        }
    }

    /// An address to listen on.
    pub fn address(&mut self, key: &str, default: &str) -> SocketAddr {
        let text = self.text(key, default);
        text.parse().unwrap_or_else(|_| {
            self.mistake(key, &format!("must be an address with a port such as {default}, not {text:?}"));
            SocketAddr::from(([127, 0, 0, 1], 0))
        })
    }

    /// A whole number within bounds.
    pub fn whole(&mut self, key: &str, default: u32, bounds: RangeInclusive<u32>) -> u32 {
        let number = match self.take(key) {
            None => return default,
            Some(Found::File(Value::Integer(number))) => u32::try_from(number).ok(),
            Some(Found::Text(text)) => text.parse().ok(),
            Some(Found::File(_)) => None,
        };
        match number.filter(|number| bounds.contains(number)) {
            Some(number) => number,
            None => {
                self.mistake(key, &format!("must be a whole number from {} to {}", bounds.start(), bounds.end()));
                default
            }
        }
    }

    /// true or false.
    pub fn flag(&mut self, key: &str, default: bool) -> bool {
        let flag = match self.take(key) {
            None => return default,
            Some(Found::File(Value::Boolean(flag))) => Some(flag),
            Some(Found::Text(text)) => text.parse().ok(),
            Some(Found::File(_)) => None,
        };
        flag.unwrap_or_else(|| {
            self.mistake(key, "must be true or false");
            default
        })
    }

    /// Strings: an array in the file, separated by commas elsewhere.
    pub fn list(&mut self, key: &str) -> Vec<String> {
        match self.take(key) {
            None => Vec::new(),
            Some(Found::Text(text)) => {
                text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
            }
            Some(Found::File(value)) => {
                let strings = value.as_array().and_then(|items| {
                    items.iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
                });
                strings.unwrap_or_else(|| {
                    self.mistake(key, "must be an array of strings");
                    Vec::new()
                })
            }
        }
    }

    /// All mistakes, those of left-over keys last.
    pub fn finish(mut self) -> Vec<Mistake> {
        for (section, value) in std::mem::take(&mut self.table) {
            match value {
                Value::Table(keys) if self.sections.contains(&section) => {
                    for key in keys.keys() {
                        self.mistake(&format!("{section}.{key}"), "is not a key of this service");
                    }
                }
                _ => self.mistake(&section, "is not a section of this service"),
            }
        }
        self.mistakes
    }

    /// Takes the value of a key from where it counts, and out of the file in any case.
    fn take(&mut self, key: &str) -> Option<Found> {
        let (section, name) = key.split_once('.')?;
        self.sections.insert(section.to_owned());
        let from_file = match self.table.get_mut(section) {
            Some(Value::Table(keys)) => keys.remove(name).map(Found::File),
            _ => None,
        };
        let flag = self.overrides.flags.iter().rev().find(|(flag, _)| flag == key);
        let variable = format!("RESERVATION_{}_{}", section.to_uppercase(), name.to_uppercase());
        let from_environment = self.overrides.environment.iter().find(|(name, _)| *name == variable);
        flag.or(from_environment).map(|(_, value)| Found::Text(value.clone())).or(from_file)
    }
}

enum Found {
    Text(String),
    File(Value),
}
