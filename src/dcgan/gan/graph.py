"""The training step as CUDA graphs: its hundreds of kernels are launched together instead of one by one.

A graph repeats what was recorded, on the same memory. So all that changes comes in tensors (`StepInputs`), learning
rates are tensors too, and nothing random may be in it: PyTorch's generators would give every replay the same numbers.
"""

from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor

from dcgan.config.schema import GanConfig
from dcgan.gan.inputs import StepInputs
from dcgan.gan.losses import Measurements
from dcgan.gan.state import GanState
from dcgan.gan.step import Due, gan_step

WARM_UP = 3
"""Ordinary steps before a graph is recorded; they create what must not be in it, as the optimisers' moments."""


class GraphedStep:
    """`gan_step`, bit for bit, by one CUDA graph for each combination of what is due.

    It belongs to one state: after a resume or a rollback, a new one records anew. If recording fails, `on_failure` gets
    the cause once, and all further steps are ordinary ones.
    """

    def __init__(self, on_failure: Callable[[str], None]) -> None:
        self.replays = 0
        """Steps that were made by a graph."""
        self._on_failure = on_failure
        self._has_failed = False
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._warm_up: Counter[Due] = Counter()
        self._graphs: dict[Due, _Graph] = {}

    def __call__(self, state: GanState, inputs: StepInputs, config: GanConfig, *, due: Due) -> Measurements:
        """One step, as `gan_step` makes it."""
        if due not in self._graphs and self._warm_up[due] == WARM_UP and not self._has_failed:
            self._record(state, inputs, config, due=due)
        if due in self._graphs:
            self.replays += 1
            return self._graphs[due].replay(inputs)
        self._warm_up[due] += 1
        # On the stream on which graphs are recorded: what autograd and the libraries keep belongs to a stream.
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            measured = gan_step(state, inputs, config, due=due)
        torch.cuda.current_stream().wait_stream(self._stream)
        return measured

    def _record(self, state: GanState, inputs: StepInputs, config: GanConfig, *, due: Due) -> None:
        try:
            self._graphs[due] = _Graph(state, inputs, config, due=due, stream=self._stream)
        except RuntimeError as error:  # out of memory, and whatever CUDA does not record
            torch.cuda.synchronize()
            self._has_failed = True
            self._on_failure(str(error).partition("\n")[0])


Step = Callable[..., Measurements]
"""`gan_step`, or what stands for it."""


def fastest_step(config: GanConfig, *, on_failure: Callable[[str], None] = print) -> Step:
    """What makes the steps: CUDA graphs if `train.cuda_graph`, which must be resolved, is on."""
    return GraphedStep(on_failure) if config.train.cuda_graph == "on" else gan_step


class _Graph:
    """A recorded step; nothing is executed by recording it."""

    def __init__(
        self,
        state: GanState,
        inputs: StepInputs,
        config: GanConfig,
        *,
        due: Due,
        stream: torch.cuda.Stream,
    ) -> None:
        self._inputs = inputs.map(Tensor.clone)
        self._graph = torch.cuda.CUDAGraph()
        # `thread_local`: another thread, as MLflow's, may do what it likes.
        with torch.cuda.graph(self._graph, stream=stream, capture_error_mode="thread_local"):
            measured = gan_step(state, self._inputs, config, due=due)
            self._values = torch.stack([value.float() for value in measured.values()])
        self._names = list(measured)

    def replay(self, inputs: StepInputs) -> Measurements:
        """Make the step with these inputs; its measurements are a copy, which the next replay does not change."""
        torch._foreach_copy_(_tensors(self._inputs), _tensors(inputs))
        self._graph.replay()
        return dict(zip(self._names, self._values.clone().unbind(), strict=True))


def _tensors(inputs: StepInputs) -> list[Tensor]:
    return [each for each in inputs if each is not None]
