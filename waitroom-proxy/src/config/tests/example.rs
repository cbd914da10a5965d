//! The example file and the schema say the same as the reader.

use serde_json::Value;

use crate::config::{Source, schema};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/waitroom.toml");

#[test]
fn example_is_good_and_names_every_key() {
    let loaded = Source::file(EXAMPLE).load(&|_| Ok(Vec::new())).unwrap();
    assert_eq!(loaded.config.rooms[0].name.as_str(), "concert");
    let text = std::fs::read_to_string(EXAMPLE).unwrap();
    let schema = schema();
    let mut keys = 0;
    let tables = schema["$defs"].as_object().unwrap().values();
    for key in tables.filter_map(|table| table["properties"].as_object()).flat_map(|p| p.keys()) {
        assert!(text.contains(&format!("{key} = ")), "{key} is not in the example");
        keys += 1;
    }
    assert!(keys > 40, "{keys}");
}

#[test]
fn schema_refuses_unknown_keys_and_has_defaults_and_words() {
    let schema = schema();
    assert_eq!(schema["additionalProperties"], Value::Bool(false));
    let room = &schema["$defs"]["Room"];
    assert_eq!(room["additionalProperties"], Value::Bool(false));
    assert_eq!(room["required"], serde_json::json!(["name", "upstreams"]));
    let rate = &room["properties"]["rate_per_s"];
    assert_eq!((rate["default"].as_f64(), rate["minimum"].as_f64()), (Some(100.0), Some(0.0)));
    assert!(rate["description"].as_str().unwrap().contains("per second"));
}
