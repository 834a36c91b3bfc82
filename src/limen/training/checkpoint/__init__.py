"""Checkpoints: everything a run needs to go on as if it had never stopped, on however many processes.

A checkpoint is a folder, checkpoint-STEP: state.json (plain values), classes.json (the people's names in the order of their labels) and one
file of tensors of each process that wrote it (`limen.training.checkpoint.tensors`).
"""
