"""What the methods of a comparison cost, from one run of ``benchmark_distillation.py``."""
from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

STUDENT_STEP, TEACHER_STEP = 'student alone', 'teacher forward'


@dataclass(frozen=True)
class StepCost:
    """What a method costs.

    Args:
        parameters: Parameters at inference.
        time: Time of a training step over that of the student alone; None for the teacher, which is not trained here.
        memory: Peak memory of training over that of the student alone, the teacher's weights included, or None.
    """
    parameters: int
    time: float | None = None
    memory: float | None = None


@dataclass(frozen=True)
class StepCosts:
    """What the methods of a comparison cost.

    Args:
        methods: By method, ``'student'`` and ``'teacher'`` among them; those that were not measured are absent.
        source: How and on what they were measured, in half a sentence.
    """
    methods: dict[str, StepCost]
    source: str


def memory_of(step: Mapping[str, float]) -> float:
    """Bytes that a step of the benchmark needs at its peak: what stays between steps, and what the step adds."""
    return step['resident_bytes'] + step['bytes']


def read_costs(path: str | Path, configs: Mapping[str, str]) -> StepCosts:
    """Read what ``benchmark_distillation.py --out`` wrote.

    Args:
        path: The JSON file.
        configs: Config of each distillation, path or name, by method; leave out methods whose options change what a
            step computes.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no such file, or none of the distillations was measured in it.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'no cost file {str(path)!r}: benchmark_distillation.py --out writes it')
    try:
        report = json.loads(path.read_text())
        steps, alone = report['steps'], report['steps'][STUDENT_STEP]
        measured = {method: StepCost(step['parameters'], step['seconds'] / alone['seconds'],
                                     memory_of(step) / memory_of(alone))
                    for method, step in ((method, steps.get(Path(config).stem)) for method, config in configs.items())
                    if step is not None}
        baselines = dict(teacher=StepCost(steps[TEACHER_STEP]['parameters']),
                         student=StepCost(alone['parameters'], 1., 1.))
        source = (f'`{path}`: {report["size"]} x {report["size"]} pixels, batch {report["batch_size"]}, '
                  f'{report["device"]}, torch {report["torch"]}')
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f'{path} was not written by benchmark_distillation.py --out: {error!r}') from error
    if not measured:
        raise ValueError(f'{path} is of other models than the study: it has {sorted(steps)}, and none of '
                         f'{sorted({Path(config).stem for config in configs.values()})}')
    return StepCosts({**baselines, **measured}, source)
