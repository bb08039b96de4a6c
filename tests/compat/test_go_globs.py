"""Globs of file names held to Go's `filepath.Match`, by which elemental-toolkit v2 searches an image (pkg/utils FindFile)."""

import itertools
import json
import re
import subprocess

import pytest

from cosinspect.facts.boot_search import INITRD_PATTERNS, KERNEL_PATTERNS
from cosinspect.globs import component_expression, path_expression
from go_judge import needs_go

PROGRAM = """
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	var pairs [][2]string
	if err := json.NewDecoder(os.Stdin).Decode(&pairs); err != nil {
		panic(err)
	}
	for _, pair := range pairs {
		matched, err := filepath.Match(pair[0], pair[1])
		fmt.Println(matched && err == nil)
	}
}
"""
PARTS = ("a", "b", "*", "?", "[ab]", "[a-c]")
COMPONENTS = ["".join(parts) for size in range(4) for parts in itertools.product(PARTS, repeat=size)]
NAMES = ["".join(parts) for size in range(4) for parts in itertools.product("abd", repeat=size)]
PATHS = ["boot/vmlinuz", "boot/vmlinuz-6.1", "boot/Image", "boot/initrd-1", "boot/elemental.initrd-1", "boot/sub/vmlinuz",
         "vmlinuz", "boot/.vmlinuz", "boot/zImage.gz", "boot/initramfs-0-rescue", "boot/initr"]  # fmt: skip


@pytest.mark.compat
@needs_go
def test_a_name_matches_where_go_says_so(tmp_path):
    """For patterns without a negated set (Go writes `[^a]`) and without a backslash (Go takes the character behind it)."""
    names = [(pattern, name) for pattern in COMPONENTS for name in NAMES]
    paths = [(each.lstrip("/"), path) for each in (*KERNEL_PATTERNS, *INITRD_PATTERNS) for path in PATHS]
    (tmp_path / "main.go").write_text(PROGRAM)
    told = subprocess.run(
        ["go", "run", "main.go"],
        input=json.dumps([*names, *paths]), cwd=tmp_path, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    expected = [line == "true" for line in told]
    ours = [re.fullmatch(component_expression(pattern), name) is not None for pattern, name in names]
    ours += [re.fullmatch(path_expression(pattern), path) is not None for pattern, path in paths]
    assert expected == ours
    assert {True, False} == set(expected)
