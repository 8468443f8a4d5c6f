"""What stands for a moving bar where there is no terminal."""

from __future__ import annotations

import io

import pytest
from msgspec.structs import replace
from rich.console import Console

from sambench.cli.progress import Overall, RunDisplay, _ending, _images
from sambench.cli.screen import Screen, SlowLines
from sambench.config.run_config import RunConfig
from sambench.errors import RunFailed
from sambench.training.events import Started, Tick
from tests.conftest import RecordMaker


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_line_now_and_then() -> None:
    said, clock = io.StringIO(), Clock()
    lines = SlowLines(Console(file=said, width=80), clock)
    for second in range(95):
        clock.now = float(second)
        lines.tell(f"[step] {second}")
    assert said.getvalue().splitlines() == ["[step] 30", "[step] 60", "[step] 90"]


def test_none_on_a_terminal() -> None:
    said, clock = io.StringIO(), Clock()
    lines = SlowLines(Console(file=said, force_terminal=True), clock)
    clock.now = 1000.0
    lines.tell("far")
    assert said.getvalue() == ""


@pytest.mark.parametrize(
    ("accuracy", "collapsed", "end"),
    [
        (0.9, False, ", no more than naming the most frequent class for every image (90.0 %)"),
        (0.91, False, "gradient evaluations"),
        (0.9, True, ", collapsed to one class"),
    ],
)
def test_a_run_that_is_no_better_than_one_class_says_so(
    make_record: RecordMaker, accuracy: float, collapsed: bool, end: str
) -> None:
    record = make_record("adam", accuracy=accuracy, collapsed=collapsed, hessian=None)
    final = record.final or {}
    final = {**final, "test": {**final["test"], "majority_accuracy": 0.9}}
    assert _ending(record.with_sections(final=final)).endswith(end)


def test_a_trial_s_line_shows_what_it_is_chosen_by(make_record: RecordMaker) -> None:
    """Its test accuracy plays no role, and is not to be looked at while others are chosen."""
    record = replace(make_record("adam", accuracy=0.5), suite="demo (search)")
    final = {**(record.final or {}), "validation": {"loss": 0.5, "accuracy": 0.625}}
    said = _ending(record.with_sections(final=final))
    assert said.startswith("validation accuracy 62.5 % after 5 epochs, ")
    assert said.endswith("gradient evaluations")


def of(*optimizers: str, **settings: object) -> list[RunConfig]:
    given = {"dataset": "phantom", "image_size": 32, "model": "resnet50", **settings}
    return [RunConfig.from_dict({**given, "optimizer": name}) for name in optimizers]


def test_the_time_left_of_all_runs_follows_their_work() -> None:
    """SAM's run is twice Adam's; what failed tells nothing."""
    clock = Clock()
    adam, sam, gsam = of("adam", "sam", "gsam")
    overall = Overall([adam, sam, gsam], clock)
    clock.now = 60.0
    overall.reach(adam.name, 0.5)
    assert (overall.share, str(overall)) == (0.1, "")
    clock.now = 120.0
    overall.end(adam.name, well=True)
    assert (overall.share, str(overall)) == (0.2, "about 8 min left")
    overall.reach(sam.name, 0.5)
    clock.now = 240.0
    assert str(overall) == "about 6 min left"
    overall.end(gsam.name, well=False)
    assert (overall.ended, str(overall)) == (2, "about 2 min left")
    overall.end(sam.name, well=True)
    assert (overall.share, str(overall)) == (1.0, "")
    assert not overall._share  # each tick adds up the runs under way, not all that ever were


def test_what_an_earlier_command_has_done_of_a_run_is_no_work_of_this_one() -> None:
    """A tenth of the first run takes 6 s, so the second takes a minute."""
    clock = Clock()
    first, second = of("adam", "adamw")
    overall = Overall([first, second], clock)
    overall.begin(first.name, 0.9)
    overall.reach(first.name, 0.95)
    assert overall.share == pytest.approx(0.05 / 1.1)
    clock.now = 6.0
    overall.end(first.name, well=True)
    assert str(overall) == "about 60 s left"
    overall.begin(second.name, 1.0)  # all is trained, but not tested
    overall.reach(second.name, 1.0)
    assert overall.share == pytest.approx(1.0)


def test_the_time_left_counts_the_measuring_of_curvature() -> None:
    """Trained for one minute and measured for three: a run that is trained has three before it."""
    clock = Clock()
    first, second = of("adam", "adamw")
    overall = Overall([first, second], clock)
    overall.begin(first.name)
    clock.now = 60.0
    overall.reach(first.name, 1.0)
    clock.now = 240.0
    overall.end(first.name, well=True)
    assert str(overall) == "about 4 min left"
    overall.begin(second.name)
    clock.now = 300.0
    overall.reach(second.name, 1.0)
    assert (overall.share, str(overall)) == (0.625, "about 3 min left")


def test_many_steps_of_a_run_are_no_line_each() -> None:
    screen, said = Screen(), io.StringIO()
    screen.err = Console(file=said, width=80)
    tick = Tick(epoch=1, epochs=2, step=1, steps=9, loss=0.5, accuracy=0.5, images_per_second=9.0)
    with RunDisplay(screen, of("adam")) as display:
        for _ in range(100):
            display.event(tick)
    assert said.getvalue() == ""


def test_of_many_classes_the_fewest_and_the_most_images_are_told() -> None:
    counts = {f"class {number}": [4, 0, 1 + number % 2] for number in range(30)}
    assert _images(counts) == "120 train, 45 test images; of each of 30 classes 4 train, 1-2 test"


def test_the_name_of_a_run_gives_way_on_a_narrow_terminal() -> None:
    said = io.StringIO()
    screen = Screen()
    screen.err = Console(file=said, width=80, force_terminal=True, color_system=None)
    (run,) = of("gcsam")
    tick = Tick(
        epoch=37, epochs=50, step=1, steps=9, loss=0.5, accuracy=0.5, images_per_second=1234.0
    )
    with RunDisplay(screen, [run]) as display:
        display.measuring(run)
        display.event(tick)
    last = next(line for line in reversed(said.getvalue().splitlines()) if "epoch" in line)
    assert "epoch 37/50" in last
    assert "acc 50.0 %  1234 images/s" in last


def test_a_quiet_screen_shows_failures_alone(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(quiet=True)
    for show in (screen.say, screen.warn, screen.show):
        show("nothing")
    screen.listing(("a",), [("b",)] * 600)
    screen.fail("this")
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "error: this\n")


def test_a_screen_without_results_keeps_messages(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(results=False)
    screen.show("result")
    screen.say("message")
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "message\n")


@pytest.mark.parametrize("columns", [60, 120])
def test_workers_have_a_bar_each_and_one_together(columns: int) -> None:
    """A name may lose its beginning, never its end, which tells runs apart."""
    screen, said = Screen(), io.StringIO()
    screen.err = Console(file=said, width=columns, force_terminal=True, color_system=None)
    first, second, third = of("adam", "sam", "gsam")
    tick = Tick(
        epoch=37, epochs=50, step=1, steps=9, loss=0.5, accuracy=0.5, images_per_second=1234.0
    )
    sizes = {"images": {"a": [3, 0, 1], "b": [2, 0, 1]}, "parameters": 7, "weights": None}
    with RunDisplay(screen, [first, second, third]) as display:
        one, two, idle = display.lane(), display.lane(), display.lane()
        one.event(Started(config=first, device="cpu", resumed_at=None, **sizes))
        one.event(tick)
        two.measuring(second)
        two.curvature("top eigenvalue", 3, 40)
        idle.failed(third, RunFailed("no"))
        display._bar.refresh()
        shown = io.StringIO()
        Console(file=shown, width=columns).print(display._bar.get_renderable())
    lines = [line.rstrip() for line in shown.getvalue().splitlines()]
    assert len(lines) == 3
    assert all(len(line) <= columns for line in lines)
    assert lines[0].startswith("1 of 3 runs")
    assert "resnet50-adam-s0 " in lines[1]
    assert "epoch 37/50" in lines[1]
    assert "acc 50.0 %" in lines[1]
    assert ("1234 images/s" in lines[1]) == (columns == 120)
    assert "resnet50-sam-s0 " in lines[2]
    assert "top eigenvalue" in lines[2]
