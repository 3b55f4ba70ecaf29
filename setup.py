"""Builds pymdm._C by CMake and ninja against the torch of this interpreter. All sources are listed in CMakeLists.txt.

In place (`pip install -e`), or with PYMDM_TESTING=1, pymdm._C_testing too, which the tests use; a wheel does not hold it.
PYMDM_REPOSITORY is the address of the repository, for the links of the metadata; without it there are none.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.egg_info import egg_info

ROOT = Path(__file__).resolve().parent
REPOSITORY = os.environ.get("PYMDM_REPOSITORY", "").rstrip("/")
TESTING = bool({"editable_wheel", "--inplace", "develop"} & set(sys.argv) or os.environ.get("PYMDM_TESTING"))


class CMakeBuild(build_ext):
    def build_extension(self, ext: Extension) -> None:
        import pybind11
        import torch

        target = Path(self.get_ext_fullpath(ext.name)).resolve()
        module = ext.name.rpartition(".")[2]
        if not TESTING:
            target.with_name(target.name.replace(module, "_C_testing", 1)).unlink(missing_ok=True)  # of a build before
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
            "PYMDM_EXTENSION": target.name.replace(module, "_C", 1),
            "PYMDM_SANITIZE": sanitize,
            "PYMDM_TESTING": "ON" if TESTING else "OFF",
            "PYMDM_CUDA": os.environ.get("PYMDM_CUDA", "AUTO"),
        }
        jobs = os.environ.get("PYMDM_JOBS", str(os.cpu_count() or 1))
        configure = ["cmake", "-G", "Ninja", "-S", str(ROOT), "-B", str(build)]
        subprocess.check_call(configure + [f"-D{key}={value}" for key, value in options.items()])
        subprocess.check_call(["cmake", "--build", str(build), "--target", module, "-j", jobs])


class TiedToTorch(egg_info):
    """The metadata of what is built asks for the torch that it is built against: the extension works with no other."""

    def run(self) -> None:
        if "sdist" not in sys.argv:
            import torch

            tied = f"torch=={torch.__version__.partition('+')[0]}"
            needed = [tied if re.match(r"torch\W", r) else r for r in self.distribution.install_requires]
            self.distribution.install_requires = self.distribution.metadata.install_requires = needed
        super().run()


def long_description() -> str:
    """The README with links that work outside the repository, or without them where its address is not known."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    link = rf"[\1]({REPOSITORY}/blob/main/\2)" if REPOSITORY else r"\1"
    return re.sub(r"\[([^\]]*)\]\((?![a-z]+:)([^)]*)\)", link, text)


URLS = {
    "Homepage": REPOSITORY,
    "Documentation": f"{REPOSITORY}/blob/main/docs/index.md",
    "Issues": f"{REPOSITORY}/issues",
    "Changelog": f"{REPOSITORY}/blob/main/CHANGELOG.md",
}
MODULES = ["pymdm._C", "pymdm._C_testing"] if TESTING else ["pymdm._C"]
setup(
    long_description=long_description(),
    long_description_content_type="text/markdown",
    project_urls=URLS if REPOSITORY else {},
    ext_modules=[Extension(name, sources=[]) for name in MODULES],
    cmdclass={"build_ext": CMakeBuild, "egg_info": TiedToTorch},
)
