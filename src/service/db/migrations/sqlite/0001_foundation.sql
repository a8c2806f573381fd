-- Times are whole seconds since 1970-01-01T00:00:00Z. Digests and serial numbers are lower-case hexadecimal digits.
-- Words (kinds, states, roles, stores, revocation codes) are those of the wire format.

CREATE TABLE organisations (
    code TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    country TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE packages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    organisation TEXT NOT NULL REFERENCES organisations (code),
    kind TEXT NOT NULL,
    store TEXT NOT NULL,
    external_requests INTEGER NOT NULL,
    secret_sha256 TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    disabled_at INTEGER
) STRICT;

CREATE TABLE managers (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    email TEXT NOT NULL,
    role TEXT NOT NULL,
    organisation TEXT REFERENCES organisations (code),
    created_at INTEGER NOT NULL,
    disabled_at INTEGER,
    CHECK ((role = 'registration-manager') = (organisation IS NOT NULL))
) STRICT;

-- One person is one manager, however the address is capitalised.
CREATE UNIQUE INDEX managers_by_email ON managers (lower(email)) WHERE disabled_at IS NULL;

CREATE TABLE requests (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    organisation TEXT NOT NULL REFERENCES organisations (code),
    package INTEGER NOT NULL REFERENCES packages (id),
    kind TEXT NOT NULL,
    common_name TEXT NOT NULL,
    identity TEXT NOT NULL,
    state TEXT NOT NULL,
    csr BLOB NOT NULL,
    csr_sha256 TEXT NOT NULL,
    key_sha256 TEXT NOT NULL,
    token_sha256 TEXT NOT NULL,
    idempotency_key TEXT,
    body_sha256 TEXT NOT NULL,
    machine TEXT NOT NULL,
    contact TEXT NOT NULL,
    -- Hexadecimal digits of the machine's MAC address in capitals; empty where it named none.
    mac_address TEXT NOT NULL,
    -- What a search looks into, in lower case.
    search TEXT NOT NULL,
    submitted_at INTEGER NOT NULL,
    decided_at INTEGER,
    decided_by TEXT,
    reason TEXT,
    replaces INTEGER REFERENCES requests (number),
    replaced_by INTEGER REFERENCES requests (number),
    UNIQUE (package, idempotency_key)
) STRICT;

-- A machine waits once: a newer request cancels the older one.
CREATE UNIQUE INDEX requests_pending_by_identity ON requests (organisation, kind, identity) WHERE state = 'pending';
CREATE INDEX requests_by_state ON requests (state, submitted_at);
CREATE INDEX requests_by_organisation ON requests (organisation, number);
CREATE INDEX requests_by_key ON requests (key_sha256);
CREATE INDEX requests_by_mac_address ON requests (mac_address) WHERE mac_address <> '';

-- A row is written before its certificate is signed: what has no `der` yet is signed from `tbs`, never made anew.
CREATE TABLE certificates (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    serial TEXT NOT NULL UNIQUE,
    holder TEXT NOT NULL CHECK (holder IN ('request', 'manager', 'service', 'package-signer')),
    request INTEGER UNIQUE REFERENCES requests (number),
    manager INTEGER REFERENCES managers (id),
    organisation TEXT REFERENCES organisations (code),
    -- The request's kind.
    kind TEXT,
    subject TEXT NOT NULL,
    search TEXT NOT NULL,
    tbs BLOB NOT NULL,
    der BLOB,
    not_before INTEGER NOT NULL,
    not_after INTEGER NOT NULL,
    revoked_at INTEGER,
    revoked_by TEXT,
    revocation_code TEXT,
    revocation_reason TEXT,
    CHECK ((holder = 'request') = (request IS NOT NULL AND kind IS NOT NULL)),
    CHECK ((holder = 'manager') = (manager IS NOT NULL)),
    CHECK ((revoked_at IS NULL) = (revocation_code IS NULL))
) STRICT;

CREATE INDEX certificates_by_organisation ON certificates (organisation, id);
CREATE INDEX certificates_by_manager ON certificates (manager) WHERE manager IS NOT NULL;
CREATE INDEX certificates_unsigned ON certificates (id) WHERE der IS NULL AND revoked_at IS NULL;
CREATE INDEX certificates_revoked ON certificates (not_after) WHERE revoked_at IS NOT NULL;

-- A serial number is never used twice and a certificate never forgotten.
CREATE TRIGGER certificates_stay BEFORE DELETE ON certificates
BEGIN
    SELECT RAISE(ABORT, 'certificates are never deleted');
END;

CREATE TABLE crls (
    number INTEGER PRIMARY KEY,
    der BLOB NOT NULL,
    this_update INTEGER NOT NULL,
    next_update INTEGER NOT NULL
) STRICT;

CREATE TABLE audit (
    sequence INTEGER PRIMARY KEY,
    time INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    object TEXT NOT NULL,
    organisation TEXT,
    detail TEXT NOT NULL,
    previous TEXT NOT NULL,
    hash TEXT NOT NULL
) STRICT;

-- Against slips; against intent there is the chain of hashes.
CREATE TRIGGER audit_stays BEFORE DELETE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit record is append-only');
END;
CREATE TRIGGER audit_is_final BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit record is append-only');
END;
