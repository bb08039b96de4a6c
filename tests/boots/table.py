"""The page of what was booted, and where inspection and boot disagree."""

from pathlib import Path

PAGE = Path(__file__).parent.parent.parent / "docs" / "boots.md"
HEAD = """\
# Boots

`cosinspect boot IMAGE` writes the image to a disk as its generation's installation lays it out, starts it in QEMU, and says what came of it.
The table holds the inspection's verdict against boots of good derivatives and their mutations. `python -m tests.boots` makes it: Debian 12
with the toolkits' own configuration files at their places, stages run by the code of elemental-cli, and stand-ins of our own
(`tests/boots/standins`) for the toolkits' scripts, which no package registry has. Each row was booted once, without hardware acceleration.

"""


def disagreements(rows, results):
    """Give a line for each row in which inspection and boot, or a boot and what is known of it, disagree without an explanation."""
    found = []
    for name, row in rows.items():
        result = results.get(name)
        if result is None or row.because:
            continue
        if result["booted"] is None:
            found.append(f"{name}: undecided: {result['reason']}")
        elif {"yes": True, "no": False}.get(result["said"]) is not result["booted"]:
            found.append(
                f"{name}: the inspection says {result['said']}, the boot: {result['result']} ({result['reason']})"
            )
        elif row.boots is not None and row.boots is not result["booted"]:
            found.append(
                f"{name}: known as {'booting' if row.boots else 'not booting'}, the boot: {result['result']}"
            )
    return found


def write_page(rows, results):
    """Write the page."""
    booted = [name for name in rows if name in results]
    agree = len(booted) - len(disagreements(rows, results)) - sum(bool(rows[name].because) for name in booted)
    lines = [HEAD]
    lines.append(
        f"{len(booted)} rows were booted; inspection and boot agree in {agree}, and the last column explains the others.\n\n"
    )
    lines.append(
        "| row | what is changed | inspection: boots | real boot | its work | |\n|---|---|---|---|---|---|\n"
    )
    wrong = {line.partition(":")[0] for line in disagreements(rows, results)}
    for name in booted:
        row, result = rows[name], results[name]
        said = result["said"] + (f" ({', '.join(result['checks'][:3])})" if result["checks"] else "")
        came = result["result"]
        note = row.because or ("disagrees" if name in wrong else "")
        lines.append(
            f"| {name} | {row.generation}: {row.summary} | {said} | {came} | {result['cpu']:.0f} s | {note} |\n"
        )
    missing = [name for name in rows if name not in results]
    if missing:
        lines.append(f"\nNot booted yet: {', '.join(missing)}.\n")
    return "".join(lines)
