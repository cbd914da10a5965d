//! Questions to the JSON Schema of the config, so that the reader needs no second list of keys.

use serde_json::Value;

/// The JSON Schema of the config file.
#[must_use]
pub fn schema() -> Value {
    schemars::schema_for!(super::raw::RawConfig).to_value()
}

/// A node of the schema, with references and `or null` resolved.
#[derive(Clone, Copy)]
pub(super) struct Node<'a> {
    root: &'a Value,
    value: &'a Value,
}

/// What a value must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Table,
    List,
    Text,
    Bool,
    Integer,
    Number,
}

impl<'a> Node<'a> {
    pub(super) fn root(root: &'a Value) -> Self {
        Self { root, value: root }
    }

    fn at(self, value: &'a Value) -> Self {
        if let Some(pointer) = value["$ref"].as_str().and_then(|r| r.strip_prefix('#')) {
            return self.at(self.root.pointer(pointer).unwrap_or(&Value::Null));
        }
        match value["anyOf"].as_array().and_then(|any| any.iter().find(|s| s["type"] != "null")) {
            Some(inner) => self.at(inner),
            None => Self { root: self.root, value },
        }
    }

    pub(super) fn kind(self) -> Kind {
        let name = match &self.value["type"] {
            Value::Array(names) => names.iter().filter_map(Value::as_str).find(|name| *name != "null"),
            name => name.as_str(),
        };
        match name {
            Some("object") => Kind::Table,
            Some("array") => Kind::List,
            Some("boolean") => Kind::Bool,
            Some("integer") => Kind::Integer,
            Some("number") => Kind::Number,
            // Also enums whose variants have descriptions: `oneOf` without a type.
            _ => Kind::Text,
        }
    }

    pub(super) fn property(self, key: &str) -> Option<Self> {
        self.value["properties"].get(key).map(|value| self.at(value))
    }

    pub(super) fn properties(self) -> impl Iterator<Item = (&'a str, Self)> {
        self.value["properties"]
            .as_object()
            .into_iter()
            .flatten()
            .map(move |(key, value)| (key.as_str(), self.at(value)))
    }

    pub(super) fn required(self) -> impl Iterator<Item = &'a str> {
        self.value["required"].as_array().into_iter().flatten().filter_map(Value::as_str)
    }

    pub(super) fn items(self) -> Self {
        self.at(&self.value["items"])
    }

    /// The words that are allowed; empty: any text.
    pub(super) fn words(self) -> Vec<&'a str> {
        let listed = self.value["enum"].as_array().into_iter().flatten();
        let described = self.value["oneOf"].as_array().into_iter().flatten().map(|s| &s["const"]);
        listed.chain(described).filter_map(Value::as_str).collect()
    }

    /// Least and greatest value.
    pub(super) fn range(self) -> (Option<f64>, Option<f64>) {
        (self.value["minimum"].as_f64(), self.value["maximum"].as_f64())
    }
}
