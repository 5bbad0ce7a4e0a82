"""Optimizer constructors and learning rate schedules."""
from .optim_wrapper_constructor import RISOptimWrapperConstructor
from .polynomial_lr import PolynomialLR

__all__ = ['PolynomialLR', 'RISOptimWrapperConstructor']
