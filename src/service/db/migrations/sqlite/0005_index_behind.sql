-- An index over random values costs more than the request itself, and an acknowledgement waits for it. What only searches
-- and the evidence look for is written behind the requests, in large parts.

DROP TRIGGER requests_indexed;
DROP TABLE requests_search;
-- The parts of three and of five characters of each request's text, and its organisation, as words of their own
-- (sqlite.org/fts5.html). Which rows hold a word is all that is kept: the text itself is compared in the row.
CREATE VIRTUAL TABLE requests_search USING fts5 (parts, tokenize = 'ascii', content = '', columnsize = 0, detail = none);

-- What requests share: 64 bits of a digest over a key, a MAC address, a host name or an identity.
CREATE TABLE request_traits (
    trait INTEGER NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (trait, number)
) STRICT, WITHOUT ROWID;

-- The last request that is in both.
CREATE TABLE request_index (indexed INTEGER NOT NULL) STRICT;
INSERT INTO request_index VALUES (0);

DROP INDEX requests_by_key;
DROP INDEX requests_by_mac_address;
DROP INDEX requests_by_identity;
DROP INDEX requests_by_host_name;

-- By name comes what is pending, from the index that keeps a machine from waiting twice.
DROP INDEX requests_in_state_by_name;
DROP INDEX requests_by_name;
DROP INDEX requests_of_organisation_by_name;

-- Only what is pending expires or is reminded of.
DROP INDEX requests_by_state;
CREATE INDEX requests_pending_by_time ON requests (submitted_at) WHERE state = 'pending';

DROP TRIGGER organisations_marked;
ALTER TABLE organisations DROP COLUMN mark;
