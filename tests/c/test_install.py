"""What `cmake --install` leaves: programs are built with it and run where there is no Python."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import capi

SEARCH = capi.ROOT / "runtime" / "c" / "examples" / "search.c"
INSTALLED = {
    "include/cfack.h",
    "include/cfack.hpp",
    "lib/cmake/cfack/cfack-config.cmake",
    "lib/cmake/cfack/cfack-config-release.cmake",
    "lib/cmake/cfack/cfack-config-version.cmake",
    "lib/libcfack.so",
    "lib/libcfack.so.0.1.0",
    "lib/libcfack.so.1",
    "lib/pkgconfig/cfack.pc",
}
USES_CPP = """
#include <cfack.hpp>
#include <cstdio>
int main(int, char** argv) {
  const cfack_cpp::Bundle bundle(argv[1]);
  const std::vector<std::string> texts{"a", "red"};
  std::printf("%zu %u\\n", bundle.encode(texts).size(), bundle.info().embed_dim);
  try {
    cfack_cpp::Bundle("/nothing");
  } catch (const cfack_cpp::Error& error) {
    return error.code() == CFACK_ERROR_BUNDLE ? 0 : 1;
  }
  return 2;
}
"""
QUERIES = ["a person in a red coat", "blue"]


def _run(*command: Any, **options: Any) -> str:
    environment = options.get("env", os.environ)
    path = ":".join([*filter(None, [environment.get("LD_LIBRARY_PATH")]), *capi.unpacked_libraries()])
    options["env"] = {**environment, **({"LD_LIBRARY_PATH": path} if path else {})}
    done = subprocess.run(command, capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory, need: Callable[..., None]) -> Path:
    """An installation that was moved after it was made."""
    need(["cmake", "cc", "pkg-config"])
    folder = tmp_path_factory.mktemp("install")
    _run("cmake", "--install", capi.BUILD, "--prefix", folder / "first")
    return Path(shutil.move(folder / "first", folder / "moved"))


@pytest.fixture(scope="module")
def program(prefix: Path) -> Path:
    """The example, built as its first line says."""
    environment = {**os.environ, "PKG_CONFIG_PATH": str(prefix / "lib" / "pkgconfig")}
    flags = _run("pkg-config", "--cflags", "--libs", "cfack", env=environment).split()
    _run("cc", "-std=c99", "-Wall", "-Werror", SEARCH, "-o", prefix / "search", *flags)
    return prefix / "search"


def test_exactly_the_public_files_are_installed(prefix: Path, program: Path) -> None:
    found = {str(path.relative_to(prefix)) for path in prefix.rglob("*") if not path.is_dir()}
    assert found - {program.name} == INSTALLED


def test_the_example_runs_with_nothing_but_the_two_libraries(
    prefix: Path, program: Path, toy_bundle: Path, photos: Path, tmp_path: Path
) -> None:
    alone = tmp_path / "machine"
    alone.mkdir()
    for file in (program, prefix / "lib" / "libcfack.so.1", Path(capi.onnxruntime_library())):
        shutil.copy(file, alone)
    (library,) = alone.glob("libonnxruntime*")
    # No PATH, no home, no Python on the loader's way.
    path = ":".join([str(alone), *capi.unpacked_libraries()])
    environment = {"LD_LIBRARY_PATH": path, "CFACK_ONNXRUNTIME": str(library)}
    linked = _run("ldd", alone / program.name, alone / "libcfack.so.1", library, env=environment)
    assert "libcfack.so.1 => " + str(alone) in linked
    assert "python" not in linked
    assert "not found" not in linked
    assert "onnxruntime" not in _run("ldd", alone / "libcfack.so.1", env=environment)  # loaded, not linked
    command = [alone / program.name, toy_bundle, photos, tmp_path / "gallery", *QUERIES]
    ours = _run("env", "-i", *(f"{name}={value}" for name, value in environment.items()), *command)
    assert ours == _run(sys.executable, "-m", "cfack", "search", tmp_path / "gallery", *QUERIES)


def test_cmake_finds_it(prefix: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    shutil.copy(SEARCH, source)
    (source / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.25)\nproject(user C)\nfind_package(cfack 0.1 REQUIRED)\n"
        "add_executable(search search.c)\ntarget_link_libraries(search PRIVATE cfack::cfack)\n"
    )
    _run("cmake", "-S", source, "-B", tmp_path / "build", f"-DCMAKE_PREFIX_PATH={prefix}")
    _run("cmake", "--build", tmp_path / "build")
    environment = {"LD_LIBRARY_PATH": ":".join(capi.unpacked_libraries())}
    done = subprocess.run([tmp_path / "build" / "search"], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr.split()[0]) == (2, "usage:")


def test_the_cpp_header_is_enough_for_a_program(prefix: Path, toy_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "use.cpp").write_text(USES_CPP)
    lib = prefix / "lib"
    flags = [
        "-std=c++11",
        "-Wall",
        "-Wextra",
        "-pedantic",
        "-Werror",
        f"-I{prefix}/include",
        f"-L{lib}",
        "-lcfack",
    ]
    _run("c++", tmp_path / "use.cpp", "-o", tmp_path / "use", *flags)
    capi.Library()  # says where ONNX Runtime is
    environment = {**os.environ, "LD_LIBRARY_PATH": str(lib)}
    assert _run(tmp_path / "use", toy_bundle, env=environment) == "6 3\n"
