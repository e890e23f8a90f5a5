"""Asks a proposer service for the boxes of pictures, and prints a line for each box:
file, x0, y0, x1, y1, score. It needs Python 3.11 and nothing else."""

import argparse
import concurrent.futures
import json
import os
import pathlib
import struct
import sys
import time
import urllib.error
import urllib.request
import uuid

INFER = "/v2/models/selective_search/infer"


class Problem(Exception):
    """An error as the service tells it (RFC 9457; below /v2 {"error": ...})."""

    def __init__(self, status, body):
        try:
            told = json.loads(body)
        except ValueError:  # something between may answer otherwise
            told = {}
        self.status, self.type, self.errors = status, told.get("type"), told.get("errors", [])
        super().__init__(f"{status} {told.get('detail') or told.get('error') or 'no answer of the service'}")


class Client:
    def __init__(self, url, options="max=10", token=None, cache=None):
        self.url, self.options, self.token, self.cache = url, options, token, cache

    def post(self, path, body, headers):
        """Sends a body until the service has time for it, and returns status, headers and body."""
        if self.token:
            headers = headers | {"Authorization": "Bearer " + self.token}
        for attempt in range(1, 9):
            request = urllib.request.Request(self.url + path, body, headers, method="POST")
            try:
                with urllib.request.urlopen(request) as answer:
                    return answer.status, answer.headers, answer.read()
            except urllib.error.HTTPError as error:
                with error:
                    if error.code == 304:
                        return error.code, error.headers, b""
                    problem = Problem(error.code, error.read())
                if problem.status not in (429, 503) or attempt == 8:
                    raise problem from None
                wait = error.headers.get("Retry-After", "")
                time.sleep(int(wait) if wait.isdecimal() else attempt)

    def one(self, file):
        """Asks as JSON. Where there is a cache it sends the name of the answer that it has, and
        the service says only whether that still holds."""
        headers, known = {"Content-Type": "application/octet-stream"}, None
        place = self.cache and pathlib.Path(self.cache, file.name + ".json")
        if place and place.exists():
            known = json.loads(place.read_text())
            headers["If-None-Match"] = known["etag"]
        status, told, body = self.post("/v1/proposals?" + self.options, file.read_bytes(), headers)
        if status == 200:
            known = {"etag": told["ETag"], "answer": json.loads(body)}
            if place:
                place.write_text(json.dumps(known))
        return list(zip(known["answer"]["boxes"], known["answer"]["scores"]))

    def binary(self, file):
        """Asks for the octet-stream form: width, height and N, then N rows of five floats."""
        headers = {"Content-Type": "application/octet-stream", "Accept": "application/octet-stream"}
        _, _, body = self.post("/v1/proposals?" + self.options, file.read_bytes(), headers)
        _, _, n = struct.unpack_from("<3I", body)
        rows = struct.iter_unpack("<5f", body[12:])
        pairs = [([int(v) for v in row[:4]], row[4]) for row in rows]
        if len(pairs) != n:
            raise ValueError(f"{len(pairs)} rows where {n} are announced")
        return pairs

    def infer(self, file):
        """Asks in the Open Inference Protocol, with the picture as binary data behind the JSON."""
        picture = file.read_bytes()
        tensor = struct.pack("<I", len(picture)) + picture
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
        """Sends all pictures in one request and returns, by file, boxes or a Problem."""
        boundary = uuid.uuid4().hex
        parts = []
        for file in files:
            head = f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{file.name}"\r\n\r\n'
            parts += [head.encode(), file.read_bytes(), b"\r\n"]
        parts.append(f"--{boundary}--\r\n".encode())
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}", "Accept": "application/x-ndjson"}
        _, _, body = self.post("/v1/proposals?" + self.options, b"".join(parts), headers)
        results = [Problem(0, b'{"detail": "the answer ended before"}')] * len(files)
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
    parser.add_argument("--options", default="max=10", help="of the search, as a query")
    parser.add_argument("--cache", help="folder to keep answers in")
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
        with concurrent.futures.ThreadPoolExecutor(4) as crew:
            results = list(crew.map(attempt, args.files))
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
