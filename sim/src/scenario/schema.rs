//! JSON Schema of scenario files, for editors.

use serde_json::{Map, Value, json};

use super::Scenario;
use super::expectations::outcomes;
use super::profile::Profile;
use super::schema_values::CONSTRAINTS;

impl Scenario {
    /// The JSON Schema of a scenario file (draft 2020-12) for these profiles. Each text has a pattern and each number a range,
    /// as far as they do not depend on other keys.
    ///
    /// ```
    /// use sandhog_sim::Scenario;
    /// use sandhog_sim::profile::Secure;
    ///
    /// let schema = Scenario::schema_with(&[&Secure]);
    /// let profile = &schema["properties"]["profile"];
    /// assert_eq!(profile["enum"], serde_json::json!(["secure"]));
    /// assert_eq!(profile["default"], "secure");
    /// ```
    #[must_use]
    pub fn schema_with(profiles: &[&'static dyn Profile]) -> Value {
        let mut schema = schemars::schema_for!(Self).to_value();
        let names: Vec<&str> = profiles.iter().map(|profile| profile.name()).collect();
        let results = sorted(profiles.iter().flat_map(|profile| outcomes(*profile)).collect());
        let kinds = sorted(
            profiles
                .iter()
                .flat_map(|profile| profile.kinds().iter().copied())
                .collect(),
        );
        let choice = |words: &[&str]| json!({ "enum": words });
        let or_none = |words: &[&str]| {
            let words = words.iter().map(|word| json!(word));
            json!({ "enum": words.chain([Value::Null]).collect::<Vec<_>>() })
        };
        let profile = json!({ "type": "string", "enum": names, "default": names.first() });
        constrain(&mut schema, "", "profile", &profile);
        constrain(&mut schema, "Expectation", "outcome", &choice(&results));
        constrain(&mut schema, "Expectation", "or", &or_none(&results));
        for table in ["Replay", "Alter", "Reflect"] {
            constrain(&mut schema, table, "kind", &choice(&kinds));
        }
        for table in ["Pick", "Flood"] {
            constrain(&mut schema, table, "kind", &or_none(&kinds));
        }
        constrain(
            &mut schema,
            "Speak",
            "withhold",
            &json!({ "items": choice(&kinds) }),
        );
        for (table, key, constraint) in CONSTRAINTS {
            constrain(&mut schema, table, key, &constraint.keywords());
        }
        // A profile with a login requires both keys, any other rejects them. So neither has a useful default.
        for key in ["login", "password"] {
            if let Some(property) = property(&mut schema, "Client", key) {
                property.remove("default");
            }
        }
        schema
    }
}

fn sorted(mut words: Vec<&str>) -> Vec<&str> {
    words.sort_unstable();
    words.dedup();
    words
}

/// Adds keywords to the schema of a key. `table` is the name of a definition, or empty for the scenario itself.
fn constrain(schema: &mut Value, table: &str, key: &str, keywords: &Value) {
    let Some(property) = property(schema, table, key) else {
        debug_assert!(false, "the schema has no key {table}.{key}");
        return;
    };
    for (keyword, value) in keywords.as_object().into_iter().flatten() {
        match (property.get_mut(keyword), value) {
            (Some(Value::Object(present)), Value::Object(more)) => present.extend(more.clone()),
            _ => {
                property.insert(keyword.clone(), value.clone());
            }
        }
    }
}

/// The schema of a key.
fn property<'a>(schema: &'a mut Value, table: &str, key: &str) -> Option<&'a mut Map<String, Value>> {
    let table = match table {
        "" => schema,
        table => schema.get_mut("$defs")?.get_mut(table)?,
    };
    table.get_mut("properties")?.get_mut(key)?.as_object_mut()
}
