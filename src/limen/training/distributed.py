"""The processes of one run, as torchrun starts them: what they agree on, and how they end together."""

import gc
import os
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NoReturn

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from limen.data import Batch
from limen.devices import training_device
from limen.errors import LimenError
from limen.training.checkpoint.tensors import Shard

WAIT_FOR_THE_FIRST = timedelta(days=1)  # it alone evaluates and writes the bundle
MEMORY_REMEDY = "`limen plan` says what a run needs: lower batch_size, or use more GPUs, a class sampler or head.dtype bf16"


def is_first() -> bool:
    """Whether this process speaks for the run: alone, or rank 0 of those that torchrun started."""
    return int(os.environ.get("RANK", "0")) == 0


class Processes:
    """This process, `rank` of `world_size`. Where it is alone nothing is initialised, and every method answers from what it is given."""

    def __init__(self, rank: int = 0, world_size: int = 1, group: dist.ProcessGroup | None = None):
        self.rank, self.world_size = rank, world_size
        self.group = group  # gloo, on every kind of device: it carries plain values only

    @property
    def first(self) -> bool:
        return self.rank == 0

    def agree(self, settings: dict[str, Any], differing: Callable[[dict[str, Any], dict[str, Any]], list[str]]) -> None:
        """Ends all processes where two of them, on two nodes perhaps, were started with other `settings`."""
        first, *others = self.gather(settings)
        for rank, theirs in enumerate(others, 1):
            if found := differing(theirs, first):
                self.fail(f"process {rank} of {self.world_size} was started with {', '.join(found)} of process 0; start all with the same")

    def gather(self, value: Any) -> list[Any]:
        """Every process's plain value, in the order of ranks."""
        values = [value] * self.world_size
        if self.world_size > 1:
            dist.all_gather_object(values, value, group=self.group)
        return values

    def from_first(self, value: Any) -> Any:
        """The first process's plain value."""
        return self.gather(value)[0]

    def any(self, *flags: bool) -> list[bool]:
        """For each flag, whether some process has raised it."""
        raised = torch.tensor(flags, dtype=torch.uint8)
        if self.world_size > 1:
            dist.all_reduce(raised, dist.ReduceOp.MAX, group=self.group)
        return [bool(flag) for flag in raised]

    def mean(self, values: Sequence[float]) -> list[float]:
        """The mean over processes of each value."""
        total = torch.tensor(values, dtype=torch.float64)
        if self.world_size > 1:
            dist.all_reduce(total, group=self.group)
        return (total / self.world_size).tolist()

    @contextmanager
    def together(self) -> Iterator[None]:
        """No process leaves the block before all have come to its end. A LimenError of one ends them all: rank 0 raises it.

        Within the block, or in a block of another kind, there must be no collective that a process which fails would leave waiting.
        """
        error: LimenError | None = None
        try:
            yield
        except LimenError as raised:
            error = raised
        self._end_on(error)

    def fail(self, message: str) -> NoReturn:
        """Ends all processes, which have all found the same: rank 0 raises LimenError, the others leave it to speak."""
        if self.first:
            raise LimenError(message)
        raise SystemExit(1)

    def in_step(self, batches: Iterable[Batch], stop: list[int]) -> Iterator[Batch]:
        """This process's `batches`, up to the moment when `stop` has filled in some process. Each comes with what no process could read.

        Raises the LimenError of any process's batch.
        """
        remaining = iter(batches)
        while True:
            batch, error = None, None
            try:
                batch = next(remaining, None)
            except LimenError as raised:
                error = raised
            stopping, failed, unreadable = self.any(bool(stop), error is not None, batch is not None and bool(batch.unreadable))
            if failed:
                self._end_on(error)
            if batch is None or stopping:
                return
            if unreadable:
                batch = batch._replace(unreadable=[image for images in self.gather(batch.unreadable) for image in images])
            yield batch

    def _end_on(self, error: LimenError | None) -> None:
        """Ends all processes as soon as one has an `error`: rank 0 raises the first of them, the others leave it to speak."""
        if self.world_size == 1:
            if error is not None:
                raise error
            return
        for rank, message in enumerate(self.gather(None if error is None else str(error))):
            if message is not None:
                if self.first and error is not None:
                    raise error
                self.fail(f"process {rank}: {message}")

    def wrap(self, network: nn.Module | None) -> Any:
        """The network, if there is one, with its gradients averaged over the processes; BatchNorm's running statistics are rank 0's."""
        if network is None or self.world_size == 1 or not any(parameter.requires_grad for parameter in network.parameters()):
            return network
        # Otherwise the order in which gradients are added up changes after the first step, and a resumed run would differ by rounding.
        # PyTorch warns once, past Python's filters, of a walk over the graph that this costs.
        return DistributedDataParallel(network, find_unused_parameters=True, gradient_as_bucket_view=True)

    def shard(self, rows: Tensor, total: int) -> Shard:
        """`rows` of this process as a part of a tensor of `total` rows, as torch.chunk splits it."""
        return Shard(rows, min(self.rank * -(-total // self.world_size), total), total)


def with_sync_batch_norm(network: nn.Module, processes: Processes, device: torch.device) -> nn.Module:
    """`network` whose BatchNorm takes mean and variance over the images of all processes; names of weights stay. Raises LimenError on a
    CPU, for which PyTorch has none."""
    if processes.world_size > 1 and device.type == "cpu":
        raise LimenError("backbone.sync_batch_norm: PyTorch has it for GPUs alone; leave it out on CPUs")
    return nn.SyncBatchNorm.convert_sync_batchnorm(network)


@contextmanager
def join_processes(device: str) -> Iterator[Processes]:
    """The processes that torchrun started, joined by NCCL on CUDA and by gloo elsewhere, until the block is left.

    Raises LimenError where they do not find each other, in all that are left where one of them has died, in one that fails with any
    other exception, and where memory runs out.
    """
    rank, world_size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if world_size == 1:
        try:
            yield Processes()
        except (MemoryError, RuntimeError) as error:
            if not _is_of_memory(error):
                raise
            raise LimenError(f"memory ran out ({_first_line(error)}); {MEMORY_REMEDY}; go on with --resume auto") from error
        return
    try:
        chosen = torch.device(training_device(device))
        if chosen.type == "cuda":
            torch.cuda.set_device(chosen)
        if chosen.type == "cuda":
            dist.init_process_group("nccl", device_id=chosen)  # joins now, and not in the first step
        else:
            dist.init_process_group("gloo")
        group = dist.new_group(backend="gloo", timeout=WAIT_FOR_THE_FIRST)
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise LimenError(f"process {rank} of {world_size} cannot join the others ({reason}); start them all by one torchrun") from error
    try:
        yield Processes(rank, world_size, group)
    except BaseException as error:
        # A network wrapped by DistributedDataParallel must not outlive the group: its destructor, which holds Python's lock, waits for
        # the group's thread, which wants it. The error's traceback would keep it.
        traceback.clear_frames(error.__traceback__)
        if isinstance(error, LimenError | SystemExit | KeyboardInterrupt):
            raise
        for joined in (group, dist.distributed_c10d._get_default_group()):
            joined.abort()  # the others wait for this process no longer
        if isinstance(error, RuntimeError) and _is_of_a_lost_process(error):
            raise LimenError(
                f"process {rank} of {world_size}: another process of the run has ended, its own message or torchrun's report says why; "
                "go on with --resume auto"
            ) from error
        raise LimenError(
            f"process {rank} of {world_size} failed ({type(error).__name__}: {_first_line(error)}), and with it the run; --debug shows "
            f"where; if memory ran out, {MEMORY_REMEDY}; go on with --resume auto"
        ) from error
    finally:
        gc.collect()
        dist.destroy_process_group()


def _is_of_memory(error: BaseException) -> bool:
    """torch says it of a CPU in a RuntimeError."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or ["no reason given"])[0]


def _is_of_a_lost_process(error: BaseException) -> bool:
    return isinstance(error, dist.DistError) or "gloo" in str(error).lower()
