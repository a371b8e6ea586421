"""Names of runs: the data set, the architecture, and the parameters that differ from the shipped ones."""

import os
from pathlib import Path

from dcgan.config.params_file import load_params
from dcgan.config.schema import Params, flatten
from dcgan.system.errors import DcganError

EXPERIMENT, BASELINE = "DVC_EXP_NAME", "DVC_EXP_BASELINE_REV"
"""The environment variables in which DVC tells a stage its experiment's name, and the commit that this began from."""
DEMO_PARAMS = "demo/params.yaml"
LENGTH = 60
"""Characters of a name, beside the experiment's: MLflow's tables show little more."""
UNNAMED = {
    "report_every", "sample_every", "checkpoint_every", "evaluate_every", "max_rollbacks", "device", "cuda_graph",
    "threads",
}  # fmt: skip
"""Parameters of `train` that say how it is watched or where it runs."""


def run_name(params: Params, *, repository: Path) -> str:
    """The name of a training's run: `mnist dcgan hinge r1=0.1 seed=1`, after its DVC experiment's own if there is one.

    Args:
        params: of the training.
        repository: that holds the shipped parameters.
    """
    words, hidden = [params.data.name, params.model.architecture, *_differences(params, repository)], 0
    while len(" ".join(words)) > LENGTH:
        words.pop()
        hidden += 1
    name = " ".join(words + ([f"+{hidden}"] if hidden else []))
    experiment = os.environ.get(EXPERIMENT)
    return f"{experiment}: {name}" if experiment else name


def _differences(params: Params, repository: Path) -> list[str]:
    """`hinge`, `r1=0.1`: the loss and every other parameter of the training that is not as shipped."""
    shipped, values = flatten(_shipped(params.data.name, repository).gan), flatten(params.gan)
    changed = {path.partition(".")[2]: value for path, value in values.items() if value != shipped.get(path, ())}
    loss = [params.loss.name] if values["loss.name"] != shipped["loss.name"] else []
    hidden = {"name", "architecture", *UNNAMED}
    return loss + [f"{key}={_text(value)}" for key, value in changed.items() if key not in hidden]


def _shipped(dataset: str, repository: Path) -> Params:
    """The parameters that the repository has for a data set: the demo's, else the defaults."""
    try:
        demo = load_params(repository / DEMO_PARAMS, needs_files=False)
    except DcganError:  # installed without the repository, or somebody edits the file
        return Params()
    return demo if demo.data.name == dataset else Params()


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
