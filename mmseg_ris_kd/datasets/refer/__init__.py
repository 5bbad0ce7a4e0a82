"""REFER files: the reader, its index on disk, and target masks."""
from .index import ReferIndex, load_refer_index
from .masks import SegmentationError, decode_target
from .published_counts import Counts, published_counts
from .tables import Fault

__all__ = [
    'Counts', 'Fault', 'ReferIndex', 'SegmentationError', 'decode_target', 'load_refer_index', 'published_counts'
]
