"""Times a bulk decision: thousands of requests, approved, issued and recorded as one job."""

import json
import os
import re
import subprocess
import time
from pathlib import Path

from load import submit_all, without_limits
from pages import Browser

# By the CA's algorithm: how many requests wait.
WAITING = {"ecdsa-p256": 10_000, "rsa-3072": 3_000}


# SoftHSM's library, which leads to a token in files.
MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")


def softhsm_is_here():
    return MODULE.exists()


def make_token(site):
    """Makes a token in the site's folder; gives what `init` is told of it."""
    (tokens, settings, pin) = (site.folder / name for name in ("tokens", "softhsm2.conf", "pin"))
    tokens.mkdir()
    settings.write_text(f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
    pin.touch(0o600)
    pin.write_text("12345678\n")
    site.environment["SOFTHSM2_CONF"] = str(settings)
    site.run(["softhsm2-util", "--init-token", "--free", "--label", "bench", "--so-pin", "12345678", "--pin", "12345678"])
    return ["--pkcs11-module", MODULE, "--pkcs11-token", "bench", "--pkcs11-pin-file", pin]


def time_deciding(site, table, algorithm, in_token=False):
    """The rate at which requests are approved, from a manager's call to the job's end."""
    count = WAITING[algorithm]
    without_limits(site)
    with site.serving():
        waiting = submit_all(site, "ec-p256", count)
        manager = Browser(site, "ada")
        shown = [{"number": number, "csr_sha256": digest} for (number, digest) in waiting]
        begin = time.perf_counter()
        job = manager.call("POST", "/api/v1/manager/bulk-decisions", {"verdict": "approve", "requests": shown})
        while job["state"] == "running":
            time.sleep(0.05)
            job = manager.call("GET", f"/api/v1/manager/bulk-decisions/{job['id']}")
        rate = count / (time.perf_counter() - begin)
    assert job["approved"] == count, job
    figure = f"approving {count:,} at once, {algorithm}"
    if in_token:
        table.add(f"  {figure}, in SoftHSM", f"{rate:,.0f}/s", None, "")
    elif algorithm == "rsa-3072":
        (signs, _) = openssl_speed("rsa3072", r"rsa\s+3072 bits")
        table.add(f"  {figure}", f"{rate:,.0f}/s", None, "")
        table.add("  openssl speed, rsa3072", f"{signs:,.0f}/s", None, "")
        table.first("approving at once ÷ what openssl signs, rsa-3072", rate / signs, 0.8)
    else:
        table.add(figure, f"{rate:,.0f}/s", rate >= 8_000, "≥ 8,000/s")
        # How many there would be if a CA did nothing else than to sign and to check its signatures.
        (signs, verifies) = openssl_speed("ecdsap256", r"256 bits ecdsa \(nistp256\)")
        table.add("  openssl speed, ecdsap256, each signed and verified", f"{1 / (1 / signs + 1 / verifies):,.0f}/s", None, "")


def openssl_speed(algorithm, line):
    """How many signatures OpenSSL makes in a second, and how many it verifies, on all processors."""
    said = subprocess.run(["openssl", "speed", "-seconds", "5", "-multi", str(os.cpu_count()), algorithm], check=True,
                          capture_output=True, text=True).stdout
    return map(float, re.search(rf"^\s*{line}(?:\s+[\d.]+s)+\s+([\d.]+)\s+([\d.]+)", said, re.MULTILINE).groups())
