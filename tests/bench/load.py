"""Times the service under load: many connections that ask as fast as they are answered."""

import base64
import hashlib
import http.client
import json
import os
import ssl
import subprocess
import textwrap
from pathlib import Path

from peers import Cfssl, cfssl_is_here

HERE = Path(__file__).resolve().parent
CONNECTIONS = 128
SECONDS = 10
# What is compared with a peer is measured in turns with it.
TURNS = 3
TURN_SECONDS = 5
# How many submissions go into one message, and over how many connections: more would find 10,000 waiting, and come again.
BATCH = 250
BATCH_CONNECTIONS = 32


def without_limits(site):
    """What one organisation may submit a minute is there to hold back a load like this one."""
    with (site.home / "enrollment.toml").open("a") as settings:
        settings.write("[limits]\nsubmissions_per_minute = 0\n")


def time_accepting(site, table):
    """Submissions of RSA-2048 requests that wait for a manager, one by one and in batches."""
    without_limits(site)
    with site.serving():
        load(site, table, "accepting RSA-2048, one by one", "rsa-2048", 200_000, 1, "/requests", 4_000)
        load(site, table, f"accepting RSA-2048, in batches of {BATCH}", "rsa-2048", 300_000, BATCH, "/requests/batch", 10_000)


def time_enrolling(site, table, server=None):
    """Submissions that are approved by policy, issued and answered with their certificate; and cfssl signing the same."""
    without_limits(site)
    (place, count) = ("PostgreSQL" if server else "SQLite", 40_000)
    turns = []
    for turn in range(TURNS):
        with site.serving("--auto-approve") as service:
            before = Cost(site, service)
            (file, ours) = send(site, "ec-p256", f"{place}-{turn}", count, 1, "/requests", TURN_SECONDS)
            cost = Cost(site, service).since(before)
        peers = None
        if cfssl_is_here():
            asked = site.folder / "peer-submissions"
            with file.open() as submissions, asked.open("w") as lines:
                for submission in submissions:
                    lines.write(json.dumps({"certificate_request": pem(json.loads(submission)["csr"])}) + "\n")
            with Cfssl(site.folder).signing(site.public, server) as url:
                peers = wrk(url, "load.lua", asked, "none", "2", seconds=TURN_SECONDS)
        turns.append((ours, peers, cost))
    (ours, peers, cost) = middle(turns)
    # What went wrong in any turn counts.
    wrong = {what: sum(turn[0][what] for turn in turns) for what in ("refused", "broken")}
    report(table, f"enrolling P-256, approved by policy, {place}", ours | wrong, count, 1, 2_304 if server else 4_500)
    for (what, used) in cost.items():
        table.add(f"  {what}, 1,000 enrollments", f"{used / (ours['requests'] / 1000):.2f}", None, "")
    if peers:
        table.add(f"  cfssl, {place}, plain HTTP, no approval", f"{rate(peers):,.0f}/s", None, "")
        table.first(f"enrolling P-256 ÷ cfssl signing, {place}", rate(ours) / rate(peers), 4)


def time_answering(site, table):
    """OCSP by POST for one certificate over plain HTTP, beside cfssl's responder."""
    with (site.home / "enrollment.toml").open("a") as settings:
        settings.write(f'http_url = "http://127.0.0.1:{site.plain}"\nhttp_listen = "127.0.0.1:{site.plain}"\n')
    request = site.folder / "request"
    turns = []
    for _ in range(TURNS):
        with site.serving():
            issuer = site.home / "ca" / "issuing.crt.pem"
            site.run(["openssl", "ocsp", "-issuer", issuer, "-cert", site.home / "tls" / "service.crt.pem", "-no_nonce",
                      "-reqout", request])
            ours = answers(f"http://127.0.0.1:{site.plain}/api/v1/ca/ocsp", request)
        peers = None
        if cfssl_is_here():
            with Cfssl(site.folder).answering(site.plain) as (url, peers_request):
                peers = answers(url, peers_request)
        turns.append((ours, peers))
    (ours, peers) = middle(turns)
    table.add("OCSP, POST", f"{rate(ours):,.0f}/s", None, "")
    if peers:
        table.add("  cfssl ocspserve, POST", f"{rate(peers):,.0f}/s", None, "")
        table.first("OCSP ÷ cfssl ocspserve", rate(ours) / rate(peers), 2)


def middle(turns):
    """The turn, ours and the peer's first, whose ratio is the median: a machine that is slow for a while decides nothing."""
    return sorted(turns, key=lambda turn: rate(turn[0]) / (rate(turn[1]) if turn[1] else 1))[len(turns) // 2]


def rate(result):
    """Answers a second."""
    return result["requests"] / result["microseconds"] * 1e6


def answers(url, request):
    result = wrk(url, "ocsp.lua", environment={"OCSP_REQUEST": str(request)}, seconds=TURN_SECONDS)
    assert not result["refused"] and not result["broken"], result
    return result


def pem(csr):
    lines = "\n".join(textwrap.wrap(csr, 64))
    return f"-----BEGIN CERTIFICATE REQUEST-----\n{lines}\n-----END CERTIFICATE REQUEST-----\n"


def load(site, table, figure, algorithm, count, batch, path, target):
    """Adds the rate at which submissions are answered to the table."""
    (_, result) = send(site, algorithm, f"{figure[:3]}-{batch}", count, batch, path)
    report(table, figure, result, count, batch, target)


def report(table, figure, result, count, batch, target):
    """Adds a rate of submissions, of which there were so many, and how long they took, to the table."""
    submissions = rate(result) * batch
    good = submissions >= target and not result["refused"] and not result["broken"]
    table.add(figure, f"{submissions:,.0f}/s", good, f"≥ {target:,}/s")
    table.add("  median / 99th percentile", f"{result['p50'] / 1e3:.1f} / {result['p99'] / 1e3:.1f} ms", None, "")
    if (result["requests"] + connections(batch)) * batch > count:
        # wrk waits for the end of its time all the same.
        table.add("  none was left before the end: more than this", "", None, "")
    if result["refused"] or result["broken"]:
        table.add("  refused / broken", f"{result['refused']} / {result['broken']}", False, "0 / 0")


def submit_all(site, algorithm, count):
    """Has so many requests wait for a manager; gives the number and the CSR's SHA-256 of each."""
    file = site.folder / "waiting"
    write_submissions("workstation", algorithm, "waiting", count, BATCH, file)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {secret(site)}"}
    context = ssl.create_default_context(cafile=next(site.client.glob("config/*/trust-anchor.pem")))
    connection = http.client.HTTPSConnection("127.0.0.1", site.public, context=context)
    waiting = []
    with file.open("rb") as batches:
        for batch in batches:
            connection.request("POST", "/api/v1/requests/batch", batch, headers)
            results = json.load(connection.getresponse())["results"]
            for (submission, result) in zip(json.loads(batch)["submissions"], results, strict=True):
                waiting.append((result["request"]["number"], hashlib.sha256(base64.b64decode(submission["csr"])).hexdigest()))
    return waiting


def secret(site):
    """The enrollment secret of the site's package."""
    return next(site.client.glob("config/*/enrollment-secret")).read_text().strip()


def send(site, algorithm, prefix, count, batch, path, seconds=SECONDS):
    """Sends submissions that were made before, for some seconds or until none is left; gives their file and the result."""
    file = site.folder / f"submissions-{prefix}"
    write_submissions("workstation", algorithm, prefix, count, batch, file)
    return (file, wrk(f"https://127.0.0.1:{site.public}/api/v1{path}", "load.lua", file, secret(site), "2", seconds=seconds,
                      over=connections(batch)))


def connections(batch):
    return CONNECTIONS if batch == 1 else BATCH_CONNECTIONS


def write_submissions(kind, algorithm, prefix, count, batch, file):
    subprocess.run(["cargo", "bench", "--quiet", "--bench", "submissions", "--", kind, algorithm, prefix, str(count),
                    str(batch), file], cwd=HERE, check=True)


def wrk(url, script, *arguments, environment=None, seconds=SECONDS, over=CONNECTIONS):
    """What a load came to: requests, microseconds, refused, broken, and two percentiles."""
    answer = subprocess.run(
        ["wrk", "--threads", "2", "--connections", str(over), "--duration", f"{seconds}s", "--timeout", "30s",
         "--script", HERE / script, url, "--", *arguments],
        check=True, capture_output=True, text=True, cwd=HERE, env=os.environ | (environment or {})).stdout
    return json.loads(answer.splitlines()[-1])


class Cost:
    """What an installation has used up so far: processor time, disk, network."""

    def __init__(self, site, service):
        times = Path(f"/proc/{service.pid}/stat").read_text().rpartition(")")[2].split()
        self.processor = (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")
        # None where it is on a server.
        self.disk = sum(file.stat().st_size for file in site.home.glob("enrollment.db*"))
        # Both ends are on this machine: what one sends the other receives.
        loopback = next(line for line in Path("/proc/net/dev").read_text().splitlines() if line.strip().startswith("lo:"))
        self.wire = int(loopback.split(":")[1].split()[0])

    def since(self, before):
        """What it has used up since then: seconds and megabytes."""
        used = {"seconds of a processor": self.processor - before.processor}
        if self.disk:
            used["MB on disk"] = (self.disk - before.disk) / 1e6
        return used | {"MB on the wire": (self.wire - before.wire) / 1e6}
