-- In which language a manager is written to.
ALTER TABLE managers ADD COLUMN language TEXT NOT NULL DEFAULT 'en';

-- When the managers concerned were last reminded of a pending request.
ALTER TABLE requests ADD COLUMN reminded_at INTEGER;

-- What is to be sent, written in the transaction of the change that it tells of, and kept for a while after.
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    event TEXT NOT NULL,
    channel TEXT NOT NULL CHECK (channel IN ('email', 'webhook')),
    -- An e-mail address or a webhook's URL.
    receiver TEXT NOT NULL,
    -- Complete, and in the receiver's language.
    payload TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    -- NULL once it was sent or given up.
    next_attempt_at INTEGER,
    sent_at INTEGER,
    failed_at INTEGER,
    last_error TEXT,
    -- Nobody is told the same thing twice.
    UNIQUE (event, receiver),
    CHECK ((next_attempt_at IS NULL) = (sent_at IS NOT NULL OR failed_at IS NOT NULL))
) STRICT;

CREATE INDEX outbox_waiting ON outbox (channel, next_attempt_at) WHERE next_attempt_at IS NOT NULL;
