"""Settings: precedence, defaults, refusals, and the shipped file that documents them."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sharpend.errors import ConfigError, InputMissingError
from sharpend.model.tiling import SMALLEST_TILE_PX
from sharpend.settings.folder import FolderSettings
from sharpend.settings.hook import HookSettings
from sharpend.settings.load import changed_keys, check_folders, load, missing_inputs
from sharpend.settings.schema import PictureSettings, Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

SHIPPED = Path(__file__).parent.parent / "config" / "sharpend.toml"
FOLDER = '[[folder]]\ninput = "in"\noutput = "out"\n'


@pytest.fixture(autouse=True)
def system_config(bare: Path) -> Path:
    """The place of /etc/sharpend/sharpend.toml, so that none of this machine's is read."""
    return bare


def write(directory: Path, text: str) -> Path:
    """A configuration file in `directory`."""
    path = directory / "sharpend.toml"
    path.write_text(text, encoding="utf-8")
    return path


def read(
    directory: Path,
    text: str = "",
    overrides: Mapping[str, object] | None = None,
    **variables: str,
) -> Settings:
    """The settings that the text, the command line and the variables give together."""
    environment = {"HOME": str(directory / "home"), **variables}
    return load(write(directory, text), overrides, environment=environment)


def refusal(
    directory: Path,
    text: str = "",
    overrides: Mapping[str, object] | None = None,
    **variables: str,
) -> list[str]:
    """The lines of the refusal, with FILE for the path of the configuration file."""
    with pytest.raises(ConfigError) as caught:
        read(directory, text, overrides, **variables)
    return str(caught.value).replace(f"{directory}/sharpend.toml", "FILE").splitlines()


def test_each_source_beats_the_ones_below_it_key_by_key(tmp_path: Path) -> None:
    """The command line beats the environment, which beats the file, inside one section too."""
    text = '[model]\ndevice = "cpu"\nstrength = 0.1\ntile_px = 64\nprecision = "float32"\n'
    settings = read(
        tmp_path,
        text,
        {"model": {"device": "cuda:1"}},
        SHARPEND_MODEL__DEVICE="mps",
        SHARPEND_MODEL__STRENGTH="0.5",
        SHARPEND_MODEL__TILE_PX="auto",
    )
    model = settings.model
    assert (model.device, model.strength, model.tile_px) == ("cuda:1", 0.5, "auto")
    assert model.precision == "float32"


def test_folders_of_the_command_line_stand_in_place_of_the_files(tmp_path: Path) -> None:
    """A list is taken whole: --input and --output do not add to the file's folders."""
    settings = read(tmp_path, FOLDER, {"folder": [{"input": Path("a"), "output": Path("b")}]})
    assert [folder.input for folder in settings.folder] == [Path("a").absolute()]


def test_without_any_source_the_defaults_hold(tmp_path: Path) -> None:
    """No file, no variable and no option is a legal configuration."""
    settings = load(None, environment={"HOME": str(tmp_path)})
    assert settings == Settings(state=tmp_path / ".local/state/sharpend")
    assert settings.folder == ()


@pytest.mark.parametrize("given", ["file", "environment", "command line"])
def test_relative_paths_start_where_their_source_is(tmp_path: Path, given: str) -> None:
    """A path in the file starts at the file's directory, any other at the working directory."""
    texts = {"file": 'state = "s"\n[model]\nname = "w/x.safetensors"'}
    variables = {"SHARPEND_STATE": "s", "SHARPEND_MODEL__NAME": "w/x.safetensors"}
    settings = read(
        tmp_path,
        texts.get(given, ""),
        {"state": "s", "model": {"name": "w/x.safetensors"}} if given == "command line" else None,
        **(variables if given == "environment" else {}),
    )
    base = tmp_path if given == "file" else Path.cwd()
    assert settings.state == base / "s"
    assert settings.model.name == str(base / "w/x.safetensors")


def test_home_is_expanded_and_model_names_are_left_alone(tmp_path: Path) -> None:
    """`~` is the home directory; a model's name without a slash is no path."""
    text = '[[folder]]\ninput = "~/in"\noutput = "~"\nmodel = "base-x4"\n'
    (folder,) = read(tmp_path, text.replace('"~"', '"/srv/out"')).folder
    assert folder.input == tmp_path / "home/in"
    assert folder.model == "base-x4"


def test_names_that_are_not_utf8_work(tmp_path: Path) -> None:
    """Folder names are bytes: whatever argv and the environment hold is taken as it is."""
    odd = os.fsdecode(b"a\xff b\n")
    overrides = {"folder": [{"input": tmp_path / odd, "output": tmp_path / "out"}]}
    settings = read(tmp_path, "", overrides, SHARPEND_STATE=str(tmp_path / odd / "../s"))
    assert os.fsencode(settings.folder[0].input).endswith(b"a\xff b\n")
    assert settings.folder[0].name == "a__b_"


@pytest.mark.parametrize(
    ("base", "name"), [("in", "in"), ("фото", "____"), (".hidden", "hidden"), ("-", "-")]
)
def test_default_name_of_a_folder_is_its_base_name(tmp_path: Path, base: str, name: str) -> None:
    """Odd characters are replaced, so that the name can be a directory of the quarantine."""
    assert FolderSettings(input=tmp_path / base, output=tmp_path / "out").name == name


def test_state_is_systemds_directory_or_the_users(tmp_path: Path) -> None:
    """$STATE_DIRECTORY beats $XDG_STATE_HOME, which beats ~/.local/state; relative XDG is void."""
    assert read(tmp_path, STATE_DIRECTORY="/var/lib/s:/x", XDG_STATE_HOME="/y").state == Path(
        "/var/lib/s"
    )
    assert read(tmp_path, XDG_STATE_HOME="/y").state == Path("/y/sharpend")
    home = tmp_path / "home/.local/state/sharpend"
    assert read(tmp_path, XDG_STATE_HOME="y").state == home


def test_the_first_configuration_file_found_is_read(tmp_path: Path, system_config: Path) -> None:
    """--config beats $SHARPEND_CONFIG, which beats the XDG directory, which beats /etc."""
    environment = {"HOME": str(tmp_path)}
    system_config.write_text("[report]\nevery_s = 9")
    assert load(None, environment=environment).report.every_s == 9
    for place, every_s in ((".config/sharpend", 1), ("named", 2), ("option", 3)):
        (tmp_path / place).mkdir(parents=True)
        write(tmp_path / place, f"[report]\nevery_s = {every_s}")
    assert load(None, environment=environment).report.every_s == 1
    environment["SHARPEND_CONFIG"] = "~/named/sharpend.toml"
    assert load(None, environment=environment).report.every_s == 2
    option = tmp_path / "option/sharpend.toml"
    assert load(option, environment=environment).report.every_s == 3


@pytest.mark.parametrize(
    ("named", "variable", "problem"),
    [
        ("no.toml", None, "command line: config: no such file: {}/no.toml"),
        (None, "no.toml", "environment: SHARPEND_CONFIG: no such file: {}/no.toml"),
        (".", None, "command line: config: not a file: {}"),
    ],
)
def test_a_file_asked_for_must_exist(
    tmp_path: Path, named: str | None, variable: str | None, problem: str
) -> None:
    """Only the places that are searched may be empty."""
    environment = {"HOME": str(tmp_path)}
    if variable:
        environment["SHARPEND_CONFIG"] = str(tmp_path / variable)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / named if named else None, environment=environment)
    assert str(caught.value) == problem.format(tmp_path)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """Bytes that are no text, broken TOML and a refused open give one line, not a traceback."""
    path = write(tmp_path, "")
    path.write_bytes(b'state = "\xff"')
    with pytest.raises(ConfigError, match="save the file as UTF-8 text"):
        load(path, environment={})
    assert refusal(tmp_path, "\n[model]\ndevice = cpu\n") == [
        "FILE: line 3, column 10: Invalid value"
    ]
    assert refusal(tmp_path, "a = [1,")[0].startswith("FILE: end of document: ")


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_file_of_a_windows_editor_is_read(tmp_path: Path, newline: str) -> None:
    """A byte order mark and CRLF, which Notepad writes, change nothing."""
    path = write(tmp_path, "")
    path.write_bytes(b"\xef\xbb\xbf" + newline.join(["[report]", "every_s = 7", ""]).encode())
    assert load(path, environment={"HOME": str(tmp_path)}).report.every_s == 7


@pytest.mark.parametrize(
    "path", [r"C:\Users\me", r"D:\photos", r"\\nas\photos", r"D:\udd00", "D:\\"]
)
def test_a_backslash_in_double_quotes_is_explained(tmp_path: Path, path: str) -> None:
    """The error of broken TOML with a backslash between double quotes says how to write it."""
    (line,) = refusal(tmp_path, f'[[folder]]\ninput = "{path}"\noutput = "out"\n')
    assert line.startswith("FILE: line 2, column ")
    assert line.endswith("an escape: use single quotes, or / in a path")


@pytest.mark.parametrize(
    "value", [r"'C:\Users\me'", r"'\\nas\photos'", r'"D:\new"', r'"D:\\bilder"', '"d:/photos"']
)
def test_a_windows_path_is_no_path_here(tmp_path: Path, value: str) -> None:
    """It would otherwise be a relative path, and a folder of that name be made."""
    (line,) = refusal(tmp_path, f'[[folder]]\ninput = "in"\noutput = {value}\n')
    assert line.startswith("FILE: folder.1.output: must be a path of this system, such as /mnt/")


@pytest.mark.parametrize("value", ['"yes"', '"on"', "1", '""', "[true]"])
def test_a_switch_is_true_or_false(tmp_path: Path, value: str) -> None:
    """Other words and numbers are refused; the two words may be in quotes."""
    for key in ("recursive", "skip_sharp", "provenance"):
        (line,) = refusal(tmp_path, f"{FOLDER}{key} = {value}\n")
        assert line.startswith(f"FILE: folder.1.{key}: must be true or false")
    (folder,) = read(tmp_path, f'{FOLDER}recursive = "false"\n').folder
    assert folder.recursive is False


def test_a_switch_in_the_environment(tmp_path: Path) -> None:
    """The same two words hold in the environment, where everything is text."""
    assert read(tmp_path, SHARPEND_PICTURES__PROVENANCE="true").pictures.provenance
    assert not read(tmp_path, SHARPEND_PICTURES__PROVENANCE="False").pictures.provenance
    assert refusal(tmp_path, SHARPEND_PICTURES__PROVENANCE="1") == [
        "environment: SHARPEND_PICTURES__PROVENANCE: must be true or false, not '1'"
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f'{FOLDER}state = "s"', "folder.1.state: is no key of a table; move it to the top of"),
        ('[model]\nstate = "s"', "model.state: is no key of a table; move it to the top of"),
        ('[model]\nmodel = "m"', "model.model: unknown key, and the name of a table; known are "),
        ("settle_s = 3", "settle_s: is in the wrong place; move it below [[folder]]"),
        ("every_s = 3", "every_s: is in the wrong place; move it below [report]"),
        (f"{FOLDER}count = 3", "folder.1.count: is in the wrong place; move it below [workers]"),
        ("tile_px = 3", "tile_px: is in the wrong place; move it below [model]"),
        ("frames = 3", "frames: is in the wrong place; move it below [pictures] or [[folder]]"),
    ],
)
def test_a_key_in_the_wrong_table_is_reported_with_its_place(
    tmp_path: Path, text: str, line: str
) -> None:
    """A key that another table has is not unknown: the message names that table."""
    assert refusal(tmp_path, text)[0].startswith(f"FILE: {line}")


@pytest.mark.parametrize("value", ["1" * 5000, "0x" + "f" * 5000, "[" * 5000 + "]" * 5000])
def test_a_value_beyond_all_reason_is_refused(tmp_path: Path, value: str) -> None:
    """What Python itself cannot read or write is a wrong setting, not a traceback."""
    assert len(refusal(tmp_path, f"[report]\nevery_s = {value}")) == 1


def test_without_a_home_the_state_has_to_be_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a user without a home directory the error names the key to set."""
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as for an unknown user
    with pytest.raises(ConfigError, match=r"^state: HOME is not set .* give --state DIR"):
        load(None, environment={})
    assert load(None, {"state": tmp_path}, environment={}).state == tmp_path


def test_a_file_that_fails_while_it_is_read_is_refused() -> None:
    """EACCES, EIO and their like are errors of configuration, never silently skipped."""
    with pytest.raises(ConfigError, match="cannot be read: Input/output error"):
        load(Path("/proc/self/mem"), environment={})  # a regular file whose first page is absent


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[modle]\nname = 1", "FILE: modle: unknown key; did you mean model?"),
        ("[report]\nevry_s = 2", "FILE: report.evry_s: unknown key; did you mean every_s?"),
        (
            "[limits]\nx = 2",
            "FILE: limits.x: unknown key; known are max_megabytes, max_megapixels, max_scans",
        ),
        (
            "_env_file = 1",
            f"FILE: _env_file: unknown key; known are {', '.join(sorted(Settings.model_fields))}",
        ),
        ("state = 5", "FILE: state: must be a path, not 5"),
        ("model = 5", "FILE: model: must be a table, not 5"),
        ("folder = [7]", "FILE: folder.1: must be a table, not 7"),
        (
            '[folder]\nx = "y"',
            "FILE: folder: must be a list of tables: write [[folder]], not [folder]",
        ),
        ("[report]\nevery_s = 0", "FILE: report.every_s: must be more than 0, not 0"),
        ("[report]\nevery_s = nan", "FILE: report.every_s: must be a finite number, not nan"),
        ("[workers]\ncount = true", "FILE: workers.count: must be 'auto' or a number, not true"),
        ("[workers]\ncount = 65", "FILE: workers.count: must be 'auto' or at most 64, not 65"),
        ("[retry]\nattempts = 1.5", "FILE: retry.attempts: must be a whole number, not 1.5"),
        ("[retry]\nfirst_s = 900", None),
        ("[retry]\nlongest_s = 1", "FILE: retry.longest_s: must be at least retry.first_s, not 1"),
        (
            "[agreement]\nalarm_residual = 0",
            "FILE: agreement.alarm_residual: must be 'auto' or more than 0, not 0",
        ),
        ("[agreement]\nsample = 2", "FILE: agreement.sample: must be at most 1, not 2"),
        (
            "[model]\ntile_px = 130",
            "FILE: model.tile_px: must be 'auto' or divisible by 4, not 130",
        ),
        ("[model]\ntile_px = 60", "FILE: model.tile_px: must be 'auto' or at least 128, not 60"),
        ("[model]\nname = ''", "FILE: model.name: must not be empty, not ''"),
        (
            '[model]\ndevice = "gpu"',
            "FILE: model.device: must be auto, cpu, cuda, cuda:N or mps, not 'gpu'",
        ),
        (
            '[log]\nlevel = "loud"',
            "FILE: log.level: must be 'debug', 'info', 'warning' or 'error', not 'loud'",
        ),
    ],
)
def test_a_wrong_value_gives_one_line_that_says_what_to_change(
    tmp_path: Path, text: str, line: str | None
) -> None:
    """Every refusal is one line: where, key, what to change."""
    if line is None:
        assert read(tmp_path, text).retry.first_s == 900
    else:
        assert refusal(tmp_path, text) == [line]


FOLDER_FAULTS = [
    ('input = "in"', "output: is required"),
    ('input = "in"\noutput = ""', "output: must name a folder, not ''"),
    ('input = "a\\u0000"\noutput = "out"', "input: must name a folder, not '{}/a\\x00'"),
    (FOLDER[11:] + 'ouput = "x"', "ouput: unknown key; did you mean output?"),
    (
        FOLDER[11:] + 'sidecars = "copy"\nmetadata = "strip-gps"',
        "sidecars: copies metadata that the outputs of this folder must lack; set "
        '"follow", or metadata = "keep"',
    ),
    (FOLDER[11:] + 'source = "archive"', 'archive: is required by source = "archive"'),
    (
        FOLDER[11:] + 'archive = "old"',
        'archive: needs source = "archive"; set that or remove it',
    ),
    (FOLDER[11:] + "source = 'move'", "source: must be 'keep', 'archive' or 'delete', not 'move'"),
    (FOLDER[11:] + "cmyk = 3", "cmyk: must be 'refuse' or 'convert', not 3"),
    (
        FOLDER[11:] + 'name = "../x"',
        "name: must be letters, digits, '.', '_' and '-', and not begin with '.', not '../x'",
    ),
    (FOLDER[11:] + "polling = 3", "polling: must be 'auto' or true or false, not 3"),
    (FOLDER[11:] + "settle_s = -1", "settle_s: must be 'auto' or at least 0, not -1"),
]


@pytest.mark.parametrize(("table", "line"), FOLDER_FAULTS)
def test_a_wrong_folder_is_named_by_its_number(tmp_path: Path, table: str, line: str) -> None:
    """Folders count from 1, as people do."""
    lines = refusal(tmp_path, f"[[folder]]\n{table}\n")
    assert lines == [f"FILE: folder.1.{line.format(tmp_path)}"]


@pytest.mark.parametrize(
    ("template", "advice"),
    [
        ("{stem}/x{ext}", "must be a plain file name, without '/' and '..'"),
        ("..{stem}", "must be a plain file name, without '/' and '..'"),
        ("{stem}\\n", "must be a plain file name, without '/' and '..'"),
        ("sharp{ext}", "must contain {stem}"),
        ("{stem}.{ext}", "must not have a '.' before {ext}, which brings its own"),
        ("{stem}{name}", "must have no placeholder but {stem}, {suffix}, {ext}, {folder}, {model}"),
        ("{stem!r}", "must have no placeholder but {stem}, {suffix}, {ext}, {folder}, {model}"),
        ("{stem}}}", "must have no placeholder but {stem}, {suffix}, {ext}, {folder}, {model}"),
    ],
)
def test_a_template_must_stay_a_plain_file_name(tmp_path: Path, template: str, advice: str) -> None:
    """No template can lead out of the output folder or make two inputs share a name."""
    (line,) = refusal(tmp_path, f'{FOLDER}output_name = "{template}"\n')
    assert line.startswith(f"FILE: folder.1.output_name: {advice}, not ")


@pytest.mark.parametrize("suffix", ["/x", "..", "\\n", "{stem}", "}", "\\u0000", "\\u0007"])
def test_a_suffix_must_be_plain(tmp_path: Path, suffix: str) -> None:
    """What is put into every name can do no more than a template."""
    (line,) = refusal(tmp_path, f'{FOLDER}suffix = "{suffix}"\n')
    advice = "must be a plain part of a file name, without '/', '..', '{' and '}'"
    assert line.startswith(f"FILE: folder.1.suffix: {advice}, not ")


def test_a_suffix_needs_its_place(tmp_path: Path) -> None:
    """A suffix that no name would get is a mistake."""
    (line,) = refusal(tmp_path, f'{FOLDER}output_name = "s-{{stem}}{{ext}}"\nsuffix = "-sharp"\n')
    advice = "needs {suffix} in output_name; put it there or remove the key"
    assert line.startswith(f"FILE: folder.1.suffix: {advice}")


def test_every_problem_of_every_source_is_reported_at_once(tmp_path: Path) -> None:
    """One look at the message is enough to repair everything; each line names its source."""
    lines = refusal(
        tmp_path,
        "[report]\nevery_s = 'soon'\n[[folder]]\nx = 1\n",
        {"model": {"device": "tpu"}},
        SHARPEND_LOG__LEVEL="loud",
        SHARPEND_REPORT__EVRY_S="2",
    )
    assert [line.split(": ")[:2] for line in lines] == [
        ["environment", "SHARPEND_REPORT__EVRY_S"],
        ["FILE", "folder.1.input"],
        ["FILE", "folder.1.output"],
        ["FILE", "folder.1.x"],
        ["command line", "model.device"],
        ["FILE", "report.every_s"],
        ["environment", "SHARPEND_LOG__LEVEL"],
    ]
    assert "pydantic" not in " ".join(lines)


@pytest.mark.parametrize(
    ("variable", "advice"),
    [
        ("SHARPEND_MODLE__NAME", "unknown variable; did you mean SHARPEND_MODEL__NAME?"),
        ("SHARPEND_MODEL_NAME", "unknown variable; did you mean SHARPEND_MODEL__NAME?"),
        ("SHARPEND_MODEL", "unknown variable; did you mean SHARPEND_MODEL__NAME?"),
        ("SHARPEND_Q", "unknown variable; unset it"),
        ("SHARPEND_FOLDER", "folders are set in the TOML file, or by --input and --output"),
        (
            "SHARPEND_FOLDER__0__INPUT",
            "folders are set in the TOML file, or by --input and --output",
        ),
    ],
)
def test_a_variable_that_sets_nothing_is_refused(
    tmp_path: Path, variable: str, advice: str
) -> None:
    """A mistyped variable must not be silent, at the top level neither."""
    assert refusal(tmp_path, "", None, **{variable: "1"}) == [f"environment: {variable}: {advice}"]


def test_a_newline_in_a_key_cannot_forge_a_line(tmp_path: Path) -> None:
    """The message has one line per problem, whatever the file holds."""
    assert refusal(tmp_path, '"a\\n\\u001b[31m" = 1')[0].startswith(r"FILE: a\n\x1b[31m: unknown")


INSIDE = "choose a folder outside of it"


@pytest.mark.parametrize(
    ("first", "second", "state", "relation"),
    [
        (("in", "in/out"), None, "s", "folder.1.output: {0}/in/out is inside folder.1.input"),
        (("out/in", "out"), None, "s", "folder.1.output: {0}/out contains folder.1.input"),
        (
            ("in", "in"),
            None,
            "s",
            "folder.1.output: {0}/in is the same folder as folder.1.input",
        ),
        (
            ("in", "link"),
            None,
            "s",
            "folder.1.output: {0}/in is the same folder as folder.1.input",
        ),
        (("in", "link/x/.."), None, "s", "folder.1.output: {0}/in is the same folder as"),
        (("in", "o"), ("in/2", "p"), "s", "folder.2.input: {0}/in/2 is inside folder.1.input"),
        (("in", "o"), ("o", "p"), "s", "folder.2.input: {0}/o is the same folder as folder.1"),
        (("in", "o"), ("2", "o"), "s", "folder.2.output: {0}/o is the same folder as folder.1"),
        (("in", "o"), None, "in/s", "folder.1.input: {0}/in contains state"),
        (("s/quarantine/x", "o"), None, "s", "folder.1.input: {0}/s/quarantine/x is inside the"),
        (("in", "s"), None, "s", "folder.1.output: {0}/s is the same folder as state"),
    ],
)
def test_directories_in_each_others_way_are_refused(
    tmp_path: Path,
    first: tuple[str, str],
    second: tuple[str, str] | None,
    state: str,
    relation: str,
) -> None:
    """Nothing may be able to loop, to be taken twice or to mix, links resolved."""
    (tmp_path / "in/x").mkdir(parents=True)
    (tmp_path / "link").symlink_to("in")
    folders = "".join(
        f'[[folder]]\nname = "{number}"\ninput = "{pair[0]}"\noutput = "{pair[1]}"\n'
        for number, pair in enumerate((first, second))
        if pair
    )
    (line,) = refusal(tmp_path, f'state = "{state}"\n{folders}')
    assert line.startswith(f"FILE: {relation.format(tmp_path)}")
    assert line.endswith(INSIDE)


def test_archive_inside_the_input_is_refused(tmp_path: Path) -> None:
    """An archived input would be found again."""
    (line,) = refusal(tmp_path, f'{FOLDER}source = "archive"\narchive = "in/done"\n')
    assert "folder.1.archive" in line


def test_folders_may_lie_in_the_state_directory_and_beside_each_other(tmp_path: Path) -> None:
    """What cannot loop or mix is allowed: systemd's state directory is the one place to write."""
    text = (
        '[[folder]]\ninput = "s/in"\noutput = "s/out"\n[[folder]]\ninput = "in2"\noutput = "in22"'
    )
    settings = read(tmp_path, f'state = "s"\n{text}')
    assert [folder.name for folder in settings.folder] == ["in", "in2"]


def test_two_folders_of_one_name_are_refused(tmp_path: Path) -> None:
    """Ledger and quarantine go by the name, so the user has to choose another."""
    text = f'{FOLDER}[[folder]]\ninput = "x/in"\noutput = "out2"'
    assert refusal(tmp_path, text) == [
        "FILE: folder.2.name: another folder has the name in; set a different one"
    ]


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ('group = "no-such"', "group: must be a group of this machine, not 'no-such'"),
        ('mode = "0999"', 'mode: must be octal digits such as "0640", readable for the owner,'),
        ('mode = "0750"', "mode: must be octal digits"),
        ('mode = "0240"', "mode: must be octal digits"),
        ("mode = 416", "mode: must be a text, not 416"),
    ],
)
def test_who_may_read_the_outputs_is_checked(tmp_path: Path, line: str, advice: str) -> None:
    """A group that does not exist and a mode that is none are refused before anything starts."""
    (told,) = refusal(tmp_path, f"{FOLDER}{line}\n")
    assert told.startswith(f"FILE: folder.1.{advice}")


def test_missing_inputs_are_found_apart_from_the_settings(tmp_path: Path) -> None:
    """A missing or wrong input is no fault of the configuration; outputs need not exist."""
    (tmp_path / "file").touch()
    text = f'{FOLDER}[[folder]]\ninput = "file"\noutput = "out2"\nname = "b"\n'
    settings = read(tmp_path, text)
    assert missing_inputs(settings) == [
        f"folder in: input: no such folder: {tmp_path}/in",
        f"folder b: input: not a folder: {tmp_path}/file",
    ]
    with pytest.raises(InputMissingError):
        check_folders(settings)
    (tmp_path / "in").mkdir()
    check_folders(read(tmp_path, FOLDER))


def test_changed_keys_are_dotted_and_go_by_folder_name(tmp_path: Path) -> None:
    """A reload lists exactly what it changes, wherever the folder is in the list."""
    old = read(tmp_path, FOLDER)
    other = '[[folder]]\ninput = "in2"\noutput = "out2"\nname = "new"\n'
    new = read(tmp_path, f'state = "x"\n{other}{FOLDER}source = "delete"\n[report]\nevery_s = 2')
    changed = changed_keys(old, new)
    assert [key for key in changed if not key.startswith("folder.new.")] == [
        "folder.in.source",
        "report.every_s",
        "state",
    ]
    assert "folder.new.input" in changed
    assert changed_keys(old, read(tmp_path, FOLDER)) == []


def uncommented(text: str) -> str:
    """The shipped file with every key and every table switched on."""
    return re.sub(r"(?m)^#(?=[a-z\[])", "", text)


def test_the_shipped_file_loads_as_it_is_and_with_every_line_uncommented(tmp_path: Path) -> None:
    """It sets nothing as it is, and every line of it can be used."""
    environment = {"HOME": str(tmp_path)}
    assert load(SHIPPED, environment=environment) == load(None, environment=environment)
    everything = read(tmp_path, uncommented(SHIPPED.read_text(encoding="utf-8")))
    assert [folder.source for folder in everything.folder] == ["keep", "archive"]


WITHOUT_DEFAULT = {
    "state",
    "input",
    "output",
    "name",
    "archive",
    "model",
    "strength",
    "crispness",
    "skip_sharp",
    "skip_sharp_above",
    "overshoot",
    "group",
    "mode",
} | {*PictureSettings.model_fields}


def test_the_shipped_file_documents_every_key_with_its_default() -> None:
    """No key is missing from the file, and no default in it is out of date."""
    shown: dict[str, Any] = tomllib.loads(uncommented(SHIPPED.read_text(encoding="utf-8")))
    folder = shown.pop("folder")
    hook = shown.pop("hook")
    assert (hook[0] | hook[1]).keys() == HookSettings.model_fields.keys()
    assert hook[0]["timeout_s"] == HookSettings.model_fields["timeout_s"].default
    assert {"state": shown.pop("state")}.keys() | shown.keys() | {"folder", "hook"} == set(
        Settings.model_fields
    )
    for section, keys in shown.items():
        default: BaseModel = Settings.model_fields[section].default
        assert keys == default.model_dump(), section
    assert folder[1] | folder[0] | {"archive": ""} == folder[0] | {"archive": ""}
    assert (folder[0] | folder[1]).keys() == FolderSettings.model_fields.keys()
    for key, field in FolderSettings.model_fields.items():
        if key not in WITHOUT_DEFAULT:
            value = folder[0][key]
            assert (tuple(value) if isinstance(value, list) else value) == field.default, key


def test_every_key_of_the_shipped_file_is_explained() -> None:
    """Every paragraph of keys and every table begins with words."""
    for paragraph in SHIPPED.read_text(encoding="utf-8").split("\n\n"):
        assert paragraph.strip().startswith("# "), paragraph


def test_one_place_has_one_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However a folder is written, the ledger knows it by the same path."""
    for name in ("in", "out", "elsewhere"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    folder = {"input": Path("../in"), "output": tmp_path / "elsewhere" / ".." / "out"}
    (made,) = load(None, {"folder": [folder], "state": tmp_path / "state"}, environment={}).folder
    assert (made.input, made.output) == (tmp_path / "in", tmp_path / "out")


def test_smallest_tile_is_the_tilings(tmp_path: Path) -> None:
    """The least tile that the settings take is the least that the tiling works with."""
    load(None, {"model": {"tile_px": SMALLEST_TILE_PX}, "state": tmp_path}, environment={})
    with pytest.raises(ConfigError, match="tile_px"):
        load(None, {"model": {"tile_px": SMALLEST_TILE_PX - 4}, "state": tmp_path}, environment={})
