import pytest

from cosinspect.formats.boot.grub_menu import open_menu
from cosinspect.formats.boot.grub_values import Symbol, literal
from grub_machine import Machine

ENTRY = 'menuentry {0} --id {0} {{\n linux /vmlinuz {0} "$extra" $more\n initrd /ucode /initrd\n}}\n'
FILES = {"(hd0)/vmlinuz": "k", "(hd0)/initrd": "i", "(hd0)/ucode": "u"}


def menu(text, unknown=(), **files):
    machine = Machine({**FILES, "(hd0)/grub.cfg": text, **files}, {"STATE": "hd1"})
    variables = {"root": literal("hd0"), **{name: (Symbol(name),) for name in unknown}}
    found = open_menu(machine, "hd0", "/grub.cfg", variables)
    assert found is not None
    return found


THREE = "".join(ENTRY.format(name) for name in ("one", "two", "three"))


@pytest.mark.parametrize(
    ("default", "entry"),
    [
        ("", "one"),
        ("two", "two"),
        ("2", "three"),
        ("7", "one"),
        ("nosuch", "one"),
        ("one>x", "one"),
        ("0x1", "two"),
    ],
)
def test_the_default_is_an_id_a_title_or_a_number(default, entry):
    (boot,) = menu(f"set default='{default}'\n{THREE}").default()
    assert (entry, "(hd0)/vmlinuz", ("(hd0)/ucode", "(hd0)/initrd")) == (boot.id, boot.kernel, boot.initrds)


def test_fallbacks_are_those_that_the_menu_has():
    found = menu(f"set fallback='2 nosuch two 9'\n{THREE}").fallbacks()
    assert ["three", "two"] == [boot.id for boot in found]


def test_an_entry_is_chosen_by_the_first_name_that_the_menu_has():
    assert ["two"] == [boot.id for boot in menu(THREE).choose("nosuch", "two", "one")]
    assert () == menu(THREE).choose("nosuch")


def test_a_menu_without_entries_loads_nothing():
    (boot,) = menu("set timeout=5\n").default()
    assert ("", None, ()) == (boot.entry, boot.kernel, boot.initrds)


def test_a_script_that_is_not_there_is_no_menu():
    assert open_menu(Machine(), "hd0", "/grub.cfg", {}) is None


def test_options_of_an_entry_are_no_arguments():
    text = "menuentry --class a --class b 'T' --users '' --unrestricted --hotkey x --id i arg { linux /vmlinuz $1 $2 }"
    (boot,) = menu(text + "\n").default()
    assert ("T", "i", "T arg") == (boot.entry, boot.id, boot.command_line.text)


def test_an_option_without_its_value_makes_no_entry():
    assert () == menu("menuentry T --id { linux /vmlinuz }\n").entries


def test_an_entry_below_a_submenu_is_the_default():
    text = f"set default='more>two'\nexport extra\nsubmenu more {{\n{THREE}}}\n"
    (boot,) = menu(text).default()
    assert "two" == boot.id


def test_a_submenu_keeps_exported_variables_only():
    text = "a=1\nb=2\nexport b\nsubmenu more { menuentry x { linux /vmlinuz [$a][$b] } }\n"
    (boot,) = menu(text).default()
    assert "[][2]" == boot.command_line.text


def test_another_configuration_file_brings_its_menu():
    files = {"(hd1)/other.cfg": ENTRY.format("other")}
    text = f"search --set=root --label STATE\nconfigfile /other.cfg\n{THREE}"
    found = menu(text, **files)
    assert ["other"] == [boot.id for boot in found.default()]


def test_entries_of_a_loop_keep_their_words():
    text = 'for n in 1 2; do menuentry "snap $n" --id s$n $n { linux /vmlinuz $2 }; done\nset default=s2\n'
    assert ["2"] == [boot.command_line.text for boot in menu(text).default()]


def test_an_argument_with_a_blank_is_quoted_and_one_without_quotes_is_not():
    text = "extra='a b'\nmore='c d'\n" + ENTRY.format("x")
    (boot,) = menu(text).default()
    assert 'x "a b" c d' == boot.command_line.text


def test_what_a_condition_decides_comes_with_the_condition():
    text = 'menuentry x {\n if [ "$m" = y ]; then linux /vmlinuz yes; else linux /other no; fi\n}\n'
    first, second = menu(text, unknown=["m"]).default()
    assert ("(hd0)/vmlinuz", "yes", ('"${m}" = "y"',)) == (
        first.kernel,
        first.command_line.text,
        first.conditions,
    )
    assert ("(hd0)/other", "no", ('not "${m}" = "y"',)) == (
        second.kernel,
        second.command_line.text,
        second.conditions,
    )


def test_entries_that_a_condition_makes_are_those_of_its_way():
    text = f'if [ "$m" = y ]; then {ENTRY.format("early").strip()}; fi\n{THREE}'
    assert ["early", "one"] == [boot.id for boot in menu(text, unknown=["m"]).default()]
    assert 4 == len(menu(text, unknown=["m"]).entries)


@pytest.mark.parametrize("leaving", ["exit", "halt", "reboot"])
def test_an_entry_that_leaves_loads_nothing(leaving):
    (boot,) = menu(f"menuentry x {{ linux /vmlinuz a; {leaving} }}\n").default()
    assert boot.kernel is None


def test_nothing_behind_boot_counts():
    (boot,) = menu("menuentry x { linux /vmlinuz a\n boot\n linux /other b\n}\n").default()
    assert ("(hd0)/vmlinuz", "a") == (boot.kernel, boot.command_line.text)


def test_a_kernel_that_is_not_there_is_named_unless_another_was_loaded():
    assert "(hd0)/nope" == menu("menuentry x { linux /nope a }\n").default()[0].kernel
    (boot,) = menu("menuentry x { linux /vmlinuz a; linux /nope b }\n").default()
    assert ("(hd0)/vmlinuz", "a") == (boot.kernel, boot.command_line.text)


def test_a_device_of_loopback_is_the_files():
    text = "menuentry x { loopback l /vmlinuz; linux (l)/k a }\n"
    assert "((hd0)/vmlinuz)/k" == menu(text).default()[0].kernel
