//! Columns with types of our own, in whichever database they lie.

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::{Database, Decode, Encode, Type};
use time::OffsetDateTime;

use super::outbox::Channel;
use crate::locales::Language;
use crate::protocol::bulk::{BulkOutcome, BulkState, BulkVerdict};
use crate::protocol::messages::{Contact, MachineDetails, RevocationCode};
use crate::protocol::package::Defaults;
use crate::protocol::request::{Kind, RequestNumber, Role, State, StoreScope};
use crate::protocol::secret::SecretHash;

/// A point in time as it lies in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub OffsetDateTime);

/// A number from outside as the databases count; one beyond their reach becomes the last, which no row has.
pub(super) fn row_number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Columns of `$type` that lie in the database as `$column`, from which `$read` reads what comes as `$stored`.
macro_rules! stored_as {
    ($column:ty, $stored:ty: $read:expr => $($type:ty),*) => {$(
        impl<DB: Database> Type<DB> for $type
        where
            $column: Type<DB>,
        {
            fn type_info() -> DB::TypeInfo {
                <$column as Type<DB>>::type_info()
            }

            fn compatible(type_info: &DB::TypeInfo) -> bool {
                <$column as Type<DB>>::compatible(type_info)
            }
        }

        impl<'r, DB: Database> Decode<'r, DB> for $type
        where
            $stored: Decode<'r, DB>,
        {
            fn decode(value: DB::ValueRef<'r>) -> Result<Self, BoxDynError> {
                let read: fn($stored) -> Result<$type, BoxDynError> = $read;
                read(<$stored as Decode<'r, DB>>::decode(value)?)
            }
        }
    )*};
}

stored_as!(i64, i64: |seconds| Ok(Moment(OffsetDateTime::from_unix_timestamp(seconds)?)) => Moment);
stored_as!(i64, i64: |number| Ok(RequestNumber(u64::try_from(number)?)) => RequestNumber);
stored_as!(str, &'r str: |text| Ok(text.parse()?) =>
    Kind, Role, State, StoreScope, RevocationCode, Language, Channel, BulkOutcome, BulkState, BulkVerdict);
stored_as!(str, &'r str: |text| Ok(serde_json::from_str(text)?) => MachineDetails, Contact, Defaults);
stored_as!(str, &'r str: |text| Ok(text.to_owned().try_into()?) => SecretHash);

impl<'q, DB: Database> Encode<'q, DB> for Moment
where
    i64: Encode<'q, DB>,
{
    fn encode_by_ref(&self, buffer: &mut DB::ArgumentBuffer) -> Result<IsNull, BoxDynError> {
        self.0.unix_timestamp().encode_by_ref(buffer)
    }
}

impl<'q, DB: Database> Encode<'q, DB> for RequestNumber
where
    i64: Encode<'q, DB>,
{
    fn encode_by_ref(&self, buffer: &mut DB::ArgumentBuffer) -> Result<IsNull, BoxDynError> {
        row_number(self.0).encode_by_ref(buffer)
    }
}
