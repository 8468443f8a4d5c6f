"""A simulated breast for the ultrasound simulator: layers, ribs and one lesion.

From the skin down: skin, subcutaneous fat with Cooper's ligaments, glandular tissue, retromammary
fat, pectoral muscle, and the thorax with ribs and the pleural line. Echogenicity is relative to
glandular tissue, attenuation that of soft tissue (0.5-1 dB / (cm MHz)): chosen to look right.

How malignant a lesion looks is one number, its score: about -2 is typical of a benign lesion and
+2 of a malignant one. Each sign of the BI-RADS lexicon (shape, margin, orientation, echo
pattern, posterior features) follows the score plus its own noise, so that no sign decides alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import fft

from sambench.data.phantom.ultrasound import Map, Tissue

WIDTH_MM = 38.0  # of a linear array
SKIN, FAT, GLAND, DEEP_FAT, MUSCLE, THORAX = range(6)
ECHO_DB = np.array([2, -12, 0, -11, -9, -13], dtype=np.float32)
ATTENUATION = np.array([1.0, 0.5, 0.8, 0.5, 0.8, 1.2], dtype=np.float32)  # dB / (cm MHz)
# thickness, its spread and the waviness of the lower border of each layer but the thorax
LAYERS_MM = ((1.7, 0.2, 0.05), (5.0, 1.5, 0.6), (11.5, 1.5, 0.5), (1.3, 0.2, 0.2), (5.5, 0.8, 0.3))
SIGN_NOISE = 0.65  # SD of what a single sign adds to the score
Vector = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Lesion:
    """A lesion, its contour in polar coordinates about its centre."""

    centre_mm: tuple[float, float]  # lateral position and depth
    semi_axes_mm: tuple[float, float]  # across and along the depth, before `tilt` turns them
    tilt: float
    waves: Vector  # (cosine, sine) of orders 3, 4, ..., as shares of the radius: large is irregular
    spicules: Vector  # (direction, length as a share of the radius) of each
    margin_mm: float  # width of the transition into the surroundings
    echo_db: float
    attenuation: float  # in dB / (cm MHz): low brightens what lies behind, high shadows it
    capsule_db: float  # brightening of the thin rim of a well-defined lesion
    halo_db: float  # brightening of the surroundings (desmoplastic reaction)

    def distance_mm(self, across: Map, depth: Map) -> Map:
        """Return the distance from the contour along the radius, negative inside."""
        x, z = across - self.centre_mm[0], depth - self.centre_mm[1]
        angle = np.arctan2(z, x)
        wide, tall = self.semi_axes_mm
        turned = angle - self.tilt
        ellipse = wide * tall / np.hypot(tall * np.cos(turned), wide * np.sin(turned))
        radius = ellipse.astype(np.float32)
        relief = np.ones_like(angle)
        for order, (cosine, sine) in enumerate(self.waves, start=3):
            relief += cosine * np.cos(order * angle) + sine * np.sin(order * angle)
        for direction, length in self.spicules:
            relief += length * np.exp(60 * (np.cos(angle - direction) - 1))
        return np.asarray(np.hypot(x, z) - radius * relief, dtype=np.float32)

    def coverage(self, distance_mm: Map) -> Map:
        """Return the share of lesion at distances from the contour, 0.5 on it."""
        return np.asarray(_logistic(-distance_mm / (self.margin_mm / 4)), dtype=np.float32)


def draw_lesion(score: float, generator: Generator) -> Lesion:
    """Draw a lesion that looks as malignant as the score says, up to the noise of each sign."""
    shape, spikes, margin, axis, echo, shadow, halo = (
        score + SIGN_NOISE * generator.standard_normal(7)
    ) / 1.5  # about -1.4 is typical of benign, +1.4 of malignant
    aspect = np.exp(np.clip(-0.14 + 0.24 * axis, -0.8, 0.5))  # depth / width
    radius = generator.uniform(2.8, 6.2)
    orders = np.arange(3, 9)[:, None]  # higher ones weaker
    irregularity = 0.16 * _logistic(1.6 * shape - 0.5)
    count = generator.poisson(9 * _logistic(3 * spikes - 2.2))
    length = generator.uniform(0.15, 0.6, count)
    cyst = generator.random() < 0.5 * _logistic(-3 * echo - 2)
    return Lesion(
        centre_mm=(WIDTH_MM * generator.uniform(0.22, 0.78), generator.uniform(9.5, 16.5)),
        semi_axes_mm=(radius / np.sqrt(aspect), radius * np.sqrt(aspect)),
        tilt=generator.normal(0, 0.2),
        waves=(irregularity * generator.standard_normal((6, 2)) * 3 / orders).astype(np.float32),
        spicules=np.stack([generator.uniform(0, 2 * np.pi, count), length], 1).astype(np.float32),
        margin_mm=float(0.3 + 1.8 * _logistic(2 * margin - 1)),
        echo_db=-40.0 if cyst else float(-16 - 1.5 * echo + generator.normal(0, 3)),
        attenuation=0.05 if cyst else float(0.25 + 1.7 * _logistic(2 * shadow - 0.3)),
        capsule_db=float(8 * _logistic(-2 * margin - 0.5)),
        halo_db=float(5 * _logistic(2 * halo - 1)),
    )


def draw_tissue(lesion: Lesion, pixels: int, generator: Generator) -> Tissue:
    """Draw a breast around the lesion, `pixels` wide, on square pixels, to a varying depth."""
    pitch = WIDTH_MM / pixels
    rows = round(generator.uniform(31, 38) / pitch)
    depth = (np.arange(rows, dtype=np.float32) * np.float32(pitch))[:, None]
    across = (np.arange(pixels, dtype=np.float32) * np.float32(pitch))[None]
    borders = _borders(across, generator)
    layer = np.sum([depth >= border for border in borders], axis=0)
    echo = ECHO_DB[layer] + _texture(layer, depth, borders, pitch, generator)
    attenuation = ATTENUATION[layer] * np.float32(generator.uniform(0.9, 1.1))
    _add_ribs(echo, attenuation, across, depth - borders[-1], generator)
    distance = lesion.distance_mm(across, depth)
    covered = lesion.coverage(distance)
    inside = lesion.echo_db + 2 * _smooth_noise(echo.shape, 0.8 / pitch, 0.8 / pitch, generator)
    echo += np.float32(lesion.halo_db) * np.exp(-np.square(distance / 1.5))
    echo += np.float32(lesion.capsule_db) * np.exp(-np.square(distance / 0.4))
    return Tissue(
        echogenicity_db=_mix(echo, inside, covered),
        attenuation=_mix(attenuation, lesion.attenuation, covered),
        pitch_mm=pitch,
    )


def _borders(across: Map, generator: Generator) -> list[Map]:
    """Return the depth of the lower border of skin, fat, gland, deep fat and muscle, in mm."""
    borders, top = [], np.zeros_like(across)
    for thickness, spread, waviness in LAYERS_MM:
        phase, period = generator.uniform(0, 2 * np.pi), generator.uniform(15, 40)
        wave = waviness * np.sin(2 * np.pi * across / period + phase)
        tilt = 0.04 * generator.standard_normal() * waviness * (across - WIDTH_MM / 2)
        top = top + np.float32(thickness + spread * np.clip(generator.standard_normal(), -2, 2))
        top = (top + wave + tilt).astype(np.float32)
        borders.append(top)
    return borders


def _texture(
    layer: NDArray[np.intp], depth: Map, borders: list[Map], pitch: float, generator: Generator
) -> Map:
    """Return what is finer than a layer, in dB.

    Septa around the lobules of fat (Cooper's ligaments) are where a smooth field crosses zero;
    fibres of gland and muscle run along the layers; fasciae are bright lines on the borders.
    """
    lobules = _smooth_noise(layer.shape, 3.0 / pitch, 1.6 / pitch, generator)
    fibres = _smooth_noise(layer.shape, 3.0 / pitch, 0.25 / pitch, generator)
    septa = 15 * np.exp(-np.square(lobules / 0.18))
    ducts = -6 * _logistic((-lobules - 1.1) / 0.1)
    texture = np.select(
        [(layer == FAT) | (layer == DEEP_FAT), layer == GLAND, layer == MUSCLE],
        [septa, 1.5 * lobules + 2 * fibres + ducts, 5 * fibres],
        fibres,
    )
    for border, height in zip(borders, (9, 4, 4, 9, 11), strict=True):
        texture += height * np.exp(-np.square((depth - border) / 0.25))
    texture += 10 * np.exp(-np.square((depth - 0.4) / 0.25))
    return np.asarray(texture, dtype=np.float32)


def _add_ribs(echo: Map, attenuation: Map, across: Map, below: Map, generator: Generator) -> None:
    """Put ribs and the pleural line into the thorax; `below` is the depth from its border."""
    echo += 14 * np.exp(-np.square((below - 6.0) / 0.3))
    spacing = generator.uniform(18, 26)
    for position in generator.uniform(-8, 18) + spacing * np.arange(2):
        width, height = generator.uniform(4.0, 7.5), generator.uniform(1.8, 2.8)
        radius = np.hypot((across - position) / width, (below - 3.5) / height)
        inside = _logistic((1 - radius) / 0.05)
        cortex = generator.uniform(18, 26) * np.exp(-np.square((radius - 1) / 0.12)) * (below < 3)
        echo += cortex - 6 * inside
        attenuation += generator.uniform(3.0, 5.0) * inside


def _smooth_noise(shape: tuple[int, ...], across: float, depth: float, generator: Generator) -> Map:
    """Return Gaussian noise of SD 1, correlated over Gaussians of the given SDs in pixels."""
    noise = generator.standard_normal(shape, dtype=np.float32)
    rows, columns = fft.fftfreq(shape[0])[:, None], fft.rfftfreq(shape[1])[None]
    response = np.exp(-2 * np.pi**2 * ((depth * rows) ** 2 + (across * columns) ** 2))
    smooth = fft.irfft2(fft.rfft2(noise) * response.astype(np.float32), shape)
    return np.asarray(smooth / smooth.std(), dtype=np.float32)


def _logistic(value: Any) -> Any:
    """Return 1 / (1 + exp(-value)) of a number or an array, without overflow."""
    return 1 / (1 + np.exp(-np.clip(value, -30, 30)))


def _mix(outside: Map, inside: Map | float, share: Map) -> Map:
    return np.asarray(outside + share * (inside - outside), dtype=np.float32)
