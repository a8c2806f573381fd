//! Looks at what the enrollment client left in the Windows certificate stores. A tool for the tests under Wine.
//!
//! It shares no code with the client and goes to stores and keys by the plain Win32 calls, so that a mistake in the
//! client's own store code cannot hide itself. What it finds is one JSON object on standard output; what it could not
//! do is told on standard error, with exit code 1. It judges nothing: that is left to the tests.
//!
//! A process gives one answer and ends, so handles are left to its end, except where closing them writes something.

#[cfg(not(windows))]
fn main() {}

#[cfg(windows)]
fn main() -> std::process::ExitCode {
    probe::main()
}

#[cfg(windows)]
mod probe {
    use std::env;
    use std::io::{self, Read, Write};
    use std::net::TcpStream;
    use std::process::{self, ExitCode};
    use std::ptr::{null, null_mut};

    use schannel::cert_context::HashAlgorithm;
    use schannel::cert_store::CertStore;
    use schannel::schannel_cred::{Direction, SchannelCred};
    use schannel::tls_stream;
    use serde_json::{Value, json};
    use windows_sys::Win32::Foundation::*;
    use windows_sys::Win32::Security::Authorization::ConvertSidToStringSidW;
    use windows_sys::Win32::Security::Cryptography::*;
    use windows_sys::Win32::Security::*;
    use windows_sys::Win32::System::Console::*;
    use windows_sys::Win32::System::SystemServices::ACCESS_ALLOWED_ACE_TYPE;
    use windows_sys::Win32::System::Threading::*;
    use windows_sys::Win32::UI::Shell::IsUserAnAdmin;
    use windows_sys::core::BOOL;

    const USAGE: &str = "usage: windows-probe list machine|user STORE
       windows-probe sign machine|user THUMBPRINT
       windows-probe tls machine|user THUMBPRINT HOST:PORT SERVER_NAME PATH
       windows-probe containers machine|user
       windows-probe readers machine|user CONTAINER
       windows-probe fill machine|user COUNT
       windows-probe admin
       windows-probe unelevated PROGRAM ARGUMENT...";

    /// Any text does: what counts is that the certificate's public key accepts the signature.
    const TEXT: &[u8] = b"signed by windows-probe";

    pub(crate) fn main() -> ExitCode {
        let arguments: Vec<String> = env::args().skip(1).collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        match run(&arguments) {
            Ok(found) => {
                let _ = writeln!(io::stdout(), "{found}");
                ExitCode::SUCCESS
            }
            Err(error) => {
                let _ = writeln!(io::stderr(), "windows-probe: {error}");
                ExitCode::FAILURE
            }
        }
    }

    fn run(arguments: &[&str]) -> Result<Value, String> {
        match *arguments {
            ["admin"] => admin(),
            ["unelevated", program, ref rest @ ..] => unelevated(program, rest),
            [command, location, ref rest @ ..] => {
                let location = Location::parse(location)?;
                match (command, rest) {
                    ("list", [store]) => list(location, store),
                    ("sign", [thumbprint]) => sign(location, thumbprint),
                    ("tls", [thumbprint, address, name, path]) => tls(location, thumbprint, address, name, path),
                    ("containers", []) => containers(location),
                    ("readers", [container]) => readers(location, container),
                    ("fill", [count]) => fill(location, count),
                    _ => Err(USAGE.to_owned()),
                }
            }
            _ => Err(USAGE.to_owned()),
        }
    }

    /// Whose stores and keys: the computer's, or those of the account that runs this.
    #[derive(Clone, Copy, PartialEq)]
    enum Location {
        Machine,
        User,
    }

    impl Location {
        fn parse(word: &str) -> Result<Self, String> {
            match word {
                "machine" => Ok(Self::Machine),
                "user" => Ok(Self::User),
                other => Err(format!("{other}: say machine or user")),
            }
        }

        fn keyset(self) -> u32 {
            if self == Self::Machine { CRYPT_MACHINE_KEYSET } else { 0 }
        }

        /// Opens the registry's store of this location alone. The system store would not do: under Wine, the user's
        /// also shows what is in the machine's, and nobody could tell where the client put a certificate.
        fn open(self, store: &str, flags: u32) -> Result<HCERTSTORE, String> {
            let name = wide(store);
            let place = match self {
                Self::Machine => CERT_SYSTEM_STORE_LOCAL_MACHINE,
                Self::User => CERT_SYSTEM_STORE_CURRENT_USER,
            };
            let flags = place | CERT_STORE_ENUM_ARCHIVED_FLAG | flags;
            // SAFETY: this provider takes a name in UTF-16 that ends with a zero.
            let handle = unsafe { CertOpenStore(CERT_STORE_PROV_SYSTEM_REGISTRY_W, 0, 0, flags, name.as_ptr().cast()) };
            check(i32::from(!handle.is_null()), &format!("cannot open the store {store}"))?;
            Ok(handle)
        }

        fn certificates(self, store: &str) -> Result<Vec<Certificate>, String> {
            let store = self.open(store, CERT_STORE_READONLY_FLAG)?;
            let mut certificates = Vec::new();
            let mut current = null();
            loop {
                // SAFETY: the store is open; the call frees `current`, hence the duplicate below.
                current = unsafe { CertEnumCertificatesInStore(store, current) };
                if current.is_null() {
                    return Ok(certificates);
                }
                // SAFETY: `current` is the certificate that was just found.
                certificates.push(Certificate(unsafe { CertDuplicateCertificateContext(current) }));
            }
        }
    }

    fn list(location: Location, store: &str) -> Result<Value, String> {
        let certificates: Result<Vec<_>, _> = location.certificates(store)?.iter().map(Certificate::describe).collect();
        Ok(json!({ "certificates": certificates? }))
    }

    fn sign(location: Location, thumbprint: &str) -> Result<Value, String> {
        for certificate in location.certificates("My")? {
            if certificate.thumbprint()?.eq_ignore_ascii_case(thumbprint) {
                let key = certificate.private_key()?;
                let mut signature = key.sign()?;
                certificate.verify(&signature)?;
                // CryptoAPI puts the least significant byte first, everybody else the most significant.
                signature.reverse();
                return Ok(json!({ "signed": true, "signature": hex(&signature), "exportable": key.is_exportable() }));
            }
        }
        Err(format!("My holds no certificate {thumbprint}"))
    }

    /// Gets a page over mutual TLS, on the road by which .NET programs come to certificate and key.
    fn tls(location: Location, thumbprint: &str, address: &str, name: &str, path: &str) -> Result<Value, String> {
        let store = match location {
            Location::Machine => CertStore::open_local_machine("My"),
            Location::User => CertStore::open_current_user("My"),
        }
        .map_err(|error| format!("cannot open the store My: {error}"))?;
        let is_wanted = |hash: Vec<u8>| hex(&hash).eq_ignore_ascii_case(thumbprint);
        let certificate = store
            .certs()
            .find(|certificate| certificate.fingerprint(HashAlgorithm::sha1()).is_ok_and(is_wanted))
            .ok_or_else(|| format!("My holds no certificate {thumbprint}"))?;
        let credentials = SchannelCred::builder()
            .cert(certificate)
            .acquire(Direction::Outbound)
            .map_err(|error| format!("SChannel does not take the certificate: {error}"))?;
        let connection =
            TcpStream::connect(address).map_err(|error| format!("cannot connect to {address}: {error}"))?;
        let mut stream = tls_stream::Builder::new()
            .domain(name)
            // The server is not what is under test, and Windows does not know the private CA it is from.
            .verify_callback(|_| Ok(()))
            .connect(credentials, connection)
            .map_err(|error| format!("TLS handshake with {address}: {error:?}"))?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).map_err(|error| format!("cannot send to {address}: {error}"))?;
        let mut answer = Vec::new();
        // In TLS 1.3 a server that refuses the certificate says so only now.
        let end = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer
            .split_once("\r\n\r\n")
            .ok_or_else(|| format!("{address} sent no whole answer: {answer:?}, {end:?}"))?;
        let status: Option<u16> = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Ok(json!({ "status": status.ok_or_else(|| format!("{address} sent no HTTP status: {head}"))?, "body": body }))
    }

    fn containers(location: Location) -> Result<Value, String> {
        let provider = open_provider(None, CRYPT_VERIFYCONTEXT | location.keyset())?;
        let mut containers = Vec::new();
        let mut step = CRYPT_FIRST;
        // Windows takes the location from the provider's flags, Wine from the call's.
        // SAFETY: the provider is open; `fetch` hands over a buffer and its length.
        while let Some(name) = fetch(|buffer, length| unsafe {
            CryptGetProvParam(provider, PP_ENUMCONTAINERS, buffer, length, step | location.keyset())
        }) {
            let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
            containers.push(String::from_utf8_lossy(name).into_owned());
            step = CRYPT_NEXT;
        }
        // SAFETY: takes nothing and only answers.
        let reason = unsafe { GetLastError() };
        check(BOOL::from(reason == ERROR_NO_MORE_ITEMS), "cannot list the key containers")?;
        Ok(json!({ "containers": containers }))
    }

    /// The accounts that the key container's access list allows to read.
    fn readers(location: Location, container: &str) -> Result<Value, String> {
        let provider = open_provider(Some(container), CRYPT_SILENT | location.keyset())?;
        // SAFETY: the provider is open; `fetch` hands over a buffer and its length.
        let descriptor = fetch(|buffer, length| unsafe {
            CryptGetProvParam(provider, PP_KEYSET_SEC_DESCR, buffer, length, DACL_SECURITY_INFORMATION)
        });
        let mut descriptor = descriptor.ok_or_else(|| last_error("CryptGetProvParam(PP_KEYSET_SEC_DESCR)"))?;
        let (mut is_present, mut is_default, mut list) = (FALSE, FALSE, null_mut());
        // SAFETY: the descriptor was just filled in, in memory that the heap aligned; `list` then points into it.
        let done = unsafe {
            GetSecurityDescriptorDacl(descriptor.as_mut_ptr().cast(), &mut is_present, &mut list, &mut is_default)
        };
        check(done, "GetSecurityDescriptorDacl")?;
        if is_present == FALSE || list.is_null() {
            // Without a list nothing is forbidden; an empty one forbids everything.
            return Ok(json!({ "readers": ["Everyone"] }));
        }
        let mut readers = Vec::new();
        // SAFETY: the list is part of `descriptor`.
        for index in 0..u32::from(unsafe { (*list).AceCount }) {
            let mut entry = null_mut();
            // SAFETY: the list has an entry of this number.
            check(unsafe { GetAce(list, index, &mut entry) }, "GetAce")?;
            let entry: *mut ACCESS_ALLOWED_ACE = entry.cast();
            // SAFETY: every kind of entry begins with this header and a mask.
            let (kind, mask) = unsafe { ((*entry).Header.AceType, (*entry).Mask) };
            // Bit 0 allows to read a file, where Windows has its keys, and a registry value, where Wine has them.
            if u32::from(kind) == ACCESS_ALLOWED_ACE_TYPE && mask & (GENERIC_ALL | GENERIC_READ | 1) != 0 {
                // SAFETY: an entry of this kind ends with the account's SID.
                readers.push(unsafe { account((&raw mut (*entry).SidStart).cast()) }?);
            }
        }
        Ok(json!({ "readers": readers }))
    }

    /// An account as `DOMAIN\name`, or as its SID where no name is known.
    ///
    /// # Safety
    /// `sid` must point to a whole SID.
    unsafe fn account(sid: PSID) -> Result<String, String> {
        let (mut name, mut domain, mut kind) = ([0; 256], [0; 256], 0);
        let (mut name_length, mut domain_length) = (256, 256);
        // SAFETY: the two lengths are those of the buffers; the SID is the caller's promise.
        let is_known = unsafe {
            let (name, domain) = (name.as_mut_ptr(), domain.as_mut_ptr());
            LookupAccountSidW(null(), sid, name, &mut name_length, domain, &mut domain_length, &mut kind)
        };
        if is_known != FALSE {
            // SAFETY: both texts end with a zero.
            let (name, domain) = unsafe { (text(name.as_ptr()), text(domain.as_ptr())) };
            return Ok(if domain.is_empty() { name } else { format!(r"{domain}\{name}") });
        }
        let mut written = null_mut();
        // SAFETY: as above.
        check(unsafe { ConvertSidToStringSidW(sid, &mut written) }, "ConvertSidToStringSidW")?;
        // SAFETY: the call made a text that ends with a zero.
        Ok(unsafe { text(written) })
    }

    /// Crowds My with self-made certificates that nobody has a key to.
    fn fill(location: Location, count: &str) -> Result<Value, String> {
        let count: u32 = count.parse().map_err(|error| format!("COUNT {count}: {error}"))?;
        let store = location.open("My", 0)?;
        let provider = open_provider(None, CRYPT_VERIFYCONTEXT)?;
        let mut key = 0;
        // SAFETY: the provider is open. It keeps no keys: this one, of 2048 bits, lives in memory only.
        check(unsafe { CryptGenKey(provider, AT_SIGNATURE, 2048 << 16, &mut key) }, "CryptGenKey")?;
        for number in 1..=count {
            let name = wide(&format!("CN=Foreign {number}"));
            // SAFETY: the name ends with a zero; `fetch` hands over a buffer and its length.
            let subject = fetch(|buffer, length| unsafe {
                let (name, style) = (name.as_ptr(), CERT_X500_NAME_STR);
                CertStrToNameW(X509_ASN_ENCODING, name, style, null(), buffer, length, null_mut())
            });
            let mut subject = subject.ok_or_else(|| last_error("CertStrToName"))?;
            let subject = CRYPT_INTEGER_BLOB { cbData: subject.len() as u32, pbData: subject.as_mut_ptr() };
            // SAFETY: provider and subject are there until the call returns, and the rest may be left to its defaults.
            // Each certificate gets a random serial number, so no two are the same.
            let certificate = unsafe {
                let flags = CERT_CREATE_SELFSIGN_NO_KEY_INFO;
                CertCreateSelfSignCertificate(provider, &subject, flags, null(), null(), null(), null(), null())
            };
            check(BOOL::from(!certificate.is_null()), "CertCreateSelfSignCertificate")?;
            // SAFETY: store and certificate are open; the copy that the store makes is not asked for.
            let done = unsafe { CertAddCertificateContextToStore(store, certificate, CERT_STORE_ADD_NEW, null_mut()) };
            check(done, "CertAddCertificateContextToStore")?;
        }
        // SAFETY: the store is open. Windows has written it by now, Wine does so here.
        check(unsafe { CertControlStore(store, 0, CERT_STORE_CTRL_COMMIT, null()) }, "cannot write the store")?;
        Ok(json!({ "added": count }))
    }

    /// Whether this process has the rights of an administrator, as Windows defines it and as shell32 tells it: under
    /// Wine the latter also counts a membership that was taken away.
    fn admin() -> Result<Value, String> {
        let mut group = administrators()?;
        let mut is_member = FALSE;
        // SAFETY: the group's SID was just made; without a token the call looks at the process.
        let done = unsafe { CheckTokenMembership(null_mut(), group.as_mut_ptr().cast(), &mut is_member) };
        check(done, "CheckTokenMembership")?;
        // SAFETY: takes nothing and only answers.
        let shell_says = unsafe { IsUserAnAdmin() };
        Ok(json!({ "admin": is_member != FALSE, "shell_says": shell_says != FALSE }))
    }

    /// Runs a program for the same account, but without administrator rights, and ends with its exit code.
    fn unelevated(program: &str, arguments: &[&str]) -> Result<Value, String> {
        let (mut own, mut token) = (null_mut(), null_mut());
        // SAFETY: the handle that stands for the own process is always valid.
        check(unsafe { OpenProcessToken(GetCurrentProcess(), TOKEN_ALL_ACCESS, &mut own) }, "OpenProcessToken")?;
        let mut group = administrators()?;
        let group = SID_AND_ATTRIBUTES { Sid: group.as_mut_ptr().cast(), Attributes: 0 };
        // SAFETY: one group to disable is given, as counted, and neither privileges nor groups to add.
        let done =
            unsafe { CreateRestrictedToken(own, DISABLE_MAX_PRIVILEGE, 1, &group, 0, null(), 0, null(), &mut token) };
        check(done, "CreateRestrictedToken")?;
        let words: Vec<String> = [&[program], arguments].concat().into_iter().map(quote).collect();
        let mut command = wide(&words.join(" "));
        let start = STARTUPINFOW {
            cb: size_of::<STARTUPINFOW>() as u32,
            dwFlags: STARTF_USESTDHANDLES,
            hStdInput: inheritable(STD_INPUT_HANDLE),
            hStdOutput: inheritable(STD_OUTPUT_HANDLE),
            hStdError: inheritable(STD_ERROR_HANDLE),
            ..Default::default()
        };
        let (mut child, mut code) = (PROCESS_INFORMATION::default(), 0);
        let line = command.as_mut_ptr();
        // SAFETY: all that is handed over is there until the call returns, which may also change the command line.
        let started = unsafe {
            CreateProcessAsUserW(token, null(), line, null(), null(), TRUE, 0, null(), null(), &start, &mut child)
        };
        check(started, &format!("cannot start {program}"))?;
        // SAFETY: the handle of the new process is open.
        let ended = unsafe {
            WaitForSingleObject(child.hProcess, INFINITE);
            GetExitCodeProcess(child.hProcess, &mut code)
        };
        check(ended, "GetExitCodeProcess")?;
        // Exit codes have 32 bits on Windows, but `ExitCode` takes only 8.
        process::exit(code.cast_signed())
    }

    /// The SID of the group that has administrator rights.
    fn administrators() -> Result<Vec<u8>, String> {
        // SAFETY: this group needs no domain; `fetch` hands over a buffer and its length.
        let sid = fetch(|buffer, length| unsafe {
            CreateWellKnownSid(WinBuiltinAdministratorsSid, null_mut(), buffer.cast(), length)
        });
        sid.ok_or_else(|| last_error("CreateWellKnownSid"))
    }

    /// Wraps a word, where needed, so that the C runtime of the started program reads it as it was.
    fn quote(word: &str) -> String {
        if !word.is_empty() && !word.contains([' ', '\t', '"']) {
            return word.to_owned();
        }
        let mut quoted = String::from("\"");
        let mut backslashes = 0;
        for character in word.chars() {
            if character == '"' {
                // Backslashes before a quotation mark count only by pairs; one more makes the mark a letter.
                quoted.push_str(&"\\".repeat(backslashes + 1));
            }
            backslashes = if character == '\\' { backslashes + 1 } else { 0 };
            quoted.push(character);
        }
        quoted + &"\\".repeat(backslashes) + "\""
    }

    fn inheritable(which: STD_HANDLE) -> HANDLE {
        // SAFETY: where a standard handle is missing, the second call fails and nothing is changed.
        unsafe {
            let handle = GetStdHandle(which);
            SetHandleInformation(handle, HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT);
            handle
        }
    }

    struct Certificate(*const CERT_CONTEXT);

    impl Certificate {
        fn describe(&self) -> Result<Value, String> {
            let friendly_name = self.property(CERT_FRIENDLY_NAME_PROP_ID);
            let info = self.key_info();
            // SAFETY: the decoded fields are there as long as the certificate.
            let fields = unsafe { &*(*self.0).pCertInfo };
            Ok(json!({
                "thumbprint": self.thumbprint()?,
                "subject": x500(&fields.Subject),
                "issuer": x500(&fields.Issuer),
                // SAFETY: a zero ends this property.
                "friendly_name": friendly_name.map(|bytes| unsafe { text(bytes.as_ptr().cast()) }),
                "archived": self.property(CERT_ARCHIVED_PROP_ID).is_some(),
                "container": info.as_ref().map(|info| &info.container),
                "provider": info.as_ref().map(|info| &info.provider),
                "provider_type": info.as_ref().map(|info| info.provider_type),
                "key_spec": info.as_ref().map(|info| info.spec),
                "machine_keyset": info.as_ref().is_some_and(|info| info.is_machine),
                "has_key": self.private_key().is_ok(),
            }))
        }

        /// Where the certificate says that its key is.
        fn key_info(&self) -> Option<KeyInfo> {
            let bytes = self.property(CERT_KEY_PROV_INFO_PROP_ID)?;
            // SAFETY: this property begins with such a structure, and the heap aligned it. The texts that it points to
            // are part of the property and end with a zero.
            unsafe {
                let info = &*bytes.as_ptr().cast::<CRYPT_KEY_PROV_INFO>();
                Some(KeyInfo {
                    container: text(info.pwszContainerName),
                    provider: text(info.pwszProvName),
                    provider_type: info.dwProvType,
                    spec: info.dwKeySpec,
                    is_machine: info.dwFlags & CRYPT_MACHINE_KEYSET != 0,
                })
            }
        }

        fn thumbprint(&self) -> Result<String, String> {
            let hash = self.property(CERT_SHA1_HASH_PROP_ID);
            Ok(hex(&hash.ok_or_else(|| last_error("cannot hash a certificate"))?))
        }

        fn property(&self, id: u32) -> Option<Vec<u8>> {
            // SAFETY: the certificate is open; `fetch` hands over a buffer and its length.
            fetch(|buffer, length| unsafe { CertGetCertificateContextProperty(self.0, id, buffer.cast(), length) })
        }

        fn private_key(&self) -> Result<PrivateKey, String> {
            let (mut handle, mut spec, mut is_ours) = (0, 0, FALSE);
            let flags = CRYPT_ACQUIRE_SILENT_FLAG | CRYPT_ACQUIRE_ALLOW_NCRYPT_KEY_FLAG;
            // SAFETY: the certificate is open; no window is to be shown, so no parameter is needed.
            let done = unsafe {
                CryptAcquireCertificatePrivateKey(self.0, flags, null(), &mut handle, &mut spec, &mut is_ours)
            };
            if done == FALSE {
                let error = last_error("CryptAcquireCertificatePrivateKey");
                // Wine 8 looks for every key among the user's; Windows goes where the certificate says.
                let info = self.key_info().filter(|info| info.is_machine).ok_or(error)?;
                handle = open_provider(Some(&info.container), CRYPT_SILENT | CRYPT_MACHINE_KEYSET)?;
                spec = info.spec;
            }
            if spec == CERT_NCRYPT_KEY_SPEC {
                return Ok(PrivateKey::Cng(handle));
            }
            let mut key = 0;
            // SAFETY: the provider is open. Its container may well be empty: only this call finds out.
            check(unsafe { CryptGetUserKey(handle, spec, &mut key) }, "CryptGetUserKey")?;
            Ok(PrivateKey::CryptoApi { provider: handle, spec, key })
        }

        /// Checks a signature, least significant byte first, with the public key that is in the certificate.
        fn verify(&self, signature: &[u8]) -> Result<(), String> {
            let provider = open_provider(None, CRYPT_VERIFYCONTEXT)?;
            let (mut key, length) = (0, signature.len() as u32);
            // SAFETY: the decoded fields are there as long as the certificate.
            let done = unsafe {
                let info = &raw const (*(*self.0).pCertInfo).SubjectPublicKeyInfo;
                CryptImportPublicKeyInfo(provider, X509_ASN_ENCODING, info, &mut key)
            };
            check(done, "CryptImportPublicKeyInfo")?;
            let hash = sha256(provider)?;
            // SAFETY: hash and key belong to the open provider.
            let is_valid = unsafe { CryptVerifySignatureW(hash, signature.as_ptr(), length, key, null(), 0) };
            check(is_valid, "the certificate's public key does not accept the signature")
        }
    }

    struct KeyInfo {
        container: String,
        provider: String,
        provider_type: u32,
        spec: u32,
        is_machine: bool,
    }

    /// A private key in the hands of CryptoAPI or of its successor.
    enum PrivateKey {
        CryptoApi { provider: usize, spec: u32, key: usize },
        Cng(NCRYPT_KEY_HANDLE),
    }

    impl PrivateKey {
        /// Signs with SHA-256 and the padding of PKCS #1; the signature's least significant byte comes first.
        fn sign(&self) -> Result<Vec<u8>, String> {
            match *self {
                Self::CryptoApi { provider, spec, .. } => {
                    let hash = sha256(provider)?;
                    // SAFETY: the hash belongs to the open provider; `fetch` hands over a buffer and its length.
                    fetch(|buffer, length| unsafe { CryptSignHashW(hash, spec, null(), 0, buffer, length) })
                        .ok_or_else(|| last_error("CryptSignHash"))
                }
                Self::Cng(key) => {
                    let hash = sha256(open_provider(None, CRYPT_VERIFYCONTEXT)?)?;
                    // SAFETY: the hash is open; `fetch` hands over a buffer and its length.
                    let digest =
                        fetch(|buffer, length| unsafe { CryptGetHashParam(hash, HP_HASHVAL, buffer, length, 0) })
                            .ok_or_else(|| last_error("CryptGetHashParam"))?;
                    let padding = BCRYPT_PKCS1_PADDING_INFO { pszAlgId: BCRYPT_SHA256_ALGORITHM };
                    let (padding, flags) = ((&raw const padding).cast(), NCRYPT_PAD_PKCS1_FLAG | NCRYPT_SILENT_FLAG);
                    let (digest, size) = (digest.as_ptr(), digest.len() as u32);
                    // SAFETY: the key is open; padding and digest are above, of the kind and size that is said.
                    let signature = fetch(|buffer, length| unsafe {
                        succeeded(NCryptSignHash(key, padding, digest, size, buffer, *length, length, flags))
                    });
                    let mut signature = signature.ok_or_else(|| last_error("NCryptSignHash"))?;
                    signature.reverse();
                    Ok(signature)
                }
            }
        }

        fn is_exportable(&self) -> bool {
            // SAFETY: the key is open; `fetch` hands over a buffer and its length.
            let exported = fetch(|buffer, length| unsafe {
                match *self {
                    Self::CryptoApi { key, .. } => CryptExportKey(key, 0, PRIVATEKEYBLOB, 0, buffer, length),
                    Self::Cng(key) => {
                        let (kind, flags) = (BCRYPT_PRIVATE_KEY_BLOB, NCRYPT_SILENT_FLAG);
                        succeeded(NCryptExportKey(key, 0, kind, null(), buffer, *length, length, flags))
                    }
                }
            });
            exported.is_some()
        }
    }

    /// Opens a key container, or with `CRYPT_VERIFYCONTEXT` none, in the provider that knows SHA-256.
    fn open_provider(container: Option<&str>, flags: u32) -> Result<usize, String> {
        let name = container.map(wide);
        let name = name.as_ref().map_or(null(), |name| name.as_ptr());
        let mut provider = 0;
        // SAFETY: both names end with a zero.
        let done = unsafe { CryptAcquireContextW(&mut provider, name, MS_ENH_RSA_AES_PROV_W, PROV_RSA_AES, flags) };
        check(done, &format!("cannot open the key container {}", container.unwrap_or("for checking")))?;
        Ok(provider)
    }

    /// A hash object over the text that is signed.
    fn sha256(provider: usize) -> Result<usize, String> {
        let mut hash = 0;
        // SAFETY: the provider is open.
        check(unsafe { CryptCreateHash(provider, CALG_SHA_256, 0, 0, &mut hash) }, "CryptCreateHash(SHA-256)")?;
        // SAFETY: the hash is open, and the length is that of the text.
        check(unsafe { CryptHashData(hash, TEXT.as_ptr(), TEXT.len() as u32, 0) }, "CryptHashData")?;
        Ok(hash)
    }

    fn x500(name: &CRYPT_INTEGER_BLOB) -> String {
        let mut written = [0; 4096];
        // SAFETY: the length is that of the buffer; what is longer would be cut, and a zero ends the text.
        unsafe {
            CertNameToStrW(X509_ASN_ENCODING, name, CERT_X500_NAME_STR, written.as_mut_ptr(), 4096);
            text(written.as_ptr())
        }
    }

    /// Calls a function that wants a buffer and its length, and tells the length of what it put there. The buffer is
    /// larger than anything that is asked for here.
    fn fetch(call: impl FnOnce(*mut u8, &mut u32) -> BOOL) -> Option<Vec<u8>> {
        let mut buffer = vec![0; 1 << 16];
        let mut length = 1 << 16;
        let done = call(buffer.as_mut_ptr(), &mut length);
        buffer.truncate(length as usize);
        (done != FALSE).then_some(buffer)
    }

    /// The successor of CryptoAPI returns its error, which CryptoAPI leaves with the thread.
    fn succeeded(status: i32) -> BOOL {
        // SAFETY: sets a number.
        unsafe { SetLastError(status.cast_unsigned()) };
        BOOL::from(status == 0)
    }

    fn check(done: BOOL, what: &str) -> Result<(), String> {
        if done == FALSE { Err(last_error(what)) } else { Ok(()) }
    }

    fn last_error(what: &str) -> String {
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            // The negative ones are CryptoAPI's: Wine has no words for them, and Microsoft lists them by this number.
            Some(code) if code < 0 => format!("{what}: error {code:#x}"),
            _ => format!("{what}: {error}"),
        }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02X}")).collect()
    }

    fn wide(text: &str) -> Vec<u16> {
        text.encode_utf16().chain([0]).collect()
    }

    /// # Safety
    /// A zero must end the text, if there is one.
    unsafe fn text(start: *const u16) -> String {
        if start.is_null() {
            return String::new();
        }
        // SAFETY: the caller's promise; nothing after the zero is read.
        let units = (0..).map(|index| unsafe { *start.add(index) });
        let units: Vec<u16> = units.take_while(|&unit| unit != 0).collect();
        String::from_utf16_lossy(&units)
    }
}
