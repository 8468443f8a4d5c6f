"""The simulated dataset: physics against theory, anatomy, the study's plan, and its files."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sambench.data.phantom import cohort
from sambench.data.phantom.breast import WIDTH_MM, Lesion, draw_lesion, draw_tissue
from sambench.data.phantom.ultrasound import Scanner, Tissue, envelope, net_gain_db
from sambench.data.source import Listing, Request, sources
from sambench.errors import ConfigError

SCANNER = Scanner(
    frequency_mhz=10,
    axial_mm=0.2,
    lateral_mm=0.3,
    focal_depth_mm=25,
    tgc_db_per_cm=0,
    noise_db=-200,
    gain_db=0,
    dynamic_range_db=50,
)
PITCH_MM = 0.1


def uniform(attenuation: float = 0.0, shape: tuple[int, int] = (400, 400)) -> Tissue:
    return Tissue(
        echogenicity_db=np.zeros(shape, dtype=np.float32),
        attenuation=np.full(shape, attenuation, dtype=np.float32),
        pitch_mm=PITCH_MM,
    )


def request(raw: Path, **options: float) -> Request:
    given = {"images": 40, "pixels": 48} | options
    return Request(raw=raw, options=sources.get("phantom").resolve(given))


def scan(raw: Path, **options: float) -> Listing:
    return sources.get("phantom").scan(request(raw, **options))


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*.*"))
    }


# Physics


def test_speckle_is_rayleigh() -> None:
    """Mean / SD = 1.913 (Goodman, 3.2), skewness 0.631, mean power 1; about 4,000 speckle cells."""
    speckle = envelope(uniform(), SCANNER, np.random.default_rng(0))
    ratio = speckle.mean() / speckle.std()
    assert ratio == pytest.approx(np.sqrt(np.pi / (4 - np.pi)), rel=0.03)
    standardised = (speckle - speckle.mean()) / speckle.std()
    assert (standardised**3).mean() == pytest.approx(0.631, abs=0.1)
    assert (speckle**2).mean() == pytest.approx(1, rel=0.05)


def test_rayleigh_up_to_the_edges() -> None:
    """No darker frame: the convolution sees scatterers outside the image."""
    power = np.mean(
        [envelope(uniform(), SCANNER, np.random.default_rng(i)) ** 2 for i in range(8)], axis=0
    )
    for edge in (power[0], power[-1], power[:, 0], power[:, -1]):
        assert edge.mean() == pytest.approx(1, rel=0.15)


def width_mm(speckle: np.ndarray, axis: int) -> float:
    """Return the SD of the Gaussian autocovariance of the intensity along an axis, from lag 1."""
    intensity = speckle**2 - (speckle**2).mean()
    lagged = np.moveaxis(intensity, axis, 0)
    correlation = (lagged[1:] * lagged[:-1]).mean() / (intensity**2).mean()
    return float(PITCH_MM / np.sqrt(-2 * np.log(correlation)))


def test_grain_is_that_of_the_point_spread_function() -> None:
    """Intensity covariance is |h ⋆ h|², a Gaussian of the SD of h itself (Wagner et al., 1983)."""
    speckle = envelope(uniform(), SCANNER, np.random.default_rng(1))
    top, bottom = speckle[:80], speckle[-80:]
    assert width_mm(speckle, axis=0) == pytest.approx(0.2, rel=0.1)
    assert width_mm(top, axis=1) == pytest.approx(0.3, rel=0.15)
    assert width_mm(bottom, axis=1) == pytest.approx(0.3 * np.sqrt(1 + (36 / 25) ** 2), rel=0.15)


def test_attenuation_with_depth() -> None:
    """2 f α z: 10 MHz and 0.5 dB / (cm MHz) are 10 dB per centimetre there and back."""
    echo = envelope(uniform(attenuation=0.5), SCANNER, np.random.default_rng(2))
    decibels = 10 * np.log10((echo**2).mean(axis=1))
    depth_cm = np.arange(len(decibels)) * PITCH_MM / 10
    assert np.polyfit(depth_cm, decibels, 1)[0] == pytest.approx(-10, abs=0.5)


def test_compensation_undoes_attenuation_and_raises_noise() -> None:
    compensating = replace(SCANNER, tgc_db_per_cm=10, noise_db=-30)
    gain = net_gain_db(uniform(attenuation=0.5), compensating)
    assert np.abs(gain).max() < 0.2
    silent = replace(uniform(), echogenicity_db=np.full((400, 400), -200, np.float32))
    noise = envelope(silent, compensating, np.random.default_rng(3))
    assert 20 * np.log10(noise[-40:].mean() / noise[:40].mean()) == pytest.approx(36, abs=1)


# Anatomy


def lesions(mean_score: float, number: int = 60) -> list[Lesion]:
    """Draw lesions of one class: scores of SD 1."""
    generators = [np.random.default_rng([7, i]) for i in range(number)]
    return [draw_lesion(mean_score + g.standard_normal(), g) for g in generators]


def extent_ratio(lesion: Lesion) -> float:
    """Return depth over width of a lesion's mask."""
    grid = np.arange(0, WIDTH_MM, 0.3, dtype=np.float32)
    rows, columns = np.nonzero(lesion.coverage(lesion.distance_mm(grid[None], grid[:, None])) > 0.5)
    return float(rows.std() / columns.std())


def test_benign_are_wider_and_malignant_taller() -> None:
    benign = [extent_ratio(lesion) for lesion in lesions(-cohort.SEPARATION)]
    malignant = [extent_ratio(lesion) for lesion in lesions(cohort.SEPARATION)]
    assert np.mean(benign) < 0.85
    assert np.mean(malignant) > 1.05
    assert max(benign) > min(malignant), "orientation alone must not decide"


def test_malignant_are_irregular_and_spiculated() -> None:
    benign, malignant = lesions(-cohort.SEPARATION), lesions(cohort.SEPARATION)
    for sign in (
        lambda lesion: len(lesion.spicules),
        lambda lesion: np.abs(lesion.waves).mean(),
        lambda lesion: lesion.margin_mm,
        lambda lesion: lesion.halo_db,
    ):
        assert np.mean([*map(sign, malignant)]) > 1.5 * np.mean([*map(sign, benign)])


def posterior_db(lesion: Lesion, seed: int) -> float:
    """Return the change of the echo behind the lesion relative to beside it, 1 to 4 mm deep."""
    tissue = draw_tissue(lesion, 128, np.random.default_rng(seed))
    gain = net_gain_db(tissue, cohort.SCANNERS["GDPH"])
    x, z = (round(value / tissue.pitch_mm) for value in lesion.centre_mm)
    below = z + round(lesion.semi_axes_mm[1] / tissue.pitch_mm)
    rows = gain[below + 3 : below + 13]
    far = x - 45 if x > 64 else x + 45
    return float(rows[:, x - 3 : x + 4].mean() - rows[:, far - 3 : far + 4].mean())


def test_shadow_behind_malignant_enhancement_behind_benign() -> None:
    benign = [posterior_db(lesion, i) for i, lesion in enumerate(lesions(-cohort.SEPARATION))]
    malignant = [posterior_db(lesion, i) for i, lesion in enumerate(lesions(cohort.SEPARATION))]
    assert np.mean(benign) > 1
    assert np.mean(malignant) < -5


@pytest.mark.parametrize("pixels", [64, 128])
def test_layers_from_skin_to_thorax(pixels: int) -> None:
    """Averaged over images: fat darker than skin and gland, the thorax darkest."""
    depth_mm = np.arange(0, 31, WIDTH_MM / pixels)
    profiles = []
    for index in range(12):
        generator = np.random.default_rng(index)
        tissue = draw_tissue(draw_lesion(-2, generator), pixels, generator)
        profiles.append(np.median(tissue.echogenicity_db[: len(depth_mm)], axis=1))
    profile = np.mean(profiles, axis=0)
    skin, fat, gland, thorax = (
        profile[(depth_mm >= top) & (depth_mm < bottom)].mean()
        for top, bottom in ((0, 1.5), (3, 4.5), (10, 14), (28, 31))
    )
    assert fat < gland - 4
    assert fat < skin - 4
    assert thorax < gland - 4


# Study


def test_shares_are_those_of_the_real_release() -> None:
    pictures = cohort.plan(images=2405, seed=0, duplicates=0, label_noise=0)
    counts = Counter((picture.centre, picture.id.split("(")[0]) for picture in pictures)
    assert counts == {
        ("SYSUCC", "benign"): 443,
        ("SYSUCC", "malignant"): 1116,
        ("GDPH", "benign"): 443,
        ("GDPH", "malignant"): 403,
    }
    real = {"SYSUCC": {"benign": 443, "malignant": 1116}}
    for picture in pictures:
        label, number = picture.id.rstrip(")").split("(")
        assert (picture.centre == "SYSUCC") == (int(number) < real["SYSUCC"][label])


def test_folds_are_stratified() -> None:
    pictures = cohort.plan(images=600, seed=1, duplicates=0, label_noise=0)
    for centre in cohort.SCANNERS:
        for malignant in (False, True):
            sizes = Counter(
                picture.fold
                for picture in pictures
                if (picture.centre, picture.malignant) == (centre, malignant)
            )
            assert set(sizes) == {1, 2, 3, 4, 5}
            assert max(sizes.values()) - min(sizes.values()) <= 1


def test_grades_follow_the_lesion() -> None:
    pictures = cohort.plan(images=600, seed=0, duplicates=0, label_noise=0)
    rank = {grade: position for position, grade in enumerate(cohort.GRADES)}
    ranks = np.array([[rank[grade] for grade in picture.grades] for picture in pictures])
    malignant = np.array([picture.malignant for picture in pictures])
    assert ranks[malignant].mean() > ranks[~malignant].mean() + 1.5
    assert 0.6 < np.corrcoef(ranks.T)[0, 1] < 0.99
    assert set(rank) == {grade for picture in pictures for grade in picture.grades}


def test_classes_overlap() -> None:
    """The score itself separates 96 % of the lesions: no image can do better."""
    pictures = cohort.plan(images=5000, seed=0, duplicates=0, label_noise=0)
    right = np.mean([(picture.score > 0) == picture.malignant for picture in pictures])
    assert 0.945 < right < 0.975


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_duplicates(share: float) -> None:
    pictures = cohort.plan(images=200, seed=3, duplicates=share, label_noise=0)
    copies = [picture for picture in pictures if picture.original is not None]
    assert len(copies) == 200 * share
    assert sum(copy.identical for copy in copies) == len(copies) / 2
    for copy in copies:
        assert copy.original is not None
        original = pictures[copy.original]
        assert original.original is None
        assert (original.centre, original.malignant) == (copy.centre, copy.malignant)
        assert original.score == copy.score


def test_smallest_study_with_most_copies() -> None:
    for seed in range(20):
        pictures = cohort.plan(images=20, seed=seed, duplicates=0.5, label_noise=0.5)
        assert len({picture.id for picture in pictures}) == 20


def test_near_copies_are_alike_but_not_the_same() -> None:
    pictures = cohort.plan(images=40, seed=0, duplicates=0.5, label_noise=0)
    copies = [picture for picture in pictures if picture.original is not None]
    for copy in copies[:12]:
        assert copy.original is not None
        first, second = (cohort.render(p, 0, 64) for p in (copy, pictures[copy.original]))
        if copy.identical:
            assert np.array_equal(first, second)
            continue
        assert first.tobytes() != second.tobytes()
        small = [
            np.asarray(Image.fromarray(image).resize((16, 16), Image.Resampling.BOX), float)
            for image in (first, second)
        ]
        assert np.corrcoef(small[0].ravel(), small[1].ravel())[0, 1] > 0.9


def test_label_noise_is_independent_of_duplicates() -> None:
    pictures = cohort.plan(images=400, seed=5, duplicates=0.25, label_noise=0.25)
    flipped = [p.id.startswith("malignant") != p.malignant for p in pictures]
    copied = [p.original is not None for p in pictures]
    assert sum(flipped) == 100
    both = sum(f and c for f, c in zip(flipped, copied, strict=True))
    assert 10 < both < 40, "25 expected: some copies contradict their original"


def test_centres_differ_in_gain_and_resolution() -> None:
    first, second = cohort.SCANNERS.values()
    assert first.gain_db != second.gain_db
    assert first.axial_mm > second.axial_mm
    assert first.lateral_mm > second.lateral_mm


def test_mean_and_spread_of_brightness_are_no_shortcut() -> None:
    """Best linear rule on mean and SD: below 75 %, where always malignant gets 63 %."""
    pictures = cohort.plan(images=200, seed=0, duplicates=0, label_noise=0)
    images = [cohort.render(picture, 0, 64) for picture in pictures]
    labels = np.array([picture.malignant for picture in pictures])
    moments = np.array([(1, image.mean(), image.std()) for image in images])
    weights = np.linalg.lstsq(moments, labels, rcond=None)[0]
    assert ((moments @ weights > 0.5) == labels).mean() < 0.75


# Files


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    roots = [scan(tmp_path / name, seed=seed).root for name, seed in (("a", 4), ("b", 4), ("c", 5))]
    first, again, other = map(digests, roots)
    assert first == again
    assert not set(first.values()) & set(other.values())


def test_number_of_threads_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    several = digests(scan(tmp_path / "several").root)
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    assert digests(scan(tmp_path / "one").root) == several


def test_the_real_layout_and_what_it_tells(tmp_path: Path) -> None:
    listing = scan(tmp_path, duplicates=0.2, label_noise=0.1)
    assert {path.name for path in listing.root.iterdir()} == {"GDPH", "SYSUCC"}
    assert listing.classes == ("benign", "malignant")
    assert listing.columns == ("centre", "fold", "birads_reader1", "birads_reader2")
    assert len(listing.samples) == 40
    for sample in listing.samples:
        assert sample.file == f"{sample.facts['centre']}/{sample.id}.png"
        assert sample.id.startswith(f"{sample.label}(")
    assert {sample.facts["centre"] for sample in listing.samples} == {"GDPH", "SYSUCC"}
    assert {sample.facts["fold"] for sample in listing.samples} == {1, 2, 3, 4, 5}
    with Image.open(listing.samples[0].path) as image:
        assert (image.mode, image.width) == ("L", 48)
    copies = Counter(hashlib.sha256(s.path.read_bytes()).hexdigest() for s in listing.samples)
    assert 40 - len(copies) == 4, "half of eight copies are byte-identical"


def test_complete_folder_is_reused(tmp_path: Path) -> None:
    root = scan(tmp_path).root
    times = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    scan(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == times


def test_partial_folder_is_completed(tmp_path: Path) -> None:
    root = scan(tmp_path).root
    whole = digests(root)
    kept = root / "SYSUCC" / "benign(0).png"
    time = kept.stat().st_mtime_ns
    for path in sorted((root / "GDPH").iterdir())[:5]:
        path.unlink()
    calls: list[tuple[int, int, str]] = []
    cut = replace(request(tmp_path), progress=lambda *call: calls.append(call))
    sources.get("phantom").scan(cut)
    assert digests(root) == whole
    assert kept.stat().st_mtime_ns == time
    assert [call[:2] for call in calls] == [(done, 40) for done in range(36, 41)]


def test_an_image_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    render = cohort.render

    def fail(picture: cohort.Picture, seed: int, pixels: int) -> cohort.Pixels:
        if picture.index == 20:
            raise KeyboardInterrupt
        return render(picture, seed, pixels)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(cohort, "render", fail)
        scan(tmp_path)
    assert not list(tmp_path.rglob("*.tmp"))
    assert len(scan(tmp_path).samples) == 40


def test_options_have_folders_of_their_own(tmp_path: Path) -> None:
    plain, noisy = scan(tmp_path), scan(tmp_path, label_noise=0.1)
    assert plain.root != noisy.root
    assert plain.root.name.startswith("phantom-")


def test_a_share_of_each_centre_and_class_can_be_set_aside_to_test(tmp_path: Path) -> None:
    whole, divided = scan(tmp_path), scan(tmp_path, test_images=30)
    assert "part" not in whole.columns and divided.columns[-1] == "part"
    assert divided.root == whole.root, "the images are the same"
    counts = Counter(
        (sample.facts["centre"], sample.label, sample.facts["part"]) for sample in divided.samples
    )
    assert sum(n for (_, _, part), n in counts.items() if part == "test") == 30
    for centre, label in {(centre, label) for centre, label, _ in counts}:
        kept, tested = counts[centre, label, "train"], counts[centre, label, "test"]
        assert abs(tested - 0.75 * (kept + tested)) <= 1


def test_the_study_s_set_has_2000_test_images() -> None:
    options = sources.get("phantom-study").resolve({})
    assert (options["images"], options["test_images"]) == (2480, 2000)
    assert sources.get("phantom").resolve({})["test_images"] == 0


def test_mistakes_are_refused(tmp_path: Path) -> None:
    source = sources.get("phantom")
    with pytest.raises(ConfigError, match="makes its own images"):
        source.scan(replace(request(tmp_path), folder=tmp_path))
    with pytest.raises(ConfigError, match=r"images=40.5 .* whole number"):
        scan(tmp_path, images=40.5)
    with pytest.raises(ConfigError, match="outside 20"):
        source.resolve({"images": 4})
    with pytest.raises(ConfigError, match=r"test_images=31 .* images=40 .*images=511"):
        scan(tmp_path, test_images=31)


def test_registry_entries_are_cheap_to_import() -> None:
    heavy = "{'torch', 'numpy', 'scipy', 'PIL', 'openpyxl'}"
    named = "import sys; from sambench.data.source import sources; sources.get('phantom')"
    code = f"{named}; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
