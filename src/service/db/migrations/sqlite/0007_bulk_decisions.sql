-- Many decisions as one job: who decides what, on which requests as they were shown, and what became of each.
CREATE TABLE bulk_decisions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- Who made it: a manager, with the certificate that they did it with, or an account of the service's computer.
    made_by TEXT NOT NULL,
    manager INTEGER REFERENCES managers (id),
    certificate TEXT,
    account TEXT,
    -- A registration manager's. The organisation's others may look.
    organisation TEXT REFERENCES organisations (code),
    idempotency_key TEXT,
    body_sha256 TEXT,
    state TEXT NOT NULL CHECK (state IN ('draft', 'running', 'finished', 'stopped')),
    verdict TEXT CHECK (verdict IN ('approve', 'reject')),
    reason TEXT,
    created_at INTEGER NOT NULL,
    started_at INTEGER,
    ended_at INTEGER,
    -- Why somebody else than its maker stopped it: a problem document in each language, JSON.
    problem TEXT,
    -- How many requests it is about, and how many of them had their turn.
    requests INTEGER NOT NULL,
    decided INTEGER NOT NULL DEFAULT 0,
    refused INTEGER NOT NULL DEFAULT 0,
    -- The process that works on it, and until when nobody else does.
    worker TEXT,
    worker_until INTEGER,
    UNIQUE (manager, idempotency_key),
    CHECK ((manager IS NULL) = (account IS NOT NULL)),
    CHECK ((manager IS NULL) = (certificate IS NULL)),
    CHECK ((state = 'draft') = (verdict IS NULL)),
    CHECK ((state = 'draft') = (started_at IS NULL)),
    CHECK ((state IN ('finished', 'stopped')) = (ended_at IS NOT NULL))
) STRICT;

CREATE INDEX bulk_decisions_running ON bulk_decisions (id) WHERE state = 'running';
CREATE INDEX bulk_decisions_of_organisation ON bulk_decisions (organisation, id);

-- A number may be one that no request has: what came is kept, and gets its outcome.
CREATE TABLE bulk_items (
    bulk INTEGER NOT NULL REFERENCES bulk_decisions (id) ON DELETE CASCADE,
    -- From 1.
    position INTEGER NOT NULL,
    request INTEGER NOT NULL,
    csr_sha256 TEXT NOT NULL,
    -- The rules that were warned of when it was shown, apart by a space.
    warnings TEXT NOT NULL,
    -- NULL until it is its turn.
    outcome TEXT CHECK (outcome IN ('approved', 'rejected', 'refused')),
    -- Why it was refused: a problem document in each language, JSON.
    problem TEXT,
    PRIMARY KEY (bulk, position)
) STRICT, WITHOUT ROWID;
