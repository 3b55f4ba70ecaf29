"""Builds pymdm._C by CMake and ninja against the torch of this interpreter. All sources are listed in CMakeLists.txt."""

import os
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent


class CMakeBuild(build_ext):
    def build_extension(self, ext: Extension) -> None:
        import pybind11
        import torch

        target = Path(self.get_ext_fullpath(ext.name)).resolve()
        sanitize = os.environ.get("PYMDM_SANITIZE", "")
        kind = "-".join([sys.implementation.cache_tag, *filter(None, sanitize.split(","))])
        build = ROOT / "build" / f"cmake-{kind}"
        version = self.distribution.get_version()
        options = {
            "CMAKE_BUILD_TYPE": os.environ.get("PYMDM_BUILD_TYPE", "Release"),
            "CMAKE_LIBRARY_OUTPUT_DIRECTORY": target.parent,
            "Python_EXECUTABLE": sys.executable,
            "pybind11_DIR": pybind11.get_cmake_dir(),
            "CMAKE_PREFIX_PATH": torch.utils.cmake_prefix_path,
            "PYMDM_VERSION": version,
            "PYMDM_TORCH_VERSION": torch.__version__,
            "PYMDM_EXTENSION": target.name,
            "PYMDM_SANITIZE": sanitize,
            "PYMDM_CUDA": os.environ.get("PYMDM_CUDA", "AUTO"),
        }
        jobs = os.environ.get("PYMDM_JOBS", str(os.cpu_count() or 1))
        configure = ["cmake", "-G", "Ninja", "-S", str(ROOT), "-B", str(build)]
        subprocess.check_call(configure + [f"-D{key}={value}" for key, value in options.items()])
        subprocess.check_call(["cmake", "--build", str(build), "--target", "_C", "-j", jobs])


setup(ext_modules=[Extension("pymdm._C", sources=[])], cmdclass={"build_ext": CMakeBuild})
