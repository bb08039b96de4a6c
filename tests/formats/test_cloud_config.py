"""cloud-config as yip reads it, and what checks ask of it."""

import pytest

from cosinspect.formats.text.cloud_config import (
    LAYOUT_FILE,
    FileContent,
    Login,
    WrittenFile,
    read_cloud_config,
)
from cosinspect.formats.yip.conditions import World

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


ORDINARY = World(
    lambda _, path: False if path.startswith("/run/cos/") else None, lambda _: False, lambda _: None
)


def written(found, stage="rootfs"):
    """The paths of the files that a stage writes, environment files among them."""
    return {file.path for file in found.written_files(stage)}


def config(text: str, name: str = "90_test.yaml", version: str = "0.10"):
    return read_cloud_config(name, text, version=version)


def kinds(text: str, version: str = "0.10") -> list[str]:
    return [problem.kind for problem in config(text, version=version).problems]


def test_stages_and_steps_are_told_in_order():
    found = config(LAYOUT)
    assert ("yip", "Where things go", True, ()) == (
        found.kind,
        found.title,
        bool(found.stages),
        found.problems,
    )
    assert ["rootfs.before", "rootfs", "boot"] == [stage.name for stage in found.stages]
    recovery, layout, boot = (stage.steps[0] for stage in found.stages)
    assert ("recovery", 'cat /proc/cmdline | grep -q "COS_RECOVERY"') == (recovery.name, recovery.condition)
    assert (FileContent("/run/cos/recovery_mode", "1"),) == recovery.files
    assert ("layout", LAYOUT_FILE) == (layout.name, layout.environment_file)
    assert ("cos", 2) == (boot.hostname, len(boot.commands))


def test_files_that_a_stage_writes_are_told_with_their_conditions():
    found = config(LAYOUT)
    assert {"/run/cos/recovery_mode", LAYOUT_FILE} == written(found)
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
    } == config(LAYOUT).layout(ORDINARY)


def test_where_nothing_is_known_a_step_with_a_condition_only_adds_to_the_layout():
    found = config(LAYOUT).layout()
    assert ("LABEL=COS_OEM:/oem LABEL=COS_PERSISTENT:/usr/local", "true") == (
        found["VOLUMES"],
        found["MERGE"],
    )


@pytest.mark.parametrize("condition", ["false", "exit 1", "'[ 1 = 2 ]'", "'true && ! :'"])
def test_a_step_that_never_runs_writes_no_layout(condition):
    text = f"stages:\n  rootfs:\n  - if: {condition}\n    environment_file: {LAYOUT_FILE}\n    environment: {{OVERLAY: x}}\n"
    assert {} == config(text).layout()
    assert [False] == [file.holds() for file in config(text).written_files()]


def test_a_step_for_one_node_is_not_known_to_run():
    text = f"stages:\n  rootfs:\n  - node: box\n    environment_file: {LAYOUT_FILE}\n    environment: {{OVERLAY: x}}\n"
    assert [None] == [file.holds() for file in config(text).written_files()]


def test_a_step_without_a_condition_overrides_the_layout():
    text = "stages:\n  rootfs:\n" + "".join(
        f"  - environment_file: {LAYOUT_FILE}\n    environment: {{RW_PATHS: {value}}}\n"
        for value in ("/a", "/b")
    )
    assert {"RW_PATHS": "/b"} == config(text).layout()


def test_the_layout_may_be_written_as_a_plain_file():
    text = f"stages:\n  rootfs:\n  - files:\n    - path: {LAYOUT_FILE}\n      content: |\n        OVERLAY=tmpfs:30%\n"
    assert ({"OVERLAY": "tmpfs:30%"}, {LAYOUT_FILE}) == (
        config(text).layout(),
        written(config(text)),
    )


@pytest.mark.parametrize(
    "command", [f"echo A=1 > {LAYOUT_FILE}", f"echo A=1 >>'{LAYOUT_FILE}'", f"echo | tee {LAYOUT_FILE}"]
)
def test_the_layout_may_be_written_by_a_command(command):
    found = config(f"stages:\n  rootfs.after:\n  - commands:\n    - {command}\n")
    assert {LAYOUT_FILE} == written(found)
    assert {} == found.layout()


def test_an_environment_file_without_variables_is_not_written():
    assert frozenset() == written(config(f"stages:\n  rootfs:\n  - environment_file: {LAYOUT_FILE}\n"))


def test_variables_without_a_file_go_to_etc_environment():
    text = "stages:\n  boot:\n  - environment: {A: 1}\n"
    assert {"/etc/environment"} == written(config(text), "boot")


def test_another_stage_does_not_count():
    text = f"stages:\n  boot:\n  - environment_file: {LAYOUT_FILE}\n    environment: {{OVERLAY: x}}\n"
    assert (frozenset(), {}) == (written(config(text)), config(text).layout())


@pytest.mark.parametrize(
    ("encoding", "content", "variables"),
    [
        ("b64", "QT0x", {"A": "1"}),
        ("base64", "!", None),
        ("gz+base64", "QT0x", None),
        ("other", "A=2", {"A": "2"}),
    ],
)
def test_an_encoded_file_is_decoded_where_it_is_base64(encoding, content, variables):
    text = f"stages:\n  rootfs:\n  - files:\n    - {{path: {LAYOUT_FILE}, encoding: {encoding}, content: '{content}'}}\n"
    (written,) = config(text).written_files()
    assert (LAYOUT_FILE, variables) == (written.path, written.variables)


def test_logins_are_told_where_a_password_or_key_works():
    assert (
        Login("root", True, 0, "initramfs", None),
        Login("joe", True, 2, "initramfs", "[ -e /x ]"),
        Login("root", False, 1, "initramfs", "[ -e /x ]"),
    ) == config(ACCOUNTS).logins
    assert () == config(LAYOUT).logins


@pytest.mark.parametrize("header", ["#cloud-config", "#cloud-config  ", "#cloud-config\r"])
def test_the_first_line_makes_it_cloud_init(header):
    text = f"{header}\nhostname: box\nusers:\n- default\n- name: joe\n  passwd: $6$x\n  ssh_authorized_keys: [a]\nssh_authorized_keys: [b]\nruncmd: [one]\nwrite_files:\n- path: /etc/x\n  content: hello\n"
    found = config(text)
    assert ("cloud-init", ()) == (found.kind, found.problems)
    assert ["boot", "initramfs"] == [stage.name for stage in found.stages]
    assert ["joe"] == [login.user for login in found.logins if login.password]
    assert (("one",), (FileContent("/etc/x", "hello"),)) == (
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
    assert {"boot": [None, "own"], "initramfs": [None], "rootfs": ["root"]} == {
        stage.name: [step.name for step in stage.steps] for stage in found.stages
    }


@pytest.mark.parametrize(
    "line", ["# cloud-config", " #cloud-config", "#cloud-config-archive", "#!cloud-config", "#node-config"]
)
def test_any_other_first_line_does_not(line):
    assert "yip" == config(f"{line}\nstages: {{}}\n").kind


@pytest.mark.parametrize("text", ["name: x\n", "stage:\n  boot: []\n", "stages:\n"])
def test_a_yip_document_without_stages_is_a_problem(text):
    assert "stages" in kinds(text)


@pytest.mark.parametrize("text", ["", "# only\n", "#cloud-config\n"])
@pytest.mark.parametrize("version", ["0.10", "1.9", "rancher-1.9.6", "1.25"])
def test_an_empty_document_is_none(text, version):
    assert [] == kinds(text, version)


def test_the_mistaken_key_stage_is_named():
    problem, unknown = config("stage: {boot: []}\n").problems
    assert "`stage`" in problem.message
    assert "unknown-key" == unknown.kind


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
        'stages: {boot: [{files: [{permissions: "0600"}]}]}\n',
        "stages: {boot: [{users: {a: {groups: wheel}}}]}\n",
        "stages: {boot: [{modules: loop}]}\n",
        "stages: {boot: [{layout: {expand_partition: {size: 10G}}}]}\n",
    ],
)
@pytest.mark.parametrize("version", ["0.10", "1.9", "1.25"])
def test_values_of_the_wrong_type_refuse_the_document(text, version):
    found = config(text, version=version)
    assert ("type", ()) == (found.problems[0].kind, found.stages)
    assert found.refusal


@pytest.mark.parametrize(
    ("text", "taken", "refused"),
    [
        # Wrong types in cloud-init's keys, go-yaml v1 and v3.
        ("#cloud-config\nusers: [default]\n", "1.9.3", "1.10.0"),
        ("#cloud-config\nusers: [{name: a, groups: admin}]\n", "1.9.3", "rancher-1.4.10"),
        # A repeated key, go-yaml v2 and v3.
        ("stages: {boot: [{commands: [a], commands: [b]}]}\n", "1.17.0", "1.21.0"),
        ("stages: {boot: [{commands: [a], commands: [b]}]}\n", "1.9.3", "rancher-1.9.2"),
    ],
)
def test_versions_differ_in_what_they_refuse(text, taken, refused):
    assert "" == config(text, version=taken).refusal
    assert config(text, version=refused).refusal


def test_bad_stages_cost_a_document_of_cloud_init_those_stages_only():
    found = config("#cloud-config\nusers: [{name: root, passwd: x}]\nstages: {boot: {commands: [x]}}\n")
    assert (["lost-stages"], "", ["root"]) == (
        [problem.kind for problem in found.problems],
        found.refusal,
        [login.user for login in found.logins if login.password],
    )


@pytest.mark.parametrize("permissions", ["0o644", "rw-r--r--", "0888", "77777777777777"])
@pytest.mark.parametrize("version", ["0.10", "1.9", "1.25"])
def test_permissions_of_cloud_init_are_octal_digits(permissions, version):
    text = f"#cloud-config\nwrite_files:\n- path: /a\n  permissions: '{permissions}'\n"
    assert config(text, version=version).refusal
    assert "" == config(text.replace(permissions, "0644"), version=version).refusal


@pytest.mark.parametrize(
    ("lines", "kind"), [(0, "cloud-init"), (1, "cloud-init"), (8, "cloud-init"), (9, "yip")]
)
def test_from_1_22_the_header_counts_behind_comments(lines, kind):
    text = "## a comment\n" * lines + "#cloud-config\nhostname: a\n"
    assert kind == config(text, version="1.22.0").kind
    assert ("yip" if lines else kind) == config(text, version="1.21.0").kind


def test_keys_that_are_not_read_are_told_by_their_paths():
    text = "Name: x\nstages:\n  boot:\n  - command: [a]\n    packages: {install: [b]}\n"
    old, new = (
        [problem.message for problem in config(text, version=version).problems] for version in ("1.9", "1.25")
    )
    assert ["the key Name is not read", "the key stages.boot[0].command is not read"] == new
    assert ["the key stages.boot[0].packages is not read"] == [line for line in old if line not in new]


def test_an_entity_that_is_no_yaml_is_a_problem():
    assert ["entity"] == kinds("stages: {boot: [{ensure_entities: [{entity: '[a'}]}]}\n")


def test_a_repeated_key_is_a_problem():
    assert ["repeated-key"] == kinds("stages: {boot: [{name: a}]}\nstages: {boot: [{name: b}]}\n")


def test_what_follows_the_first_document_is_a_problem():
    assert ["further-document"] == kinds("stages: {boot: [{name: a}]}\n---\nstages: {}\n")


@pytest.mark.parametrize("name", ["readme.md", "x.YAML", "x.yaml.bak", "x"])
def test_other_extensions_are_not_read(name):
    found = config("stages: [", name)
    assert ("other", (), ()) == (found.kind, found.stages, found.problems)


def test_what_is_no_yaml_is_refused():
    found = config("stages: [a\n")
    assert (["syntax"], ()) == ([problem.kind for problem in found.problems], found.stages)


def test_a_bound_that_is_reached_says_nothing_about_the_document():
    found = config("stages: " + "[" * 200 + "]" * 200 + "\n")
    assert ("", ()) == (found.refusal, found.problems)
    assert "deep" in found.bound
