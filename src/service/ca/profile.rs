//! What each kind of certificate holds: lifetime, key usage, extended key usage, forms of names.

use std::net::IpAddr;

use rcgen::{ExtendedKeyUsagePurpose, KeyUsagePurpose};
use time::{Duration, OffsetDateTime};

use crate::protocol::request::Kind;
use crate::protocol::subject::Subject;

/// What a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// A machine used by a person.
    Workstation,
    /// A machine known by a public host name, as a client.
    Server,
    /// A server elsewhere.
    ExternalServer,
    /// A mobile device.
    Mobile,
    /// A registration manager or PTC manager.
    Manager,
    /// The listeners of this service.
    Service,
    /// The key that signs the manifests of install packages.
    PackageSigner,
    /// The key that signs OCSP responses.
    OcspResponder,
}

/// How long a certificate lasts. None lasts longer than its issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// So many years.
    Years(i32),
    /// So many days.
    Days(i64),
    /// As long as its issuer.
    Issuer,
}

/// Where a certificate says that its CA publishes: `http` or `https` URLs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// The revocation list (RFC 5280 §4.2.1.13).
    pub crl: String,
    /// The OCSP responder (RFC 5280 §4.2.2.1).
    pub ocsp: String,
    /// The issuing certificate in DER (RFC 5280 §4.2.2.1).
    pub issuer: String,
}

/// What goes into one certificate besides what the profile says. All texts are checked before one is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// What the certificate is for.
    pub profile: Profile,
    /// Whom it names.
    pub subject: Subject,
    /// Host names, in their canonical form.
    pub dns_names: Vec<String>,
    /// Addresses; the service's own certificate only, for installations on one machine.
    pub ip_addresses: Vec<IpAddr>,
    /// E-mail addresses.
    pub emails: Vec<String>,
    /// The DER SubjectPublicKeyInfo.
    pub public_key: Vec<u8>,
    /// Where to ask for its state. None for what nobody asks about.
    pub places: Option<Places>,
}

impl Profile {
    /// Every profile.
    pub const ALL: [Self; 8] = [
        Self::Workstation,
        Self::Server,
        Self::ExternalServer,
        Self::Mobile,
        Self::Manager,
        Self::Service,
        Self::PackageSigner,
        Self::OcspResponder,
    ];

    /// How long a certificate lasts. Nobody asks whether an OCSP responder's is revoked, so it is short
    /// (RFC 6960 §4.2.2.2.1).
    pub(in crate::service) const fn lifetime(self) -> Lifetime {
        match self {
            Self::Manager => Lifetime::Years(1),
            Self::Workstation | Self::Server | Self::ExternalServer | Self::Mobile | Self::Service => {
                Lifetime::Years(2)
            }
            Self::PackageSigner => Lifetime::Issuer,
            Self::OcspResponder => Lifetime::Days(14),
        }
    }

    /// The latest end of a certificate that starts then.
    pub(super) fn end(self, start: OffsetDateTime, issuer_end: OffsetDateTime) -> OffsetDateTime {
        match self.lifetime() {
            Lifetime::Years(years) => years_after(start, years).min(issuer_end),
            Lifetime::Days(days) => (start + Duration::days(days)).min(issuer_end),
            Lifetime::Issuer => issuer_end,
        }
    }

    /// What the key may do. RFC 8813 §3: an ECDSA key does not encipher.
    pub(in crate::service) const fn key_usage(self, rsa: bool) -> &'static [KeyUsagePurpose] {
        use KeyUsagePurpose::{DataEncipherment, DigitalSignature, KeyEncipherment};
        match self {
            Self::PackageSigner | Self::OcspResponder => &[DigitalSignature],
            _ if rsa => &[DigitalSignature, KeyEncipherment, DataEncipherment],
            _ => &[DigitalSignature],
        }
    }

    /// What the certificate is good for.
    pub(in crate::service) const fn extended_key_usage(self) -> ExtendedKeyUsagePurpose {
        match self {
            Self::Workstation | Self::Server | Self::Mobile | Self::Manager => ExtendedKeyUsagePurpose::ClientAuth,
            Self::ExternalServer | Self::Service => ExtendedKeyUsagePurpose::ServerAuth,
            Self::PackageSigner => ExtendedKeyUsagePurpose::CodeSigning,
            Self::OcspResponder => ExtendedKeyUsagePurpose::OcspSigning,
        }
    }

    /// Which forms of names the SAN may hold.
    pub(super) const fn names(self) -> Names {
        match self {
            Self::Workstation | Self::Mobile | Self::Manager => Names { hosts: Hosts::None, emails: true },
            Self::Server | Self::ExternalServer => Names { hosts: Hosts::Public, emails: true },
            Self::Service => Names { hosts: Hosts::Any, emails: false },
            Self::PackageSigner | Self::OcspResponder => Names { hosts: Hosts::None, emails: false },
        }
    }
}

impl From<Kind> for Profile {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Workstation => Self::Workstation,
            Kind::Server => Self::Server,
            Kind::ExternalServer => Self::ExternalServer,
            Kind::Mobile => Self::Mobile,
        }
    }
}

/// Which forms of names a SAN may hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names {
    pub(super) hosts: Hosts,
    pub(super) emails: bool,
}

/// Which hosts a SAN may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hosts {
    /// None.
    None,
    /// Public host names, the common name among them.
    Public,
    /// Host names of any kind, and addresses; at least one.
    Any,
}

/// The same moment, years later; 29 February becomes the 28th where there is none.
pub(super) fn years_after(time: OffsetDateTime, years: i32) -> OffsetDateTime {
    let year = time.year() + years;
    time.replace_year(year)
        .or_else(|_| time.replace_day(28).and_then(|time| time.replace_year(year)))
        .unwrap_or(time + Duration::days(365) * years)
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn years_later() {
        for (from, years, to) in [
            (datetime!(2026-07-14 12:00:00 UTC), 2, datetime!(2028-07-14 12:00:00 UTC)),
            (datetime!(2028-02-29 23:59:59 UTC), 1, datetime!(2029-02-28 23:59:59 UTC)),
            (datetime!(2028-02-29 23:59:59 UTC), 4, datetime!(2032-02-29 23:59:59 UTC)),
        ] {
            assert_eq!(years_after(from, years), to);
        }
    }
}
