"""Holds a crowd at the public listener, idle and slow, while proper submissions go on; then sends bodies without end.

The crowd is a program of its own (`crowd.rs`) on many loopback addresses, since the service gives each address its share only.
"""

import contextlib
import http.client
import itertools
import json
import queue
import re
import resource
import socket
import ssl
import statistics
import subprocess
import threading
import time
from pathlib import Path

from load import HERE, without_limits, write_submissions

IDLE = 10_000
SLOW = 1_000
# Proper submissions a second, for so many seconds, over so many connections.
RATE = 50
SECONDS = 30
CONNECTIONS = 16
# Seconds until the crowd is complete, at most: not every computer opens so many so fast.
PATIENCE = 60
BODY = 10 * 1000 ** 3


def time_crowd(site, table):
    """How long proper submissions take in the crowd, and what the crowd costs."""
    without_limits(site)
    allow_files()
    file = site.folder / "submissions"
    write_submissions("workstation", "ec-p256", "crowd", 3 * RATE * SECONDS, 1, file)
    secret = next(site.client.glob("config/*/enrollment-secret")).read_text().strip()
    lines = iter(file.read_text().splitlines())
    with site.serving() as service:
        before = resident(service.pid)
        alone = submit_steadily(site.public, secret, lines)
        with crowd(site) as held:
            latencies = submit_steadily(site.public, secret, lines)
            counts = list(held)
            after = resident(service.pid)
    table.add("crowd held, at least", f"{min(counts):,}", min(counts) >= 0.99 * (IDLE + SLOW), f"{IDLE + SLOW:,}")
    add_latencies(table, "submit in the crowd", latencies, 100)
    add_latencies(table, "  without it", alone, None)
    table.add("memory that one of the crowd takes", f"{(after - before) * 1024 / min(counts):.1f} KiB", None, "")
    table.memory("service in the crowd", after, None)


def add_latencies(table, figure, latencies, limit):
    """The median and the 99th percentile; one that was not accepted counts as endless."""
    (middle, high) = (statistics.median(latencies) * 1e3, statistics.quantiles(latencies, n=100)[98] * 1e3)
    table.add(figure, f"{middle:.1f} / {high:.1f} ms", limit and high < limit, f"99 % < {limit} ms" if limit else "")


def time_endless(site, table):
    """What bodies of 10 GB do to the service's memory, with a length and without; the sender goes on after the answer."""
    with site.serving() as service:
        secret = next(site.client.glob("config/*/enrollment-secret")).read_text().strip()
        # What the first of everything takes, in each of the service's threads.
        for _ in range(200):
            send_endless(site.public, secret, None, 8 * 1024 ** 2)
        for (what, length) in [("a length", BODY), ("chunks", None)]:
            watched = Watched(service.pid)
            with watched:
                sent = times = 0
                while sent < BODY and times < 2_000:
                    sent += send_endless(site.public, secret, length, BODY - sent)
                    times += 1
            swing = (watched.most - watched.least) / 2
            table.add(f"memory during a body of 10 GB with {what}", f"± {swing:.1f} MiB", swing <= 8, "≤ 8 MiB")
            table.memory("  at most", watched.most, None)
            table.add("  sent, over connections", f"{sent / 1e9:.1f} GB, {times:,}", None, "")


def send_endless(port, secret, length, most):
    """Sends a body until the service no longer takes it; gives the bytes that went."""
    part = b" " * 65536
    framing = f"content-length: {length}" if length else "transfer-encoding: chunked"
    head = (f"POST /api/v1/requests HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {secret}\r\n"
            f"content-type: application/json\r\n{framing}\r\n\r\n")
    piece = part if length else b"10000\r\n" + part + b"\r\n"
    sent = 0
    with contextlib.suppress(OSError), trusting().wrap_socket(socket.create_connection(("127.0.0.1", port))) as stream:
        stream.sendall(head.encode())
        while sent < most:
            stream.sendall(piece)
            sent += len(part)
    return sent


class Watched:
    """The least and the most resident memory of a process while something is done, in MiB."""

    def __init__(self, process):
        self.process = process
        self.least = self.most = resident(process)
        self.done = threading.Event()
        self.watching = threading.Thread(target=self.watch)

    def watch(self):
        while not self.done.wait(0.02):
            now = resident(self.process)
            (self.least, self.most) = (min(self.least, now), max(self.most, now))

    def __enter__(self):
        self.watching.start()

    def __exit__(self, *_):
        self.done.set()
        self.watching.join()


def submit_steadily(port, secret, lines):
    """Submits so many a second whatever the answers take; seconds from when each was due until its answer."""
    count = RATE * SECONDS
    due = queue.SimpleQueue()
    latencies = []

    def work():
        connection = http.client.HTTPSConnection("127.0.0.1", port, context=trusting(), timeout=60)
        headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
        while (job := due.get()) is not None:
            (moment, body) = job
            try:
                connection.request("POST", "/api/v1/requests", body, headers)
                answer = connection.getresponse()
                answer.read()
                accepted = answer.status == 201
            except (OSError, http.client.HTTPException):
                connection.close()
                accepted = False
            latencies.append(time.monotonic() - moment if accepted else float("inf"))
    workers = [threading.Thread(target=work) for _ in range(CONNECTIONS)]
    for worker in workers:
        worker.start()
    begin = time.monotonic()
    for (number, body) in enumerate(itertools.islice(lines, count)):
        moment = begin + number / RATE
        time.sleep(max(0, moment - time.monotonic()))
        due.put((moment, body))
    for _ in workers:
        due.put(None)
    for worker in workers:
        worker.join()
    return latencies


@contextlib.contextmanager
def crowd(site):
    """Starts the crowd and waits until it is complete, or no longer; gives an iterator over how many were held, second by
    second."""
    trust_anchor = next(site.client.glob("config/*/trust-anchor.pem"))
    process = subprocess.Popen(["cargo", "bench", "--quiet", "--bench", "crowd", "--", str(site.public), trust_anchor,
                                str(IDLE), str(SLOW)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=HERE)
    try:
        for line in itertools.islice(process.stdout, PATIENCE):
            if json.loads(line)["held"] >= 0.99 * (IDLE + SLOW):
                break
        yield held_until_now(process)
    finally:
        process.stdin.close()
        process.wait()


def held_until_now(process):
    process.stdin.close()
    for line in process.stdout:
        yield json.loads(line)["held"]


def resident(process):
    status = Path(f"/proc/{process}/status").read_text()
    return int(re.search(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE).group(1)) / 1024


def trusting():
    """What is measured is the other side. Without the system's roots, which OpenSSL would look through at each handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def allow_files():
    """For this process, the crowd and the service: as many files as the system gives."""
    (_, most) = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
