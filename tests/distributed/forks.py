"""Processes that are forks of one, so that PyTorch is imported once for all of them."""

import gc
import multiprocessing

import torch


def run_forks(count, work, *arguments):
    """Calls work(rank, *arguments) in `count` processes with one thread each; their exit codes."""
    torch.set_num_threads(1)
    gc.freeze()  # or each collection of a fork walks through, and so copies, all that was imported
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=work, args=(rank, *arguments)) for rank in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return [process.exitcode for process in processes]
