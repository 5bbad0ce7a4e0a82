"""Run a study: every training in a process and a folder of its own, none of them twice."""
from __future__ import annotations

import functools
import hashlib
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..apis.cli import as_option
from ..apis.config import load_config
from ..engine.checkpoint import best_checkpoint, read_checkpoint, weights_digest
from ..engine.files import written_whole
from .provenance import commit_of, environment
from .study import Run, Study

# what a training and its test are made of, but for the seed
SETTINGS = ('model', 'load_from', 'optim_wrapper', 'param_scheduler', 'train_cfg', 'custom_hooks', 'sync_bn',
            'train_dataloader.batch_size', 'train_dataloader.dataset', 'train_dataloader.sampler',
            'train_dataloader.drop_last', 'default_hooks.checkpoint', 'val_dataloader.dataset', 'val_evaluator',
            'test_dataloader.dataset', 'test_evaluator')
TEACHER_KEY = 'model.teacher_ckpt'


class StudyRunner:
    """Runs a study: baselines, then searches, then the remaining seeds of what the searches chose.

    A run's folder has ``run.json``, what its result depends on: config, seed, overrides, a digest of the resolved
    config (``settings``) and one of the teacher's weights (``teacher``). A run is finished when it was also tested on
    every split; an interrupted one resumes. Changes of code are not noticed, but the commit stands in ``run.json``.

    Args:
        study: What to run.
        work_dir: Folder of the runs.
        tools: Folder of ``train.py`` and ``test.py``.
        teacher: Work dir of a trained and tested teacher; None: one is trained.
        jobs: Runs at a time.
        options: Config overrides for every run.
    """

    def __init__(self, study: Study, work_dir: Path, *, tools: Path, teacher: Path | None = None, jobs: int = 1,
                 options: dict | None = None):
        self.study = study
        self.work_dir = work_dir
        self.tools = tools
        self.teacher = teacher
        self.jobs = jobs
        self.options = options or {}
        self.trained, self.seconds = 0, 0.

    def check(self) -> None:
        """Load every config with its overrides, and look at the given teacher, before anything is trained.

        Raises:
            FileNotFoundError: A config does not exist.
            ValueError: An override names nothing that the config has or cannot be given on a command line, or the
                given teacher is not tested.
        """
        study = self.study
        self.is_finished(next(study.baselines()))
        for run in [*self.first_runs(), *(study.final(name)[0] for name in study.distillations)]:
            self.command_line(run)
            load_config(run.config, self.overrides(run))

    def first_runs(self) -> list[Run]:
        """The runs that are known before any search is finished."""
        study = self.study
        searches = [run for name in study.distillations for run in study.search(name)]
        plain = [run for name, method in study.distillations.items()
                 if not method.search_values and method.value_of is None for run in study.final(name)]
        return [*study.baselines(), *searches, *plain]

    def run(self) -> None:
        """Train and test what is not finished."""
        teacher, *first = self.first_runs()
        self.execute([teacher])
        self.execute(first)
        self.execute([run for run in self.final_runs() if run not in first])

    def results(self) -> tuple[list[dict], list[dict]]:
        """Return one row per (method, split, seed), and one per searched value, of the runs that are finished."""
        rows = [row for run in [*self.study.baselines(), *self.final_runs()] if self.is_finished(run)
                for row in self.rows(run)]
        return rows, [dict(method=name, value=value, **{self.study.metric: score})
                      for name in self.study.distillations for value, score in self.search_scores(name).items()]

    def search_scores(self, name: str) -> dict[float, float]:
        """The metric of the finished runs of a search by their values."""
        study = self.study
        return {value: self.metrics(run)[study.splits[0]][study.metric]
                for value, run in zip(study.distillations[name].search_values, study.search(name))
                if self.is_finished(run)}

    def final_runs(self) -> list[Run]:
        """The runs of every distillation with its best value, but for those whose search has not begun."""
        runs = []
        for name, method in self.study.distillations.items():
            searched = method.value_of or name
            scores = self.search_scores(searched)
            if scores or not self.study.distillations[searched].search_values:
                runs += self.study.final(name, max(scores, key=scores.get) if scores else None)
        return runs

    def folder(self, run: Run) -> Path:
        """Work dir of a run."""
        return self.teacher if run.method == 'teacher' and self.teacher else self.work_dir / run.folder

    def overrides(self, run: Run) -> dict:
        """Config overrides of a run by dotted key: those of all runs, its own, and where its teacher is."""
        overrides = dict(self.options, **dict(run.options))
        if run.method not in ('teacher', 'student'):
            overrides[TEACHER_KEY] = str(self.folder(next(self.study.baselines())))
        return overrides

    def command_line(self, run: Run) -> list[str]:
        """The overrides of a run as items of ``--cfg-options``; a ``ValueError`` names one that cannot be an item."""
        return [as_option(key, value) for key, value in self.overrides(run).items()]

    def record(self, run: Run) -> dict:
        """What the result of a run depends on, but for the code."""
        overrides = json.loads(json.dumps(self.overrides(run)))
        record = dict(config=run.config, seed=run.seed, options=overrides,
                      settings=settings_digest(run.config, json.dumps(overrides)))
        if run.method not in ('teacher', 'student'):
            record['teacher'] = self.teacher_digest()
        return record

    @functools.cache  # noqa: B019  one runner per process
    def teacher_digest(self) -> str | None:
        """``weights_digest`` of the teacher, or None where its checkpoint is not (any more)."""
        try:
            path = best_checkpoint(self.folder(next(self.study.baselines())))
        except FileNotFoundError:
            return None
        return weights_digest(path)

    def is_finished(self, run: Run) -> bool:
        """Whether a run need not be started.

        Raises:
            ValueError: Its folder holds a run with other settings, or a given teacher is not tested on all splits or
                under another protocol.
        """
        folder, metrics = self.folder(run), self.folder(run) / 'metrics.json'
        if folder == self.teacher:
            report = json.loads(metrics.read_text()) if metrics.is_file() else dict(protocol='ours', metrics={})
            if report['protocol'] != 'ours':
                raise ValueError(f'--teacher {folder} was tested under protocol {report["protocol"]}, the students are '
                                 'under ours: test it again, with --protocol ours')
            tested = list(report['metrics'])
            missing = [split for split in self.study.splits if split not in tested]
            if missing:
                raise ValueError(f'--teacher {folder} has no results of {missing}: test it first, with tools/test.py '
                                 f'{run.config} {folder} --work-dir {folder} --split {" ".join(self.study.splits)}')
            return True
        if not (folder / 'run.json').is_file():
            return False
        known, record = json.loads((folder / 'run.json').read_text()), self.record(run)
        missing = [key for key in record if key not in known]
        if missing:
            raise ValueError(f'{folder}/run.json lacks {" and ".join(missing)}, it is of an older version: choose '
                             'another --work-dir, or delete that folder')
        for each in (known, record):  # the teacher is known by its weights, wherever it lies
            each['options'].pop(TEACHER_KEY, None)
        changed = [key for key, value in record.items() if value is not None and known[key] != value]
        if changed:
            raise ValueError(f'{folder} holds a run with another {" and ".join(changed)} ({folder}/run.json; settings '
                             'are the contents of the config, teacher its weights): choose another --work-dir, '
                             'or delete that folder')
        return metrics.is_file() and set(self.study.splits) <= set(self.metrics(run))

    def metrics(self, run: Run) -> dict[str, dict[str, float]]:
        """Metrics of a tested run in percent, by split and name."""
        return json.loads((self.folder(run) / 'metrics.json').read_text())['metrics']

    def rows(self, run: Run) -> list[dict]:
        """One row per split: the metrics, and what they come from."""
        folder = self.folder(run)
        if folder == self.teacher:
            meta = read_checkpoint(best_checkpoint(folder)).get('meta', {})
            source = dict(config=run.config, seed=meta.get('seed', run.seed), options={},
                          commit='not recorded (--teacher)', teacher=self.teacher_digest())
        else:
            source = json.loads((folder / 'run.json').read_text())
        results = self.metrics(run)
        return [dict(method=run.method, split=split, **source, **results[split]) for split in self.study.splits]

    def execute(self, runs: Sequence[Run]) -> None:
        """Train and test those of the runs that are not finished, ``jobs`` at a time."""
        waiting = [run for run in runs if not self.is_finished(run)]
        print(f'{len(runs)} runs, {len(runs) - len(waiting)} of them finished before', flush=True)
        with ThreadPoolExecutor(self.jobs) as pool:
            for done, run in enumerate(pool.map(self.train_and_test, waiting), 1):
                value = self.metrics(run)[self.study.splits[0]][self.study.metric]
                left = (len(waiting) - done) * self.seconds / self.trained / self.jobs
                print(f'[{done}/{len(waiting)}] {run.folder}: {self.study.splits[0]} {self.study.metric} {value:.2f}, '
                      f'about {left / 60:.0f} min left of this round', flush=True)

    def train_and_test(self, run: Run) -> Run:
        """Train a run, from where it was interrupted, and test it on every split; a ``ValueError`` says what failed."""
        start = time.monotonic()
        folder = self.folder(run)
        self.write_record(run)
        overrides = self.command_line(run)
        common = ['--work-dir', folder, *(['--cfg-options', *overrides] if overrides else [])]
        self.call(folder / 'train.log', 'train.py', run.config, *common, '--seed', run.seed, '--resume')
        self.call(folder / 'test.log', 'test.py', run.config, folder, *common, '--split', *self.study.splits)
        self.trained += 1
        self.seconds += time.monotonic() - start
        return run

    def write_record(self, run: Run) -> None:
        """Write ``run.json``; a run that is resumed names the commits of all its parts."""
        path, commit = self.folder(run) / 'run.json', commit_of(self.tools)
        if path.is_file():
            earlier = json.loads(path.read_text())['commit']
            commit = earlier if earlier.endswith(commit) else f'{earlier}, then {commit}'
        record = dict(self.record(run), commit=commit, environment=environment())
        with written_whole(path) as part:
            part.write_text(json.dumps(record, indent=1) + '\n')

    def call(self, log: Path, tool: str, *arguments: object) -> None:
        """Run a tool; a ``ValueError`` with the end of its log says that it failed."""
        command = [sys.executable, str(self.tools / tool), *map(str, arguments)]
        with open(log, 'a') as file:
            failed = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT).returncode
        if failed:
            tail = '\n'.join(log.read_text(errors='replace').splitlines()[-15:])
            raise ValueError(f'{shlex.join(command)}\nfailed, see {log}:\n{tail}')


@functools.cache
def settings_digest(config: str, overrides: str) -> str:
    """The beginning of a SHA-256 of what a config, with overrides in JSON, trains and tests: its ``SETTINGS``.

    The teacher's checkpoint is left out, wherever it lies.
    """
    resolved = load_config(config, json.loads(overrides)).to_dict()
    resolved['model'].pop('teacher_ckpt', None)
    parts = {key: functools.reduce(lambda entry, part: entry.get(part, {}), key.split('.'), resolved)
             for key in SETTINGS}
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:12]
