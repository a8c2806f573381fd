//! What every command is given: where the installation is, how to write, who acts.

use std::env;
use std::path::PathBuf;

use ptc_enroll::locales::Language;
use ptc_enroll::service::app::{App, Clock};
use ptc_enroll::service::auth::Actor;
use ptc_enroll::service::config::{DEFAULT_HOME, Home};

use crate::cli::ContextArguments;
use crate::error::CommandError;
use crate::output::Output;

/// The environment variable that names the home.
const HOME: &str = "PTC_ENROLLMENT_HOME";

pub(crate) struct Context {
    pub(crate) home: Home,
    pub(crate) output: Output,
    pub(crate) clock: Clock,
}

impl From<ContextArguments> for Context {
    fn from(arguments: ContextArguments) -> Self {
        let home = arguments.home.or_else(|| env::var_os(HOME).filter(|home| !home.is_empty()).map(PathBuf::from));
        Self {
            home: Home::new(home.unwrap_or_else(|| DEFAULT_HOME.into())),
            output: Output::new(arguments.output, arguments.lang.unwrap_or_else(Language::system)),
            clock: Clock::system(),
        }
    }
}

impl Context {
    /// The open installation.
    pub(crate) async fn app(&self) -> Result<App, CommandError> {
        Ok(App::open(self.home.clone(), self.clock.clone()).await?)
    }

    /// Whoever types. Who may read the CA's keys needs no further right.
    pub(crate) fn operator(&self) -> Actor {
        Actor::Operator { account: account() }
    }
}

/// The system's account: the name it goes by, where something says it, and on Unix its number, which cannot be made up.
pub(crate) fn account() -> String {
    let name = ["SUDO_USER", "USER", "LOGNAME", "USERNAME"].into_iter().find_map(|name| env::var(name).ok());
    #[cfg(unix)]
    {
        let uid = rustix::process::getuid().as_raw();
        name.map_or_else(|| format!("uid {uid}"), |name| format!("{name} (uid {uid})"))
    }
    #[cfg(not(unix))]
    name.unwrap_or_else(|| "?".to_owned())
}
