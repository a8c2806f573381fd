-- The same as migrations/sqlite/0011, in PostgreSQL's words; what differs is said here.

TRUNCATE request_parts;
UPDATE request_index SET parts_indexed = 0;

CREATE TABLE request_totals (
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    requests BIGINT NOT NULL,
    PRIMARY KEY (kind, state)
) WITH (fillfactor = 50);
INSERT INTO request_totals SELECT kind, state, sum(requests) FROM request_counts GROUP BY kind, state;

ALTER TABLE request_counts DROP CONSTRAINT request_counts_pkey;
ALTER TABLE request_counts ADD PRIMARY KEY (organisation, kind, state);

-- Counted once for each statement (migrations/postgres/0010).
CREATE OR REPLACE FUNCTION count_requests() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO request_counts AS counted (organisation, kind, state, requests)
        SELECT organisation, kind, state, count(*) FROM added GROUP BY organisation, kind, state
        ON CONFLICT (organisation, kind, state) DO UPDATE SET requests = counted.requests + excluded.requests;
    INSERT INTO request_totals AS counted (kind, state, requests)
        SELECT kind, state, count(*) FROM added GROUP BY kind, state
        ON CONFLICT (kind, state) DO UPDATE SET requests = counted.requests + excluded.requests;
    RETURN NULL;
END;
$$;

CREATE OR REPLACE FUNCTION recount_requests() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO request_counts AS counted (organisation, kind, state, requests)
        SELECT organisation, kind, state, sum(difference) FROM (
            SELECT organisation, kind, state, 1 AS difference FROM after
            UNION ALL
            SELECT organisation, kind, state, -1 FROM before
        ) AS changes
        GROUP BY organisation, kind, state HAVING sum(difference) <> 0
        ON CONFLICT (organisation, kind, state) DO UPDATE SET requests = counted.requests + excluded.requests;
    INSERT INTO request_totals AS counted (kind, state, requests)
        SELECT kind, state, sum(difference) FROM (
            SELECT kind, state, 1 AS difference FROM after
            UNION ALL
            SELECT kind, state, -1 FROM before
        ) AS changes
        GROUP BY kind, state HAVING sum(difference) <> 0
        ON CONFLICT (kind, state) DO UPDATE SET requests = counted.requests + excluded.requests;
    RETURN NULL;
END;
$$;
