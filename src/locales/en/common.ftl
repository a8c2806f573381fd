# Words and rules that both programs use.

state-pending = Pending
state-approved = Approved
state-rejected = Rejected
state-cancelled = Cancelled
state-expired = Expired
state-installed = Installed
state-downloaded = Downloaded
state-revoked = Revoked

kind-workstation = Workstation
kind-server = Server
kind-external-server = External server
kind-mobile = Mobile

role-registration-manager = registration manager
role-ptc-manager = PTC manager

store-machine = machine
store-user = user

revocation-unspecified = Unspecified
revocation-key-compromise = Key compromise
revocation-affiliation-changed = Affiliation changed
revocation-superseded = Superseded
revocation-cessation-of-operation = Cessation of operation
revocation-privilege-withdrawn = Privilege withdrawn

finding-plain = { $field }: { $rule }
finding-found = { $field }: { $rule } (found: { $found })
finding-expected = { $field }: { $rule } (expected: { $expected })
finding-found-expected = { $field }: { $rule } (found: { $found }; expected: { $expected })

rule-not-a-csr = this is not a certificate signing request
rule-private-key = this is a private key; it must never leave its machine, and was not sent
rule-truncated = the end is missing
rule-trailing-bytes = bytes follow the end of the request
rule-not-der = the encoding is not DER
rule-too-large = larger than any real request
rule-signature = the signature does not fit the key
rule-signature-algorithm = the signature's algorithm is not accepted
rule-key-type = the key's type or size is not accepted
rule-weak-key = the key is weak
rule-subject-mismatch = the value is not that of the install package
rule-subject-missing = the value is missing
rule-subject-repeated = the value appears more than once
rule-subject-unexpected = this attribute has no place in the subject
rule-too-long = the value is too long
rule-bad-text = the value holds characters that are not allowed
rule-not-a-host-name = a public host name is needed
rule-not-a-machine-name = only ASCII letters, digits, “-”, “_” and “.” are allowed, at most 64
rule-san-unexpected = this kind of alternative name has no place here
rule-not-an-email = this is not an e-mail address
rule-key-usage = the key usage is not the expected one
rule-extended-key-usage = the extended key usage is not the expected one
rule-ca-rights = the rights of a certification authority are asked for
rule-bad-extension = the extension is empty, repeated or unreadable
rule-unknown-critical = a critical extension that is not known here
rule-mixed-script = the name mixes scripts whose letters look alike
rule-duplicate-key = the same key is used by another request
rule-duplicate-mac = the same MAC address is named by another request
rule-duplicate-host = the same host name is given by another machine
rule-duplicate-name = the same common name is asked for by another organisation

column-common-name = Common name
column-kind = Kind
column-request = Request
column-state = State
column-submitted = Submitted (UTC)
