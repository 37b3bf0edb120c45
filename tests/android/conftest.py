"""Fixtures that compile and run the parts of the app that need no phone and no Android SDK; once per worker."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

import bayespress
from bayespress.compress.pipeline import compress_network
from zoo import ZOO, posterior_of

ROOT = Path(__file__).resolve().parents[2]
APP = ROOT / "android_demo"
JARS = ROOT / "build" / "kotlin" / "run_kotlin_kernel" / "jars"
JAVA = Path("/usr/lib/jvm/java-17-openjdk-amd64/bin")


@dataclass(frozen=True)
class Kotlin:
    """A Kotlin compiler with the class path of compiled programs."""

    java: Path
    compiler: tuple[Path, ...]
    library: tuple[Path, ...]

    def compile(self, sources: Sequence[Path], classes: Path, *more: Path) -> None:
        """Compile sources into a folder of classes. Warnings are errors."""
        path = ":".join(map(str, (*self.library, *more)))
        command = [
            self.java / "java", "-cp", ":".join(map(str, self.compiler)), "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler",
            "-Werror", "-no-stdlib", "-no-reflect", "-jvm-target", "17", "-cp", path, "-d", classes, *sources,
        ]  # fmt: skip
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def _program(name: str, debian: str, folder: Path | None = None) -> Path:
    found = folder / name if folder is not None and (folder / name).is_file() else shutil.which(name)
    if not found:
        pytest.skip(f"{name} is not installed (Debian: {debian})")
    return Path(found)


@pytest.fixture(scope="session")
def java():
    """The folder of a JDK's programs."""
    return _program("javac", "openjdk-17-jdk-headless", JAVA).parent


@pytest.fixture(scope="session")
def kotlin(java):
    """A Kotlin compiler; skips the test if there is none."""
    jars = sorted(JARS.glob("*.jar"))
    if not jars:
        pytest.skip("a Kotlin compiler is not installed (make android-tools)")

    def those(*parts: str) -> tuple[Path, ...]:
        return tuple(jar for jar in jars if any(part in jar.name for part in parts))

    return Kotlin(
        java, those("kernel", "kotlin-stdlib", "kotlin-reflect", "annotations"),
        those("kotlin-stdlib", "kotlinx-serialization"),
    )  # fmt: skip


@pytest.fixture(scope="session")
def library_classes(kotlin, tmp_path_factory):
    """The compiled classes of the library layer."""
    classes = tmp_path_factory.mktemp("model") / "classes"
    kotlin.compile([APP / "model" / "src" / "main" / "kotlin"], classes)
    return classes


@pytest.fixture(scope="session")
def native_library(java, tmp_path_factory):
    """The folder of the JNI library, built for this machine with the app's CMake file. Warnings are errors."""
    cmake = _program("cmake", "cmake")
    folder = tmp_path_factory.mktemp("jni")
    source = APP / "app" / "src" / "main" / "cpp"
    for command in (
        [cmake, "-S", source, "-B", folder, "-DCMAKE_BUILD_TYPE=Release", f"-DCMAKE_PREFIX_PATH={java.parent}"],
        [cmake, "--build", folder],
    ):
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder


@dataclass(frozen=True)
class Desktop:
    """Runs the library layer on this machine's JVM; see android_demo/desktop/Desktop.kt."""

    run: Callable[..., subprocess.CompletedProcess[str]]

    def __call__(self, command: str, *arguments: object) -> object:
        """The result of a command."""
        done = self.run(command, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "WARNING" not in done.stdout, "the JVM has found fault with the native methods"
        return json.loads(done.stdout.splitlines()[-1])

    def refused(self, command: str, *arguments: object) -> str:
        """The error message of a command that must fail."""
        done = self.run(command, *arguments)
        assert done.returncode == 3, done.stdout + done.stderr
        return done.stderr.strip()


@pytest.fixture(scope="session")
def desktop(kotlin, library_classes, native_library, tmp_path_factory):
    """The runnable library layer. The JVM checks every native call."""
    classes = tmp_path_factory.mktemp("desktop") / "classes"
    kotlin.compile([APP / "desktop" / "Desktop.kt"], classes, library_classes)
    path = ":".join(map(str, (*kotlin.library, library_classes, classes)))

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        # A heap of constant size, so that growing memory is a leak of the native code.
        command = [
            kotlin.java / "java", "-Xcheck:jni", "-Xms64m", "-Xmx64m", "-XX:+AlwaysPreTouch", "-XX:TieredStopAtLevel=1",
            f"-Djava.library.path={native_library}", "-cp", path, "dev.bayespress.desktop.DesktopKt", *arguments,
        ]  # fmt: skip
        environment = os.environ | {"MALLOC_ARENA_MAX": "1"}
        return subprocess.run(
            list(map(str, command)), capture_output=True, text=True, check=False, timeout=280, env=environment
        )

    return Desktop(run)


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """A function that builds a bundle of a network of the zoo for the given targets, as a folder or a zip."""

    @cache
    def make(name: str, *targets: str, zipped: bool = False) -> Path:
        specimen = ZOO[name]
        network = specimen.network()
        folder = tmp_path_factory.mktemp(name)
        result = compress_network(network, posterior_of(network), specimen.inputs())
        result.write(folder / "packed", name=name, labels=["a", "b"])
        path = folder / (f"{name}.zip" if zipped else f"{name}.bundle")
        bayespress.build(folder / "packed", targets, path)
        return path

    return make
