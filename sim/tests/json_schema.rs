//! Small validator for JSON Schema, with the keywords that the schema of scenario files uses.

use std::collections::BTreeMap;
use std::sync::Mutex;

use regex::Regex;
use serde_json::Value;

/// Returns true if `value` is valid under `schema`.
pub(crate) fn accepts(schema: &Value, value: &Value) -> bool {
    valid(schema, schema, value)
}

fn valid(root: &Value, schema: &Value, value: &Value) -> bool {
    let Some(keywords) = schema.as_object() else {
        return schema != &Value::Bool(false);
    };
    keywords
        .iter()
        .all(|(keyword, argument)| holds(root, schema, keyword, argument, value))
}

fn holds(root: &Value, schema: &Value, keyword: &str, argument: &Value, value: &Value) -> bool {
    let list = || argument.as_array().unwrap().iter();
    match keyword {
        "$ref" => {
            let pointer = argument.as_str().unwrap().trim_start_matches('#');
            valid(root, root.pointer(pointer).unwrap(), value)
        }
        "anyOf" => list().any(|choice| valid(root, choice, value)),
        "oneOf" => list().filter(|choice| valid(root, choice, value)).count() == 1,
        "enum" => list().any(|choice| choice == value),
        "const" => argument == value,
        "type" => match argument {
            Value::Array(types) => types.iter().any(|name| has_type(name, value)),
            name => has_type(name, value),
        },
        "pattern" => value
            .as_str()
            .is_none_or(|text| pattern(argument.as_str().unwrap()).is_match(text)),
        "minimum" => value
            .as_f64()
            .is_none_or(|number| number >= argument.as_f64().unwrap()),
        "maximum" => value
            .as_f64()
            .is_none_or(|number| number <= argument.as_f64().unwrap()),
        "minItems" => value
            .as_array()
            .is_none_or(|array| array.len() as u64 >= argument.as_u64().unwrap()),
        "maxItems" => value
            .as_array()
            .is_none_or(|array| array.len() as u64 <= argument.as_u64().unwrap()),
        "items" => value
            .as_array()
            .is_none_or(|array| array.iter().all(|item| valid(root, argument, item))),
        "required" => value
            .as_object()
            .is_none_or(|object| list().all(|key| object.contains_key(key.as_str().unwrap()))),
        "properties" => value.as_object().is_none_or(|object| {
            object.iter().all(|(key, value)| {
                argument
                    .get(key)
                    .is_none_or(|property| valid(root, property, value))
            })
        }),
        "additionalProperties" => value.as_object().is_none_or(|object| {
            *argument != Value::Bool(false)
                || object.keys().all(|key| schema["properties"].get(key).is_some())
        }),
        "$schema" | "$defs" | "title" | "description" | "default" | "format" => true,
        other => panic!("the validator does not know the keyword {other}"),
    }
}

fn has_type(name: &Value, value: &Value) -> bool {
    match name.as_str().unwrap() {
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        other => panic!("the validator does not know the type {other}"),
    }
}

/// The compiled pattern. Each is compiled once, because that takes longer than all matches together.
fn pattern(text: &str) -> Regex {
    static COMPILED: Mutex<BTreeMap<String, Regex>> = Mutex::new(BTreeMap::new());
    let mut compiled = COMPILED.lock().unwrap();
    if let Some(known) = compiled.get(text) {
        return known.clone();
    }
    let new = Regex::new(text).unwrap();
    compiled.insert(text.into(), new.clone());
    new
}
