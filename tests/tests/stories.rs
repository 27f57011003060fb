//! Snapshots of the stories of all built-in scenarios: a change of behaviour appears as a readable diff.

fn check(name: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(format!("story@{name}"), sandhog_tests::story(name)));
}
crate::for_every_scenario!(check);
