"""Times backup, restore and the move to PostgreSQL, with the service at work wherever it may be."""

import contextlib
import hashlib
import http.client
import json
import sqlite3
import threading
import time

from crowd import trusting
from load import secret, without_limits, write_submissions
from pages import fill, wait_for_index
from postgres import running_postgres

# Submissions a second: a busy hour of a hundred countries.
RATE = 20
# How many are made at most: for as long as everything may take.
SUBMISSIONS = 20_000
# Whatever there is to carry.
MEMORY = 64


def time_transfer(site, table, requests):
    """Fills the installation, and carries it: into a backup, from there into both databases, and on a server as it runs."""
    without_limits(site)
    fill(site.home / "enrollment.db", requests)
    record(site.home / "enrollment.db", requests)
    size = sum(file.stat().st_size for file in site.home.glob("enrollment.db*"))
    table.add(f"database, {requests:,} requests", f"{size / 1e9:.2f} GB", None, "")
    backup = site.folder / "backup"
    with running_postgres() as server, site.serving():
        wait_for_index(site.home / "enrollment.db")
        file = site.folder / "submissions"
        write_submissions("workstation", "ec-p256", "transfer", SUBMISSIONS, 1, file)
        with file.open() as lines:
            with Submitting(site, lines) as submitting:
                seconds = weigh(site, table, "backup", site.administer + ["backup", "--to", backup])
            rate(table, requests, seconds)
            table.add("  size", f"{sum(path.stat().st_size for path in backup.rglob('*') if path.is_file()) / 1e9:.2f} GB", None, "")
            submitting.add_to(table, 1)
            url = server.url(server.database("restored"))
            for (name, target) in [("SQLite", ["--database-file"]), ("PostgreSQL", ["--database", url])]:
                command = [*site.administer[:1], "--home", site.folder / name, "restore", "--from", backup, *target]
                rate(table, requests, weigh(site, table, f"restore into {name}", command))
            with Submitting(site, lines) as submitting:
                said = site.folder / "said"
                target = server.url(server.database("moved"))
                move = " ".join(map(str, site.administer)) + f" --output json database move --to '{target}' >{said}"
                seconds = weigh(site, table, "database move", ["sh", "-c", f"exec {move}"])
            rate(table, requests, seconds)
            held = json.loads(said.read_text())["result"]["held_seconds"]
            table.add("  nobody could write for", f"{held:.2f} s", held < 1, "< 1 s")
            submitting.add_to(table, 10)


def weigh(site, table, figure, command):
    """Runs a command, adds its time and peak memory to the table, and returns its seconds."""
    begin = time.perf_counter()
    peak = site.weigh(command)
    seconds = time.perf_counter() - begin
    table.add(figure, f"{seconds:.1f} s", None, "")
    table.memory("  peak", peak, MEMORY)
    return seconds


def rate(table, requests, seconds):
    table.add("  requests", f"{requests / seconds:,.0f}/s", None, "")


def record(database, count):
    """Adds as many entries to the audit record, chained as the service chains them."""
    connection = sqlite3.connect(database, isolation_level=None)
    connection.executescript("PRAGMA synchronous = OFF; BEGIN;")
    (first, previous) = connection.execute("SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1").fetchone()

    def entries():
        nonlocal previous
        for sequence in range(first + 1, first + 1 + count):
            entry = [sequence, sequence, "certificate 7f3a of Ada Lovelace", "request.approve", f"request:{sequence}", "J1CFRA",
                     '{"csr_sha256":"' + "0" * 64 + '"}']
            text = json.dumps(entry, separators=(",", ":"))
            before = previous
            previous = hashlib.sha256((before + text).encode()).hexdigest()
            yield (*entry, before, previous)
    connection.executemany("INSERT INTO audit (sequence, time, actor, action, object, organisation, detail, previous, hash)"
                           " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", entries())
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


class Submitting:
    """A machine after the other that submits, and again while it is told to come later; how long each one waits."""

    def __init__(self, site, lines):
        self.port = site.public
        self.headers = {"Authorization": f"Bearer {secret(site)}", "Content-Type": "application/json"}
        self.lines = lines
        self.waits = []
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.submit_all)

    def submit_all(self):
        begin = time.monotonic()
        for (number, line) in enumerate(self.lines):
            if self.done.wait(max(0, begin + number / RATE - time.monotonic())):
                return
            moment = time.monotonic()
            while not self.submit(line):
                time.sleep(0.05)
            self.waits.append(time.monotonic() - moment)
            # Those who waited meanwhile are no more than one each.
            begin = max(begin, time.monotonic() - (number + 1) / RATE)

    def submit(self, line):
        """Whether it was taken; a key that was sent before is answered as before."""
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=trusting(), timeout=60)
        with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("POST", "/api/v1/requests", line, self.headers)
            answer = connection.getresponse()
            answer.read()
            assert answer.status in (200, 201, 503), answer.status
            return answer.status != 503
        return False

    def add_to(self, table, limit):
        """The longest wait, from the first attempt until it was taken, in seconds."""
        longest = max(self.waits)
        table.add(f"  longest of {len(self.waits):,} submissions meanwhile", f"{longest:.2f} s", longest < limit, f"< {limit} s")

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        # What comes after shows too: the service goes over to the new database.
        taken = len(self.waits)
        while len(self.waits) < taken + 20 and self.thread.is_alive():
            time.sleep(0.1)
        self.done.set()
        self.thread.join()
