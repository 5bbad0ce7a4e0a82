"""Pictures for people: panels of image, expression, target mask and prediction, laid out on sheets."""
from .overlay import PREDICTION_COLOR, TARGET_COLOR, draw_overlay
from .sheet import Panel, draw_panel, draw_sheet

__all__ = ['PREDICTION_COLOR', 'TARGET_COLOR', 'Panel', 'draw_overlay', 'draw_panel', 'draw_sheet']
