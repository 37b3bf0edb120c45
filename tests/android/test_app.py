"""Tests of the app's resources, Kotlin sources, manifest and Gradle files without the Android SDK."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
import zipfile
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from android_stubs import parse, write
from typer.testing import CliRunner

from bayespress.cli.app import app as cli
from bayespress.deploy.builder.app import put_into_app
from bayespress.deploy.bundle.format import opened
from bayespress.errors import InputError

pytestmark = pytest.mark.xdist_group("android")
ROOT = Path(__file__).resolve().parents[2]
APP = ROOT / "android_demo"
MAIN = APP / "app" / "src" / "main"
RES = MAIN / "res"
A = "{http://schemas.android.com/apk/res/android}"
TYPES = ROOT / "build" / "android-types" / "package" / "lib" / "android" / "android-platform-21-37-merged.d.ts"
FRAMEWORK = Path("/usr/share/android-framework-res/framework-res.apk")
MIN_SDK = 24
API = Path(__file__).with_name("android_api.txt")


@pytest.fixture(scope="module")
def resources(tmp_path_factory):
    """The folder of R.java and the linked resources, made by aapt2."""
    aapt = shutil.which("aapt2")
    if aapt is None or not FRAMEWORK.is_file():
        pytest.skip("aapt2 or Android's own resources are not installed (Debian: aapt android-framework-res)")
    folder = tmp_path_factory.mktemp("resources")
    # With the attributes that Gradle adds, and without the element that aapt2 of Android 10 does not know.
    manifest = (
        (MAIN / "AndroidManifest.xml").read_text().replace("<manifest ", '<manifest package="dev.bayespress.demo" ')
    )
    (folder / "AndroidManifest.xml").write_text(re.sub(r"<uses-native-library[^>]*/>", "", manifest))
    for command in (
        [aapt, "compile", "--dir", RES, "-o", folder / "compiled.zip"],
        [aapt, "link", "-I", FRAMEWORK, "--manifest", folder / "AndroidManifest.xml", "--min-sdk-version", MIN_SDK,
         "--target-sdk-version", 36, "--java", folder / "java", "-o", folder / "resources.apk",
         folder / "compiled.zip"],
    ):  # fmt: skip
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "warn" not in done.stderr, done.stderr
    return folder


def test_resources_and_manifest_are_compiled(resources):
    with zipfile.ZipFile(resources / "resources.apk") as apk:
        assert {"AndroidManifest.xml", "resources.arsc", "res/layout/activity_main.xml"} <= set(apk.namelist())


@pytest.mark.slow
def test_the_app_compiles_against_android_s_signatures(resources, kotlin, library_classes, tmp_path):
    sources = write(parse(API.read_text()), tmp_path / "stubs")
    sources += (resources / "java").rglob("*.java")
    command = [kotlin.java / "javac", "-nowarn", "-d", tmp_path / "android", *sources]
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    kotlin.compile([MAIN / "kotlin"], tmp_path / "app", library_classes, tmp_path / "android")
    assert list((tmp_path / "app").rglob("MainActivity.class"))


@pytest.mark.slow
def test_the_oldest_supported_android_has_all_called_members():
    """Compares android_api.txt with a description of Android's complete API and the level of each member."""
    if not TYPES.is_file():
        pytest.skip("Android's API is not described here (make android-tools)")
    known = described(TYPES.read_text())
    classes = parse(API.read_text())
    assert len(classes) > 40
    for each in classes:
        assert each.name in known, each.name
        for member in each.members:
            levels = [level for owner in lineage(each.name, known) for level in known[owner].get(key(member), ())]
            assert levels, f"{each.name} has no {member.signature}"
            asked = member.since or MIN_SDK
            assert min(levels) <= asked, f"{each.name}.{member.name} came with API {min(levels)}"


def key(member):
    return "constructor" if member.name == "new" else member.name


def described(text):
    """Members of each class by name with their API levels; the key "" has the base classes."""
    known: dict[str, dict[str, list]] = {}
    scopes: list[tuple[str, bool]] = []
    since = 1
    for line in text.splitlines():
        stripped = line.strip()
        if found := re.match(r"/\*\* @since (\d+) \*/", stripped):
            since = int(found[1])
            continue
        if found := re.match(
            r"(?:export |declare )*(module|namespace|(?:abstract )?class|interface) ([\w.$]+)(?:<.*?>)?(.*)\{$",
            stripped,
        ):
            name = ".".join([scope for scope, _ in scopes] + [found[2]])
            is_class = "class" in found[1] or found[1] == "interface"
            scopes.append((found[2], is_class))
            if is_class:
                known.setdefault(name, {}).setdefault("", []).extend(re.findall(r"android[\w.]+", found[3]))
        elif stripped.startswith("}"):
            if scopes:
                scopes.pop()
        elif stripped.endswith("{"):
            scopes.append(("?", False))
        elif (
            scopes
            and scopes[-1][1]
            and (found := re.match(r"(?:public |protected |static |abstract )*(\w+)\s*(?:<[^(]*>)?[(?:]", stripped))
        ):
            known[".".join(scope for scope, _ in scopes)].setdefault(found[1], []).append(since)
        since = 1
    return known


def lineage(name, known):
    """A class and all of its base classes."""
    seen, waiting = [], [name]
    while waiting:
        if (each := waiting.pop()) in known and each not in seen:
            seen.append(each)
            waiting += known[each][""]
    return seen


def identifiers():
    """The ids of all views in the layouts, with the kind of view."""
    found = {}
    for layout in (RES / "layout").glob("*.xml"):
        for view in ET.parse(layout).iter():
            if name := view.get(f"{A}id"):
                found[name.partition("/")[2]] = view.tag
    return found


def test_every_card_has_its_view():
    cards = (APP / "model/src/main/kotlin/dev/bayespress/model/Cards.kt").read_text()
    names = re.findall(r"^    val (\w+): String", cards, re.M)
    views = {re.sub(r"[A-Z]", lambda m: "_" + m[0].lower(), name) for name in names}
    assert len(views) > 10
    assert views <= identifiers().keys()


def test_screens_are_accessible():
    """A view without text has a description, and an input field has a label."""
    labelled = set()
    views = [view for layout in (RES / "layout").glob("*.xml") for view in ET.parse(layout).iter()]
    for view in views:
        if target := view.get(f"{A}labelFor"):
            labelled.add(target.partition("/")[2])
    for view in views:
        if view.tag == "EditText":
            assert view.get(f"{A}id").partition("/")[2] in labelled
        if view.tag.endswith(("DigitView", "ProgressBar")):
            assert view.get(f"{A}contentDescription", "").startswith("@string/")
    assert "contentDescription = scene?.description" in (MAIN / "kotlin/dev/bayespress/demo/SceneView.kt").read_text()
    assert [view for view in views if view.get(f"{A}accessibilityLiveRegion")], "answers are spoken when they come"


def test_no_text_is_written_into_layouts():
    for layout in (RES / "layout").glob("*.xml"):
        for view in ET.parse(layout).iter():
            text = view.get(f"{A}text", "")
            assert text.startswith("@string/") or text.isdigit() or not text, (layout.name, text)


def test_strings_are_all_used():
    strings = {each.get("name") for each in ET.parse(RES / "values" / "strings.xml").iter("string")}
    sources = [path.read_text() for path in (*MAIN.rglob("*.kt"), *RES.rglob("*.xml"), MAIN / "AndroidManifest.xml")]
    unused = {name for name in strings if not any(re.search(rf"(@string/|R\.string\.){name}\b", s) for s in sources)}
    assert not unused


def luminance(colour):
    """Relative luminance of #AARRGGBB (WCAG 2.1)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (3, 5, 7)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", ["values", "values-night"])
@pytest.mark.parametrize(("text", "ground", "least"), [
    ("ink", "paper", 4.5), ("muted", "paper", 4.5), ("accent", "paper", 4.5), ("on_accent", "accent", 4.5),
    ("accent", "card", 4.5), ("muted", "card", 4.5), ("ink", "track", 3.0), ("series_2", "paper", 3.0),
])  # fmt: skip
def test_contrast_in_light_and_in_dark(theme, text, ground, least):
    colours = {each.get("name"): each.text for each in ET.parse(RES / theme / "colors.xml").iter("color")}
    lighter, darker = sorted((luminance(colours[text]), luminance(colours[ground])), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= least


def test_the_manifest_accepts_bundles_and_loads_opencl():
    manifest = ET.parse(MAIN / "AndroidManifest.xml").getroot()
    actions = {each.get(f"{A}name") for each in manifest.iter("action")}
    assert {"android.intent.action.VIEW", "android.intent.action.SEND"} <= actions
    libraries = {each.get(f"{A}name"): each.get(f"{A}required") for each in manifest.iter("uses-native-library")}
    assert libraries["libOpenCL.so"] == "false"
    assert not list(manifest.iter("uses-permission")), "it asks for nothing"


def test_gradle_names_only_existing_entries():
    catalogue = tomllib.loads((APP / "gradle" / "libs.versions.toml").read_text())
    scripts = {path: path.read_text() for path in APP.rglob("*.gradle.kts")}
    assert len(scripts) == 4
    for path, script in scripts.items():
        for kind, name in re.findall(r"libs\.(plugins|versions)\.([\w.]+?)(?:\.get\(\)|\))", script):
            assert name.replace(".", "-") in catalogue[kind] or name in catalogue[kind], (path, name)
        for name in re.findall(r"implementation\(libs\.([\w.]+)\)", script):
            assert name.replace(".", "-") in catalogue["libraries"]
    app = scripts[APP / "app" / "build.gradle.kts"]
    assert (APP / "app" / re.search(r'path = file\("(.+)"\)', app)[1]).is_file()
    assert catalogue["versions"]["minSdk"] == str(MIN_SDK)
    wrapper = (APP / "gradle" / "wrapper" / "gradle-wrapper.properties").read_text()
    assert re.search(r"distributionUrl=https\\://services\.gradle\.org/distributions/gradle-[\d.]+-bin\.zip", wrapper)


def test_the_app_s_sources_contain_no_binary_file():
    listed = subprocess.run(["git", "ls-files", "android_demo"], cwd=ROOT, capture_output=True, text=True, check=False)
    files = [ROOT / name for name in listed.stdout.split("\n") if name]
    if not files:
        pytest.skip("this is no checkout")
    for path in files:
        assert b"\0" not in path.read_bytes(), path


@pytest.fixture
def project(tmp_path):
    """The parts of the app that `build --android` checks."""
    (tmp_path / "app" / "app" / "src" / "main").mkdir(parents=True)
    (tmp_path / "app" / "app" / "src" / "main" / "AndroidManifest.xml").write_text("<manifest/>")
    return tmp_path / "app"


@pytest.mark.slow
def test_a_bundle_is_copied_into_the_app(project, built, tmp_path):
    packed = built("mlp", "host").parent / "packed"
    options = ["build", str(packed), "-o", str(tmp_path / "phone.bundle"), "--android", str(project)]
    done = CliRunner().invoke(cli, options)
    assert done.exit_code == 0, done.output
    with opened(project / "app" / "src" / "main" / "assets" / "bundle.zip") as bundle:
        assert set(bundle.manifest.targets) == {"opencl-android", "armv7-android"}
        assert all(entry.library for entry in bundle.manifest.targets.values())
        assert bundle.first_difference() is None


def test_rejects_folders_without_an_app(tmp_path):
    with pytest.raises(InputError, match=r"is not the Gradle project of android_demo \(it has no app/src/main\)"):
        put_into_app(tmp_path, tmp_path)


@pytest.mark.slow
def test_rejects_bundles_without_a_library_for_android(project, built):
    with pytest.raises(
        InputError, match="no library for Android; build it with -t opencl-android and -t armv7-android"
    ):
        put_into_app(built("mlp", "host", "arm64-linux"), project)
    assert not (project / "app" / "src" / "main" / "assets").exists()
