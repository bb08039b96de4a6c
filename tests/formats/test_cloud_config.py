"""cloud-config as yip 0.10 reads it."""

import pytest

from cosinspect.errors import FormatError
from cosinspect.formats.text.cloud_config import LAYOUT_FILE, File, Login, WrittenFile, read_cloud_config

LAYOUT = """\
name: "Where things go"
stages:
  rootfs.before:
    - name: recovery
      if: 'cat /proc/cmdline | grep -q "COS_RECOVERY"'
      files:
        - path: /run/cos/recovery_mode
          content: "1"
          permissions: 0600
  rootfs:
    - if: '[ ! -f "/run/cos/recovery_mode" ]'
      name: layout
      environment_file: /run/cos/cos-layout.env
      environment:
        VOLUMES: "LABEL=COS_OEM:/oem LABEL=COS_PERSISTENT:/usr/local"
        OVERLAY: "tmpfs:25%"
        OTHER: thing
    - if: '[ -f "/run/cos/recovery_mode" ]'
      environment_file: /run/cos/cos-layout.env
      environment: {VOLUMES: "LABEL=COS_OEM:/oem", MERGE: true}
  boot:
    - commands:
        - echo hello > /etc/greeting
        - "date | tee -a /var/log/boot"
      hostname: cos
"""

ACCOUNTS = """\
stages:
  initramfs:
    - name: accounts
      ensure_entities:
        - path: /etc/shadow
          entity: |
            kind: "shadow"
            username: "root"
            password: "$6$salt$hash"
        - path: /etc/shadow
          entity: |
            kind: shadow
            username: locked
            password: "!"
        - path: /etc/group
          entity: "kind: group"
    - if: '[ -e /x ]'
      users:
        joe: {passwd: "$6$x$y", ssh_authorized_keys: [one, two]}
        ann: {passwd: "$6$x$y", lock_passwd: true}
      authorized_keys:
        root: [three]
"""


def config(text: str, name: str = "90_test.yaml"):
    return read_cloud_config(name, text)


def kinds(text: str) -> list[str]:
    return [problem.kind for problem in config(text).problems]


def test_stages_and_steps_are_told_in_order():
    found = config(LAYOUT)
    assert ("yip", "Where things go", True, ()) == (found.kind, found.title, found.has_stages, found.problems)
    assert ["rootfs.before", "rootfs", "boot"] == [stage.name for stage in found.stages]
    recovery, layout, boot = (stage.steps[0] for stage in found.stages)
    assert ("recovery", 'cat /proc/cmdline | grep -q "COS_RECOVERY"') == (recovery.name, recovery.condition)
    assert (File("/run/cos/recovery_mode", "1"),) == recovery.files
    assert ("layout", LAYOUT_FILE) == (layout.name, layout.environment_file)
    assert ("cos", 2) == (boot.hostname, len(boot.commands))


def test_files_that_a_stage_writes_are_told_with_their_conditions():
    found = config(LAYOUT)
    assert {"/run/cos/recovery_mode", LAYOUT_FILE} == found.environment_files("rootfs")
    assert (
        WrittenFile("/etc/greeting", None, "boot", None, "commands"),
        WrittenFile("/var/log/boot", None, "boot", None, "commands"),
    ) == found.written_files("boot")
    second = found.written_files("rootfs")[2]
    assert ({"VOLUMES": "LABEL=COS_OEM:/oem", "MERGE": "true"}, "environment") == (
        second.variables,
        second.means,
    )
    assert '[ -f "/run/cos/recovery_mode" ]' == second.condition


def test_the_layout_is_that_of_an_ordinary_boot():
    assert {
        "VOLUMES": "LABEL=COS_OEM:/oem LABEL=COS_PERSISTENT:/usr/local",
        "OVERLAY": "tmpfs:25%",
        "MERGE": "true",
    } == config(LAYOUT).layout


def test_a_step_without_a_condition_overrides_the_layout():
    text = "stages:\n  rootfs:\n" + "".join(
        f"  - environment_file: {LAYOUT_FILE}\n    environment: {{RW_PATHS: {value}}}\n"
        for value in ("/a", "/b")
    )
    assert {"RW_PATHS": "/b"} == config(text).layout


def test_the_layout_may_be_written_as_a_plain_file():
    text = f"stages:\n  rootfs:\n  - files:\n    - path: {LAYOUT_FILE}\n      content: |\n        OVERLAY=tmpfs:30%\n"
    assert ({"OVERLAY": "tmpfs:30%"}, {LAYOUT_FILE}) == (
        config(text).layout,
        config(text).environment_files(),
    )


@pytest.mark.parametrize(
    "command", [f"echo A=1 > {LAYOUT_FILE}", f"echo A=1 >>'{LAYOUT_FILE}'", f"echo | tee {LAYOUT_FILE}"]
)
def test_the_layout_may_be_written_by_a_command(command):
    found = config(f"stages:\n  rootfs.after:\n  - commands:\n    - {command}\n")
    assert {LAYOUT_FILE} == found.environment_files("rootfs")
    assert {} == found.layout


def test_an_environment_file_without_variables_is_not_written():
    assert (
        frozenset()
        == config(f"stages:\n  rootfs:\n  - environment_file: {LAYOUT_FILE}\n").environment_files()
    )


def test_variables_without_a_file_go_to_etc_environment():
    text = "stages:\n  boot:\n  - environment: {A: 1}\n"
    assert {"/etc/environment"} == config(text).environment_files("boot")


def test_another_stage_does_not_count():
    text = f"stages:\n  boot:\n  - environment_file: {LAYOUT_FILE}\n    environment: {{OVERLAY: x}}\n"
    assert (frozenset(), {}) == (config(text).environment_files("rootfs"), config(text).layout)


def test_an_encoded_file_has_no_content_to_tell():
    text = f"stages:\n  rootfs:\n  - files:\n    - {{path: {LAYOUT_FILE}, encoding: b64, content: QT0x}}\n"
    (written,) = config(text).written_files()
    assert (LAYOUT_FILE, None) == (written.path, written.variables)


def test_logins_are_told_where_a_password_or_key_works():
    assert (
        Login("root", True, 0, "initramfs", None),
        Login("joe", True, 2, "initramfs", "[ -e /x ]"),
        Login("root", False, 1, "initramfs", "[ -e /x ]"),
    ) == config(ACCOUNTS).logins
    assert config(ACCOUNTS).gives_login
    assert not config(LAYOUT).gives_login


@pytest.mark.parametrize("header", ["#cloud-config", "#cloud-config  ", "#cloud-config\r", "#node-config"])
def test_the_first_line_makes_it_cloud_init(header):
    text = f"{header}\nhostname: box\nusers:\n- default\n- name: joe\n  passwd: $6$x\n  ssh_authorized_keys: [a]\nssh_authorized_keys: [b]\nruncmd: [one]\nwrite_files:\n- path: /etc/x\n  content: hello\n"
    found = config(text)
    assert ("cloud-init", False, ()) == (found.kind, found.has_stages, found.problems)
    assert ["boot", "initramfs"] == [stage.name for stage in found.stages]
    assert (Login("joe", True, 2, "boot", None),) == found.logins
    assert (("one",), (File("/etc/x", "hello"),)) == (
        found.stages[0].steps[0].commands,
        found.stages[0].steps[0].files,
    )
    assert "box" == found.stages[1].steps[0].hostname


def test_keys_without_users_are_root_s_in_cloud_init():
    assert (Login("root", False, 1, "boot", None),) == config(
        "#cloud-config\nssh_authorized_keys: [a]\n"
    ).logins


def test_stages_count_in_cloud_init_too_but_its_own_keys_never_make_a_rootfs_stage():
    text = "#cloud-config\nhostname: x\nstages:\n  boot:\n  - name: own\n  rootfs:\n  - name: root\n"
    found = config(text)
    assert {"boot": ["cloud-init", "own"], "initramfs": ["cloud-init"], "rootfs": ["root"]} == {
        stage.name: [step.name for step in stage.steps] for stage in found.stages
    }


@pytest.mark.parametrize(
    "line", ["# cloud-config", " #cloud-config", "#cloud-config-archive", "#!cloud-config"]
)
def test_any_other_first_line_does_not(line):
    assert "yip" == config(f"{line}\nstages: {{}}\n").kind


@pytest.mark.parametrize("text", ["", "name: x\n", "stage:\n  boot: []\n", "stages:\n"])
def test_a_yip_document_without_stages_is_a_problem(text):
    assert "stages" in kinds(text) or "type" in kinds(text)


def test_the_mistaken_key_stage_is_named():
    (problem,) = config("stage: {boot: []}\n").problems
    assert "`stage`" in problem.message


@pytest.mark.parametrize(
    "text",
    [
        "- a\n",
        "stages: [a]\n",
        "stages: {boot: {a: b}}\n",
        "stages: {boot: [text]}\n",
        "stages: {boot: [{commands: text}]}\n",
        "stages: {boot: [{commands: [[a]]}]}\n",
        "stages: {boot: [{files: [text]}]}\n",
        "stages: {boot: [{environment: text}]}\n",
        "stages: {boot: [{users: [joe]}]}\n",
        "stages: {boot: [{authorized_keys: {root: key}}]}\n",
        "stages: {boot: [{if: [a]}]}\n",
        "#cloud-config\nusers: joe\n",
    ],
)
def test_values_of_the_wrong_type_are_problems(text):
    assert "type" in kinds(text)


def test_an_entity_that_is_no_yaml_is_a_problem():
    assert ["entity"] == kinds("stages: {boot: [{ensure_entities: [{entity: '[a'}]}]}\n")


def test_a_repeated_key_is_a_problem():
    assert ["repeated-key"] == kinds("stages: {}\nstages: {}\n")


@pytest.mark.parametrize("name", ["readme.md", "x.YAML", "x.yaml.bak", "x"])
def test_other_extensions_are_not_read(name):
    found = config("stages: [", name)
    assert ("other", (), ()) == (found.kind, found.stages, found.problems)


def test_what_is_no_yaml_is_refused():
    with pytest.raises(FormatError) as raised:
        config("stages: [a\n")
    assert "syntax" == raised.value.kind
