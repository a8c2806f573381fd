//! A request: its number, its kind, its state, and which state may follow which.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The small number by which everybody knows a request ("request 34"). Starts at 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "service", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct RequestNumber(pub u64);

impl fmt::Display for RequestNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl FromStr for RequestNumber {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// What a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "service", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The machine that runs the client, used by a person.
    Workstation,
    /// The machine that runs the client, known by a public host name.
    Server,
    /// A server elsewhere, whose CSR is submitted from here.
    ExternalServer,
    /// A mobile device.
    Mobile,
}

impl Kind {
    /// Every kind, in the order in which they are listed.
    pub const ALL: [Self; 4] = [Self::Workstation, Self::Server, Self::ExternalServer, Self::Mobile];

    /// The word used on the wire, in files and on command lines.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Workstation => "workstation",
            Self::Server => "server",
            Self::ExternalServer => "external-server",
            Self::Mobile => "mobile",
        }
    }

    /// The organisational unit that the subject carries.
    pub const fn organisational_unit(self) -> &'static str {
        match self {
            Self::Workstation => "Workstation",
            Self::Server | Self::ExternalServer => "Server",
            Self::Mobile => "Mobile",
        }
    }

    /// Who decides on requests of this kind, beside the PTC manager, who may decide on all.
    pub const fn approver(self) -> Role {
        match self {
            Self::Workstation | Self::Mobile => Role::RegistrationManager,
            Self::Server | Self::ExternalServer => Role::PtcManager,
        }
    }

    /// The state that the client reports once it holds the certificate.
    pub const fn outcome(self) -> State {
        match self {
            Self::ExternalServer => State::Downloaded,
            Self::Workstation | Self::Server | Self::Mobile => State::Installed,
        }
    }

    /// Whether the common name is a host name rather than a machine identifier.
    pub const fn named_by_host(self) -> bool {
        matches!(self, Self::Server | Self::ExternalServer)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        by_word(text, &Self::ALL, Self::as_str)
    }
}

/// Who decides on requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "service", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Approves, rejects and revokes workstation and mobile requests of exactly one organisation.
    RegistrationManager,
    /// Decides for all organisations and kinds, and has every other function.
    PtcManager,
}

impl Role {
    /// The word used on the wire, in the database and on command lines.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RegistrationManager => "registration-manager",
            Self::PtcManager => "ptc-manager",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl FromStr for Role {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        by_word(text, &[Self::RegistrationManager, Self::PtcManager], Self::as_str)
    }
}

/// Where a request stands. The set is closed within `/api/v1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "service", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Waits for a manager.
    Pending,
    /// A manager said yes; the certificate can be collected.
    Approved,
    /// A manager said no, with a reason.
    Rejected,
    /// A newer request for the same identity took its place.
    Cancelled,
    /// Nobody decided in time.
    Expired,
    /// The client reported that the certificate lies in the store.
    Installed,
    /// The client reported that an external server's certificate lies in a file.
    Downloaded,
    /// The certificate was revoked.
    Revoked,
}

impl State {
    /// Every state, in the order in which they are listed.
    pub const ALL: [Self; 8] = [
        Self::Pending,
        Self::Approved,
        Self::Rejected,
        Self::Cancelled,
        Self::Expired,
        Self::Installed,
        Self::Downloaded,
        Self::Revoked,
    ];

    /// The legal transitions, here and nowhere else.
    pub const fn may_become(self, next: Self) -> bool {
        use State::{Approved, Cancelled, Downloaded, Expired, Installed, Pending, Rejected, Revoked};
        matches!(
            (self, next),
            (Pending, Approved | Rejected | Cancelled | Expired)
                | (Approved, Installed | Downloaded | Revoked)
                | (Installed | Downloaded, Revoked)
        )
    }

    /// Whether a certificate exists in this state and is good for use.
    pub const fn has_valid_certificate(self) -> bool {
        matches!(self, Self::Approved | Self::Installed | Self::Downloaded)
    }

    /// Whether nothing more can happen to the request.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Rejected | Self::Cancelled | Self::Expired | Self::Revoked)
    }

    /// The word used on the wire, in files and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Installed => "installed",
            Self::Downloaded => "downloaded",
            Self::Revoked => "revoked",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl FromStr for State {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        by_word(text, &Self::ALL, Self::as_str)
    }
}

/// Where a certificate is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "service", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum StoreScope {
    /// Every account of the computer may use it.
    Machine,
    /// This account only.
    User,
}

impl StoreScope {
    /// The word used in files and on command lines.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Machine => "machine",
            Self::User => "user",
        }
    }
}

impl fmt::Display for StoreScope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl FromStr for StoreScope {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        by_word(text, &[Self::Machine, Self::User], Self::as_str)
    }
}

/// A word that is none of those expected.
#[derive(Debug, thiserror::Error)]
#[error("{found:?} is none of: {expected}")]
pub struct UnknownWord {
    found: String,
    expected: String,
}

impl UnknownWord {
    /// What was found, and the words of which it should be one.
    pub fn new(found: &str, expected: &[&str]) -> Self {
        Self { found: found.to_owned(), expected: expected.join(", ") }
    }
}

/// The value that a word names.
pub(crate) fn by_word<T: Copy>(word: &str, values: &[T], as_str: impl Fn(T) -> &'static str) -> Result<T, UnknownWord> {
    values.iter().copied().find(|value| as_str(*value) == word).ok_or_else(|| {
        let expected: Vec<&str> = values.iter().map(|value| as_str(*value)).collect();
        UnknownWord::new(word, &expected)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of the product page, written out a second time so that a slip in the code shows.
    #[test]
    fn transitions() {
        let legal = [
            (State::Pending, State::Approved),
            (State::Pending, State::Rejected),
            (State::Pending, State::Cancelled),
            (State::Pending, State::Expired),
            (State::Approved, State::Installed),
            (State::Approved, State::Downloaded),
            (State::Approved, State::Revoked),
            (State::Installed, State::Revoked),
            (State::Downloaded, State::Revoked),
        ];
        for from in State::ALL {
            for to in State::ALL {
                assert_eq!(from.may_become(to), legal.contains(&(from, to)), "{from} -> {to}");
            }
            assert_eq!(from.is_final(), !legal.iter().any(|(state, _)| *state == from), "{from}");
        }
    }

    #[test]
    fn words_are_the_same_on_the_wire_and_in_files() {
        for state in State::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
            assert_eq!(state.as_str().parse::<State>().unwrap(), state);
        }
        for kind in Kind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
            assert_eq!(kind.as_str().parse::<Kind>().unwrap(), kind);
        }
    }
}
