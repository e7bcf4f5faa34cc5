"""How soon the API answers at a steady rate: `python ops/bench/load.py http://127.0.0.1:8000 REGION [--rate 50]`.

Requests leave at their times whether or not earlier ones have been answered, as people's do. Beside them, in the same
run, `/health`, which asks neither database nor disk: what the machine and HTTP alone take.
"""

import argparse
import asyncio
import time
from collections import defaultdict
from itertools import cycle

import httpx
import numpy as np


async def run(base: str, region: str, rate: float, seconds: float) -> None:
    """Ask, and print a line a call."""
    took: dict[str, list[float]] = defaultdict(list)
    failed: dict[str, int] = defaultdict(int)
    async with httpx.AsyncClient(base_url=base, timeout=30, limits=httpx.Limits(max_connections=200)) as client:
        bbox = (await client.get("/api/regions")).json()["items"][0]["bbox"]
        lon, lat = (bbox[0] + bbox[2]) / 2, (bbox[1] + bbox[3]) / 2
        day = {"region": region, "day": "newest"}
        calls = cycle(
            [
                ("/health", {}),
                ("/api/regions", {}),
                ("/api/runs", {"region": region, "limit": "20"}),
                ("/api/areas", day),
                ("/api/alerts", {"region": region}),
                ("/api/exposure", day | {"asset": "road"}),
                ("/api/zones", day | {"limit": "200"}),
                ("/api/rain", day),
                ("/api/search", {"region": region, "q": "mountain"}),
                ("/api/where", day | {"lon": str(lon), "lat": str(lat)}),
            ]
        )

        async def ask(path: str, query: dict[str, str]) -> None:
            begin = time.perf_counter()
            answer = await client.get(path, params=query)
            took[path].append(time.perf_counter() - begin)
            failed[path] += answer.status_code != 200

        begin, asked = time.perf_counter(), []
        for number in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, begin + number / rate - time.perf_counter()))
            asked.append(asyncio.create_task(ask(*next(calls))))
        await asyncio.gather(*asked)
        spent = time.perf_counter() - begin
    print(f"{len(asked)} requests, {len(asked) / spent:.1f} a second (asked for {rate:g})")
    print(f"{'':20s} {'median ms':>10s} {'p95 ms':>8s} {'most ms':>8s} {'not 200':>8s}")
    everything = [each for path, each in took.items() if path != "/health"]
    rows = {**took, "all of the API": [second for each in everything for second in each]}
    for path, each in rows.items():
        middle, high, most = np.percentile(each, [50, 95, 100]) * 1000
        print(f"{path:20s} {middle:10.1f} {high:8.1f} {most:8.1f} {failed[path]:8d}")


def main() -> None:
    """Read what is asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base")
    parser.add_argument("region")
    parser.add_argument("--rate", type=float, default=50.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    asked = parser.parse_args()
    asyncio.run(run(asked.base, asked.region, asked.rate, asked.seconds))


if __name__ == "__main__":
    main()
