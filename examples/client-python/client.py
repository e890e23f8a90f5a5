"""Requests the boxes of images from a proposer service, and prints one line per box:
file, x0, y0, x1, y1, score. Requires Python 3.11 and only its standard library."""

import argparse
import concurrent.futures
import json
import os
import pathlib
import random
import struct
import sys
import time
import urllib.error
import urllib.request
import uuid

INFER = "/v2/models/selective_search/infer"


class Problem(Exception):
    """An error of the service (RFC 9457; below /v2 {"error": ...})."""

    def __init__(self, status, body):
        try:
            problem = json.loads(body)
        except ValueError:  # a proxy's response may not be JSON
            problem = {}
        self.status, self.type, self.errors = status, problem.get("type"), problem.get("errors", [])
        super().__init__(f"{status} {problem.get('detail') or problem.get('error') or 'not an answer of the service'}")


class Client:
    def __init__(self, url, options="max=10", token=None, cache=None):
        self.url, self.options, self.token, self.cache = url, options, token, cache

    def post(self, path, body, headers):
        """Sends a body, and returns status, headers and body. While the service is at capacity it retries
        after the delay that the service wants and up to as long again, so that clients do not all return together."""
        if self.token:
            headers = headers | {"Authorization": "Bearer " + self.token}
        for attempt in range(1, 9):
            request = urllib.request.Request(self.url + path, body, headers, method="POST")
            try:
                with urllib.request.urlopen(request) as response:
                    return response.status, response.headers, response.read()
            except urllib.error.HTTPError as error:
                with error:
                    if error.code == 304:
                        return error.code, error.headers, b""
                    problem = Problem(error.code, error.read())
                if problem.status not in (429, 503) or attempt == 8:
                    raise problem from None
                wait = error.headers.get("Retry-After", "")
                time.sleep((int(wait) if wait.isdecimal() else attempt) * random.uniform(1, 2))

    def one(self, file):
        """Requests JSON. With a cache it sends the ETag of the cached response, which the service
        confirms if it is still valid."""
        headers, cached = {"Content-Type": "application/octet-stream"}, None
        entry = self.cache and pathlib.Path(self.cache, file.name + ".json")
        if entry and entry.exists():
            cached = json.loads(entry.read_text())
            headers["If-None-Match"] = cached["etag"]
        status, response_headers, body = self.post("/v1/proposals?" + self.options, file.read_bytes(), headers)
        if status == 200:
            cached = {"etag": response_headers["ETag"], "answer": json.loads(body)}
            if entry:
                entry.write_text(json.dumps(cached))
        return list(zip(cached["answer"]["boxes"], cached["answer"]["scores"]))

    def binary(self, file):
        """Requests the octet-stream format: width, height and N, then N rows of five floats."""
        headers = {"Content-Type": "application/octet-stream", "Accept": "application/octet-stream"}
        _, _, body = self.post("/v1/proposals?" + self.options, file.read_bytes(), headers)
        _, _, n = struct.unpack_from("<3I", body)
        rows = struct.iter_unpack("<5f", body[12:])
        pairs = [([int(v) for v in row[:4]], row[4]) for row in rows]
        if len(pairs) != n:
            raise ValueError(f"got {len(pairs)} rows, want {n}")
        return pairs

    def infer(self, file):
        """Uses the Open Inference Protocol, with the image as binary data after the JSON."""
        image = file.read_bytes()
        tensor = struct.pack("<I", len(image)) + image
        parameters = dict(item.split("=", 1) for item in self.options.split("&") if item)
        head = json.dumps({
            "inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": len(tensor)}}],
            "parameters": parameters,
        }).encode()
        headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(head))}
        _, _, body = self.post(INFER, head + tensor, headers)
        data = {output["name"]: output["data"] for output in json.loads(body)["outputs"]}
        corners = iter(int(v) for v in data["boxes"])
        return list(zip(map(list, zip(*[corners] * 4)), data["scores"]))

    def together(self, files):
        """Sends all images in one request and returns boxes or a Problem for each file."""
        boundary = uuid.uuid4().hex
        parts = []
        for file in files:
            head = f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{file.name}"\r\n\r\n'
            parts += [head.encode(), file.read_bytes(), b"\r\n"]
        parts.append(f"--{boundary}--\r\n".encode())
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}", "Accept": "application/x-ndjson"}
        _, _, body = self.post("/v1/proposals?" + self.options, b"".join(parts), headers)
        results = [Problem(0, b'{"detail": "the response ended early"}')] * len(files)
        for line in map(json.loads, body.splitlines()):
            problem = line.get("problem")
            results[line["index"]] = (
                Problem(problem["status"], json.dumps(problem)) if problem else list(zip(line["boxes"], line["scores"]))
            )
        return results


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=pathlib.Path)
    parser.add_argument("--url", default="http://localhost:8080")
    parser.add_argument("--options", default="max=10", help="search options, as a query string")
    parser.add_argument("--cache", help="folder of the response cache")
    parser.add_argument("--form", choices=["one", "binary", "infer", "together"], default="one")
    args = parser.parse_args()
    client = Client(args.url, args.options, os.environ.get("PROPOSER_TOKEN"), args.cache)

    def attempt(file):
        try:
            return getattr(client, args.form)(file)
        except (Problem, OSError, ValueError) as error:
            return error

    if args.form == "together":
        results = attempt(args.files)
        if isinstance(results, Exception):
            sys.exit(f"client: {results}")
    else:
        with concurrent.futures.ThreadPoolExecutor(4) as executor:
            results = list(executor.map(attempt, args.files))
    failed = False
    for file, result in zip(args.files, results):
        if isinstance(result, Exception):
            failed = True
            print(f"client: {file}: {result}", file=sys.stderr)
            continue
        for box, score in result:
            print(file.name, *box, f"{score:.4f}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
