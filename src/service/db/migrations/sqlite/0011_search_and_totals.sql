-- What made searches and lists over a million requests cost more than over ten thousand.

-- Parts of four characters instead of three, and blocks of other sizes (`db/postings.rs`). The service writes them anew behind
-- the requests; until then, what is not in the index is looked at row by row.
DELETE FROM request_parts;
UPDATE request_index SET parts_indexed = 0;

-- How many requests there are of each kind and state, in all organisations: nobody adds up hundreds of them for a page.
CREATE TABLE request_totals (
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    requests INTEGER NOT NULL,
    PRIMARY KEY (kind, state)
) STRICT, WITHOUT ROWID;
INSERT INTO request_totals SELECT kind, state, sum(requests) FROM request_counts GROUP BY kind, state;

-- Those of one organisation lie together.
CREATE TABLE former_counts AS SELECT * FROM request_counts;
DROP TRIGGER requests_counted;
DROP TRIGGER requests_recounted;
DROP TABLE request_counts;
CREATE TABLE request_counts (
    organisation TEXT NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    requests INTEGER NOT NULL,
    PRIMARY KEY (organisation, kind, state)
) STRICT, WITHOUT ROWID;
INSERT INTO request_counts SELECT * FROM former_counts;
DROP TABLE former_counts;

CREATE TRIGGER requests_counted AFTER INSERT ON requests
BEGIN
    INSERT INTO request_counts VALUES (new.organisation, new.kind, new.state, 1)
        ON CONFLICT DO UPDATE SET requests = requests + 1;
    INSERT INTO request_totals VALUES (new.kind, new.state, 1)
        ON CONFLICT DO UPDATE SET requests = requests + 1;
END;
CREATE TRIGGER requests_recounted AFTER UPDATE OF state ON requests WHEN old.state <> new.state
BEGIN
    UPDATE request_counts SET requests = requests - 1
        WHERE organisation = old.organisation AND kind = old.kind AND state = old.state;
    INSERT INTO request_counts VALUES (new.organisation, new.kind, new.state, 1)
        ON CONFLICT DO UPDATE SET requests = requests + 1;
    UPDATE request_totals SET requests = requests - 1 WHERE kind = old.kind AND state = old.state;
    INSERT INTO request_totals VALUES (new.kind, new.state, 1)
        ON CONFLICT DO UPDATE SET requests = requests + 1;
END;
