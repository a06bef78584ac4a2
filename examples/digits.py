"""Train a small network on real handwritten digits: `make demo`, or `python examples/digits.py`.

The data are the 1,797 scanned digits, 8 x 8 pixels each, that scikit-learn ships; nothing is
downloaded. A fifth of them is held back for the test, a fixed choice for each seed.
"""

from __future__ import annotations

import argparse
import itertools
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from tqdm import tqdm

import covector as cv
import covector.numpy as cnp
from covector import nn, random, tree

SIZES = (64, 128, 64, 10)
BATCH = 64
LEARNING_RATE = 2e-3
NOISE = 0.2  # of the training pixels, which lie between 0 and 1
PICTURE = Path(__file__).parent / "output" / "digits.png"


# ---------------------------------------------------------------- the network


def init(key):
    """Random weights and zero biases: one dict a layer."""
    layers = []
    for fan_in, fan_out in itertools.pairwise(SIZES):
        key, draw = random.split(key)
        weights = random.normal(draw, (fan_in, fan_out)) * (2 / fan_in) ** 0.5
        layers.append({"weights": weights, "bias": cnp.zeros(fan_out)})
    return layers


def logits(params, x):
    """The network: dense layers with a rectifier between them."""
    *hidden, last = params
    for layer in hidden:
        x = nn.relu(x @ layer["weights"] + layer["bias"])
    return x @ last["weights"] + last["bias"]


def loss(params, x, labels):
    """The mean cross entropy."""
    targets = nn.one_hot(labels, SIZES[-1])
    return -cnp.mean(cnp.sum(nn.log_softmax(logits(params, x)) * targets, axis=-1))


@cv.jit
def predict(params, x):
    """The likeliest digit of each image."""
    return cnp.argmax(logits(params, x), axis=-1)


# ---------------------------------------------------------------- the training


def adam(params, grads, state, rate, decay=0.9, square_decay=0.999):
    """One step of Adam; the state is (mean of gradients, mean of their squares, steps so far)."""
    mean, square, steps = state
    steps = steps + 1
    mean = tree.map(lambda m, g: decay * m + (1 - decay) * g, mean, grads)
    square = tree.map(lambda s, g: square_decay * s + (1 - square_decay) * g * g, square, grads)
    scale = rate * cnp.sqrt(1 - square_decay**steps) / (1 - decay**steps)
    params = tree.map(lambda p, m, s: p - scale * m / (cnp.sqrt(s) + 1e-8), params, mean, square)
    return params, (mean, square, steps)


def step(params, state, key, x, labels, rate):
    """One step on a minibatch whose pixels are shaken a little."""
    x = x + NOISE * random.normal(key, x.shape)
    value, grads = cv.value_and_grad(loss)(params, x, labels)
    params, state = adam(params, grads, state, rate)
    return params, state, value


# The parameters and Adam's state are given up to the call, which updates them in place.
train_step = cv.jit(step, donate_argnums=(0, 1))


@dataclass
class Run:
    """What a training leaves behind: the curves and the final reading of the test images."""

    losses: list[float]  # the mean of each epoch
    accuracies: list[float]  # on the test images, after each epoch
    images: np.ndarray
    labels: np.ndarray
    read: np.ndarray
    first_step: float  # seconds, with the compilation
    steps_per_second: float


def split(seed):
    """The digits as ((train x, train labels), (test x, test labels))."""
    digits = load_digits()
    x, labels = digits.data.astype(np.float32) / 16, digits.target.astype(np.int32)
    order = np.asarray(random.permutation(random.key(seed), len(x)))
    train, test = order[: len(x) * 4 // 5], order[len(x) * 4 // 5 :]
    return (x[train], labels[train]), (x[test], labels[test])


def minibatches(key, size):
    """The numbers 0..size-1 in a random order, cut into minibatches; a rest is left out."""
    order = np.asarray(random.permutation(key, size))
    return [order[i : i + BATCH] for i in range(0, size - BATCH + 1, BATCH)]


def fit(epochs=80, seed=0):
    """Train from scratch and return the `Run`."""
    (x, labels), (test_x, test_labels) = split(seed)
    key, draw = random.split(random.key(seed))
    params = init(draw)
    zeros = tree.map(lambda p: cnp.zeros(p.shape), params)
    state = (zeros, tree.map(lambda p: cnp.zeros(p.shape), params), cnp.zeros(()))

    losses, accuracies, first_step, steps, seconds = [], [], 0.0, 0, 0.0
    bar = tqdm(range(epochs), desc="training", unit="epoch")
    for epoch in bar:
        rate = LEARNING_RATE * (1 - epoch / epochs)
        key, shuffle, noise = random.split(key, 3)
        values = []
        start = time.perf_counter()
        for chosen in minibatches(shuffle, len(x)):
            noise, shake = random.split(noise)
            batch = x[chosen], labels[chosen]
            params, state, value = train_step(params, state, shake, *batch, rate)
            values.append(value)
            if not first_step:  # it compiles, and is counted apart
                cv.block_until_ready(value)
                start, first_step = time.perf_counter(), time.perf_counter() - start
        cv.block_until_ready((params, values))
        seconds += time.perf_counter() - start
        steps += len(values)

        read = np.asarray(predict(params, test_x))
        losses.append(float(np.mean([float(value) for value in values])))
        accuracies.append(float(np.mean(read == test_labels)))
        bar.set_postfix(loss=f"{losses[-1]:.4f}", test=f"{accuracies[-1]:.1%}")
    speed = (steps - 1) / seconds
    return Run(losses, accuracies, test_x, test_labels, read, first_step, speed)


# ---------------------------------------------------------------- the picture


def draw(run, path):
    """Save the curves of the training and the digits that are still misread."""
    wrong = np.flatnonzero(run.read != run.labels)
    figure = Figure(figsize=(11, 5), layout="constrained")
    axes = figure.subplot_mosaic(
        [["loss"] * 6 + ["accuracy"] * 6, [f"digit {i}" for i in range(12)]], height_ratios=(3, 1)
    )
    epochs = np.arange(1, len(run.losses) + 1)
    axes["loss"].semilogy(epochs, run.losses, color="tab:blue")
    axes["loss"].set(title="training loss", xlabel="epoch")
    axes["accuracy"].plot(epochs, 100 * np.array(run.accuracies), color="tab:green")
    axes["accuracy"].set(title="test accuracy, %", xlabel="epoch")
    for name in ("loss", "accuracy"):
        axes[name].grid(alpha=0.3)
    for place in range(12):
        axes[f"digit {place}"].axis("off")
    for place, i in enumerate(wrong[:12]):
        axis = axes[f"digit {place}"]
        axis.imshow(run.images[i].reshape(8, 8), cmap="gray_r")
        axis.set_title(f"{run.labels[i]} read as {run.read[i]}", fontsize=8)
    figure.suptitle(f"{len(run.labels)} test digits, {len(wrong)} misread")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def main():
    """Train, draw, and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=80)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    run = fit(options.epochs, options.seed)
    draw(run, PICTURE)
    print(f"first step, which compiles (or loads what is cached): {run.first_step:.2f} s")
    print(f"steps a second: {run.steps_per_second:,.0f}")
    print(f"picture: {os.path.relpath(PICTURE)}")
    print(f"test accuracy: {run.accuracies[-1]:.1%}".replace("%", " %"))


if __name__ == "__main__":
    main()
