//! JSON Schema of scenario files, for editors.

use serde_json::Value;

use super::Scenario;
use super::expectations::outcomes;
use super::profile::Profile;

impl Scenario {
    /// The JSON Schema of a scenario file (draft 2020-12) for these profiles.
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
        let mut all: Vec<&str> = profiles.iter().flat_map(|profile| outcomes(*profile)).collect();
        all.sort_unstable();
        all.dedup();
        for (pointer, values, default) in [
            ("/properties/profile", &names, names.first()),
            ("/$defs/Expectation/properties/outcome", &all, None),
        ] {
            let property = schema.pointer_mut(pointer).and_then(Value::as_object_mut);
            let Some(property) = property else { continue };
            property.insert("type".into(), "string".into());
            property.insert("enum".into(), values.as_slice().into());
            if let Some(default) = default {
                property.insert("default".into(), (*default).into());
            }
        }
        schema
    }
}
