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
VISITS = 100


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
        for (figure, measure) in [("status", ask), ("search of requests", search),
                                  ("search of certificates", search_certificates), ("issue", enroll)]:
            runs = [(measure(small, SIZES[0], turn), measure(large, SIZES[1], turn)) for turn in range(ROUNDS)]
            (before, after) = (statistics.median(column) for column in zip(*runs))
            table.add(f"{figure}, ten thousand / a million", f"{before * 1e3:.2f} / {after * 1e3:.2f} ms", None, "")
            table.ratio(f"{figure}, a million ÷ ten thousand", [after], [before], LIMIT)


def ask(site, count, turn):
    """Seconds that one of many who ask for the state of their request takes."""
    return each(wrk(f"https://127.0.0.1:{site.public}/api/v1/requests", "status.lua", site.folder / "asked", seconds=SECONDS))


def enroll(site, count, turn):
    """Seconds that one of many who enrol takes, approved by policy."""
    (_, result) = send(site, "ec-p256", f"turn-{turn}", 20_000, 1, "/requests", seconds=SECONDS)
    return each(result)


def each(result):
    assert not result["refused"] and not result["broken"], result
    return result["microseconds"] / 1e6 / result["requests"]


def search(site, count, turn):
    return visit(site, [f"/requests?state=all&search=pc-{number:07}" for number in some(count, turn)])


def search_certificates(site, count, turn):
    return visit(site, [f"/certificates?search={number:08X}" for number in some(count, turn)])


def some(count, turn):
    """Which of the requests to look for: how much a number has in common with others is chance."""
    return random.Random(turn).choices(range(count), k=VISITS)


def visit(site, paths):
    """The median seconds of visits to these pages."""
    browser = Browser(site, "ada")
    browser.visit(paths[0])
    seconds = []
    for path in paths:
        begin = time.perf_counter()
        browser.visit(path)
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)
