"""Package metadata, and the configs and tools that a wheel carries for mim (``mmseg_ris_kd/.mim``)."""
import os
import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
CARRIED = ('configs', 'tools', 'model-index.yml')


class BuildWithMim(build_py):
    """Put what mim looks for into the package: copied into a wheel, linked in an editable install."""

    def run(self):
        if self.editable_mode:
            super().run()
            self.link(ROOT / 'mmseg_ris_kd' / '.mim')
            return
        package = Path(self.build_lib) / 'mmseg_ris_kd'
        shutil.rmtree(package, ignore_errors=True)  # an earlier build may have left modules that are gone since
        super().run()
        self.copy(package / '.mim')

    @staticmethod
    def link(target):
        target.mkdir(exist_ok=True)
        for name in CARRIED:
            link = target / name
            if link.is_symlink():
                link.unlink()
            if not link.exists():
                link.symlink_to(os.path.relpath(ROOT / name, target))

    @staticmethod
    def copy(target):
        target.mkdir(parents=True)
        for name in CARRIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns('__pycache__', '*.pyc'))
            else:
                shutil.copy2(ROOT / name, target / name)


setup(
    name='mmseg_ris_kd',
    version=re.search(r"__version__ = '([^']+)'", (ROOT / 'mmseg_ris_kd' / '__init__.py').read_text()).group(1),
    description='Referring image segmentation and its distillation into small models, on OpenMMLab',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    author='The mmseg_ris_kd authors',
    license='Apache-2.0',
    keywords='referring image segmentation, knowledge distillation, vision and language, OpenMMLab',
    classifiers=[
        'Development Status :: 3 - Alpha',
        'Intended Audience :: Science/Research',
        'Programming Language :: Python :: 3',
        'Programming Language :: Python :: 3 :: Only',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
    ],
    packages=find_packages(include=['mmseg_ris_kd', 'mmseg_ris_kd.*']),
    include_package_data=True,
    cmdclass={'build_py': BuildWithMim},
    python_requires='>=3.9',
    install_requires=[
        'torch>=2.1',
        'torchvision',
        'mmengine>=0.10.4,<1',
        'mmsegmentation>=1.2.2,<2',
        'mmpretrain>=1.2.0,<2',
        'transformers>=4.40',
        'ftfy',
        'regex',
        'numpy',
        'packaging',
        'pillow>=9.1',
        'prettytable',
        'pycocotools',
        'tensorboard',
        'setuptools<81',  # mmengine 0.10 needs pkg_resources
    ],
    extras_require={
        # mmcv is the user's choice: mmcv-lite installs anywhere in seconds, the full mmcv owns the same files
        'lite': ['mmcv-lite>=2.0.0,<2.2.0'],
        'test': ['pytest', 'ruff', 'setuptools>=70.1'],  # this one builds wheels by itself: tests/test_package.py
    },
)
