# The managers’ pages.

nav-label = Pages
nav-skip = Skip to the content
nav-home = Back to the requests
nav-requests = Requests
nav-certificates = Certificates
nav-organisations = Organisations
nav-managers = Managers
nav-packages = Packages
nav-profiles = Profiles
nav-health = Service
nav-audit = Audit
who-all-organisations = all organisations
refused-request-id = Request id for support:

keys-title = Keyboard shortcuts
keys-move = next, previous row
keys-open = open the row
keys-select = select the row
keys-search = search
keys-approve = approve
keys-reject = go to the reason for a rejection
keys-next = next request or page
keys-up = back to the list
keys-help = this help
keys-on = Single-letter shortcuts
keys-close = Close

shown-moment = { $day } { $month } { $year }, { $time } UTC
shown-minutes = { $count } min
shown-hours = { $count } h
shown-days = { $count } d

queue-waiting = Waiting for you
queue-all = All
queue-states = Requests by state
queue-search = Search
queue-search-placeholder = name, host, e-mail, MAC, number
queue-kind = Kind
queue-any = any
queue-organisation = Organisation
queue-order = Order
order-oldest = oldest first
order-newest = newest first
order-organisation = by organisation
order-name = by common name
queue-apply = Apply
queue-reset = Reset
queue-select = Select request { $number }
queue-select-all = Select all on this page
queue-preview = Decide on the selected
queue-nothing = No requests here.
queue-nothing-yet = Nothing found so far.
queue-looked-until = Looked as far as request { $number }; the next page goes on there.
page-first = First page
page-next = Next page

head-number = Number
head-age = Age
head-common-name = Common name
head-kind = Kind
head-organisation = Organisation
head-state = State
head-description = Description
head-warnings = Warnings
head-field = Field
head-asked = Asked for
head-would-issue = Would be issued
head-issued = Issued
head-previous = Previous
head-said = Now
head-result = Result
head-serial = Serial number
head-request = Request
head-ends = Ends

item-subject = Subject
item-dns-names = Host names (SAN)
item-emails = E-mail addresses (SAN)
item-other-names = Other names (SAN)
item-key = Key
item-key-sha256 = Key, SHA-256
item-key-usage = Key usage
item-extended-key-usage = Extended key usage
item-validity = Validity
item-email = E-mail
item-telephone = Telephone
item-approver = Approved by
item-code = Code
item-name = Name
item-country = Country
item-role = Role
item-store = Store

field-alternative-names = Alternative names (SAN)
field-signature = Signature
field-unit = Organisational unit

machine-host-name = Host name
machine-mac-address = MAC address
machine-nic-id = NIC id
machine-processor-id = Processor id
machine-os-version = Operating system
machine-os-type = System type

request-title = Request { $number }
request-back = Back to the list
request-next = Next: request { $number }
request-decided = Decided
request-replaces = Takes the place of request
request-replaced-by = A newer request took its place:
request-certificate = Certificate
request-watchers = Also open at:
request-decision = Decision
request-approve = Approve
request-reject = Reject
request-reason = Reason for a rejection (the client sees it)
request-warnings = Look at this
request-contact = Contact
request-compare = What is asked for, and what would be issued
request-csr-sha256 = An approval binds to this CSR, SHA-256:
request-machine = What the machine says of itself
request-history = History
compare-changed = not as asked
compare-differs = was different
compare-first = This machine has had no certificate before.

preview-title = Decide on the selected requests
preview-not-pending = Not pending any more:
preview-approve = Approve all selected
preview-reject = Reject all selected
results-title = Results

certificates-views = Certificates by state
certificates-all = All, newest first
certificates-ending = Next to end
certificates-revoked = Revoked
certificates-search-placeholder = serial number, name, request number
certificates-nothing = No certificates here.
certificates-nothing-found = No certificate answers to this search. Of a serial number, it takes the first 12 digits or more.
certificate-title = Certificate
certificate-back = Back to the certificates
certificate-download-pem = Download with chain (PEM)
certificate-download-der = Download (DER)
certificate-revoke = Revoke
certificate-revoke-final = A revocation is final. The revocation list is published in the same step.
certificate-code = Reason code (RFC 5280)
certificate-reason = In words (the client sees it)
standing-good = in use
standing-revoked = revoked
standing-ended = over
standing-unsigned = not signed yet

organisation-add = Add an organisation
organisation-code-help = 2 to 16 capital letters and digits: J1CFRA
organisation-country-help = two capital letters (ISO 3166-1): FR
organisation-requests = Requests of { $code }
person-in-office = in office
person-disabled = out of office
person-disable = Take out of office
person-disable-help = Taking managers out of office revokes their certificates; it counts from their next click on.
packages-title = Install packages
package-create = Make an install package
package-create-help = The package is downloaded once. Its enrollment secret is in it and nowhere else, and is not shown again.
package-external = Requests for external servers may be submitted with it
package-external-short = External servers
package-locality = Locality (default of the clients)
package-region = Region (default of the clients)
package-email = E-mail (default of the clients)
package-given = Install packages given out
package-made = Made
package-in-use = in use
package-ended = ended
package-end = End its use
profile-help = What each kind of certificate holds. Profiles are part of the program and cannot be changed here.
profile-manager = Manager
profile-service = The service’s listeners
profile-package-signer = Signer of install packages
profile-ocsp-responder = OCSP responder
profile-as-issuer = as long as its issuer
health-environment = Environment
health-version = Version
health-clock = Clock
health-requests = Requests
health-pending = Pending
health-oldest = The oldest pending one waits
health-crl-number = Revocation list, number
health-crl-made = Revocation list valid from
health-crl-next = Next one at the latest
health-issuing-key = Issuing key
health-issuer-ends = Issuing certificate ends
health-root-ends = Root certificate ends
health-listeners-end = Listeners’ certificate ends
health-database = Database
health-disk = Free disk space
health-no-crl = There is no revocation list.
record-intact = The chain of { $entries } entries is intact. Note its head down elsewhere:
record-broken = The chain is broken: entry { $sequence } was changed, or entries before it were removed or inserted.
record-object = Object
record-action = Action
record-actor = Actor
record-sequence = Entry
record-time = Time
record-detail = Detail
record-verify = Verify the chain
record-export-csv = Export as CSV
record-export-json = Export as JSON lines
record-nothing = No entries here.

action-request-submit = Submitted
action-request-outcome = Reported by the client
action-request-read = Read
action-request-approve = Approved
action-request-reject = Rejected
action-request-cancel = Cancelled
action-request-expire = Expired
action-request-list = Requests listed
action-certificate-issue = Certificate signed
action-certificate-revoke = Certificate revoked
action-certificate-read = Certificate read
action-certificate-list = Certificates listed
action-crl-publish = Revocation list published
action-organisation-add = Organisation added
action-manager-add = Manager added
action-manager-disable = Manager out of office
action-package-create = Install package made
action-package-disable = Install package ended
action-service-install = Installation made
action-service-restore = Restored from a backup
action-service-move-database = Database moved to a server
action-service-protect-keys = Encryption of the CA’s keys changed

shown-month = { $month ->
    [1] Jan
    [2] Feb
    [3] Mar
    [4] Apr
    [5] May
    [6] Jun
    [7] Jul
    [8] Aug
    [9] Sep
    [10] Oct
    [11] Nov
   *[12] Dec
}
preview-count = { $count ->
    [one] { $shown } request can be decided on.
   *[other] { $shown } requests can be decided on.
}
results-approved = { $count ->
    [one] { $shown } request approved.
   *[other] { $shown } requests approved.
}
results-rejected = { $count ->
    [one] { $shown } request rejected.
   *[other] { $shown } requests rejected.
}
results-refused = { $count ->
    [one] { $shown } not decided.
   *[other] { $shown } not decided.
}
profile-years = { $count ->
    [one] { $shown } year
   *[other] { $shown } years
}
profile-days = { $count ->
    [one] { $shown } day
   *[other] { $shown } days
}

issued-title = Key and certificate of the manager
issued-back = Back to the managers
issued-once = Save the file and note the password now. Neither is kept here, and neither is shown again.
issued-file = File (PKCS #12)
issued-password = Password
issued-next = Hand over file and password by different ways. The manager imports the file into the browser or into Windows, and opens these pages.
person-change = Change
person-reissue = Issue a new certificate
person-revoke-older = Revoke the older ones at once
person-add = Add a manager
person-add-help = The key is made here and handed over once, as a PKCS #12 file with its password. A manager who makes the key elsewhere is added with “ptc-enrollment manager add” or through the API.
person-organisation = Organisation (of a registration manager)
package-back = Back to the install packages
package-preview = Preview the install package
package-preview-help = So far nothing is made. With these settings come the trust anchor, a fresh enrollment secret and a signed manifest.
package-make = Make and download
package-expires = Last day of use (UTC), if any
package-until = until
package-grace = Days that the old secret stays good
package-rotate = Rotate: a fresh secret
action-manager-reissue = Manager’s certificate issued anew
action-package-rotate = Install package rotated
health-notices-waiting = Notices waiting to be sent
health-notices-failed = Notices given up
health-notices-oldest = The oldest one waits since
action-manager-language = Manager’s language chosen
action-request-follow = Status asked for
action-test = Connection tested
action-organisation-list = Organisations listed
action-manager-list = Managers listed
action-package-list = Install packages listed
action-audit-read = Audit record read
action-service-read = State of the service read

queue-bulk = Decide on all that match
bulk-list-title = Bulk decisions
bulk-nothing = No bulk decisions here.
bulk-title = Bulk decision { $number }
bulk-draft-title = Decide on all that match
bulk-draft-full = More are not possible at once ({ $limit }); what else matches waits for the next time.
bulk-draft-shares = Requests by organisation and kind
bulk-draft-warned = With warnings
bulk-draft-binds = A decision binds to these requests exactly as they are now. Start it before { $until }; then this list is gone.
bulk-draft-leave-out = { $count ->
    [one] Leave out the { $shown } request with warnings
   *[other] Leave out the { $shown } requests with warnings
}
bulk-approve = Approve all
bulk-reject = Reject all
bulk-verdict = Decision
bulk-verdict-approve = Approve
bulk-verdict-reject = Reject
bulk-made-by = By
bulk-started = Started
bulk-ended = Ended
bulk-ended-because = Ended before its end:
bulk-progress-label = Progress
bulk-progress = { $done } of { $requests }, { $rate } a second
bulk-state-draft = not started
bulk-state-running = running
bulk-state-finished = finished
bulk-state-stopped = stopped
bulk-stop = Stop
bulk-stop-help = What is decided stays decided.
bulk-refresh = Refresh
bulk-csv = Results as CSV
outcome-waiting = Waiting
outcome-refused = Not decided
outcome-stopped = Stopped before its turn
action-bulk-create = Bulk decision shown
action-bulk-list = Bulk decisions listed
action-bulk-read = Bulk decision read
action-bulk-start = Bulk decision started
action-bulk-stop = Bulk decision stopped
action-bulk-finish = Bulk decision finished
