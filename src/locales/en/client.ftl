# What ptc-enroll says.

header = Environment: { $environment }
    Service:     { $url }

line-error = Error: { $message }
line-detail = {"  "}- { $detail }
line-hint = Next:  { $hint }
line-request-id = Quote to support: { $id }

# Errors. The value says what happened and why, the hint what to do next.

error-unexpected = Something unexpected happened.
    .hint = Run the command again with “-vv” and give the output to support.
error-output = The output cannot be written: { $reason }.
    .hint = Check the disk or the program that reads the output; what was done is on record.
error-csr = The certificate signing request breaks rules, and was not sent.
    .hint = Make a new request that keeps every rule listed.
error-private-key = This is a private key, not a certificate signing request. It was not sent.
    .hint = Name the CSR that was made with this key; keep the key where it is used.
error-revoked = Not sent: the certificate of request { $number } was revoked, and this is its key.
    .hint = Make a new key and CSR. Where this key is good all the same, “--again” sends it once more.
error-no-certificate = No certificate of this environment is installed here.
    .hint = Run “ptc-enroll submit”, and after the approval “ptc-enroll fetch”.
error-clipboard = The clipboard does not take the text: { $reason }.
    .hint = Run the command without “--copy” and copy the line by hand; a clipboard needs a desktop session.

error-no-package = No install package was found in { $folder }.
    .hint = Unpack the package that your PTC manager gave you there, or name its folder with “--home”.
error-several-packages = Several environments are installed: { $environments }.
    .hint = Choose one with “--environment NAME”.
error-unknown-environment = The environment “{ $environment }” is not installed; these are: { $environments }.
    .hint = Check the name, or unpack the install package of that environment.
error-package-file = The install package’s file { $path } cannot be read: { $reason }.
    .hint = Check that the package was unpacked completely and that this account may read it.
error-package-manifest = The install package is not genuine: { $path }: { $reason }.
    .hint = Do not use it. Ask the PTC manager for a new package, and check the clock of this machine.
error-package-changed = The install package was changed: { $path } is not the file that was signed.
    .hint = Unpack the original package again; if it is the original, ask the PTC manager for a new one.
error-package-content = The install package cannot be used: { $path }: { $reason }.
    .hint = Update ptc-enroll, or ask the PTC manager for a new package.
error-package-foreign = The install package for “{ $environment }” is from another service than the one known here (trust anchor { $found }, known { $known }).
    .hint = Do not use it unless the PTC manager confirms the change; then remove { $pin } and try again.

error-answers = The answers file { $path } cannot be used: { $reason }
    .hint = Correct the line; docs/user-guide.md lists the fields.
error-file = { $path } cannot be read: { $reason }.
    .hint = Check the name and the rights.
error-not-a-file = { $path } is a folder, a device or a pipe, not a file.
    .hint = Name a file; nothing was sent.
error-no-requests = The folder { $folder } holds no certificate signing request (.csr, .req, .p10, .pem, .der).
    .hint = Name the folder that holds them, or the files.
error-no-match = No file fits { $pattern }.
    .hint = Check the pattern; “*” stands for any part of a name, “?” for one character, “**” for folders below.
error-report = The report { $path } cannot be written: { $reason }.
    .hint = Name a file in a folder that this account may write to. If the requests were sent, the same command again says how each stands.
error-report-not-a-file = The report { $path } would take the place of a folder, a link, a device or a pipe.
    .hint = Name another file, or the one that the link leads to; nothing was sent.
error-report-in-place = The report { $path } would take the place of a file that is read here, or of what ptc-enroll keeps.
    .hint = Name another file; nothing was sent.
error-manifest = The manifest { $path } has mistakes; nothing was sent.
    .hint = Correct the lines named; a first line such as “csr,host_name,email” names the columns.
error-missing-field = { $field } is needed and was not given.
    .hint = Give { $field }, set the variable { $variable }, or put it into a file for “--answers”.
error-invalid-field = { $field } “{ $value }” is not valid: expected is { $expected }.
    .hint = Correct the value; nothing was sent.
error-no-external-requests = This install package does not allow requests for external servers.
    .hint = Ask the PTC manager for a package that does.

error-not-known = No request { $number } is known here.
    .hint = “ptc-enroll status” lists the requests that are.
error-still-open = Something can still happen to request { $number }, so its record is needed.
    .hint = Run “ptc-enroll fetch” to bring it up to date.

manifest-line = line { $line }: { $mistake }
manifest-column = line { $line }, column { $column }: { $mistake }
manifest-column-unknown = this column is not known; beside csr there are { $known }
manifest-column-unnamed = column { $place } has no name; name it, or take the separator away
manifest-column-repeated = this column stands there more than once
manifest-no-csr-column = no column is named csr
manifest-no-csr = the CSR’s file is missing
manifest-not-a-file = “{ $value }” is a folder, a device or a pipe, not a file
manifest-csr-repeated = the same file stands on line { $first }
manifest-count = { $found } values for { $expected } columns
manifest-not-utf8 = this is not UTF-8; save the file as “CSV UTF-8”
manifest-quote-open = the quote that begins a value here is never closed; a quote within a value in quotes is written twice
manifest-quote-closed = text stands behind the closing quote of a value that begins on line { $opened }: a quote is missing, or one too many; within a value in quotes it is written twice
manifest-value = “{ $value }” is not valid: expected is { $expected }
manifest-empty = no server stands below the names of the columns

wanted-email = an e-mail address such as name@operator.example
wanted-host-name = a public host name or URL, such as api.operator.example, at most 64 characters
wanted-machine-name = at most 64 ASCII letters, digits, “-”, “_” and “.”
wanted-key = rsa-2048, rsa-3072, rsa-4096, ec-p256 or ec-p384
wanted-plain-text = plain text without control or invisible characters
wanted-text = text without control characters other than tabs and ends of lines
wanted-os-type = 64-bit or 32-bit
wanted-at-most = at most { $limit } characters
wanted-replaced = keep, archive or remove

error-no-adapter = This machine has no network adapter to name it by.
    .hint = Give it a name with “--common-name”.

error-key-generation = The key cannot be made: { $reason }.
    .hint = Try again; if it persists, choose another “--key”.
error-key-request = The certificate signing request cannot be made: { $reason }.
    .hint = Check the fields that go into the name.
error-key-random = The system gives no random numbers.
    .hint = Restart the machine; if it persists, ask its vendor.

error-journal-file = The records at { $path } cannot be written or read: { $reason }.
    .hint = Check the disk and the rights (on Windows, open the console with “Run as administrator”); the records are what a cut-off run goes on from.
error-journal-damaged = The record { $path } is damaged: { $reason }.
    .hint = Restore it from a backup, or move it away and submit again.
error-journal-busy = Another ptc-enroll is at work and holds { $path }.
    .hint = Wait until it has ended, then run the command again.

error-not-elevated = The machine’s store at { $path } needs administrator rights: { $reason }.
    .hint = Run the command with administrator rights (sudo; on Windows a PowerShell opened with “Run as administrator”), or install for this account alone with “--store user”.
error-store-file = The certificate store cannot be used: { $path }: { $reason }.
    .hint = Check the disk and the rights.
error-store-no-key = The private key { $path } is not there any more.
    .hint = Submit a new request with “ptc-enroll submit”.
error-store-exposed = Others can read the private key { $path }.
    .hint = Submit a new request, because this key may be known; then remove this one.
error-store-damaged = { $path } is not what was stored there.
    .hint = Restore it from a backup, or submit a new request with “ptc-enroll submit”.
error-store-key-kind = The certificate store of Windows takes RSA keys only here, not { $key }.
    .hint = Choose “--key rsa-2048”, rsa-3072 or rsa-4096.
error-unknown-account = The account “{ $account }” is not known on this machine.
    .hint = Check the name given to “--grant-read”, such as “NETWORK SERVICE” or “DOMAIN\account”.
error-no-readers = “--grant-read” works with the machine’s store of Windows only.
    .hint = Leave it out, or install for the machine with “--store machine”; where keys are files, their group or an ACL opens them.

error-certificate-unreadable = The service sent a certificate that cannot be read; it was not installed.
    .hint = Tell the PTC manager; run “ptc-enroll fetch” again later.
error-certificate-key = The certificate belongs to another key; it was not installed.
    .hint = Tell the PTC manager, and submit a new request.
error-certificate-name = The certificate names “{ $found }”, asked for was “{ $expected }”; it was not installed.
    .hint = Tell the PTC manager, and submit a new request.
error-certificate-chain = The certificate does not lead up to the package’s trust anchor, or is not valid now ({ $reason }); it was not installed.
    .hint = Check the clock of this machine, then tell the PTC manager.
error-certificate-file = The certificate cannot be written to { $path }: { $reason }.
    .hint = Check the disk and the rights, then run “ptc-enroll fetch” again.

error-unreachable = The service at { $url } cannot be reached: { $reason }.
    .hint = Check the network, the proxy and the firewall, then run the command again; nothing is lost.
error-timed-out = The service at { $url } did not answer in time.
    .hint = Check the network, then run the command again; nothing is lost.
error-not-the-service = Somebody else answers at { $url }: { $found }.
    .hint = A proxy or a login page of the network is probably in between. Sign in to the network or ask for an exception, then run the command again.
error-untrusted = The certificate of { $url } is not trusted: { $reason }.
    .hint = Somebody may be listening in, or the package is for another service. Ask the PTC manager before you go on.
error-untrusted-clock = The certificate of { $url } is not valid at the time of this machine’s clock, { $here }; its limit is { $limit }, { $difference } away.
    .hint = Set the clock of this machine. If it is right, tell the PTC manager.
error-client-certificate-refused = { $url } does not take the certificate of this machine: { $reason }.
    .hint = Run “ptc-enroll fetch” to see whether it was revoked; if so, submit a new request.

# Fields

field-common-name = Common name
field-organisation = Organisation
field-organisational-unit = Organisational unit
field-locality = Locality
field-region = State or region
field-country = Country
field-email = E-mail
field-telephone = Telephone
field-description = Description
field-key = Key
field-host-name = Host name
field-mac-address = MAC address
field-nic-id = NIC id
field-processor-id = Processor id
field-os = Operating system
field-store = Store
field-secure-url = Connected to
field-subject = Known as
field-kind = Kind
field-serial = Serial number
field-valid = Valid
field-clock = Clocks
field-location = Certificate

ask-email = E-mail address of the person in charge:
ask-locality = Locality of this machine:
ask-region = State or region (Enter for none):
ask-common-name = Public host name or URL of this server:
ask-description = Description for the approver (Enter for none):
ask-other = { $field }:

# Progress

making-key = Making a key …
another-run = Another ptc-enroll is at work; waiting for it to end …
waiting = Waiting for the approval …
checking = Checking …
sending = Sending …
fetching = Fetching …
testing = Connecting …

# Reports

submit-dry-run = Nothing was sent: this was a dry run.
submit-resumed = An earlier run was cut off; this one finished its request.
submit-pending = Request { $number } was submitted. It waits for the approval of the { $approver }.
submit-decided = Request { $number } was submitted. State: { $state }.
submit-replaces = It replaces request { $number }, which is cancelled.
submit-next = Next: run “ptc-enroll fetch”, or “ptc-enroll fetch --wait 10m” to wait for the approval.

fetch-nothing = No requests are known here. “ptc-enroll submit” makes one.
fetch-not-sent = { $name }: not sent yet.
fetch-pending = Request { $number } ({ $common_name }) waits for the approval of the { $approver }.
fetch-installed = Request { $number } ({ $common_name }): approved; the certificate is installed in { $location }.
fetch-downloaded = Request { $number } ({ $common_name }): approved; the certificate was written to { $location }.
fetch-rejected = Request { $number } ({ $common_name }) was rejected: { $reason }
fetch-cancelled = Request { $number } ({ $common_name }) was cancelled, because request { $newer } took its place.
fetch-revoked = Request { $number } ({ $common_name }): the certificate was revoked: { $reason }
fetch-state = Request { $number } ({ $common_name }): { $state }.
retiring-failed = The replaced certificate stays as it is
fetch-next-pending = Next: run “ptc-enroll fetch” again later, or “ptc-enroll fetch --wait 10m”.
fetch-next-installed = Next: run “ptc-enroll test”.

forget-done = The record of request { $number } is gone.

status-nothing = No requests are known here.
state-not-sent = Not sent yet

subject-copied = The name is on the clipboard.

test-until = until { $date } ({ $days ->
        [one] { $days } day
       *[other] { $days } days
    } left)
test-clock-equal = this machine and the service agree
test-clock-ahead = this machine is { $difference } ahead of the service
test-clock-behind = this machine is { $difference } behind the service
test-clock-warning = Warning: the clocks differ by { $difference }. Set the clock of this machine.
test-good = The certificate works: both sides authenticated each other.

external-checked = { $file }: good ({ $common_name }).
external-submitted = { $file }: submitted as request { $number } ({ $common_name }).
external-known = { $file }: already submitted as request { $number } ({ $common_name }).
external-replaced = { $file }: not sent: request { $newer } took the place of request { $number } ({ $common_name }).
external-replaced-since = Request { $newer } took its place.
external-failed = { $file }: { $message }
external-summary = { $good } good, { $failed } failed.
external-next = Next: run “ptc-enroll fetch” to download what was approved.
