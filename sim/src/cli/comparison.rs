//! Options of the properties that compare each run with a second one: P10 and P12.

use clap::Args;
use sandhog_lab::compare::Second;

use super::{BadInput, Program, quoted};
use crate::Scenario;

#[derive(Debug, Args)]
pub(super) struct Comparison {
    /// Run everything twice, and judge P12: both runs give the same digest
    #[arg(long, conflicts_with = "looks_like")]
    repeat: bool,
    /// Run this scenario too, with the same seed and faults, and judge P10: on the
    /// wire, both runs look the same
    #[arg(long, value_name = "SCENARIO")]
    looks_like: Option<String>,
}

impl Comparison {
    /// The options as they were typed, each after a blank. Empty without them.
    pub(super) fn typed(&self) -> String {
        match &self.looks_like {
            Some(name) => format!(" --looks-like {}", quoted(name)),
            None if self.repeat => " --repeat".into(),
            None => String::new(),
        }
    }

    /// The second run. `None` without these options.
    pub(super) fn second(
        &self,
        program: &Program<'_>,
        scenarios: &[Scenario],
    ) -> Result<Option<Second>, BadInput> {
        let Some(name) = &self.looks_like else {
            return Ok(self.repeat.then_some(Second::Repeat));
        };
        let twin = program.find_scenario(name)?;
        for scenario in scenarios {
            let [wanted, found] = [scenario, &twin].map(host_names);
            if wanted != found {
                return Err(BadInput(format!(
                    "--looks-like: {name} has the hosts {}, and {} has {}; both must have the same hosts",
                    found.join(", "),
                    scenario.name,
                    wanted.join(", ")
                )));
            }
        }
        Ok(Some(Second::Twin(Box::new(twin.setup()))))
    }
}

/// The names of all hosts, in the order of their turns.
fn host_names(scenario: &Scenario) -> Vec<&str> {
    let servers = scenario.servers.iter().map(|server| server.name.as_str());
    let clients = scenario.clients.iter().map(|client| client.name.as_str());
    servers.chain(clients).collect()
}
