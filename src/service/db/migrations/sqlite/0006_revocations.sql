-- In what order certificates were revoked, from 1. What is made of the revocations, lists and OCSP responses, tells by the
-- last of these numbers up to which it counts.
ALTER TABLE certificates ADD COLUMN revocation INTEGER;
UPDATE certificates SET revocation = numbered.revocation
    FROM (SELECT id, row_number() OVER (ORDER BY revoked_at, id) AS revocation FROM certificates
          WHERE revoked_at IS NOT NULL) AS numbered
    WHERE numbered.id = certificates.id;
CREATE UNIQUE INDEX certificates_by_revocation ON certificates (revocation) WHERE revocation IS NOT NULL;

-- All that a list says of a certificate: a list of 100,000 reads nothing else.
CREATE INDEX certificates_listed ON certificates (serial, not_after, revoked_at, revocation_code)
    WHERE revoked_at IS NOT NULL;

-- The last revocation that is on the list. Lists from before do not say, and are replaced at the next occasion.
ALTER TABLE crls ADD COLUMN revocation INTEGER NOT NULL DEFAULT 0;
