"""Names of runs: the data set, and the parameters that differ from the shipped ones."""

import os
from pathlib import Path

from dcgan.config.params_file import load_params
from dcgan.config.schema import WITHOUT_EFFECT, Params, flatten
from dcgan.system.errors import DcganError

EXPERIMENT, BASELINE = "DVC_EXP_NAME", "DVC_EXP_BASELINE_REV"
"""The environment variables in which DVC tells a stage its experiment's name, and the commit that this began from."""
DEMO_PARAMS = "demo/params.yaml"
LENGTH = 60
"""Characters of a name, beside the experiment's: MLflow's tables show little more."""
SELF_EVIDENT = ("model.architecture", "loss.name")
"""Parameters whose values need no key."""
UNNAMED = WITHOUT_EFFECT - {"keep"} | {"evaluate_every"}
"""Parameters of `train` that say how it is watched or where it runs."""


def run_name(params: Params, *, repository: Path) -> str:
    """The name of a training's run: `mnist dcgan hinge r1=0.1 seed=1`, after its DVC experiment's own if there is one.

    Args:
        params: of the training.
        repository: that holds the shipped parameters.
    """
    chosen = [f"classes={','.join(map(str, params.data.classes))}"] if params.data.classes else []
    words, hidden = [params.data.name, *chosen, *(_differences(params, repository) or [params.model.architecture])], 0
    while len(" ".join(words)) > LENGTH:
        words.pop()
        hidden += 1
    name = " ".join(words + ([f"+{hidden}"] if hidden else []))
    experiment = os.environ.get(EXPERIMENT)
    return f"{experiment}: {name}" if experiment else name


def _differences(params: Params, repository: Path) -> list[str]:
    """`mlp`, `hinge`, `r1=0.1`: what of the training's parameters is not as shipped; sizes come last."""
    shipped, values = flatten(_shipped(params.data.name, repository).gan), flatten(params.gan)
    ordered = sorted(values, key=lambda path: path.startswith("model."))
    changed = [path for path in ordered if values[path] != shipped.get(path, ())]
    bare = [str(values[path]) for path in SELF_EVIDENT if path in changed]
    hidden = {*SELF_EVIDENT, *(f"train.{name}" for name in UNNAMED)}
    return bare + [f"{path.partition('.')[2]}={_text(values[path])}" for path in changed if path not in hidden]


def _shipped(dataset: str, repository: Path) -> Params:
    """The parameters that the repository has for a data set: the demo's, else the defaults."""
    try:
        demo = load_params(repository / DEMO_PARAMS, needs_files=False)
    except DcganError:  # installed without the repository, or somebody edits the file
        return Params()
    return demo if demo.data.name == dataset else Params()


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
