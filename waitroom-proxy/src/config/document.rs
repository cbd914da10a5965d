//! Reads TOML by the schema: keeps what is right, reports everything else with its line, and remembers
//! where each value came from. Knows nothing of what the values mean.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Problem;
use super::schema::{Kind, Node};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) source: String,
    pub(super) line: Option<usize>,
}

/// A config that has the right shape, as far as it could be read.
pub(super) struct Document {
    pub(super) value: Value,
    /// By key, as in `rooms[0].paths[1]`; `""` is the whole.
    places: HashMap<String, Place>,
}

struct Reader<'a> {
    source: String,
    text: &'a str,
    places: HashMap<String, Place>,
    problems: Vec<Problem>,
}

impl Document {
    /// An empty document that flags fill.
    pub(super) fn empty(source: &str) -> Self {
        let place = Place { source: source.to_owned(), line: None };
        Self { value: Value::Object(Map::new()), places: HashMap::from([(String::new(), place)]) }
    }

    /// Reads the text of the file at `path`; also returns every mistake of form.
    pub(super) fn from_toml(path: &Path, text: &str, schema: &Value) -> (Self, Vec<Problem>) {
        let source = path.display().to_string();
        let mut reader = Reader { source: source.clone(), text, places: HashMap::new(), problems: Vec::new() };
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            let line = error.span().map(|span| reader.line(&span));
            let message = format!("not valid TOML: {}", error.message().trim());
            reader.problems.push(Problem { source: source.clone(), line, key: String::new(), message });
        }
        reader.places.insert(String::new(), Place { source, line: None });
        let value = reader.table("", table.get_ref(), 0..0, Node::root(schema), !errors.is_empty());
        (Self { value, places: reader.places }, reader.problems)
    }

    /// The place of a key, or of the nearest table around it.
    pub(super) fn place(&self, key: &str) -> Place {
        let mut key = key;
        loop {
            if let Some(place) = self.places.get(key) {
                return place.clone();
            }
            key = &key[..key.rfind(['.', '[']).unwrap_or(0)];
        }
    }

    /// Whether the key was written at all, rightly or not.
    pub(super) fn has(&self, key: &str) -> bool {
        self.places.contains_key(key)
    }

    /// Puts a value in, over whatever the file says. `key` is `section.name` or, for a new list of tables,
    /// a name alone.
    pub(super) fn put(&mut self, key: &str, value: Value, source: &str) {
        let mut at = &mut self.value;
        for part in key.split('.') {
            if !at.is_object() {
                *at = Value::Object(Map::new());
            }
            at = &mut at[part];
        }
        *at = value;
        // What the file said about parts of it no longer counts.
        self.places.retain(|k, _| !k.strip_prefix(key).is_some_and(|rest| rest.starts_with(['.', '['])));
        self.places.insert(key.to_owned(), Place { source: source.to_owned(), line: None });
    }
}

impl Reader<'_> {
    fn line(&self, span: &Range<usize>) -> usize {
        let before = self.text.as_bytes().get(..span.start).unwrap_or(self.text.as_bytes());
        before.iter().filter(|b| **b == b'\n').count() + 1
    }

    fn problem(&mut self, key: &str, span: &Range<usize>, message: String) {
        let line = Some(self.line(span));
        self.problems.push(Problem { source: self.source.clone(), line, key: key.to_owned(), message });
    }

    /// `None`: of the wrong type, and reported.
    fn value(&mut self, key: &str, value: &Spanned<DeValue<'_>>, node: Node<'_>) -> Option<Value> {
        let span = value.span();
        let place = Place { source: self.source.clone(), line: Some(self.line(&span)) };
        self.places.insert(key.to_owned(), place);
        let result = match (value.get_ref(), node.kind()) {
            (DeValue::Table(table), Kind::Table) => return Some(self.table(key, table, span, node, false)),
            (DeValue::Array(items), Kind::List) => {
                let items = items.iter().enumerate();
                let read = items.filter_map(|(i, item)| self.value(&format!("{key}[{i}]"), item, node.items()));
                return Some(Value::Array(read.collect()));
            }
            (value, kind) => match plain(value) {
                Some(plain) => check_plain(plain, node),
                None => Err(format!("must be {}, not {}", kind.words(), type_words(value))),
            },
        };
        result.map_err(|message| self.problem(key, &span, message)).ok()
    }

    fn table(&mut self, key: &str, table: &DeTable<'_>, span: Range<usize>, node: Node<'_>, incomplete: bool) -> Value {
        let mut read = Map::new();
        // In the order of the file, not of the alphabet.
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        for (name, value) in entries {
            let child_key = join(key, name.get_ref());
            match node.property(name.get_ref()) {
                Some(child) => {
                    if let Some(value) = self.value(&child_key, value, child) {
                        read.insert(name.get_ref().to_string(), value);
                    }
                }
                None => self.problem(&child_key, &name.span(), unknown(name.get_ref(), node)),
            }
        }
        for name in node.required().filter(|name| !incomplete && !table.contains_key(*name)) {
            self.problem(&join(key, name), &span, "is missing: add it".to_owned());
        }
        Value::Object(read)
    }
}

/// Checks one plain value against its type, words and range. The message is for the operator.
pub(super) fn check_plain(value: Value, node: Node<'_>) -> Result<Value, String> {
    let kind = node.kind();
    let fits = match kind {
        Kind::Text => value.is_string(),
        Kind::Bool => value.is_boolean(),
        Kind::Integer => value.is_i64() || value.is_u64(),
        Kind::Number => value.is_number(),
        Kind::Table | Kind::List => false,
    };
    if !fits {
        return Err(format!("must be {}, not {value}", kind.words()));
    }
    let words = node.words();
    if value.as_str().is_some_and(|text| !words.is_empty() && !words.contains(&text)) {
        return Err(format!("must be {}, not {value}", one_of(&words)));
    }
    let (min, max) = node.range();
    let outside = |number: f64| min.is_some_and(|min| number < min) || max.is_some_and(|max| number > max);
    if value.as_f64().is_some_and(outside) {
        let bound = match (min, max) {
            (Some(min), Some(max)) => format!("between {min} and {max}"),
            (Some(min), None) => format!("at least {min}"),
            (_, max) => format!("at most {}", max.unwrap_or_default()),
        };
        return Err(format!("must be {bound}, not {value}"));
    }
    Ok(value)
}

/// A scalar as JSON; `None` for what JSON has no words for (dates, infinities, numbers too big).
fn plain(value: &DeValue<'_>) -> Option<Value> {
    match value {
        DeValue::String(text) => Some(Value::from(text.as_ref())),
        DeValue::Boolean(yes) => Some(Value::from(*yes)),
        DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix()).ok().map(Value::from),
        DeValue::Float(float) => float.as_str().parse::<f64>().ok().filter(|f| f.is_finite()).map(Value::from),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

fn type_words(value: &DeValue<'_>) -> String {
    match value {
        DeValue::Datetime(date) => format!("the date {date}"),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
        DeValue::Float(float) => float.as_str().to_owned(),
        DeValue::Integer(integer) => integer.to_string(),
        DeValue::String(_) | DeValue::Boolean(_) => "this".to_owned(),
    }
}

fn unknown(name: &str, node: Node<'_>) -> String {
    let near = node.properties().map(|(known, _)| (strsim::damerau_levenshtein(name, known), known)).min();
    match near {
        // Up to a third of the letters wrong is a slip; more is another word.
        Some((distance, known)) if distance <= name.len().max(3) / 3 + 1 => {
            format!("is not a known key; did you mean `{known}`?")
        }
        _ => {
            let known: Vec<_> = node.properties().map(|(known, _)| known).collect();
            format!("is not a known key; known are {}", known.join(", "))
        }
    }
}

fn one_of(words: &[&str]) -> String {
    words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" or ")
}

fn join(table: &str, key: &str) -> String {
    if table.is_empty() { key.to_owned() } else { format!("{table}.{key}") }
}

impl Kind {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Table => "a table",
            Self::List => "a list",
            Self::Text => "text in quotes",
            Self::Bool => "true or false",
            Self::Integer => "a whole number",
            Self::Number => "a finite number",
        }
    }
}
