//! Values from the environment and from flags, put over those of the file. By the schema, so that every
//! plain key of `[server]`, `[store]` and `[tokens]` has its variable. Reads no environment itself.

use serde_json::Value;

use super::Problem;
use super::document::{Document, check_plain};
use super::schema::{Kind, Node};

/// Sections with variables. Rooms have none: they have no fixed number.
const SECTIONS: [&str; 3] = ["server", "store", "tokens"];

/// Puts `WAITROOM_SECTION_KEY` variables over the document. Lists are separated by commas; an empty
/// variable counts as absent. Returns (mistakes, warnings).
pub(super) fn environment(
    document: &mut Document,
    schema: &Value,
    variables: &[(String, String)],
) -> (Vec<Problem>, Vec<Problem>) {
    let mut mistakes = Vec::new();
    let mut warnings = Vec::new();
    let known = known(schema);
    for (name, text) in variables.iter().filter(|(_, text)| !text.is_empty()) {
        let source = format!("environment {name}");
        let problem = |key: &str, message| Problem { source: source.clone(), line: None, key: key.to_owned(), message };
        match known.iter().find(|(variable, ..)| variable == name) {
            Some((_, key, node)) => match parse(text, *node) {
                Ok(value) => document.put(key, value, &source),
                Err(message) => mistakes.push(problem(key, message)),
            },
            None if looks_like_ours(name) => {
                let near = known.iter().map(|(v, ..)| (strsim::damerau_levenshtein(name, v), v)).min();
                let hint = near.map(|(_, v)| format!("; did you mean {v}?")).unwrap_or_default();
                warnings.push(problem("", format!("is ignored: no key has this variable{hint}")));
            }
            None => {}
        }
    }
    (mistakes, warnings)
}

fn known(schema: &Value) -> Vec<(String, String, Node<'_>)> {
    let root = Node::root(schema);
    let mut known = Vec::new();
    for section in SECTIONS {
        let keys = root.property(section).into_iter().flat_map(Node::properties);
        for (key, node) in keys {
            let is_plain = match node.kind() {
                Kind::Table => false,
                Kind::List => node.items().kind() != Kind::Table,
                _ => true,
            };
            if is_plain {
                let variable = format!("WAITROOM_{section}_{key}").to_ascii_uppercase();
                known.push((variable, format!("{section}.{key}"), node));
            }
        }
    }
    known
}

fn looks_like_ours(name: &str) -> bool {
    SECTIONS.iter().any(|section| {
        let rest = name.strip_prefix("WAITROOM_").and_then(|r| r.strip_prefix(&*section.to_ascii_uppercase()));
        rest.is_some_and(|rest| rest.starts_with('_'))
    })
}

fn parse(text: &str, node: Node<'_>) -> Result<Value, String> {
    let value = match node.kind() {
        Kind::List => {
            let items = text.split(',').map(|item| parse(item.trim(), node.items()));
            return Ok(Value::Array(items.collect::<Result<_, _>>()?));
        }
        Kind::Text | Kind::Table => Some(Value::from(text)),
        Kind::Bool => text.parse::<bool>().ok().map(Value::from),
        Kind::Integer => text.parse::<i64>().ok().map(Value::from),
        Kind::Number => text.parse::<f64>().ok().filter(|f| f.is_finite()).map(Value::from),
    };
    check_plain(value.unwrap_or_else(|| Value::from(text)), node)
}
