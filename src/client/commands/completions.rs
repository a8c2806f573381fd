//! `completions`: what a shell needs to complete our command lines.

use clap::CommandFactory;
use clap_complete::Shell;
use serde_json::json;

use crate::client::cli::Arguments;
use crate::client::error::Error;
use crate::client::report::{Json, Report};
use crate::locales::Language;

struct Completions {
    script: String,
}

pub(super) fn run(shell: Shell) -> Result<Box<dyn Report>, Error> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "ptc-enroll", &mut script);
    Ok(Box::new(Completions { script: String::from_utf8_lossy(&script).into_owned() }))
}

impl Report for Completions {
    fn text(&self, _language: Language) -> String {
        self.script.clone()
    }

    fn json(&self, _language: Language) -> Json<'_> {
        json!({ "script": self.script }).into()
    }
}
