//! JSON Schema of scenario files: complete for all built-in scenarios, with a description of every key.

use sandhog_sim::{Scenario, builtin};
use serde_json::Value;

#[test]
fn the_schema_has_every_key_of_every_builtin_scenario() {
    let schema = Scenario::schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    for builtin in builtin::ALL {
        let scenario: toml::Table = builtin.source.parse().unwrap();
        let scenario = serde_json::to_value(scenario).unwrap();
        fits(&schema, &schema, &scenario, builtin.name);
    }
}

/// Checks that every key of `value` is a property of `part`, and that `value` has every required property.
fn fits(schema: &Value, part: &Value, value: &Value, path: &str) {
    let part = resolved(schema, part);
    match value {
        Value::Object(object) => {
            assert_eq!(part["additionalProperties"], false, "{path} allows other keys");
            for (key, value) in object {
                let path = format!("{path}.{key}");
                let property = &part["properties"][key];
                assert!(property.is_object(), "{path} is not in the schema");
                fits(schema, property, value, &path);
            }
            for required in part["required"].as_array().into_iter().flatten() {
                assert!(
                    object.contains_key(required.as_str().unwrap()),
                    "{path} needs {required}"
                );
            }
        }
        Value::Array(array) => array
            .iter()
            .for_each(|value| fits(schema, &part["items"], value, path)),
        _ => {}
    }
}

/// The target of `$ref` and of a nullable `anyOf`.
fn resolved<'a>(schema: &'a Value, part: &'a Value) -> &'a Value {
    if let Some(reference) = part["$ref"].as_str() {
        return resolved(schema, schema.pointer(reference.trim_start_matches('#')).unwrap());
    }
    let choices = part["anyOf"].as_array();
    choices.map_or(part, |choices| resolved(schema, &choices[0]))
}

#[test]
fn every_key_of_the_schema_has_a_description() {
    let schema = Scenario::schema();
    let definitions = schema["$defs"].as_object().unwrap().values();
    for table in definitions.chain([&schema]) {
        for (key, property) in table["properties"].as_object().into_iter().flatten() {
            assert!(property["description"].is_string(), "{key} is not described");
        }
    }
}

#[test]
fn the_documentation_names_every_key_of_the_schema() {
    let page = include_str!("../../docs/scenarios.md");
    let schema = Scenario::schema();
    let definitions = schema["$defs"].as_object().unwrap().values();
    for table in definitions.chain([&schema]) {
        for key in table["properties"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, _)| key)
        {
            let named = ["`", ".", "[[", ", "]
                .iter()
                .any(|before| page.contains(&format!("{before}{key}")));
            assert!(named, "{key} is not in docs/scenarios.md");
        }
    }
}
