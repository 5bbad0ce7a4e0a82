"""Hooks."""
from .exact_resume_hook import ExactResumeHook
from .visualization_hook import ReferringVisualizationHook

__all__ = ['ExactResumeHook', 'ReferringVisualizationHook']
