"""A comparison of distillations as a plan: which trainings it takes, and which of them share a result."""
from __future__ import annotations

import os.path as osp
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmengine.config import Config

from .step_cost import StepCosts, read_costs

METRIC = re.compile(r'mIoU|oIoU|Pr@0\.[5-9]')


@dataclass(frozen=True)
class Run:
    """One training and its evaluation.

    Args:
        method: ``'teacher'``, ``'student'`` or the name of a distillation.
        config: Its config, a path or a name.
        seed: Seed of the training.
        options: Overrides of config entries.
        label: What distinguishes it from other runs of the method, such as ``'loss_weight=3'``.
    """
    method: str
    config: str
    seed: int
    options: tuple[tuple[str, object], ...] = ()
    label: str = ''

    @property
    def folder(self) -> str:
        """Work dir below that of the study, one for each method, searched value and seed."""
        return str(Path(self.method, *([self.label] if self.label else []), f'seed{self.seed}'))


@dataclass(frozen=True)
class Distillation:
    """One row of a comparison.

    Args:
        config: Config of the distillation.
        options: Overrides of its entries.
        search_key: Config entry whose value is chosen on the validation split, or None.
        search_values: The values to try.
        value_of: Name of another distillation whose chosen value is taken over, for ablations; without a search here.
    """
    config: str
    options: dict = field(default_factory=dict)
    search_key: str | None = None
    search_values: tuple = ()
    value_of: str | None = None


@dataclass(frozen=True)
class Study:
    """A teacher, a student alone and distillations of the one into the other, with the same budget.

    Args:
        teacher: Config of the teacher, trained once.
        student: Config of the student alone.
        distillations: What to compare, by name.
        seeds: Seeds of every student; the first one's runs also serve the search.
        splits: Splits to evaluate; values are chosen on the first.
        metric: Metric that the choice is made by.
        options: Overrides of config entries for every student, such as a shorter schedule.
        costs: What the methods cost, if it was measured.
    """
    teacher: str
    student: str
    distillations: dict[str, Distillation]
    seeds: tuple[int, ...]
    splits: tuple[str, ...] = ('val', 'testA', 'testB')
    metric: str = 'mIoU'
    options: dict = field(default_factory=dict)
    costs: StepCosts | None = None

    def baselines(self) -> Iterator[Run]:
        """Yield the teacher's run and those of the student alone."""
        yield Run('teacher', self.teacher, self.seeds[0])
        for seed in self.seeds:
            yield Run('student', self.student, seed, tuple(sorted(self.options.items())))

    def search(self, name: str) -> list[Run]:
        """Return the runs among which the value of a distillation is chosen, in the order of its values."""
        method = self.distillations[name]
        return [self._run(name, value, self.seeds[0]) for value in method.search_values]

    def final(self, name: str, value: object = None) -> list[Run]:
        """Return the runs of a distillation with its chosen value, one per seed."""
        return [self._run(name, value, seed) for seed in self.seeds]

    def _run(self, name: str, value: object, seed: int) -> Run:
        method = self.distillations[name]
        source = self.distillations[method.value_of] if method.value_of else method
        options = dict(self.options, **method.options)
        label = ''
        if source.search_key is not None and value is not None:
            options[source.search_key] = value
            label = f'{source.search_key.rsplit(".", 1)[-1]}={value:g}'
        return Run(name, method.config, seed, tuple(sorted(options.items())), label)


def load_study(path: str | Path, *, seeds: Sequence[int] | None = None, only: Sequence[str] | None = None) -> Study:
    """Read a study file.

    Args:
        path: A Python file with ``teacher``, ``student``, ``seeds``, ``distillations`` and, if others than the
            defaults, ``splits``, ``metric`` and ``options``; see ``Study`` and ``Distillation``. ``cost`` is the file
            of ``read_costs``, relative to the study file; an ablation by ``options`` has no cost of its own there.
        seeds: Seeds to use instead of the file's.
        only: Names of the distillations to keep, with those whose value they take over.

    Raises:
        FileNotFoundError: There is no such file, or no such cost file.
        ValueError: An entry is missing or unknown, ``only`` names no distillation of the study, or the cost file is of
            other models.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'no study file {str(path)!r}')
    entries = Config.fromfile(str(path)).to_dict()
    methods = _checked_distillations(_check_entries(entries, path), path)
    unknown = [name for name in only or () if name not in methods]
    if unknown:
        raise ValueError(f'study {path} has no distillation {unknown}; it has {list(methods)}')
    costs = None
    if 'cost' in entries:
        costs = read_costs(osp.normpath(Path(path).parent / entries['cost']),
                           {name: method.config for name, method in methods.items() if not method.options})
    if only is not None:
        wanted = {*only, *(methods[name].value_of for name in only)}
        methods = {name: method for name, method in methods.items() if name in wanted}
    options = {key: entries[key] for key in ('metric', 'options') if key in entries}
    if 'splits' in entries:
        options['splits'] = tuple(entries['splits'])
    return Study(entries['teacher'], entries['student'], methods, tuple(seeds or entries['seeds']), costs=costs,
                 **options)


def _check_entries(entries: dict, path: str | Path) -> dict:
    """Refuse entries that are missing, unknown or of the wrong kind; return those of the distillations."""
    required, optional = ('teacher', 'student', 'seeds', 'distillations'), ('splits', 'metric', 'options', 'cost')
    missing = [key for key in required if key not in entries]
    if missing:
        raise ValueError(f'study {path} lacks {missing}')
    unknown = [key for key in entries if key not in required + optional]
    if unknown:
        raise ValueError(f'study {path} has the unknown entries {unknown}; it may have {[*required, *optional]}')
    for key in ('seeds', 'splits'):
        if key in entries and (not isinstance(entries[key], (list, tuple)) or not entries[key]):
            raise ValueError(f'study {path}: {key} must be a tuple with at least one item, but is {entries[key]!r}')
    if not METRIC.fullmatch(entries.get('metric', 'mIoU')):
        raise ValueError(f'study {path}: metric must be mIoU, oIoU or Pr@0.5 to Pr@0.9, but is {entries["metric"]!r}')
    if not isinstance(entries['distillations'], dict):
        raise ValueError(f'study {path}: distillations must be a dict by name, but is {entries["distillations"]!r}')
    return entries['distillations']


def _checked_distillations(entries: dict[str, dict], path: str | Path) -> dict[str, Distillation]:
    known = Distillation.__dataclass_fields__
    for name, method in entries.items():
        if not isinstance(method, dict) or set(method) - set(known) or 'config' not in method:
            raise ValueError(f'study {path}: distillations[{name!r}] needs config and may have {sorted(known)}, but is '
                             f'{method!r}')
    for name, method in entries.items():
        where = f'study {path}: distillations[{name!r}]'
        if name in ('teacher', 'student'):
            raise ValueError(f'{where} needs another name, the baselines are called so')
        values = method.get('search_values', ())
        if not isinstance(values, (tuple, list)) or not all(isinstance(value, (int, float)) for value in values):
            raise ValueError(f'{where}: search_values must be a tuple of numbers, but is {values!r}')
        if bool(method.get('search_key')) != bool(values):
            raise ValueError(f'{where} needs search_key and search_values, or neither')
        if method.get('value_of') and (values or not entries.get(method['value_of'], {}).get('search_values')):
            raise ValueError(f'{where}: value_of={method["value_of"]!r} must name a distillation of the study with '
                             'search_values, and this one must have none')
    return {name: Distillation(**{key: tuple(value) if isinstance(value, list) else value
                                  for key, value in method.items()})
            for name, method in entries.items()}
