"""Comparisons of distillations: planned, run and reported."""
from .report import Summary, draw_figure, markdown_report, summarize
from .study import Run, Study, load_study
from .study_runner import StudyRunner

__all__ = ['Run', 'Study', 'StudyRunner', 'Summary', 'draw_figure', 'load_study', 'markdown_report', 'summarize']
