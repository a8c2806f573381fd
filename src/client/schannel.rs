//! TLS by Windows' own SChannel, for a client certificate whose key stays in the store: how .NET programs use it, too.
//!
//! SChannel signs; whom we talk to is checked here with the same code as everywhere else, mostly against the package's
//! trust anchor, which need not be among those that Windows knows. Nothing is sent before that.

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{AlertDescription, RootCertStore};
use schannel::cert_context::CertContext;
use schannel::schannel_cred::{Direction, Protocol, SchannelCred};
use schannel::tls_stream::{Builder, HandshakeError, TlsStream};
use ureq::Error;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport, TransportAdapter,
};

use windows_sys::Win32::Foundation::{
    CRYPT_E_REVOKED, SEC_E_CERT_EXPIRED, SEC_E_CERT_UNKNOWN, SEC_E_DECRYPT_FAILURE, SEC_E_LOGON_DENIED,
    SEC_E_UNTRUSTED_ROOT,
};

use super::api::Trust;

type Stream = TlsStream<TransportAdapter<Box<dyn Transport>>>;

/// What SChannel signs with: a certificate of the store whose key it could open.
///
/// # Errors
/// The key is not there, or not for this account.
pub fn credentials(certificate: CertContext) -> io::Result<SchannelCred> {
    // Windows Server 2012 R2 has no TLS 1.3, and some systems would offer less than 1.2 where nothing is said.
    SchannelCred::builder().cert(certificate).enabled_protocols(&[Protocol::Tls12]).acquire(Direction::Outbound)
}

/// Makes TLS connections with a certificate of the store.
pub struct SchannelConnector {
    credentials: SchannelCred,
    verifier: Arc<dyn ServerCertVerifier>,
}

impl SchannelConnector {
    /// Connections that authenticate with these credentials.
    ///
    /// # Errors
    /// A trust anchor that is not a certificate.
    pub fn new(credentials: SchannelCred, trust: Trust<'_>) -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier: Arc<dyn ServerCertVerifier> = match trust {
            Trust::System => Arc::new(rustls_platform_verifier::Verifier::new(provider)?),
            Trust::Anchor(anchor) => {
                let mut roots = RootCertStore::empty();
                roots.add(CertificateDer::from(anchor.to_vec()))?;
                let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider).build();
                verifier.map_err(|error| rustls::Error::General(error.to_string()))?
            }
        };
        Ok(Self { credentials, verifier })
    }

    fn handshake(&self, host: &str, transport: TransportAdapter<Box<dyn Transport>>) -> io::Result<Stream> {
        let stream = Builder::new()
            .domain(host)
            // Windows need not know the package's trust anchor: its word is not asked for, ours comes below.
            .verify_callback(|_| Ok(()))
            .connect(self.credentials.clone(), transport)
            .map_err(|error| match error {
                HandshakeError::Failure(error) => told_apart(error),
                // A transport that waits never says that it would block.
                HandshakeError::Interrupted(_) => io::ErrorKind::WouldBlock.into(),
            })?;
        self.verify(host, &stream).map_err(io::Error::other)?;
        Ok(stream)
    }

    fn verify(&self, host: &str, stream: &Stream) -> Result<(), rustls::Error> {
        let unreadable = |error: io::Error| rustls::Error::General(error.to_string());
        let certificate = stream.peer_certificate().map_err(unreadable)?;
        let intermediates: Vec<CertificateDer<'static>> = certificate
            .cert_store()
            .map(|store| store.certs().map(|issuer| CertificateDer::from(issuer.to_der().to_vec())).collect())
            .unwrap_or_default();
        let name = ServerName::try_from(host).map_err(|error| rustls::Error::General(error.to_string()))?;
        let certificate = CertificateDer::from(certificate.to_der());
        self.verifier.verify_server_cert(&certificate, &intermediates, &name, &[], UnixTime::now()).map(drop)
    }
}

impl fmt::Debug for SchannelConnector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SchannelConnector").finish_non_exhaustive()
    }
}

impl<In: Transport> Connector<In> for SchannelConnector {
    type Out = Either<In, SchannelTransport>;

    fn connect(&self, details: &ConnectionDetails, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        let Some(transport) = chained else { return Err(Error::ConnectionFailed) };
        // The way to a proxy comes by here, too, and is in the clear.
        if !details.needs_tls() || transport.is_tls() {
            return Ok(Some(Either::A(transport)));
        }
        let host = details.uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let boxed: Box<dyn Transport> = Box::new(transport);
        let mut adapter = TransportAdapter::new(boxed, details.current_time.clone());
        adapter.set_timeout(details.timeout);
        let stream = self.handshake(host, adapter).map_err(from_io)?;
        let buffers = LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(Either::B(SchannelTransport { stream, buffers })))
    }
}

/// A connection with a handshake behind it.
pub struct SchannelTransport {
    stream: Stream,
    buffers: LazyBuffers,
}

impl fmt::Debug for SchannelTransport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SchannelTransport").finish_non_exhaustive()
    }
}

impl Transport for SchannelTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.stream.get_mut().set_timeout(timeout);
        self.stream.write_all(&self.buffers.output()[..amount]).map_err(from_io)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.stream.get_mut().set_timeout(timeout);
        let amount = self.stream.read(self.buffers.input_append_buf()).map_err(from_io)?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.get_mut().get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

/// Tells the alerts by which the other side refused us from what else breaks a handshake off.
fn told_apart(error: io::Error) -> io::Error {
    let alert = match error.raw_os_error() {
        Some(SEC_E_CERT_EXPIRED) => AlertDescription::CertificateExpired,
        Some(SEC_E_CERT_UNKNOWN) => AlertDescription::CertificateUnknown,
        Some(SEC_E_UNTRUSTED_ROOT) => AlertDescription::UnknownCA,
        Some(CRYPT_E_REVOKED) => AlertDescription::CertificateRevoked,
        Some(SEC_E_LOGON_DENIED) => AlertDescription::AccessDenied,
        Some(SEC_E_DECRYPT_FAILURE) => AlertDescription::DecryptError,
        _ => return error,
    };
    io::Error::other(rustls::Error::AlertReceived(alert))
}

/// What went wrong below SChannel, in ureq's own words where they are there.
fn from_io(error: io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => error,
        Err(error) => Error::Io(error),
    }
}
