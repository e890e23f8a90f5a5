"""A two-stage detector on selective-search proposals, end to end: proposals and RoIs by `proposer batch`
and `proposer rois`, a small Fast R-CNN trained on them under several losses, its mAP, and the same
detector on the proposals of `proposer serve`. See README.md."""

import argparse
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageOps
from torch import Tensor

from data import AnnotatedImage, images_folder, read_instances, read_image, read_proposals, read_rois
from evaluate import Detections, GroundTruth, mean_average_precision
from live import propose, service
from losses import Loss
from model import FastRCNN, detect
from train import train

MAX = 300  # proposals per image at test time

# How `proposer rois` samples RoIs.
SAMPLINGS = {
    "sampled": ["--size", "64", "--foreground", "0.25"],
    "all": ["--size", "1048576", "--foreground", "1"],  # all labeled RoIs
}


def losses(foreground: int, background: int) -> list[Loss]:
    """Returns the losses to compare. The balancing alpha is the fraction of background."""
    return [
        Loss("softmax CE", softmax=True),
        Loss("sigmoid CE"),
        Loss("α-balanced CE", alpha=background / (foreground + background)),
        Loss("focal", gamma=2, alpha=0.25),
    ]


@dataclass(frozen=True)
class Task:
    """A training run and its inputs."""

    out: Path
    data: Path
    sampling: str
    loss: Loss
    epochs: int
    seed: int

    @property
    def name(self) -> str:
        return f"{self.loss.name} on {self.sampling} RoIs"

    @property
    def weights(self) -> Path:
        return self.out / f"{self.name.replace(' ', '-')}.pt"


@dataclass(frozen=True)
class Result:
    task: Task
    map50: float
    map: float
    seconds: float


def detect_in(model: FastRCNN, loss: Loss, image: AnnotatedImage, proposals: Tensor) -> Detections:
    return Detections(*(part.numpy() for part in detect(model, loss.scores, read_image(image.file), proposals)))


def run(task: Task) -> Result:
    """Trains and evaluates in a separate process with one thread: two processes use two cores better than
    one process with two threads, and the result does not depend on the number of cores."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    start = time.monotonic()
    rois, names = read_rois(task.out / f"rois-{task.sampling}")
    folder = images_folder(task.data / "train")
    images = [read_image(folder / r.file) for r in rois]
    model = train(images, rois, len(names), task.loss, task.epochs, task.seed,
                  lambda line: print(f"{task.name}: {line}", flush=True))
    torch.save(model.state_dict(), task.weights)
    seconds = time.monotonic() - start

    test = read_instances(task.data / "test", names)
    proposals = read_proposals(task.out / "proposals" / "proposals.pkl")
    truth = [GroundTruth(p.boxes.numpy(), p.classes.numpy(), p.crowd.numpy()) for p in test]
    found = [detect_in(model, task.loss, p, proposals[p.id]) for p in test]
    return Result(task, *mean_average_precision(truth, found, len(names)), seconds)


def command(*args: object) -> None:
    print("$", *args, flush=True)
    subprocess.run([str(a) for a in args], check=True)


def prepare(args: argparse.Namespace) -> Path:
    """Generates proposals and RoIs, and the data set unless one was given."""
    data = args.data or args.out / "data"
    if not args.data:
        train_on, test_on = (80, 20) if args.quick else (600, 200)
        command(args.dataset, "-out", data, "-train", train_on, "-test", test_on)
    for sampling, flags in SAMPLINGS.items():
        command(args.proposer, "rois", data / "train", "--out", args.out / f"rois-{sampling}",
                "--sampler", "detectron2", *flags, "--delta-weights", "10,10,5,5")
    command(args.proposer, "batch", data / "test", "--out", args.out / "proposals", "--format", "detectron2", "--max", MAX)
    return data


def tasks(args: argparse.Namespace, data: Path) -> list[Task]:
    all_tasks = []
    for sampling in SAMPLINGS:
        rois, names = read_rois(args.out / f"rois-{sampling}")
        foreground = sum(int((r.classes < len(names)).sum()) for r in rois)
        background = sum(len(r.classes) for r in rois) - foreground
        print(f"{sampling}: {foreground} foreground and {background} background RoIs in {len(rois)} images, "
              f"1 to {background / max(1, foreground):.1f}")
        all_tasks += [Task(args.out, data, sampling, loss, args.epochs, args.seed) for loss in losses(foreground, background)]
    return all_tasks


def table(results: list[Result]) -> str:
    lines = ["| RoIs | loss | mAP@.5 | mAP | training |", "|---|---|---|---|---|"]
    for r in results:
        alpha = f", α = {r.task.loss.alpha:.2f}" if r.task.loss.alpha is not None else ""
        lines.append(f"| {r.task.sampling} | {r.task.loss.name}{alpha} | {r.map50:.3f} | {r.map:.3f} | {r.seconds:.0f} s |")
    return "\n".join(lines)


def check_live(args: argparse.Namespace, task: Task) -> None:
    """Checks that detections on the service's proposals equal those on the file's."""
    _, names = read_rois(args.out / f"rois-{task.sampling}")
    model = FastRCNN(task.loss.outputs(len(names)), not task.loss.softmax)
    model.load_state_dict(torch.load(task.weights))
    proposals = read_proposals(args.out / "proposals" / "proposals.pkl")
    test = read_instances(task.data / "test", names)[:5]
    with nullcontext(args.url) if args.url else service(args.proposer, args.out / "serve.log") as url:
        for number, p in enumerate(test):
            boxes = propose(url, p.file.read_bytes(), f"max={MAX}")
            image = read_image(p.file)
            live = detect(model, task.loss.scores, image, boxes)
            filed = detect(model, task.loss.scores, image, proposals[p.id])
            if not all(torch.equal(a, b) for a, b in zip(live, filed)):
                sys.exit(f"two_stage: {p.file}: {len(live[0])} detections on the service's proposals "
                         f"differ from the {len(filed[0])} on the file's")
            if number == 0:
                draw_detections(p.file, live, names, args.out / "detections.png")
    print(f"{len(test)} images: the detections on the service's proposals equal those on the file's")


def draw_detections(file: Path, found: tuple[Tensor, Tensor, Tensor], names: list[str], out: Path,
                    min_score: float = 0.5, scale: int = 4) -> None:
    with Image.open(file) as image:
        image = ImageOps.exif_transpose(image).convert("RGB")
    image = image.resize((image.width * scale, image.height * scale), Image.Resampling.LANCZOS)
    pen = ImageDraw.Draw(image)
    for box, score, c in zip(*found):
        if score >= min_score:
            corners = [float(v) * scale for v in box]
            pen.rectangle(corners, outline="yellow", width=3)
            label = f"{names[c]} {score:.2f}"
            pen.rectangle(pen.textbbox(corners[:2], label), fill="black")
            pen.text(corners[:2], label, fill="yellow")
    image.save(out)
    print(f"{out}: detections of {file.name}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("bin/two-stage"), help="output folder")
    parser.add_argument("--proposer", default="bin/proposer", help="path of the proposer command")
    parser.add_argument("--dataset", default="bin/dataset", help="path of the dataset command")
    parser.add_argument("--data", type=Path, help="folder with train and test, each with images and instances.json (default: rendered)")
    parser.add_argument("--url", help="URL of a running service (default: start one)")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2, help="concurrent training processes, one core each")
    parser.add_argument("--quick", action="store_true", help="check that everything works, with few images")
    args = parser.parse_args()
    args.epochs = args.epochs or (2 if args.quick else 6)
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)

    start = time.monotonic()
    try:
        data = prepare(args)
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"two_stage: {error}")
    all_tasks = tasks(args, data)
    # Start the longer runs first, so that both cores finish at about the same time.
    with ProcessPoolExecutor(args.workers, get_context("spawn")) as executor:
        results = list(executor.map(run, all_tasks[::-1]))[::-1]
    print("\n" + table(results) + "\n")
    check_live(args, all_tasks[0])
    print(f"{time.monotonic() - start:.0f} s in total")


if __name__ == "__main__":
    main()
