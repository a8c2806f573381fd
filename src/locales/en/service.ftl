# What the service says: problems, refusals, and the output of ptc-enrollment.

problem-malformed = The request cannot be read: { $detail }
    .title = Unreadable request
    .hint = Compare it with the API description at /api/v1/openapi.json.
problem-unauthenticated = No valid credentials came with the request.
    .title = Credentials needed
    .hint = Send the install package’s enrollment secret, the request’s token or a valid client certificate.
problem-forbidden = This is not allowed: { $detail }
    .title = Not allowed
    .hint = Ask the PTC manager who may do this.
problem-cross-site = A browser sent this on behalf of another site.
    .title = Request from another site
    .hint = Open the page of this service itself and try again.
problem-kind-not-allowed = The install package does not allow requests of the kind “{ $kind }”.
    .title = Kind not allowed
    .hint = Ask the PTC manager for an install package that does.
problem-own-request = Nobody decides on a request of their own.
    .title = Own request
    .hint = Ask another manager to decide.
problem-caller-revoked = The certificate shown is revoked, or its holder is disabled.
    .title = Certificate no longer valid
    .hint = Ask the PTC manager for a new certificate.
problem-not-found = There is no such thing here, or none that you may see.
    .title = Not found
    .hint = Check the number or name.
problem-method-not-allowed = The path exists, but not with this method.
    .title = Method not allowed
    .hint = Compare the request with the API description at /api/v1/openapi.json.
problem-state-conflict = This is not possible any more: { $detail }
    .title = State conflict
    .hint = Load the present state and decide again.
problem-already-exists = { $what } exists already.
    .title = Already exists
    .hint = Choose another name, or use the one that exists.
problem-superseded = What was shown is not what is there now: { $detail }
    .title = Superseded
    .hint = Load the present state and decide again.
problem-body-too-large = The body is larger than the limit of { $limit } bytes.
    .title = Body too large
    .hint = Send less at once.
problem-unsupported-media-type = The body is not JSON.
    .title = JSON expected
    .hint = Send it with “Content-Type: application/json”.
problem-csr-refused = The certificate signing request breaks rules.
    .title = Certificate signing request refused
    .hint = Make a new request that keeps every rule listed.
problem-idempotency-mismatch = The idempotency key was used before, with another body.
    .title = Idempotency key used before
    .hint = Use a new key for a new request.
problem-invalid-field = { $field } is not valid: { $detail }
    .title = Invalid field
    .hint = Correct the field and send again.
problem-too-many-requests = Too many calls.
    .title = Too many calls
    .hint = Wait as long as Retry-After says, then try again.
problem-internal = The service failed.
    .title = Internal error
    .hint = Try again; if it persists, give support the request id.
problem-unavailable = The service cannot answer now.
    .title = Temporarily unavailable
    .hint = Wait as long as Retry-After says, then try again.

file-exists = { $path } exists already and is not overwritten.
    .hint = Choose another place, or move what is there away first.
file-missing = { $path } is missing.
    .hint = Check the path; restore the file from a backup if it was there before.
file-too-open = { $path } holds a secret, and other accounts may read it (permissions { $mode }).
    .hint = If nobody else has read it: chmod 600 { $path }
file-system = { $path } cannot be read or written: { $cause }
    .hint = Check the path, its permissions and the free space.

credential-malformed = { $path } does not hold what its name says, as PEM.
    .hint = Restore the file from a backup.
credential-mismatch = The key { $key } and the certificate { $certificate } do not belong together.
    .hint = Restore both files from the same backup.
credential-generation = No key can be made: { $cause }
    .hint = Check the system’s random number generator.

ca-chain = In { $folder }, issuing.crt.pem was not issued by root.crt.pem.
    .hint = Restore both files from the same backup.
ca-encoding = The certificate or list cannot be encoded: { $cause }
    .hint = Check the names and the CRL’s URL for characters that are not allowed.
ca-lint = Not signed, because these rules are broken: { $rules }
    .hint = Check the clock, the CA’s lifetime and the names asked for.
ca-signature = What was signed is not what was checked; it was thrown away.
    .hint = Check the machine’s memory and the CA’s files, and give support the log.
ca-random = The system has no random numbers.
    .hint = Check the system’s random number generator.

tls-configuration = The service’s TLS certificate or key cannot be used: { $cause }
    .hint = Check the files under tls/ in the service’s folder.

package-settings = The package’s settings cannot be written: { $cause }
    .hint = Check the organisation’s name and the service’s URLs.
package-key = The package signer’s key cannot sign.
    .hint = Restore the files under package-signer/ from a backup; the key must be EC P-256.
package-manifest = The package would be refused by clients: { $cause }
    .hint = Check the clock, and have the package signer’s certificate issued again.
package-zip = The zip cannot be written: { $cause }
    .hint = Try again with a folder instead of a zip.
package-readme =
    PTC Enroll: install package

    Organisation:  { $organisation }
    Environment:   { $environment }
    Service:       { $url }
    Enrols:        { $kind } (store: { $store })

    1. Unpack everything into one folder on the machine, and keep the folder “config” as it is.
    2. Open a console in that folder (as an administrator where the store is “machine”) and type:

           ptc-enroll --home . submit

       It asks for what it needs to know, and says who will approve the request.
    3. When the request is approved, type:

           ptc-enroll --home . fetch
           ptc-enroll --home . test

    The file “enrollment-secret” lets its holder ask for certificates in the organisation’s name.
    Keep it to the administrators, and do not send the package by plain e-mail.
    If it got into other hands, tell the PTC manager, who will make a new package.
