"""Disturbances of test images, as another machine, operator or exposure would cause them.

Each has five severities, as in Hendrycks and Dietterich, Benchmarking Neural Network Robustness to
Common Corruptions and Perturbations, 2019. With x the image in [0, 1], n a standard normal field
and s = +1 or -1, drawn for each image:

    ultrasound  speckle  x (1 + a n)           multiplicative, as of coherent imaging
                gain     x + s a / 60          a decibels on a log-compressed range of 60
                blur     Gaussian of SD a      in pixels of a side of 256 (a/2 up to 128)
                gamma    x^a or x^(1 / a)      another grey map
    xray        noise    x + n sqrt(x / a)     a photons where the image is white
                gain     x (1 + s a)           exposure
                blur, gamma                    as above
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sambench.files.yaml_text import read_own_yaml

SEVERITIES = (1, 2, 3, 4, 5)

STRENGTHS = dict[str, dict[str, list[float]]](read_own_yaml("sambench.data", "shifts.yaml"))
"""The quantity a of the formulas above at each severity, by family and disturbance."""


@dataclass(frozen=True, kw_only=True)
class Draws:
    """What chance decides for a batch; the same for all disturbances and severities."""

    signs: Tensor  # (B, 1, 1, 1), +1 or -1
    field: Tensor  # (B, 1, H, W), standard normal

    @classmethod
    def of(cls, ids: Sequence[str], height: int, width: int, device: torch.device) -> Draws:
        """Draw for images by their ids, so that neither batches nor devices change the draws."""
        signs, fields = [], []
        for id in ids:
            digest = hashlib.sha256(f"shift:{id}".encode()).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(digest[:8]) >> 1)
            signs.append(1.0 if torch.rand((), generator=generator) < 0.5 else -1.0)
            fields.append(torch.randn(1, height, width, generator=generator))
        return cls(
            signs=torch.tensor(signs, device=device).reshape(-1, 1, 1, 1),
            field=torch.stack(fields).to(device),
        )


def shifted(pixels: Tensor, family: str, name: str, severity: int, draws: Draws) -> Tensor:
    """Disturb a batch (B, C, H, W) uint8 as in `STRENGTHS`; return uint8, rounded, in 0..255."""
    strength = STRENGTHS[family][name][severity - 1]
    image = pixels.to(torch.float32) / 255
    if name == "speckle":
        image = image * (1 + strength * draws.field)
    elif name == "noise":
        image = image + draws.field * torch.sqrt(image / strength)
    elif name == "gamma":
        image = image ** (strength**draws.signs)
    elif name == "blur":
        from torchvision.transforms.v2.functional import gaussian_blur

        deviation = strength * max(image.shape[-1], 128) / 256
        reach = max(1, min(round(3 * deviation), image.shape[-1] - 1))
        image = gaussian_blur(image, [2 * reach + 1] * 2, [deviation] * 2)
    elif family == "ultrasound":
        image = image + draws.signs * strength / 60
    else:
        image = image * (1 + draws.signs * strength)
    return (255 * image).round_().clamp_(0, 255).to(torch.uint8)
