"""A figure of a report."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A figure of a report as the page shows it.

    Attributes:
        stem: Its file's name without the ending.
        title: What it shows, in a few words.
        caption: What is drawn, of what and how many, and how to read it.
        png: The picture.
    """

    stem: str
    title: str
    caption: str
    png: bytes
