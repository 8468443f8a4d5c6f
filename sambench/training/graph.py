"""CUDA graphs: work of a device that is recorded once and then launched as a whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch

Work = Callable[[], object]


class Graph(Protocol):
    """Records work on a device without doing it, and does it as often as asked."""

    def warm_up(self, work: Work) -> None:
        """Run the work once, in the way it will be recorded."""
        ...

    def record(self, work: Work) -> None:
        """Record the work; what it does in Python is done now, and never again."""
        ...

    def replay(self) -> None:
        """Do the recorded work on the same memory."""
        ...


class CudaGraphs:
    """Makes graphs that take turns in one pool of memory: none needs what another left there.

    Args:
        device: The GPU.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.stream = torch.cuda.Stream(device)
        with torch.cuda.device(device):
            self.pool = torch.cuda.graph_pool_handle()

    def __call__(self) -> CudaGraph:
        """Return a graph without work."""
        return CudaGraph(self)


class CudaGraph:
    """A CUDA graph, recorded on a stream apart.

    Args:
        among: Those it shares stream and memory with.
    """

    def __init__(self, among: CudaGraphs) -> None:
        self._device, self._stream, self._pool = among.device, among.stream, among.pool
        self._graph = torch.cuda.CUDAGraph()

    def warm_up(self, work: Work) -> None:
        """Do the work on the graph's own stream, whose workspaces are made so."""
        here = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(here)
        with torch.cuda.stream(self._stream):
            work()
        here.wait_stream(self._stream)

    def record(self, work: Work) -> None:
        """Record the work.

        Only this thread is kept from calls that a capture forbids: others may go on with theirs.
        A capture that breaks off leaves torch on the graph's stream, and its generator believing
        that the capture is still under way; so both are put back here.
        """
        with torch.cuda.device(self._device), torch.cuda.stream(torch.cuda.current_stream()):
            generator = torch.cuda.default_generators[torch.cuda.current_device()]
            before = generator.clone_state()
            try:
                with torch.cuda.graph(
                    self._graph,
                    pool=self._pool,
                    stream=self._stream,
                    capture_error_mode="thread_local",
                ):
                    work()
            except BaseException:
                generator.graphsafe_set_state(before)
                raise

    def replay(self) -> None:
        """Launch the graph."""
        self._graph.replay()


def graphs_of(device: torch.device) -> Callable[[], Graph] | None:
    """Return how graphs are made on a device; None where it has none."""
    return CudaGraphs(device) if device.type == "cuda" else None
