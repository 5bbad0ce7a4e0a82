"""Train a teacher, then the student alone and its distillations, all on one budget, over several seeds; tabulate them.

Every run has a work dir of its own: what is finished is not run again, what was interrupted is resumed, and what was
run with other settings is an error.
"""
from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mmseg_ris_kd.analysis import Run, Study, draw_figure, load_study, markdown_report
from mmseg_ris_kd.apis import cli

TOOLS = Path(__file__).resolve().parents[1]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=__doc__,
        epilog='example:\n  python tools/analysis_tools/compare_distillation.py results/refshapes/study.py \\\n'
        '      --out-dir results/refshapes')
    parser.add_argument('study', type=Path, help='study file: teacher, student, distillations, seeds')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/distillation'),
                        help='folder of the runs (default: %(default)s)')
    parser.add_argument('--teacher', type=Path, metavar='WORK_DIR',
                        help='work dir of the teacher, trained and tested on the splits of the study (default: one is '
                        'trained)')
    parser.add_argument('--out-dir', type=Path,
                        help='folder for distillation.{json,md,png} (default: that of the runs)')
    parser.add_argument('--seeds', type=int, nargs='+', help='seeds instead of the study\'s')
    parser.add_argument('--only', nargs='+', metavar='NAME', help='these distillations of the study only')
    parser.add_argument('--jobs', type=int, default=1, help='runs at a time, for a GPU that has room (default: 1)')
    parser.add_argument('--finished-only', action='store_true', help='train nothing: tabulate what is finished so far')
    parser.add_argument('--dry-run', action='store_true', help='list the runs that are known beforehand, and stop')
    parser.add_argument('--cfg-options', nargs='+', action=cli.KeyValueAction, metavar='KEY=VALUE', default={},
                        help='config overrides for every run, such as train_cfg.max_epochs=1 to try the study out')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    study = load_study(args.study, seeds=args.seeds, only=args.only)
    runner = StudyRunner(study, args.work_dir, teacher=args.teacher, jobs=args.jobs, options=args.cfg_options)
    if args.dry_run:
        for run in runner.first_runs():
            print(f'{runner.folder(run)}: {run.config} seed {run.seed} {dict(run.options) or ""}')
        return
    if not args.finished_only:
        runner.run()
    rows, searches = runner.results()
    out_dir = args.out_dir or args.work_dir
    write_results(out_dir, rows, searches, study)
    print((out_dir / 'distillation.md').read_text())
    print(f'written to {out_dir}/distillation.json, .md, .png')


class StudyRunner:
    """Runs a study: baselines, then searches, then the remaining seeds of what the searches chose."""

    def __init__(self, study: Study, work_dir: Path, *, teacher: Path | None, jobs: int, options: dict):
        self.study = study
        self.work_dir = work_dir
        self.teacher = teacher
        self.jobs = jobs
        self.options = options
        self.trained, self.seconds = 0, 0.

    def first_runs(self) -> list[Run]:
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
        return self.teacher if run.method == 'teacher' and self.teacher else self.work_dir / run.folder

    def overrides(self, run: Run) -> dict:
        overrides = dict(self.options, **dict(run.options))
        if run.method not in ('teacher', 'student'):
            overrides['model.teacher_ckpt'] = str(self.folder(next(self.study.baselines())))
        return overrides

    def record(self, run: Run) -> dict:
        """What the result of a run depends on, but for the code."""
        return dict(config=run.config, seed=run.seed, options=json.loads(json.dumps(self.overrides(run))))

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
        known = json.loads((folder / 'run.json').read_text())
        changed = [key for key, value in self.record(run).items() if known.get(key) != value]
        if changed:
            raise ValueError(f'{folder} holds a run with another {" and ".join(changed)} ({folder}/run.json): choose '
                             'another --work-dir, or delete that folder')
        return metrics.is_file()

    def metrics(self, run: Run) -> dict[str, dict[str, float]]:
        return json.loads((self.folder(run) / 'metrics.json').read_text())['metrics']

    def rows(self, run: Run) -> list[dict]:
        """One row per split: the metrics, and what they come from."""
        path = self.folder(run) / 'run.json'
        source = dict(self.record(run), commit='not recorded (--teacher)')
        if path.is_file():
            source = json.loads(path.read_text())
        results = self.metrics(run)
        return [dict(method=run.method, split=split, **source, **results[split]) for split in self.study.splits]

    def execute(self, runs: Sequence[Run]) -> None:
        waiting = [run for run in runs if not self.is_finished(run)]
        print(f'{len(runs)} runs, {len(runs) - len(waiting)} of them finished before', flush=True)
        with ThreadPoolExecutor(self.jobs) as pool:
            for done, run in enumerate(pool.map(self.train_and_test, waiting), 1):
                value = self.metrics(run)[self.study.splits[0]][self.study.metric]
                left = (len(waiting) - done) * self.seconds / self.trained / self.jobs
                print(f'[{done}/{len(waiting)}] {run.folder}: {self.study.splits[0]} {self.study.metric} {value:.2f}, '
                      f'about {left / 60:.0f} min left of this round', flush=True)

    def train_and_test(self, run: Run) -> Run:
        start = time.monotonic()
        folder = self.folder(run)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / 'run.json').write_text(json.dumps(dict(self.record(run), commit=commit_of(TOOLS)), indent=1) + '\n')
        overrides = [f'{key}={value}' for key, value in self.overrides(run).items()]
        overrides = ['--cfg-options', *overrides] if overrides else []
        common = ['--work-dir', folder, *overrides]
        call(folder / 'train.log', 'train.py', run.config, *common, '--seed', run.seed, '--resume')
        call(folder / 'test.log', 'test.py', run.config, folder, *common, '--split', *self.study.splits)
        self.trained += 1
        self.seconds += time.monotonic() - start
        return run


def call(log: Path, tool: str, *arguments: object) -> None:
    command = [sys.executable, str(TOOLS / tool), *map(str, arguments)]
    with open(log, 'a') as file:
        failed = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT).returncode
    if failed:
        tail = '\n'.join(log.read_text(errors='replace').splitlines()[-15:])
        raise ValueError(f'{shlex.join(command)}\nfailed, see {log}:\n{tail}')


def write_results(out_dir: Path, rows: list[dict], searches: list[dict], study: Study) -> None:
    """Write ``distillation.json`` (one row per method, split and seed), ``.md`` and ``.png``."""
    if not rows:
        raise ValueError('none of the runs is finished: there is nothing to tabulate')
    out_dir.mkdir(parents=True, exist_ok=True)
    commit = ', '.join(sorted({row['commit'] for row in rows}))
    (out_dir / 'distillation.json').write_text(json.dumps(rows, indent=1) + '\n')
    notes = dict(commit=commit, command=f'`python {shlex.join(sys.argv)}`', teacher=f'`{study.teacher}`',
                 student=f'`{study.student}`')
    if study.options:
        notes['every student with'] = ', '.join(f'`{key}={value}`' for key, value in study.options.items())
    seeds = {name: {row['seed'] for row in rows if row['method'] == name} for name in ('student', *study.distillations)}
    unfinished = [f'{name} ({len(done)} of {len(study.seeds)} seeds)' for name, done in seeds.items()
                  if len(done) < len(study.seeds)]
    if unfinished:
        notes['not finished'] = ', '.join(unfinished)
    (out_dir / 'distillation.md').write_text(
        markdown_report(rows, searches, notes=notes, metric=study.metric, costs=study.costs))
    draw_figure(rows, out_dir / 'distillation.png', metric=study.metric)


def commit_of(folder: Path) -> str:
    """Name of the commit that runs, marked if files differ from it."""
    try:
        return subprocess.run(['git', 'describe', '--always', '--dirty', '--abbrev=12'], cwd=folder, check=True,
                              capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return 'unknown (no git)'


if __name__ == '__main__':
    cli.run(main)
