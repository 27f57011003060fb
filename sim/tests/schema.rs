//! The JSON Schema of scenario files: it fits every built-in scenario, and people are told what each key means.

use sandhog_sim::builtin;
use sandhog_sim::scenario::schema;
use serde_json::Value;

#[test]
fn the_schema_knows_every_key_of_every_builtin_scenario() {
    let schema = schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    for builtin in builtin::ALL {
        let scenario: toml::Table = builtin.source.parse().unwrap();
        let scenario = serde_json::to_value(scenario).unwrap();
        fits(&schema, &schema, &scenario, builtin.name);
    }
}

/// Every key of `value` is a property of `part`, and every property that `part` requires is there.
fn fits(schema: &Value, part: &Value, value: &Value, place: &str) {
    let part = resolved(schema, part);
    match value {
        Value::Object(object) => {
            assert_eq!(part["additionalProperties"], false, "{place} takes no other keys");
            for (key, value) in object {
                let place = format!("{place}.{key}");
                let property = &part["properties"][key];
                assert!(property.is_object(), "{place} is not in the schema");
                fits(schema, property, value, &place);
            }
            for required in part["required"].as_array().into_iter().flatten() {
                assert!(
                    object.contains_key(required.as_str().unwrap()),
                    "{place} needs {required}"
                );
            }
        }
        Value::Array(array) => array
            .iter()
            .for_each(|value| fits(schema, &part["items"], value, place)),
        _ => {}
    }
}

/// What `$ref` and a nullable `anyOf` point at.
fn resolved<'a>(schema: &'a Value, part: &'a Value) -> &'a Value {
    if let Some(reference) = part["$ref"].as_str() {
        return resolved(schema, schema.pointer(reference.trim_start_matches('#')).unwrap());
    }
    let choices = part["anyOf"].as_array();
    choices.map_or(part, |choices| resolved(schema, &choices[0]))
}

#[test]
fn every_key_of_the_schema_is_described() {
    let schema = schema();
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
    let schema = schema();
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
