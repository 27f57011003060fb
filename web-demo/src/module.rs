//! Exports of the WebAssembly module. Errors become JavaScript `Error`s with the same message.

use wasm_bindgen::prelude::{JsError, wasm_bindgen};

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = console)]
    fn error(message: &str);
}

/// Runs once when the module is loaded. It prints panics to the browser's console, which would otherwise show only
/// `unreachable`.
#[wasm_bindgen(start)]
fn start() {
    std::panic::set_hook(Box::new(|panic| error(&panic.to_string())));
}

/// See [`crate::scenarios`].
#[wasm_bindgen]
pub fn scenarios() -> String {
    crate::scenarios()
}

/// See [`crate::run`].
#[wasm_bindgen]
pub fn run(name: &str, seed: &str) -> Result<String, JsError> {
    crate::run(name, seed).map_err(|error| JsError::new(&error))
}

/// See [`crate::run_source`].
#[wasm_bindgen]
pub fn run_source(source: &str, seed: &str) -> Result<String, JsError> {
    crate::run_source(source, seed).map_err(|error| JsError::new(&error))
}

/// See [`crate::replayed_digest`].
#[wasm_bindgen]
pub fn replayed_digest(name: &str, seed: &str) -> Result<String, JsError> {
    crate::replayed_digest(name, seed).map_err(|error| JsError::new(&error))
}

/// See [`crate::digest`].
#[wasm_bindgen]
pub fn digest(name: &str, seed: &str) -> Result<String, JsError> {
    crate::digest(name, seed).map_err(|error| JsError::new(&error))
}
