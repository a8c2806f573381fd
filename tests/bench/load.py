"""Times the service under load: many connections that submit as fast as they are answered."""

import json
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
CONNECTIONS = 32
SECONDS = 10


def time_accepting(site, table):
    """Submissions of RSA-2048 requests that wait for a manager, one by one and in batches."""
    with site.serving():
        load(site, table, "accepting RSA-2048, one by one", "rsa-2048", 60_000, 1, "/requests", 4_000)
        load(site, table, "accepting RSA-2048, in batches of 250", "rsa-2048", 150_000, 250, "/requests/batch", 10_000)


def time_enrolling(site, table):
    """Submissions that are approved by policy, issued and answered with their certificate."""
    with site.serving("--auto-approve"):
        load(site, table, "enrolling P-256, approved by policy", "ec-p256", 60_000, 1, "/requests", 4_500)


def load(site, table, figure, algorithm, count, batch, path, target):
    """Sends submissions that were made before, for some seconds or until none is left."""
    file = site.folder / "submissions"
    subprocess.run(["cargo", "bench", "--quiet", "--bench", "submissions", "--", algorithm, f"{figure[:3]}-{batch}",
                    str(count), str(batch), file], cwd=HERE, check=True)
    secret = next(site.client.glob("config/*/enrollment-secret")).read_text().strip()
    answer = subprocess.run(
        ["wrk", "--threads", "2", "--connections", str(CONNECTIONS), "--duration", f"{SECONDS}s", "--timeout", "30s",
         "--script", HERE / "load.lua", f"https://127.0.0.1:{site.public}/api/v1{path}", "--", file,
         secret, "2"],
        check=True, capture_output=True, text=True).stdout
    result = json.loads(answer.splitlines()[-1])
    rate = result["requests"] * batch / result["microseconds"] * 1e6
    good = rate >= target and not result["refused"] and not result["broken"]
    table.add(figure, f"{rate:,.0f}/s", good, f"≥ {target:,}/s")
    table.add("  median / 99th percentile", f"{result['p50'] / 1e3:.1f} / {result['p99'] / 1e3:.1f} ms", None, "")
    if result["refused"] or result["broken"]:
        table.add("  refused / broken", f"{result['refused']} / {result['broken']}", False, "0 / 0")
