"""The sbatch files of the how-to pages, run line by line by bash with stand-ins for SLURM's commands, torchrun and limen."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from torch.distributed.run import get_args_parser

from limen import cli
from limen.training import load_recipe

HOWTO = Path(__file__).parents[2] / "docs/howto"
SAY = 'echo "$(basename "$0") $*" >> said'
STAND_INS = {
    "scontrol": f'{SAY}\n[ "$1" = requeue ] || printf "node1\\nnode2\\n"',
    "srun": f'{SAY}\necho "cores $SRUN_CPUS_PER_TASK" >> said\nexec "$@"',
    "torchrun": f'{SAY}\ntrap "echo saved >> said; exit 1" TERM\nuntil [ -e end ]; do sleep .02; done\nexit 7',
    "limen": SAY,
}
ENVIRONMENT = {"SLURM_JOB_NODELIST": "node[1-2]", "SLURM_JOB_ID": "17", "SLURM_NNODES": "2", "SLURM_CPUS_PER_TASK": "64"}
pytestmark = pytest.mark.skipif(os.name != "posix", reason="SLURM is of Linux")


def sbatch_of(page):
    (block,) = (found for found in re.findall(r"```bash\n(.*?)```", (HOWTO / page).read_text(), re.S) if "#SBATCH" in found)
    return block


@pytest.fixture
def start(tmp_path):
    """Starts a page's sbatch file in a folder of its own."""
    for name, lines in STAND_INS.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{lines}\n")
        (tmp_path / name).chmod(0o755)

    def start(page, **more):
        (tmp_path / "job").write_text(sbatch_of(page))
        environment = os.environ | ENVIRONMENT | more | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        return subprocess.Popen(["bash", "job"], cwd=tmp_path, env=environment, start_new_session=True)

    return start


def said(folder, until=""):
    """What the stand-ins have said, once one of their lines begins with `until`."""
    for _ in range(500):
        lines = (folder / "said").read_text().splitlines() if (folder / "said").exists() else []
        if any(line.startswith(until) for line in lines):
            return lines
        time.sleep(0.01)
    raise AssertionError(f"{until} is not in {lines}")


def test_the_time_limits_signal_saves_and_then_queues_the_job_again(start, tmp_path):
    assert "#SBATCH --requeue\n" in sbatch_of("several_machines.md")
    assert re.search(r"#SBATCH --signal=B:TERM@\d+\n", sbatch_of("several_machines.md"))  # B: to this script alone
    job = start("several_machines.md")
    said(tmp_path, until="torchrun")
    job.send_signal(signal.SIGTERM)
    job.wait(10)
    assert said(tmp_path)[-2:] == ["saved", "scontrol requeue 17"]


def test_a_run_that_ends_by_itself_is_not_queued_again_and_says_how_it_ended(start, tmp_path):
    (tmp_path / "end").touch()
    assert start("several_machines.md").wait(10) == 7
    assert not any("requeue" in line for line in said(tmp_path))


def test_torchrun_and_limen_take_the_words_of_the_file(start, tmp_path, monkeypatch):
    (tmp_path / "end").touch()
    start("several_machines.md").wait(10)
    lines = said(tmp_path)
    assert "cores 64" in lines  # srun does not take them over from sbatch by itself
    (words,) = (line.split()[1:] for line in lines if line.startswith("torchrun"))
    taken = get_args_parser().parse_args(words)
    assert (taken.nnodes, taken.rdzv_id, taken.rdzv_endpoint, taken.rdzv_backend) == ("2", "17", "node1:29500", "c10d")
    assert (taken.module, taken.training_script) == (True, "limen")
    command, *words = taken.training_script_args
    assert command == "train"
    assert words[-2:] == ["--resume", "auto"]
    (tmp_path / "my.yaml").write_text("{}")
    monkeypatch.chdir(tmp_path)
    assert cli.main([command, *words, "--print-config"]) == 0
    assert load_recipe("my.yaml", words[2:-2]).out == "runs/two"


def test_the_array_embeds_every_shard_once(start, tmp_path):
    first, last = map(int, re.search(r"#SBATCH --array=(\d+)-(\d+)\n", sbatch_of("embed_many.md")).groups())
    for job in (first, last):
        start("embed_many.md", SLURM_ARRAY_TASK_ID=str(job)).wait(10)
    shares = [re.search(r"--shard (\d+)/(\d+)", line).groups() for line in said(tmp_path)]
    assert shares == [("0", str(last + 1)), (str(last), str(last + 1))]
