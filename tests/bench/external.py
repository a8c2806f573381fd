"""Times ten thousand external CSRs on their whole way: submitted, approved, fetched, on disk."""

import itertools
import json
import shutil
import statistics
import time

from crl import OPENSSL_CONFIG
from load import pem, without_limits, write_submissions

# What does the same without a service: each CSR becomes a certificate in a file, recorded in an index; all of them are
# verified. certtool is faster, and keeps no record of what it signed.
LOOP = """
set -e
folder=$0 ca=$1
shift
for csr; do
    openssl ca -batch -notext -config "$folder/config" -in "$csr" -out "$folder/signed/${csr##*/}"
done
openssl verify -partial_chain -CAfile "$ca/issuing.crt.pem" "$folder"/signed/*
rm "$folder"/signed/*
"""
# The loop is timed in the middle of so many parts of the CSRs, for so many of each; the first parts before ours.
PARTS = 5
PARTS_BEFORE = 2
TIMED = 40


def time_external(site, table, count):
    without_limits(site)
    csrs = site.folder / "csrs"
    csrs.mkdir()
    file = site.folder / "submissions"
    write_submissions("external-server", "ec-p256", "server", count, 1, file)
    with file.open() as submissions:
        for (number, line) in enumerate(submissions):
            (csrs / f"{number}.csr").write_text(pem(json.loads(line)["csr"]))
    loop = loop_over_openssl(site, csrs, count)
    before = list(itertools.islice(loop, PARTS_BEFORE))
    with site.serving():
        begin = time.perf_counter()
        submit = site.weigh(site.enroll("submit-external", csrs, "--email", "admin@poste.example", "--no-input"))
        submitted = time.perf_counter()
        approve = site.weigh(site.administer + ["request", "approve", "--all-pending"])
        approved = time.perf_counter()
        fetch = site.weigh(site.enroll("fetch"))
        fetched = time.perf_counter()
    certificates = list(site.client.glob("config/*/request-*.pem"))
    assert len(certificates) == count, f"{len(certificates)} certificates on disk"
    site.run(["openssl", "verify", "-partial_chain", "-CAfile", site.home / "ca/issuing.crt.pem", *certificates])
    table.time(f"{count:,} external CSRs: submit, approve, fetch", [fetched - begin], 12_000)
    table.time("  submit-external", [submitted - begin], None)
    table.time("  request approve --all-pending", [approved - submitted], None)
    table.time("  fetch", [fetched - approved], None)
    table.memory("  submit-external, peak", submit, 64)
    table.memory("  request approve, peak", approve, None)
    table.memory("  fetch, peak", fetch, 64)
    each = statistics.mean([*before, *loop])
    table.add("  a shell loop over openssl ca, then verified, each", f"{each * 1e3:.1f} ms", None, "")
    table.first("external CSRs, each, ÷ a shell loop over openssl ca", each * count / (fetched - begin), 50)


def loop_over_openssl(site, csrs, count):
    """Seconds that the loop takes for one of so many CSRs, in each part of them.

    `openssl ca` reads its whole index and writes it anew for each CSR, so that the last one takes twice as long as the first.
    What comes before and after the timed ones, it signs in one process.
    """
    folder = site.folder / "openssl-ca"
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("certificates", "signed"):
        (folder / name).mkdir(parents=True)
    (folder / "index.txt").touch()
    (folder / "serial").write_text("01\n")
    (folder / "config").write_text(OPENSSL_CONFIG.format(folder=folder, ca=site.home / "ca"))
    at_once = ["openssl", "ca", "-batch", "-notext", "-config", folder / "config", "-infiles"]
    for start in range(0, count, count // PARTS):
        part = [csrs / f"{number}.csr" for number in range(start, start + count // PARTS)]
        middle = len(part) // 2
        site.run([*at_once, *part[:middle]])
        yield site.run(["sh", "-c", LOOP, folder, site.home / "ca", *part[middle:middle + TIMED]]) / TIMED
        site.run([*at_once, *part[middle + TIMED:]])
