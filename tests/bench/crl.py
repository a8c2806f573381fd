"""Times a revocation list of very many entries, beside OpenSSL's of the same."""

import random
import shutil
import sqlite3
import time

from pages import DER_BYTES, TBS_BYTES
from peers import Cfssl, cfssl_is_here

RUNS = 11
# Those that OpenSSL's index knows too.
CODES = ["unspecified", "keyCompromise", "affiliationChanged", "superseded", "cessationOfOperation"]

OPENSSL_CONFIG = """[ca]
default_ca = issuing
[issuing]
database = {folder}/index.txt
crlnumber = {folder}/crlnumber
serial = {folder}/serial
new_certs_dir = {folder}/certificates
default_days = 365
policy = any
certificate = {ca}/issuing.crt.pem
private_key = {ca}/issuing.key.pem
default_md = sha256
default_crl_days = 7
crl_extensions = extensions
[any]
commonName = supplied
[extensions]
authorityKeyIdentifier = keyid
"""


def time_crl(site, table, count):
    """Fills an installation with revoked certificates, and adds both lists' times and the list's size to the table."""
    revoked = fill(site.home / "enrollment.db", count)
    peer = openssl_ca(site, revoked)
    refresh = site.administer + ["crl", "refresh", "--out", site.folder / "list.crl"]
    runs = [(site.run(refresh), site.run(peer)) for _ in range(RUNS)]
    (ours, peers) = zip(*runs)
    text = site.folder / "list.txt"
    site.run(["openssl", "crl", "-inform", "DER", "-in", site.folder / "list.crl", "-noout", "-text", "-out", text])
    listed = sum(line.startswith("    Serial Number") for line in text.read_text().splitlines())
    assert listed == count, f"{listed} entries"
    table.ratio(f"crl refresh ÷ openssl ca -gencrl, {count:,} entries", ours, peers, 0.2)
    table.time(f"  crl refresh, {count:,} entries", ours, None)
    table.time(f"  openssl ca -gencrl, {count:,} entries", peers, None)
    if cfssl_is_here():
        peer = Cfssl(site.folder).crl_command([serial for (serial, *_) in revoked])
        cfssl = [site.run(peer) for _ in range(RUNS)]
        table.time(f"  cfssl gencrl, {count:,} entries", cfssl, None)
        table.ratio(f"crl refresh ÷ cfssl gencrl, {count:,} entries", ours, cfssl, 1)
    table.add("  size of the list", f"{(site.folder / 'list.crl').stat().st_size / 1e6:.1f} MB", None, "")


def fill(database, count):
    """Writes revoked certificates as the service would; returns serial number, time and code of each."""
    chance = random.Random(count)
    now = int(time.time())
    revoked = [(f"{0x4 << 124 | chance.getrandbits(124):032x}", now - chance.randrange(1, 86_400 * 300), chance.choice(CODES))
               for _ in range(count)]
    connection = sqlite3.connect(database, isolation_level=None)
    connection.executescript("PRAGMA synchronous = OFF; PRAGMA cache_size = -400000; BEGIN;")
    connection.executemany(
        "INSERT INTO certificates (serial, holder, subject, search, tbs, der, not_before, not_after, revoked_at,"
        " revoked_by, revocation_code, revocation_reason, revocation)"
        " VALUES (?, 'service', ?, ?, ?, ?, ?, ?, ?, 'bench', ?, '', ?)",
        ((serial, f"CN={serial}", f"cn={serial}", chance.randbytes(TBS_BYTES), chance.randbytes(DER_BYTES), at - 60,
          now + 86_400 * 700, at, code, number + 1)
         for (number, (serial, at, code)) in enumerate(revoked)))
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return revoked


def openssl_ca(site, revoked):
    """An installation of `openssl ca` with the same key and entries; the command that makes its list."""
    folder = site.folder / "openssl-ca"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    stamp = lambda seconds: time.strftime("%y%m%d%H%M%SZ", time.gmtime(seconds))
    reason = lambda code: "" if code == "unspecified" else f",{code}"
    end = stamp(time.time() + 86_400 * 700)
    (folder / "index.txt").write_text("".join(
        f"R\t{end}\t{stamp(at)}{reason(code)}\t{serial.upper()}\tunknown\t/CN={serial}\n"
        for (serial, at, code) in revoked))
    (folder / "crlnumber").write_text("01\n")
    (folder / "config").write_text(OPENSSL_CONFIG.format(folder=folder, ca=site.home / "ca"))
    return ["openssl", "ca", "-config", folder / "config", "-gencrl", "-out", folder / "list.pem"]
