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
problem-caller-revoked = The certificate shown is revoked or has ended, or its holder is disabled.
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
problem-request-timeout = The body of the request did not arrive in time.
    .title = Request timeout
    .hint = Send it again; if it persists, look at the connection.
problem-csr-refused = The certificate signing request breaks rules.
    .title = Certificate signing request refused
    .hint = Make a new request that keeps every rule listed.
problem-idempotency-mismatch = The idempotency key was used before, with another body.
    .title = Idempotency key used before
    .hint = Use a new key for a new request.
problem-invalid-field = { $field } is not valid: { $detail }
    .title = Invalid field
    .hint = Correct the field and send again.
problem-too-many-requests = Too many calls; the next one is answered in { $seconds } s.
    .title = Too many calls
    .hint = Wait as long as Retry-After says, then try again.
problem-internal = The service failed.
    .title = Internal error
    .hint = Try again; if it persists, give support the request id.
problem-unavailable = The service cannot answer now.
    .title = Temporarily unavailable
    .hint = Wait as long as Retry-After says, then try again.
problem-unconfirmed = The database did not say whether this was done.
    .title = Outcome unknown
    .hint = Look before you do it again. A submission may be repeated with the same idempotency key.

file-exists = { $path } exists already and is not overwritten.
    .hint = Choose another place, or move what is there away first.
file-missing = { $path } is missing.
    .hint = Check the path; restore the file from a backup if it was there before.
file-too-open = { $path } holds a secret, and other accounts may read it (permissions { $mode }).
    .hint = If nobody else has read it: chmod 600 { $path }
file-open-folder = The folder { $path } holds a secret, and other accounts may replace its files (permissions { $mode }).
    .hint = If nobody has: chmod go-w { $path }
file-foreign-owner = { $path } holds a secret and belongs to another account (number { $owner }).
    .hint = Run the command as that account or as root, or give the file back: chown
file-current-folder = { $path } is the folder that you are in, and would be replaced under you.
    .hint = Call the command from another folder, with this path.
file-mount-point = { $path } is a mount point, and cannot be replaced in one step.
    .hint = For a folder, name one within it. For a file, mount the folder that holds it instead.
file-system = { $path } cannot be read or written: { $cause }
    .hint = Check the path, its permissions and the free space.

credential-malformed = { $path } does not hold what its name says (PEM; a .crl: DER).
    .hint = Restore the file from a backup.
credential-mismatch = The key { $key } and the certificate { $certificate } do not belong together.
    .hint = Restore both files from the same backup.
credential-locked = The key { $path } is encrypted, and there is no passphrase for it.
    .hint = A key of the CA: name the file with the passphrase as ca_passphrase_file in enrollment.toml, or give it as systemd’s credential ca-passphrase. Any other key must not be encrypted.
credential-wrong-passphrase = The passphrase does not open the key { $path }.
    .hint = Check the file that ca_passphrase_file names, or systemd’s credential ca-passphrase. Where a change of the passphrase was interrupted, run “ca encrypt-keys” again.
credential-pkcs12 = Key and certificate cannot be put into a PKCS #12 file: { $cause }
    .hint = Use the PEM files, and give support the log.
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
token-module = The PKCS #11 module { $module } cannot be loaded: { $cause }
    .hint = Check “module” under [pkcs11] in enrollment.toml: the whole path of the library (SoftHSM in Debian: the package softhsm2, /usr/lib/softhsm/libsofthsm2.so), which this account must be able to read.
token-not-started = The PKCS #11 module { $module } does not start: { $cause }
    .hint = Check the module’s own configuration (SoftHSM: SOFTHSM2_CONF and the folder it names), and whether its device or server is on.
token-absent = There is no token { $token } in { $module }. There are: { $others }
    .hint = Check the device and its connection, then “token” and “token_serial” under [pkcs11] in enrollment.toml, and whether this account may reach the token.
token-ambiguous = Several tokens are called { $token }.
    .hint = Name the serial number of one of them as “token_serial” under [pkcs11] in enrollment.toml.
token-wrong-pin = The token { $token } does not take the PIN. It was tried once, and is not tried again.
    .hint = Correct the file that “pin_file” under [pkcs11] names, or systemd’s credential ca-pin, before anything is started again: a few wrong attempts lock many a token.
token-locked-pin = The token { $token } takes no PIN any more: it is locked.
    .hint = Have its security officer set a new PIN, then correct pin_file or systemd’s credential ca-pin.
token-last-attempt = One more wrong PIN would lock the token { $token }, so none was tried.
    .hint = Find out who tried wrong ones. Correct pin_file or systemd’s credential ca-pin, and log in once with the vendor’s tool: then the token counts from the start.
token-no-key = There is no private key { $key } in the token { $token }.
    .hint = Check “key” and “key_id” under [pkcs11] in enrollment.toml. Where the key was deleted, restore the token from its backup: without the key the CA signs nothing.
token-many-keys = There are several private keys { $key } in the token { $token }.
    .hint = Tell them apart by “key_id” under [pkcs11] in enrollment.toml.
token-key-exists = There is something called { $key } in the token { $token } already; no key was made.
    .hint = Choose another label with --pkcs11-key. Where an “init” was interrupted, and no installation came of it, delete the key with the vendor’s tool.
token-wrong-key = The key { $key } in the token { $token } is not that of issuing.crt.pem.
    .hint = Check “key” and “key_id” under [pkcs11] in enrollment.toml, and that ca/ and the token are of the same CA.
token-extractable = The token { $token } would let the key { $key } out, so it was deleted.
    .hint = Check the token’s policy for new keys: they must be sensitive and not extractable.
token-call = The token { $token } does not do what is needed: { $cause }
    .hint = Check the device and its connection; what is not signed now is signed when the token is back. Where this stays, ask the vendor what the cause means.
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
    2. Open a console in that folder (as an administrator where the store is “machine”) and type the
       line below; in PowerShell with “.\” in front, where the program lies in the folder, too:

           ptc-enroll --home . submit

       It asks for what it needs to know, and says who will approve the request.
    3. When the request is approved, type:

           ptc-enroll --home . fetch
           ptc-enroll --home . test

    The file “enrollment-secret” lets its holder ask for certificates in the organisation’s name.
    Keep it to the administrators, and do not send the package by plain e-mail.
    If it got into other hands, tell the PTC manager, who will make a new package.

# What an operation needs.
database-missing = There is no database at { $path }.
    .hint = Make an installation with “ptc-enrollment init”, or give its folder with --home.
database-empty = There is nothing of this service in the database { $path }.
    .hint = Restore the database from a backup; do not start the service without it.
database-foreign = The database { $path } does not belong to the CA beside it.
    .hint = Restore database and CA from the same backup.
database-newer = A later version of this program made the database { $path }.
    .hint = Use that version, or restore the backup from before the update.
database-unusable = The database { $path } cannot be opened: { $cause }
    .hint = Check its permissions and the free space; if it is damaged, restore a backup.
database-not-admitted = The server does not open the database { $path }: { $said }
    .hint = Make what is missing (createuser, createdb), or correct address and account; docs/operations.md says how.
database-moved = The database was moved to a server, and nothing is written here any more.
    .hint = enrollment.toml names the server when the move is done. Where it was interrupted, run “ptc-enrollment database move” again.
database-unavailable = The database cannot answer now: { $cause }
    .hint = Check the free space, whether the database server runs, and whether another process holds the database; then try again.
database-occupied = The database { $path } holds something already.
    .hint = Give an empty one, made for this installation (createdb); dropdb removes one that nobody needs.
database-unfinished = The database { $path } is not complete: “database move” was interrupted as it filled it. What counts is in { $file }.
    .hint = Take database and database_password_file out of enrollment.toml, then run “ptc-enrollment database move” again.
database-unfit = The database { $path } cannot be used: { $what }
    .hint = docs/operations.md says what the server has to be.
database-too-old = PostgreSQL { $version } is too old; 13 is the oldest that will do.
database-encoding = its encoding is { $encoding }, and UTF8 is needed.
database-no-right = this account may not make tables in it (GRANT CREATE ON SCHEMA, and ON DATABASE for the extension).
database-no-search = the extension pg_trgm is missing; it comes with the server’s package, or with postgresql-contrib.
database-unconfirmed = The connection to the database broke while a change was being saved. Whether it was is not known: { $cause }
    .hint = Look whether it was done before you do it again.
database-query = The database does not do what was asked: { $cause }
    .hint = Give support the log.
service-inconsistent = The service cannot go on: { $cause }
    .hint = Give support the log.
settings-missing = There is no installation in { $home }.
    .hint = Make one with “ptc-enrollment init”, or give its folder with --home or PTC_ENROLLMENT_HOME.
settings-syntax = { $path }, line { $line }: { $cause }
    .hint = Compare the file with config/enrollment.toml, which explains each setting.
settings-value = The setting { $setting } is “{ $found }”; expected is { $expected }.
    .hint = Correct it in enrollment.toml or on the command line.
auto-approve-refused = Nothing is approved automatically in the environment “prod”.
    .hint = Start the service without --auto-approve.
auto-approve-warning = WARNING: every request in the environment “{ $environment }” is approved automatically, without anybody looking at it.
install-failed = The installation failed: { $cause }
    .hint = Nothing was left behind; correct the cause and try again.
serve-listen = The service cannot listen on { $address }: { $cause }
    .hint = Stop what uses the port, or change public_listen, secure_listen, http_listen or operations_listen in enrollment.toml.
system-refused = The system refused: { $cause }
disk-full = There is no room for what is written: { $cause }
    .hint = Free some space or name a place on another disk; then try again.
audit-broken = The audit record was changed: entry { $sequence } does not fit the one before, or entries are missing there.
    .hint = Keep the database as it is for an investigation, and compare with the last backup.

# What is expected of a field.
expected-at-most = at most { $limit } characters are allowed
expected-count = 1 to { $limit } at once are allowed
expected-country = two capital letters (ISO 3166-1) are expected
expected-email = an address of the form name@operator.example is expected
expected-environment = 1 to 32 lower-case letters, digits and hyphens, a letter first
expected-https-url = a URL of the form https://host[:port]
expected-database = a URL of the form postgres://account@host/database, or postgres:///database?host=/folder/of/the/socket
expected-no-password = a URL without a password; database_password_file names the file that holds it
expected-protected-database = sslmode=verify-full in the URL, because the server is another computer
expected-no-nul = text without the character NUL
expected-positive = a number above 0
expected-at-most-number = a number of at most { $limit }
expected-http-url = a URL of the form http://host[:port]
expected-both-http = http_url and http_listen, both or neither
expected-host = a host name without a port
expected-protected-mail = "tls" or "starttls"; "none" only where the server is this computer
expected-user-and-password = user and password_file together, or neither
expected-webhook-url = a URL of the form https://…, or http://… on this computer, without an account
expected-other-webhook = a URL that no other webhook has
expected-idempotency-key = 1 to 64 visible ASCII characters are expected
expected-known-organisation = there is no organisation with this code
expected-no-organisation = a PTC manager belongs to no organisation
expected-one-organisation = a registration manager belongs to exactly one organisation
expected-organisation-code = 2 to 16 capital letters and digits are expected
expected-organisation-name = a name is expected that has at most 64 characters together with the code and “ - ”, and no control characters
expected-pending-by-name = only what is pending is listed by name: add state=pending, or choose another order
expected-outcome = expected is “{ $state }”, as fits the kind of request
expected-package-kind = a package enrols workstations, servers or mobiles; external servers are allowed with external_requests
expected-person = a name of 1 to 64 characters is expected, without control characters
expected-place = text of 1 to { $limit } characters is expected, without control characters
expected-absolute-path = a path from the root on, such as /usr/lib/softhsm/libsofthsm2.so
expected-token = the token’s label of at most 32 octets, or its serial number as token_serial
expected-token-key = the key’s label, or its identifier as key_id
expected-hexadecimal = pairs of hexadecimal digits
expected-pin-file = the file with the token’s PIN, or the PIN as systemd’s credential ca-pin
expected-key = expected is one of: { $keys }
expected-future = a time in the future is expected
expected-days = 0 to { $limit } days are expected
expected-reason = a reason is expected

# Why something is not allowed or not possible.
forbidden-not-a-manager = only managers may do this
forbidden-not-for-managers = this is not for managers to do
forbidden-ptc-only = only a PTC manager may do this
forbidden-not-the-maker = only whoever made this bulk decision may do this
forbidden-ptc-kind = only a PTC manager decides on this kind
forbidden-package-disabled = the install package is no longer in use
forbidden-package-expired = the install package could be used until { $at }
forbidden-package-replaced = a newer install package took the place of this one
conflict-manager-disabled = the manager is out of office
conflict-package-replaced = install package { $id } took the place of this one
conflict-decided = the state is “{ $state }” since { $at }, decided by { $by }
conflict-bulk-started = the bulk decision was started already
conflict-bulk-draft-over = the requests were shown too long ago; show them again
conflict-bulk-not-running = the bulk decision does not run
conflict-state = the state is “{ $state }”
superseded-csr = the request holds another CSR
superseded-request = request { $number } took the place of this one
thing-manager = A manager with the address { $email }
thing-organisation = The organisation { $code }

# The output of ptc-enrollment.
warning-line = Warning: { $warning }
table-empty = Nothing to list.
table-more = There is more: --after { $next }
yes = yes
no = no
manager-pkcs12 = For browsers and Windows: manager.p12 there; its password is in manager.p12.password.txt.
init-done =
    The service for the environment “{ $environment }” is installed in { $home }.
    Trust anchor, SHA-256: { $fingerprint }
    Key and certificate of { $manager } (PTC manager): { $out }
    { manager-pkcs12 }

    Next: ptc-enrollment --home { $home } org add --code CODE --name NAME --country XX
          ptc-enrollment --home { $home } serve
org-added = Organisation { $name } added.
package-created =
    Install package { $id } for { $organisation }: { $places }
    Trust anchor, SHA-256: { $fingerprint }
    Give the package over a safe way: it holds the enrollment secret, which is kept nowhere else.
package-disabled = Install package { $id } is no longer in use.
package-replaced = Install package { $id } can be used until { $until }.
manager-added =
    Manager { $id }, { $name }, added; certificate { $serial }.
    Key and certificate: { $out }
    { manager-pkcs12 }
manager-reissued =
    Manager { $id }, { $name }, has another certificate: { $serial }. The older ones stay good until they end.
    Key and certificate: { $out }
    { manager-pkcs12 }
manager-reissued-alone =
    Manager { $id }, { $name }, has another certificate: { $serial }. The older ones are revoked.
    Key and certificate: { $out }
    { manager-pkcs12 }
manager-language = { $name } is written to in the language “{ $language }”.
manager-disabled = { $name } is out of office; their certificates are revoked.
certificate-revoked = Certificate { $serial } ({ $subject }) is revoked; a new revocation list is published.
audit-intact =
    The audit record is intact: { $entries } entries.
    Hash of the last entry, to be noted down elsewhere: { $head }

# Titles of columns.
column-number = Number
column-organisation = Organisation
column-email = E-mail
column-code = Code
column-country = Country
column-name = Name
column-role = Role
column-store = Store
column-external = External
column-created = Created
column-expires = Usable until
column-disabled = Disabled
column-serial = Serial number
column-not-after = Valid until
column-revoked = Revoked
column-subject = Subject
column-key = Key
column-csr = CSR, SHA-256
column-approver = To be approved by
column-decided = Decided
column-decided-by = Decided by
column-reason = Reason
column-replaces = Replaces request
column-replaced-by = Replaced by request
column-telephone = Telephone
column-description = Description
column-host = Host name
column-mac = MAC address
column-nic = NIC id
column-processor = Processor id
column-system = Operating system
column-root-key = Root’s key
column-issuing-key-file = Issuing key, file
column-root-crl = Root’s list, valid until
column-issuing-revoked = Issuing CA revoked
column-issuing-key-token = Issuing key, token
column-extractable = The token gives it out
column-made-inside = Made in the token
column-this-update = Valid from
column-next-update = Valid until
column-written = Written to
column-time = Time
column-actor = Actor
column-action = Action
column-object = Object
column-detail = Detail

# demo

demo-client = Building the client that belongs to this service …
demo-no-client = The client { $path } is not there.
    .hint = Build it with “cargo build --bin ptc-enroll”, or put it beside this program.
demo-building = A PTC Enroll demo: service, CA, one organisation, its install package and both managers, in { $folder }
demo-ready = Everything runs. Paste these lines into another terminal, one after the other:
demo-stop = Ctrl-C here ends the demo and removes its folder (unless “--folder” chose it).
demo-stopping = The demo ends.
demo-step-submit = make a key and a request for this machine
demo-step-queue = see the queue as the registration manager, over mutual TLS
demo-step-pages = or do so in a browser; the password of the file is in { $password }
demo-step-approve = approve it
demo-step-fetch = install the certificate
demo-step-test = prove that it works
demo-step-subject = print its subject name
demo-step-audit = check the record of all decisions
demo-approve = [{ $manager }] approves request { $number } over mutual TLS: { $subject } ({ $key }, CSR SHA-256 { $sha256 })
demo-external = The administrator of { $host } made a key and a CSR there, and sent the CSR: { $file }
demo-done = Done: this machine is enrolled and tested, and the external server’s certificate is downloaded.
demo-failed = The demo failed: { $cause }
    .hint = Read what was printed above; run it again with “--folder DIR” to look at its files.
expected-no-reason = empty for an approval; to reject, press “Reject”
expected-csr-sha256 = with request { $number }, the SHA-256 of its CSR is expected as 64 hexadecimal digits in lower case
expected-each-once = each request once is expected; { $number } stands twice
expected-pending = only what is pending can be decided on
expected-pending-here = no pending request that you decide on matches
expected-selection = select at least one request
expected-at-most-rows = at most { $limit } at once
expected-one-of = one of: { $words }
expected-choice = choose one
expected-day = a day such as 2027-12-31

# Notices by e-mail; a title is the subject.
notice-pending =
    A request for a certificate waits for your decision.

    Request:       { $number }
    Organisation:  { $organisation }
    Kind:          { $kind }
    Common name:   { $common_name }
    Description:   { $description }
    Submitted:     { $submitted }

    Look at it and decide: { $url }

    PTC Enroll, environment “{ $environment }”
    .title = PTC Enroll ({ $environment }): request { $number } of { $organisation } waits for your decision
notice-approved =
    The registration authority has approved this request:

    Request:       { $number }
    Organisation:  { $organisation }
    Kind:          { $kind }
    Common name:   { $common_name }

    The certificate can be collected: run “ptc-enroll fetch” on the machine that submitted the request.

    PTC Enroll, environment “{ $environment }”
    .title = PTC Enroll ({ $environment }): request { $number } is approved
notice-rejected =
    The registration authority has rejected this request:

    Request:       { $number }
    Organisation:  { $organisation }
    Kind:          { $kind }
    Common name:   { $common_name }
    Reason:        { $reason }

    Correct what the reason says and submit again, or ask your registration manager.

    PTC Enroll, environment “{ $environment }”
    .title = PTC Enroll ({ $environment }): request { $number } is rejected
notice-revoked =
    The registration authority has revoked the certificate of this request:

    Request:       { $number }
    Organisation:  { $organisation }
    Kind:          { $kind }
    Common name:   { $common_name }
    Reason:        { $reason }

    The machine is not accepted any more. If it should be, ask your registration manager and submit again.

    PTC Enroll, environment “{ $environment }”
    .title = PTC Enroll ({ $environment }): the certificate of request { $number } is revoked
notice-reminder =
    { $count ->
        [one] A request has been waiting for your decision for days:
       *[other] { $count } requests have been waiting for your decision for days:
    }
    .title =
        PTC Enroll ({ $environment }): { $count ->
            [one] a request still waits
           *[other] { $count } requests still wait
        } for your decision
notice-reminder-line = { $number }, { $common_name } ({ $kind }, { $organisation }), since { $submitted }: { $url }
notice-reminder-more =
    { $count ->
        [one] and one more
       *[other] and { $count } more
    }
file-not-text = { $path } does not hold a secret as text in one line.
    .hint = Write the secret into the file as one line.
notice-secret-short = The secret in { $path } is shorter than 32 characters.
    .hint = Make a new one: openssl rand -hex 32
notice-mail-tls = TLS to the mail server cannot be set up: { $cause }
    .hint = Check mail.server in enrollment.toml and the system’s trusted certificates.

# Bulk decisions on the command line.
bulk-not-all = { $count ->
    [one] One request was not decided on.
   *[other] { $count } requests were not decided on.
}
    .hint = Read the result of each; what is wrong with one did not stop the others.
bulk-would = { $count ->
    [one] One request would be decided on, { $warned } with warnings. Nothing was.
   *[other] { $count } requests would be decided on, { $warned } with warnings. Nothing was.
}
bulk-done = Bulk decision { $id }: { $approved } approved, { $rejected } rejected, { $refused } not decided, { $stopped } stopped before their turn.
bulk-none-pending = Nothing to decide on: no pending request matches.
bulk-more = More are pending than one bulk decision takes: the same command goes on with them.
bulk-working = deciding
records-working = copying and comparing rows
column-outcome = Result
column-warnings = Warnings
ca-key-encrypted = { $path } is encrypted under the new passphrase.
ca-key-decrypted = { $path } is no longer encrypted.
ca-key-absent = not here
ca-key-plain = here, plain
ca-key-under-passphrase = here, encrypted
ca-keys-unchanged = The CA’s keys were so already.
ca-passphrase-next = Before the next start: ca_passphrase_file = "{ $path }" in enrollment.toml, or systemd’s credential ca-passphrase. Keep a copy of the passphrase apart from the backups: without it the CA is lost.
ca-passphrase-unused = Take ca_passphrase_file out of enrollment.toml, or the credential out of systemd’s unit: nothing needs the passphrase any more.

backup-none = There is no backup in { $path }.
    .hint = Give the folder that “ptc-enrollment backup --to” made: manifest.json lies in it.
backup-newer = A later version of this program ({ $program }) made the backup { $path }.
    .hint = Use that version.
backup-damaged = The file { $path } is missing in the backup, or is not as it was written.
    .hint = Nothing was made. Take another copy of the backup, or an older one.
transfer-differs = What was written into the table { $table } is not what was read.
    .hint = Nothing was changed. Check the memory and the disk, and give support the log.
transfer-settings-text = The setting of the database in { $path } cannot be changed by a program.
    .hint = Write each setting on a line of its own, without quotation marks around its name: environment = "…"
backup-done = The backup is in { $to }. Every file was read again and is as it was written.
backup-environment = Environment
backup-taken = Taken at
backup-requests = Requests
backup-certificates = Certificates
backup-records = Rows of all tables
backup-files = Files of the home
backup-audit = Audit entries
backup-head = Hash of the last one
backup-keys-absent = The CA’s keys are not in it.
backup-keys-encrypted = The CA’s keys are in it, encrypted. The passphrase is not: keep a copy of it apart.
backup-keys-plain = The CA’s keys are in it, not encrypted: whoever can read the backup can sign. Keep it as safe as them.
backup-token = The issuing key is in a token, not in the backup: { $key }. Keep a copy of the token, its PIN and what { $module } reads apart.
backup-left-out = Not in it, keep it apart: { $path }
restore-done = The installation is in { $home }, its database is { $database }. Every row was read again and compared.
restore-old =
    What happened after { $taken } is not in it:
    - Revocations since then must be made again, before the start.
    - Certificates issued since then are unknown: they are refused on the secure listener, and cannot be revoked here. Have those machines submit again.
    - Numbers of requests are given out a second time.
    The first start publishes a new revocation list, with a higher number than all before.
restore-missing = Missing, named by the settings: { $path }
restore-token-here = The issuing key is in a token, which is here: { $key }.
restore-token-away = The issuing key is in a token, not in the backup: { $key }. The service does not start without it: bring token, PIN and module here. { $cause }
restore-passphrase = The CA’s keys are encrypted: the service needs the passphrase, from ca_passphrase_file in enrollment.toml or as systemd’s credential ca-passphrase.
restore-next = Give the files to the service’s account before the start: chown -R ptc-enrollment: { $home }

move-on-server = The database is on a server already: { $path }.
    .hint = Nothing is to be moved; a move that was cut off as it ended is complete. From one server to another: “backup”, then “restore --database”.
move-elsewhere = The database was moved to { $path } already, and nothing is written into the file any more; enrollment.toml does not name it yet.
    .hint = Run the command again with the URL that you used for that server.
move-unnamed = The database is on the server now, and nothing is written into the file any more, but { $path } could not be changed: { $cause }
    .hint = Mend that and run the same command again; or write into { $path }, before the first table, each on a line of its own: { $lines }
move-would = { $rows } rows would be moved to { $to }, which is empty or was begun by an interrupted move. Nothing was moved.
move-done =
    { $rows } rows were moved to { $to }, each read again there and compared. enrollment.toml names it.
    For { $seconds } seconds nobody could write.
move-ended = An interrupted move is ended: the database is on { $to }, and enrollment.toml names it.
move-next = A running service goes over by itself within seconds; until then it answers writes with 503, and clients come again. { $file } stays as it was and is not opened any more: keep it until you have a backup of the server.
