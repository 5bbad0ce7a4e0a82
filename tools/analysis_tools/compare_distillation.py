"""Train a teacher, then the student alone and its distillations, all on one budget, over several seeds; tabulate them.

Every run has a work dir of its own: what is finished is not run again, what was interrupted is resumed, and what was
run with other settings or another teacher is an error. The study file names configs, seeds and what to search:
docs/distillation.md.
"""
from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections import Counter
from pathlib import Path

from mmseg_ris_kd.analysis import Study, StudyRunner, draw_figure, load_study, markdown_report
from mmseg_ris_kd.apis import cli
from mmseg_ris_kd.engine.files import written_whole

TOOLS = Path(__file__).resolve().parents[1]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=__doc__,
        epilog='example, after make demo; half an hour on a CPU core:\n'
        '  python tools/analysis_tools/compare_distillation.py results/refshapes/study.py --teacher work_dirs/demo \\\n'
        '      --only cmkd cwd --seeds 0')
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
    runner = StudyRunner(study, args.work_dir, tools=TOOLS, teacher=args.teacher, jobs=args.jobs,
                         options=args.cfg_options)
    runner.check()
    if args.dry_run:
        show_plan(runner)
        return
    if not args.finished_only:
        runner.run()
    rows, searches = runner.results()
    out_dir = args.out_dir or args.work_dir
    write_results(out_dir, rows, searches, study)
    print((out_dir / 'distillation.md').read_text())
    print(f'written to {out_dir}/distillation.json, .md, .png')


def show_plan(runner: StudyRunner) -> None:
    """Print the runs that are known before any search is finished, and how many there will be."""
    first, study = runner.first_runs(), runner.study
    for run in first:
        state = 'finished' if runner.is_finished(run) else 'to do'
        print(f'{runner.folder(run)}: {state}, {run.config} seed {run.seed} {dict(run.options) or ""}')
    searched = sum(bool(method.search_values) for method in study.distillations.values())
    taken_over = sum(method.value_of is not None for method in study.distillations.values())
    later = searched * (len(study.seeds) - 1) + taken_over * len(study.seeds)
    print(f'{len(first)} runs, and {later} with the values that the searches will choose')


def write_results(out_dir: Path, rows: list[dict], searches: list[dict], study: Study) -> None:
    """Write ``distillation.json`` (one row per method, split and seed), ``.md`` and ``.png``."""
    if not rows:
        raise ValueError('none of the runs is finished: there is nothing to tabulate')
    commit = ', '.join(sorted({row['commit'] for row in rows}))
    with written_whole(out_dir / 'distillation.json') as part:
        part.write_text(json.dumps(rows, indent=1) + '\n')
    command = shlex.join(argument for argument in sys.argv if argument != '--finished-only')
    notes = dict(commit=commit, command=f'`python {command}`', teacher=f'`{study.teacher}`',
                 student=f'`{study.student}`')
    if study.options:
        notes['every student with'] = ', '.join(f'`{key}={value}`' for key, value in study.options.items())
    seeds = {name: {row['seed'] for row in rows if row['method'] == name} for name in ('student', *study.distillations)}
    unfinished = [f'{name} ({len(done)} of {len(study.seeds)} seeds)' for name, done in seeds.items()
                  if len(done) < len(study.seeds)]
    tried = Counter(search['method'] for search in searches)
    unfinished += [f'the search of {name} ({tried[name]} of {len(method.search_values)} values)'
                   for name, method in study.distillations.items() if tried[name] < len(method.search_values)]
    if unfinished:
        notes['not finished'] = ', '.join(unfinished)
    report = markdown_report(rows, searches, notes=notes, metric=study.metric, costs=study.costs)
    with written_whole(out_dir / 'distillation.md') as part:
        part.write_text(report)
    draw_figure(rows, out_dir / 'distillation.png', metric=study.metric)


if __name__ == '__main__':
    cli.run(main, go_on='the same command goes on where it stopped')
