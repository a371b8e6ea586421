"""Slurm's commands and environment on one machine: what `sbatch` runs, step by step."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from deploy_files import directives

SRUN = """#!/bin/bash
# Run the command here, once a task, as srun does on the nodes of a job; its own options end at the command.
echo "srun $*" >> "$SLURM_SUBMIT_DIR/srun.log"
while [[ ${1:-} == --* ]]; do shift; done
exec "$@"
"""
SCONTROL = """#!/bin/bash
[ "$1 $2" = "show hostnames" ] || exit 1
range=${3//[!0-9-]/}
for number in $(seq ${range/-/ }); do echo "${3%%[*}$number"; done
"""


def install(folder: Path, **commands: str) -> Path:
    """Put srun, scontrol and the scripts that are given into a folder for PATH."""
    folder.mkdir(exist_ok=True)
    for name, text in {"srun": SRUN, "scontrol": SCONTROL, **commands}.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder


def sbatch(
    script: Path, folder: Path, *arguments: str, bin_folder: Path, **more: str
) -> subprocess.CompletedProcess[str]:
    """Run a batch script as a job that was submitted in `folder`: a copy, with the variables of its directives."""
    asked = directives(script)
    variables = {
        "SLURM_SUBMIT_DIR": str(folder),
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NUM_NODES": asked.get("nodes", "1"),
        "SLURM_JOB_NODELIST": f"node[1-{asked.get('nodes', '1')}]",
        **({"SLURM_CPUS_PER_TASK": asked["cpus-per-task"]} if "cpus-per-task" in asked else {}),
        **({"SLURM_GPUS": asked["gpus"]} if "gpus" in asked else {}),
        **more,
    }
    spool = bin_folder / "slurm_script"
    shutil.copyfile(script, spool)
    spool.chmod(0o700)
    inherited = {name: value for name, value in os.environ.items() if not re.match("SLURM_|MLFLOW_|RAY_", name)}
    path = f"{bin_folder}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = inherited | variables | {"PATH": path}
    command = [str(spool), *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def steps(folder: Path) -> list[str]:
    """The steps that a job ran, each with srun's own options."""
    return (folder / "srun.log").read_text().splitlines()
