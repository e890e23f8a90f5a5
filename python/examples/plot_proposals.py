"""Plot the best boxes of an image and its segmentation.

    python3 plot_proposals.py photo.jpg plot.png

Cells begin with ``# %%``, as in notebooks of Jupyter, VS Code and Spyder.
"""

# %% Read an image
import sys

import matplotlib.pyplot as plt
import numpy as np
import PIL.Image
import proposer
from matplotlib.patches import Rectangle

source, output = sys.argv[1:]
with PIL.Image.open(source) as file:
    image = np.asarray(file.convert("RGB"))

# %% Search it
# Boxes that overlap a better one are dropped, so that the best ones show different objects.
proposals = proposer.selective_search(image, mode="quality", nms=0.3, min_side=40, max_area=0.15)
best = proposals[:9]

# %% Segment it, and give each region its mean color
labels = proposer.felzenszwalb(image, scale=300, sigma=0.8, min_size=50)
pixels = labels.ravel()
sums = [np.bincount(pixels, weights=channel.ravel()) for channel in np.moveaxis(image, 2, 0)]
means = np.rint(np.stack(sums, axis=1) / np.bincount(pixels)[:, None]).astype(np.uint8)
segmented = means[labels]

# The pixels whose right or lower neighbor is in another region are white.
boundaries = np.zeros(labels.shape, bool)
boundaries[:, :-1] |= labels[:, :-1] != labels[:, 1:]
boundaries[:-1] |= labels[:-1] != labels[1:]
segmented[boundaries] = 255

# %% Plot both
height, width = labels.shape
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 5 * height / width + 0.3), layout="constrained")
left.imshow(image)
left.set_title(f"The best {len(best)} of {len(proposals)} boxes")
for rank, (box, color) in enumerate(zip(best.boxes, plt.get_cmap("tab10").colors), start=1):
    x, y = box[:2] - 0.5  # imshow has the center of the first pixel at (0, 0)
    left.add_patch(Rectangle((x, y), *(box[2:] - box[:2]), fill=False, linewidth=2, edgecolor=color))
    label = {"facecolor": color, "edgecolor": "none", "pad": 1.5}
    left.text(x + 5, y + 5, rank, color="white", va="top", fontsize=9, bbox=label)
right.imshow(segmented)
right.set_title(f"{len(means)} regions")
for axes in (left, right):
    axes.axis("off")
figure.savefig(output, dpi=100)
