-- What the managers' pages need: counts, search and order that cost the same with ten requests as with a million.

-- How many requests there are of each organisation, kind and state, so that no page counts them.
CREATE TABLE request_counts (
    organisation TEXT NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    requests INTEGER NOT NULL,
    PRIMARY KEY (organisation, kind, state)
) STRICT, WITHOUT ROWID;

INSERT INTO request_counts SELECT organisation, kind, state, count(*) FROM requests GROUP BY organisation, kind, state;

CREATE TRIGGER requests_counted AFTER INSERT ON requests
BEGIN
    INSERT INTO request_counts VALUES (new.organisation, new.kind, new.state, 1)
        ON CONFLICT DO UPDATE SET requests = requests + 1;
END;
CREATE TRIGGER requests_recounted AFTER UPDATE OF state ON requests WHEN old.state <> new.state
BEGIN
    UPDATE request_counts SET requests = requests - 1
        WHERE organisation = old.organisation AND kind = old.kind AND state = old.state;
    INSERT INTO request_counts VALUES (new.organisation, new.kind, new.state, 1)
        ON CONFLICT DO UPDATE SET requests = requests + 1;
END;

-- A short name of each organisation within the search index: three characters that no text holds, one trigram.
ALTER TABLE organisations ADD COLUMN mark TEXT;
CREATE TRIGGER organisations_marked AFTER INSERT ON organisations
BEGIN
    UPDATE organisations SET mark = char(57344 + new.rowid / 4096, 57344 + new.rowid % 4096, 63743)
        WHERE code = new.code;
END;
UPDATE organisations SET mark = char(57344 + rowid / 4096, 57344 + rowid % 4096, 63743);

-- Any part of a text of three characters or more is found without looking at every request (sqlite.org/fts5.html,
-- the trigram tokenizer). Nothing is ever taken out: neither requests nor their texts change.
CREATE VIRTUAL TABLE requests_search USING fts5 (text, mark, tokenize = 'trigram', content = '', columnsize = 0);
INSERT INTO requests_search (rowid, text, mark)
    SELECT number, search, mark FROM requests JOIN organisations ON code = organisation ORDER BY number;
CREATE TRIGGER requests_indexed AFTER INSERT ON requests
BEGIN
    INSERT INTO requests_search (rowid, text, mark)
        SELECT new.number, new.search, mark FROM organisations WHERE code = new.organisation;
END;

-- Every index ends with the row's number, the order in which pages follow each other.
CREATE INDEX requests_in_state ON requests (state);
CREATE INDEX requests_in_state_by_name ON requests (state, common_name);
CREATE INDEX requests_by_name ON requests (common_name);
CREATE INDEX requests_of_organisation_in_state ON requests (organisation, state);
CREATE INDEX requests_of_organisation_by_name ON requests (organisation, common_name);

-- The evidence beside a request.
CREATE INDEX requests_by_identity ON requests (identity);
ALTER TABLE requests ADD COLUMN host_name TEXT
    GENERATED ALWAYS AS (lower(json_extract(machine, '$.host_name'))) VIRTUAL;
CREATE INDEX requests_by_host_name ON requests (host_name) WHERE host_name <> '';
CREATE INDEX audit_by_object ON audit (object);

-- What ends soon.
CREATE INDEX certificates_by_end ON certificates (not_after);
CREATE INDEX certificates_of_organisation_by_end ON certificates (organisation, not_after);
CREATE INDEX audit_by_organisation ON audit (organisation);
