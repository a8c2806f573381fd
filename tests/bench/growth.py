"""Times what everybody does against an installation with a million requests, beside one with ten thousand."""

import random
import statistics
import time

from load import send, without_limits, wrk
from pages import Browser, fill, token, wait_for_index

SIZES = (10_000, 1_000_000)
LIMIT = 1.5
ROUNDS = 5
SECONDS = 4
WARMING = 50
VISITS = 1_000


def time_growth(sites, table):
    """Fills both, and adds to the table how much more each thing costs in the large one."""
    for (site, count) in zip(sites, SIZES):
        without_limits(site)
        fill(site.home / "enrollment.db", count)
        # Numbers begin at 1.
        chosen = random.Random(count).choices(range(count), k=20_000)
        (site.folder / "asked").write_text("".join(f"{number + 1} {token(number)}\n" for number in chosen))
    (small, large) = sites
    with small.serving("--auto-approve"), large.serving("--auto-approve"):
        for site in sites:
            wait_for_index(site.home / "enrollment.db")
        # Enrolling comes last: it makes many of the few.
        for (figure, runs) in [
            ("status", rounds(sites, ask)),
            ("search of requests", visits(sites, "/requests?state=all&search=pc-{:07}")),
            ("search of certificates", visits(sites, "/certificates?search={:08X}")),
            ("issue", rounds(sites, enroll)),
        ]:
            (before, after) = (statistics.median(column) for column in zip(*runs))
            table.add(f"{figure}, ten thousand / a million", f"{before * 1e3:.2f} / {after * 1e3:.2f} ms", None, "")
            table.ratio(f"{figure}, a million ÷ ten thousand", [after], [before], LIMIT)


def rounds(sites, measure):
    """What is measured in the one and then in the other, again and again."""
    return [[measure(site, turn) for site in sites] for turn in range(ROUNDS)]


def ask(site, turn):
    """Seconds that one of many who ask for the state of their request takes."""
    return each(wrk(f"https://127.0.0.1:{site.public}/api/v1/requests", "status.lua", site.folder / "asked", seconds=SECONDS))


def enroll(site, turn):
    """Seconds that one of many who enrol takes, approved by policy."""
    (_, result) = send(site, "ec-p256", f"turn-{turn}", 20_000, 1, "/requests", seconds=SECONDS)
    return each(result)


def each(result):
    assert not result["refused"] and not result["broken"], result
    return result["microseconds"] / 1e6 / result["requests"]


def visits(sites, path):
    """The seconds of visits to the pages of requests drawn at random, one here and one there: how long a page takes depends more
    on the moment, on how long threads sleep before they are woken, than on what is asked for."""
    browsers = [Browser(site, "ada") for site in sites]
    # How much a number has in common with others is chance.
    chosen = [random.Random(count).choices(range(count), k=WARMING + VISITS) for count in SIZES]
    seconds = []
    for numbers in zip(*chosen):
        seconds.append([])
        for (browser, number) in zip(browsers, numbers):
            begin = time.perf_counter()
            browser.visit(path.format(number))
            seconds[-1].append(time.perf_counter() - begin)
    return seconds[WARMING:]
