-- Requests are counted once for each statement. Counted row by row, each count was one more version of the same row within a
-- transaction, and the next one had to pass all of them.

DROP TRIGGER requests_counted ON requests;
DROP TRIGGER requests_recounted ON requests;
DROP FUNCTION count_request();

CREATE FUNCTION count_requests() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO request_counts AS counted (organisation, kind, state, requests)
        SELECT organisation, kind, state, count(*) FROM added GROUP BY organisation, kind, state
        ON CONFLICT (organisation, kind, state) DO UPDATE SET requests = counted.requests + excluded.requests;
    RETURN NULL;
END;
$$;
CREATE TRIGGER requests_counted AFTER INSERT ON requests REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION count_requests();

-- After changes of any column: a trigger that sees all rows cannot name one.
CREATE FUNCTION recount_requests() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO request_counts AS counted (organisation, kind, state, requests)
        SELECT organisation, kind, state, sum(difference) FROM (
            SELECT organisation, kind, state, 1 AS difference FROM after
            UNION ALL
            SELECT organisation, kind, state, -1 FROM before
        ) AS changes
        GROUP BY organisation, kind, state HAVING sum(difference) <> 0
        ON CONFLICT (organisation, kind, state) DO UPDATE SET requests = counted.requests + excluded.requests;
    RETURN NULL;
END;
$$;
CREATE TRIGGER requests_recounted AFTER UPDATE ON requests REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION recount_requests();
