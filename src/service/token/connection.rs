//! One login to a token, and the sessions that sign in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::{Limit, Slot, TokenInfo};
use cryptoki::types::AuthPin;

use super::encoding::{self, F4, P256};
use super::error::{TokenError, said};
use super::settings::TokenSettings;
use crate::service::credential::Algorithm;

/// Sessions that sign at the same time: as many as there are threads that sign.
const SESSIONS: usize = 8;

/// Modules stay loaded until the process ends: threads of their own may run in them.
static LOADED: Mutex<BTreeMap<PathBuf, Pkcs11>> = Mutex::new(BTreeMap::new());

/// The library, which is loaded once.
pub(super) fn load(module: &Path) -> Result<Pkcs11, TokenError> {
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(context) = loaded.get(module) {
        return Ok(context.clone());
    }
    let context =
        Pkcs11::new(module).map_err(|error| TokenError::Module { module: module.to_owned(), cause: said(&error) })?;
    loaded.insert(module.to_owned(), context.clone());
    Ok(context)
}

/// Starts the library, unless it runs already.
pub(super) fn start(context: &Pkcs11, module: &Path) -> Result<(), TokenError> {
    match context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(()),
        Err(error) => Err(TokenError::NotStarted { module: module.to_owned(), cause: said(&error) }),
    }
}

/// What is known of a private key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFacts {
    /// Whether the token would give it away.
    pub extractable: bool,
    /// Whether it was made in the token, and never was anywhere else.
    pub made_inside: bool,
}

/// A session with the key as it finds it.
struct Seat {
    session: Session,
    key: ObjectHandle,
    kind: KeyType,
}

/// A token in which the user is logged in.
pub(super) struct Connection {
    context: Pkcs11,
    slot: Slot,
    /// Holds the login: it lasts as long as one session does.
    login: Mutex<Session>,
    seats: Vec<Mutex<Option<Seat>>>,
    next: AtomicUsize,
}

impl Connection {
    /// Finds the token and logs in, once.
    pub(super) fn open(context: &Pkcs11, settings: &TokenSettings, pin: &AuthPin) -> Result<Self, TokenError> {
        let (slot, info) = find(context, settings)?;
        let token = settings.token_name();
        if info.user_pin_locked() {
            return Err(TokenError::LockedPin { token });
        }
        if info.user_pin_final_try() {
            return Err(TokenError::LastAttempt { token });
        }
        let failed = TokenError::of_call(settings);
        // Not closed when it is dropped: a token that is lost would have that said in the log. C_Finalize closes it.
        let session = context.open_ro_session_no_drop(slot).map_err(&failed)?;
        match session.login(UserType::User, Some(pin)) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
            Err(error) => return Err(failed(error)),
        }
        let room = match info.max_session_count() {
            // One holds the login.
            Limit::Max(most) => usize::try_from(most).unwrap_or(SESSIONS).saturating_sub(1).clamp(1, SESSIONS),
            Limit::Unavailable | Limit::Infinite => SESSIONS,
        };
        Ok(Self {
            context: context.clone(),
            slot,
            login: Mutex::new(session),
            seats: (0..room).map(|_| Mutex::new(None)).collect(),
            next: AtomicUsize::new(0),
        })
    }

    /// The key's signature of a message, as X.509 writes it.
    pub(super) fn sign(&self, settings: &TokenSettings, message: &[u8]) -> Result<Vec<u8>, TokenError> {
        let mut place = self.take_place();
        // What fails leaves an empty place: nobody goes on with a session in which something is half done.
        let seat = match place.take() {
            Some(seat) => seat,
            None => self.open_seat(settings)?,
        };
        let signed = if seat.kind == KeyType::EC {
            let hashed = encoding::hashed(message);
            seat.session.sign(&Mechanism::Ecdsa, seat.key, &hashed).map(|pair| encoding::of_pair(&pair))
        } else {
            seat.session.sign(&Mechanism::RsaPkcs, seat.key, &encoding::hashed_for_rsa(message))
        };
        match signed {
            Ok(signature) => {
                *place = Some(seat);
                Ok(signature)
            }
            Err(error) => {
                let _ = seat.session.close();
                Err(TokenError::of_call(settings)(error))
            }
        }
    }

    /// Whether the key is still there.
    pub(super) fn check(&self, settings: &TokenSettings) -> Result<(), TokenError> {
        find_key(&self.lock_login(), settings).map(|_| ())
    }

    /// What is known of the key.
    pub(super) fn facts(&self, settings: &TokenSettings) -> Result<KeyFacts, TokenError> {
        let session = self.lock_login();
        let key = find_key(&session, settings)?;
        let attributes = session
            .get_attributes(key, &[AttributeType::Extractable, AttributeType::Local])
            .map_err(TokenError::of_call(settings))?;
        Ok(KeyFacts {
            extractable: attributes.contains(&Attribute::Extractable(true)),
            made_inside: attributes.contains(&Attribute::Local(true)),
        })
    }

    /// Makes a key that cannot leave the token. Returns its SubjectPublicKeyInfo.
    pub(super) fn generate(&self, settings: &TokenSettings, algorithm: Algorithm) -> Result<Vec<u8>, TokenError> {
        let failed = TokenError::of_call(settings);
        let session = self.context.open_rw_session(self.slot).map_err(&failed)?;
        let names = names(settings);
        if !session.find_objects(&names).map_err(&failed)?.is_empty() {
            return Err(TokenError::KeyExists { key: settings.key_name(), token: settings.token_name() });
        }
        let mut identified = names;
        if settings.key_id.is_none() {
            let mut id = [0; 16];
            session.generate_random_slice(&mut id).map_err(&failed)?;
            identified.push(Attribute::Id(id.to_vec()));
        }
        let mut public = vec![Attribute::Token(true), Attribute::Private(false), Attribute::Verify(true)];
        let mut private = vec![
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Sign(true),
            // Some tokens let a new key do everything unless they are told.
            Attribute::Decrypt(false),
            Attribute::Unwrap(false),
            Attribute::Derive(false),
        ];
        let mechanism = match algorithm {
            Algorithm::EcdsaP256 => {
                public.push(Attribute::EcParams(P256.to_vec()));
                Mechanism::EccKeyPairGen
            }
            Algorithm::Rsa3072 => {
                public.extend([Attribute::ModulusBits(3072.into()), Attribute::PublicExponent(F4.to_vec())]);
                Mechanism::RsaPkcsKeyPairGen
            }
        };
        public.extend(identified.iter().cloned());
        private.extend(identified);
        let (public, private) = session.generate_key_pair(&mechanism, &public, &private).map_err(&failed)?;
        let made = check_kept(&session, private, settings).and_then(|()| public_key(&session, public, settings));
        if made.is_err() {
            let _ = (session.destroy_object(private), session.destroy_object(public));
        }
        made
    }

    /// Destroys the key with its public half.
    pub(super) fn destroy(&self, settings: &TokenSettings) -> Result<(), TokenError> {
        let failed = TokenError::of_call(settings);
        let session = self.context.open_rw_session(self.slot).map_err(&failed)?;
        for object in session.find_objects(&names(settings)).map_err(&failed)? {
            session.destroy_object(object).map_err(&failed)?;
        }
        Ok(())
    }

    fn open_seat(&self, settings: &TokenSettings) -> Result<Seat, TokenError> {
        let failed = TokenError::of_call(settings);
        let session = self.context.open_ro_session_no_drop(self.slot).map_err(&failed)?;
        let described = find_key(&session, settings).and_then(|key| {
            let kind = session.get_attributes(key, &[AttributeType::KeyType]).map_err(&failed)?;
            match kind.first() {
                Some(Attribute::KeyType(kind)) => Ok((key, *kind)),
                _ => Err(failed(Error::InvalidValue)),
            }
        });
        match described {
            Ok((key, kind)) => Ok(Seat { session, key, kind }),
            Err(error) => {
                let _ = session.close();
                Err(error)
            }
        }
    }

    /// A place that nobody is at, else the next one in turn.
    fn take_place(&self) -> MutexGuard<'_, Option<Seat>> {
        for place in &self.seats {
            match place.try_lock() {
                Ok(place) => return place,
                Err(TryLockError::Poisoned(place)) => return place.into_inner(),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.seats.len();
        self.seats[turn].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_login(&self) -> MutexGuard<'_, Session> {
        self.login.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one token that the settings mean.
pub(super) fn find(context: &Pkcs11, settings: &TokenSettings) -> Result<(Slot, TokenInfo), TokenError> {
    let slots = context.get_slots_with_token().map_err(TokenError::of_call(settings))?;
    // A slot that does not say what is in it is somebody else's.
    let all: Vec<(Slot, TokenInfo)> =
        slots.into_iter().filter_map(|slot| Some((slot, context.get_token_info(slot).ok()?))).collect();
    let is = |wanted: Option<&str>, found: &str| wanted.is_none_or(|wanted| wanted.trim_end() == found);
    let mut found = all.iter().filter(|(_, info)| {
        let named = is(settings.token.as_deref(), info.label());
        named && is(settings.token_serial.as_deref(), info.serial_number()) && info.token_initialized()
    });
    match (found.next(), found.next()) {
        (Some(found), None) => Ok(found.clone()),
        (Some(_), Some(_)) => Err(TokenError::Ambiguous { token: settings.token_name() }),
        (None, _) => Err(TokenError::Absent {
            token: settings.token_name(),
            module: settings.module.clone(),
            others: all
                .iter()
                .filter(|(_, info)| info.token_initialized())
                .map(|(_, info)| format!("{} ({})", info.label(), info.serial_number()))
                .collect(),
        }),
    }
}

/// Label and identifier, as far as the settings tell them.
fn names(settings: &TokenSettings) -> Vec<Attribute> {
    let label = settings.key.as_ref().map(|label| Attribute::Label(label.clone().into_bytes()));
    label.into_iter().chain(settings.key_id().map(Attribute::Id)).collect()
}

/// The one private key that the settings mean.
fn find_key(session: &Session, settings: &TokenSettings) -> Result<ObjectHandle, TokenError> {
    let mut wanted = names(settings);
    wanted.push(Attribute::Class(ObjectClass::PRIVATE_KEY));
    let found = session.find_objects(&wanted).map_err(TokenError::of_call(settings))?;
    let (key, token) = (settings.key_name(), settings.token_name());
    match found.as_slice() {
        [found] => Ok(*found),
        [] => Err(TokenError::NoKey { key, token }),
        _ => Err(TokenError::ManyKeys { key, token }),
    }
}

/// Asks the token whether it took over what keeps the key in it.
fn check_kept(session: &Session, key: ObjectHandle, settings: &TokenSettings) -> Result<(), TokenError> {
    let kept = [Attribute::Sensitive(true), Attribute::Extractable(false)];
    let told = session
        .get_attributes(key, &[AttributeType::Sensitive, AttributeType::Extractable])
        .map_err(TokenError::of_call(settings))?;
    if kept.iter().all(|attribute| told.contains(attribute)) {
        Ok(())
    } else {
        Err(TokenError::Extractable { key: settings.key_name(), token: settings.token_name() })
    }
}

/// The SubjectPublicKeyInfo of a public key.
fn public_key(session: &Session, key: ObjectHandle, settings: &TokenSettings) -> Result<Vec<u8>, TokenError> {
    let failed = TokenError::of_call(settings);
    let wanted = [AttributeType::EcPoint, AttributeType::Modulus, AttributeType::PublicExponent];
    let attributes = session.get_attributes(key, &wanted).map_err(&failed)?;
    match attributes.as_slice() {
        [Attribute::EcPoint(point)] => Ok(encoding::of_point(point)),
        [Attribute::Modulus(modulus), Attribute::PublicExponent(exponent)] => {
            Ok(encoding::of_modulus(modulus, exponent))
        }
        _ => Err(failed(Error::InvalidValue)),
    }
}
