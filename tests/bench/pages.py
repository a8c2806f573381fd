"""Times the managers' pages over an installation with very many requests."""

import base64
import hashlib
import http.client
import json
import os
import random
import resource
import sqlite3
import ssl
import statistics
import time
from pathlib import Path

ORGANISATIONS = 200
# Of each hundred requests; the queue of a busy centre.
STATES = ["pending"] * 3 + ["installed"] * 70 + ["downloaded"] * 10 + ["rejected"] * 7 + ["cancelled"] * 5 + \
         ["expired"] * 3 + ["revoked"] * 2
KINDS = ["workstation"] * 7 + ["server"] * 2 + ["external-server"]
ISSUED = ("installed", "downloaded", "revoked")
# As a certificate of a workstation with an RSA key has them, signed by an EC key.
TBS_BYTES = 900
DER_BYTES = 990
WORDS = ["guichet", "accueil", "tri", "colis", "serveur", "remplacement", "disque", "bureau", "agence", "portable"]
VISITS = 300


def time_pages(site, table, requests):
    """Fills the installation, visits every page in turns, and adds latencies, bytes and memory to the table."""
    site.run(site.administer + ["manager", "add", "--name", "Jean Dupont", "--email", "jean@poste.example", "--role",
                                "registration-manager", "--organisation", "J1CFRA", "--out", site.folder / "jean"])
    seconds = fill(site.home / "enrollment.db", requests)
    table.add(f"filling in {requests:,} requests", f"{requests / seconds:,.0f}/s", None, "")
    with site.serving() as service:
        seconds = wait_for_index(site.home / "enrollment.db")
        table.add(f"indexing {requests:,} requests", f"{requests / seconds:,.0f}/s", None, "")
        (ptc, manager) = (Browser(site, name) for name in ("ada", "jean"))
        middle = requests // 2
        pages = [
            ("queue, PTC manager", ptc, "/requests"),
            ("queue, registration manager", manager, "/requests"),
            ("all, from the middle on", ptc, f"/requests?state=all&after={middle}"),
            ("all, newest first", ptc, "/requests?state=all&order=newest"),
            ("pending, by name", ptc, "/requests?state=pending&order=name"),
            ("pending, by organisation", ptc, "/requests?state=pending&order=organisation"),
            ("one organisation and kind", ptc, "/requests?state=pending&organisation=O100&kind=server"),
            ("rare kind", ptc, "/requests?state=all&kind=mobile"),
            ("search, everywhere", ptc, "/requests?state=all&search=poste"),
            ("search, one machine", ptc, f"/requests?state=all&search=pc-{middle:07}"),
            ("search, one host name", ptc, f"/requests?state=all&search=pc-{middle:07}.poste.example"),
            ("search, an e-mail address, newest first", ptc, "/requests?state=all&order=newest&search=admin500@poste.example"),
            ("search, nothing", ptc, "/requests?state=all&search=nirgendwo"),
            ("search, two words, pending", ptc, "/requests?state=pending&search=guichet+colis"),
            ("search, own organisation", manager, "/requests?state=all&search=accueil"),
            ("search by number", ptc, f"/requests?state=all&search={middle}"),
            ("request", ptc, f"/requests/{middle}"),
            ("certificates", ptc, "/certificates"),
            ("certificates, search", ptc, f"/certificates?search={middle:08X}"),
            ("audit", ptc, "/audit"),
        ]
        for (_, browser, path) in pages:
            browser.visit(path)
        times = {name: [] for (name, _, _) in pages}
        sizes = {}
        for _ in range(VISITS):
            # In turns and in any order, as people come.
            for (name, browser, path) in random.sample(pages, len(pages)):
                begin = time.perf_counter()
                sizes[name] = browser.visit(path)
                times[name].append(time.perf_counter() - begin)
        for name in times:
            ordered = sorted(times[name])
            (median, late) = (statistics.median(ordered) * 1e3, ordered[int(len(ordered) * 0.99)] * 1e3)
            table.add(f"{name}, {requests:,} requests", f"{median:.1f} / {late:.1f} ms", median < 15 and late < 50,
                      "< 15 / 50 ms")
        table.add("largest page", f"{max(sizes.values()) / 1e3:.1f} KB", max(sizes.values()) < 60_000, "< 60 KB")
        growth = max(weigh(service.pid, browser, path) for (_, browser, path) in pages)
        table.add("memory that one page takes, at most", f"{growth} KB", growth <= 100, "≤ 100 KB")


def fill(database, count):
    """Writes requests as the service would, and returns the seconds that it took."""
    connection = sqlite3.connect(database, isolation_level=None)
    # What is interrupted here is thrown away.
    connection.executescript("PRAGMA synchronous = OFF; PRAGMA cache_size = -400000; BEGIN;")
    for number in range(ORGANISATIONS - 1):
        connection.execute("INSERT INTO organisations (code, name, country, created_at) VALUES (?, ?, 'XX', 0)",
                           (f"O{number:03}", f"POSTE {number}"))
    codes = [row[0] for row in connection.execute("SELECT code FROM organisations")]
    package = connection.execute("SELECT id FROM packages").fetchone()[0]
    begin = time.perf_counter()
    connection.executemany(
        "INSERT INTO requests (organisation, package, kind, common_name, identity, state, csr, csr_sha256, key_sha256,"
        " token_sha256, body_sha256, machine, contact, mac_address, search, submitted_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '', ?, ?, ?, ?, ?)",
        (request(number, codes, package) for number in range(count)))
    now = int(time.time())
    connection.executemany(
        "INSERT INTO certificates (serial, holder, request, organisation, kind, subject, search, tbs, der, not_before,"
        " not_after, revoked_at, revoked_by, revocation_code, revocation_reason, revocation)"
        " VALUES (?, 'request', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (certificate(number, *row, now)
         for (number, *row) in connection.execute(
             f"SELECT number, organisation, kind, common_name, state FROM requests WHERE state IN {ISSUED} ORDER BY number")))
    connection.execute("COMMIT")
    seconds = time.perf_counter() - begin
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return seconds


def certificate(number, organisation, kind, name, state, now):
    chance = random.Random(-number)
    serial = f"{0x4 << 124 | chance.getrandbits(124):032x}"
    subject = f"CN={name}, O={organisation}"
    begin = now - chance.randrange(1, 86_400 * 300)
    revoked = (begin + 1, "bench", "superseded", "", number) if state == "revoked" else (None, None, None, None, None)
    return (serial, number, organisation, kind, subject, subject.lower(), chance.randbytes(TBS_BYTES),
            chance.randbytes(DER_BYTES), begin, begin + 86_400 * 730, *revoked)


def token(number):
    """The token of a request of these."""
    return base64.urlsafe_b64encode(number.to_bytes(32, "big")).rstrip(b"=").decode()


def wait_for_index(database):
    """Waits until the service has written its index behind the requests, and returns the seconds that it took."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    begin = time.perf_counter()
    # The last ones wait until they fill a block, and are looked at one by one.
    while connection.execute("SELECT max(number) / 128 * 128 - (SELECT parts_indexed FROM request_index) FROM requests"
                             ).fetchone()[0]:
        time.sleep(0.1)
    return time.perf_counter() - begin


def request(number, codes, package):
    chance = random.Random(number)
    mac = f"{chance.getrandbits(48):012X}"
    name = f"{mac}-{chance.getrandbits(64):016X}-{number:08X}"
    host = f"pc-{number:07}.poste.example"
    description = " ".join(chance.choices(WORDS, k=4))
    contact = {"email": f"admin{number % 1000}@poste.example", "description": description}
    search = "\n".join([name, contact["email"], "", description, host, mac]).lower()
    digest = f"{number:064x}"
    machine = json.dumps({"host_name": host, "mac_address": mac, "nic_id": "", "processor_id": "", "os_version": "",
                          "os_type": "64-bit"})
    return (codes[chance.randrange(len(codes))], package, chance.choice(KINDS), name, name.lower(),
            chance.choice(STATES), chance.randbytes(1_000), digest, digest,
            hashlib.sha256(token(number).encode()).hexdigest(), machine, json.dumps(contact), mac,
            search, int(time.time()) - 86_400 + number * 86_000 // 1_000_000)


class Browser:
    """Somebody with a certificate and one connection, as browsers keep it."""

    def __init__(self, site, name):
        context = ssl.create_default_context(cafile=site.folder / name / "trust-anchor.pem")
        context.load_cert_chain(site.folder / name / "manager.crt.pem", site.folder / name / "manager.key.pem")
        self.connection = http.client.HTTPSConnection("127.0.0.1", site.secure, context=context)

    def visit(self, path):
        """The bytes of a page."""
        self.connection.request("GET", path)
        answer = self.connection.getresponse()
        body = answer.read()
        assert answer.status == 200, f"{path}: {answer.status} {body.decode()}"
        return len(body)

    def call(self, method, path, body=None):
        """The object that the API answers with."""
        self.connection.request(method, path, body and json.dumps(body), {"Content-Type": "application/json"})
        answer = json.load(self.connection.getresponse())
        assert "title" not in answer, answer
        return answer


def weigh(process, browser, path):
    """How much memory the process touches that it did not have before while one page is made, in KB.

    What it has is only near the truth in /proc: since Linux 6.2 each processor counts for itself. What it had to ask for is
    counted exactly. In the middle of several visits, since what goes on beside them, the index, takes memory, too.
    """
    asked = lambda: int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[7])
    weights = []
    for _ in range(5):
        before = asked()
        browser.visit(path)
        weights.append((asked() - before) * resource.getpagesize() // 1024)
    return statistics.median(weights)
