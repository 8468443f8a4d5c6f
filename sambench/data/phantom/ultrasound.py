"""Simulated B-mode ultrasound: from tissue to speckle, attenuation and a log-compressed image.

Many scatterers lie in each resolution cell, so the echo before detection is a complex Gaussian
field s(z, x), here white and scaled by the local amplitude a of the tissue, filtered by the
point-spread function h of the scanner, attenuated on the way and joined by receiver noise n:

    e(z, x) = | g(z, x) * (h ⊛ (a s))(z, x) + g_tgc(z) n(z, x) |
    20 log10 g = TGC(z) - 2 f ∫₀ᶻ α(z', x) dz'

e is the envelope; the image is 20 log10 e within the dynamic range. In homogeneous tissue e is
Rayleigh distributed, with mean / SD = sqrt(π / (4 - π)) = 1.91 ("fully developed speckle").

References:
    Goodman, Speckle Phenomena in Optics, 2007, section 3.2 (Rayleigh amplitude).
    Wagner, Smith, Sandrik, Lopez: Statistics of speckle in ultrasound B-scans. IEEE Trans. Sonics
    Ultrason. 30(3), 1983 (the same for pulse-echo images, and the size of the speckle cell).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import fft, ndimage

Map: TypeAlias = NDArray[np.float32]  # (depth, lateral)
Pixels: TypeAlias = NDArray[np.uint8]  # (depth, lateral)


@dataclass(frozen=True, kw_only=True)
class Scanner:
    """A linear array and the settings of its display."""

    frequency_mhz: float  # f; attenuation grows with it
    axial_mm: float  # SD of the Gaussian pulse along the beam
    lateral_mm: float  # SD of the Gaussian beam across, at the skin
    focal_depth_mm: float = 25  # d, from which on the SD widens: lateral_mm * sqrt(1 + (z / d)²)
    tgc_db_per_cm: float  # time-gain compensation
    noise_db: float = -72  # of the receiver, before that; glandular tissue echoes at 0 dB
    gain_db: float  # of the display
    dynamic_range_db: float  # between black and white


@dataclass(frozen=True, kw_only=True)
class Tissue:
    """What the sound meets, on the pixel grid of the image."""

    echogenicity_db: Map  # backscatter relative to glandular tissue
    attenuation: Map  # α in dB / (cm MHz)
    pitch_mm: float  # side of a pixel


def b_mode(tissue: Tissue, scanner: Scanner, generator: Generator) -> Pixels:
    """Image the tissue in 8 bits; 15 dB above gland is white at zero gain."""
    decibels = 20 * np.log10(np.maximum(envelope(tissue, scanner, generator), np.float32(1e-6)))
    share = (decibels + scanner.gain_db - 15) / scanner.dynamic_range_db + 1
    return np.asarray((np.clip(share, 0, 1) * 255).round(), dtype=np.uint8)


def envelope(tissue: Tissue, scanner: Scanner, generator: Generator) -> Map:
    """Return the detected amplitude before log compression (1 = glandular tissue, no loss)."""
    echo = _speckle(_amplitude(tissue.echogenicity_db), scanner, tissue.pitch_mm, generator)
    echo *= _amplitude(net_gain_db(tissue, scanner))
    noise_db = scanner.noise_db + _compensation_db(len(echo), scanner, tissue.pitch_mm)
    echo += _amplitude(noise_db) * _complex_gaussian(echo.shape, generator)
    return np.asarray(np.abs(echo), dtype=np.float32)


def _speckle(
    amplitude: Map, scanner: Scanner, pitch_mm: float, generator: Generator
) -> NDArray[np.complex64]:
    """Filter complex Gaussian scatterers of the given amplitude by the point-spread function.

    The function is separable and Gaussian, constant along depth and widening across with it, and
    scaled to unit energy at each depth, so that uniform tissue of amplitude 1 has mean power 1.
    """
    rows, columns = amplitude.shape
    depth = np.arange(rows) * pitch_mm
    width = scanner.lateral_mm / pitch_mm * np.sqrt(1 + (depth / scanner.focal_depth_mm) ** 2)
    height = np.array([scanner.axial_mm / pitch_mm])
    above, beside = _margin(rows, height), _margin(columns, width)  # outside the image on each side
    padded = np.pad(amplitude, (above, beside), mode="edge")
    field = padded * _complex_gaussian(padded.shape, generator)
    axial = _gaussian_response(len(field), height).T
    field = fft.ifft(fft.fft(field, axis=0) * axial, axis=0)[above[0] : above[0] + rows]
    lateral = _gaussian_response(field.shape[1], width)
    field = fft.ifft(fft.fft(field, axis=1) * lateral, axis=1)
    return np.ascontiguousarray(field[:, beside[0] : beside[0] + columns])


def net_gain_db(tissue: Tissue, scanner: Scanner) -> Map:
    """Return time-gain compensation minus the attenuation to each point and back.

    The loss is averaged across the beam (SD 0.5 mm), which blurs the edges of shadows.
    """
    centimetres = tissue.pitch_mm / 10
    loss = 2 * scanner.frequency_mhz * centimetres * np.cumsum(tissue.attenuation, axis=0)
    loss = ndimage.gaussian_filter1d(loss, 0.5 / tissue.pitch_mm, axis=1, mode="nearest")
    return np.asarray(_compensation_db(len(loss), scanner, tissue.pitch_mm) - loss, np.float32)


def _compensation_db(rows: int, scanner: Scanner, pitch_mm: float) -> Map:
    """Return the time-gain compensation of each row, shape (rows, 1)."""
    depth_cm = np.arange(rows, dtype=np.float32)[:, None] * (pitch_mm / 10)
    return scanner.tgc_db_per_cm * depth_cm


def _amplitude(decibels: Map) -> Map:
    return np.asarray(np.exp(decibels * np.float32(np.log(10) / 20)), dtype=np.float32)


def _complex_gaussian(shape: tuple[int, ...], generator: Generator) -> NDArray[np.complex64]:
    """Return circular complex Gaussian numbers of mean power 1."""
    parts = generator.standard_normal((*shape, 2), dtype=np.float32)
    return parts.view(np.complex64)[..., 0] * np.float32(np.sqrt(0.5))


def _margin(size: int, deviation: NDArray[np.float64]) -> tuple[int, int]:
    """Return pixels to add before and after, for a circular convolution that wraps nothing in."""
    least = int(np.ceil(3 * deviation.max()))
    return least, fft.next_fast_len(size + 2 * least) - size - least


def _gaussian_response(length: int, deviation: NDArray[np.float64]) -> Map:
    """Return the transfer functions of Gaussians of unit energy, shape (deviations, length)."""
    response = np.exp(-2 * (np.pi * fft.fftfreq(length) * deviation[:, None]) ** 2)
    response /= np.sqrt(np.mean(response**2, axis=1, keepdims=True))
    return np.asarray(response, dtype=np.float32)
