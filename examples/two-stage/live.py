"""Proposals from a running service, one image per request."""

import json
import random
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

import torch
from torch import Tensor


@contextmanager
def service(proposer: str, log: Path) -> Iterator[str]:
    """Runs a service on a free port and yields its URL."""
    with open(log, "wb") as out:
        process = subprocess.Popen(
            [proposer, "serve", "--addr", "127.0.0.1:0", "--admin-addr", "", "--log-format", "json"], stderr=out,
        )
        try:
            yield "http://" + address(process, log)
        finally:
            process.terminate()
            process.wait()


def address(process: subprocess.Popen, log: Path) -> str:
    """Returns the address in the service's log."""
    end = time.monotonic() + 30
    while time.monotonic() < end and process.poll() is None:
        for line in log.read_text().splitlines(keepends=True):
            if line.endswith("\n") and (entry := json.loads(line))["msg"] == "listening":
                return entry["addr"]
        time.sleep(0.05)
    raise RuntimeError(f"the service does not listen: see {log}")


def propose(url: str, image: bytes, options: str) -> Tensor:
    """Returns the boxes of an image, best first. Retries while the service is at capacity."""
    request = urllib.request.Request(f"{url}/v1/proposals?{options}", image, {"Content-Type": "application/octet-stream"})
    for attempt in range(1, 9):
        try:
            with urllib.request.urlopen(request) as response:
                boxes = json.load(response)["boxes"]
                break
        except urllib.error.HTTPError as error:
            if error.code not in (429, 503) or attempt == 8:
                raise
            time.sleep(int(error.headers["Retry-After"]) * random.uniform(1, 2))
    return torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
