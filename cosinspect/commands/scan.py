"""`scan IMAGE...`: inspects many images, each layer once, and writes a line per image as soon as it is done."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from importlib import import_module
from io import FileIO
from pathlib import Path

from attrs import define, field

from cosinspect.commands.command import Terminal, WrongUse
from cosinspect.commands.files import replaced, require_directory, require_file, write_whole
from cosinspect.commands.options import access_of, add_reach, limits_of, store_of
from cosinspect.commands.progress import image_bar
from cosinspect.commands.rule_options import add_profile
from cosinspect.commands.signatures import add_signatures, rulebook_of
from cosinspect.errors import CosinspectError, InvalidScan
from cosinspect.extras import load_extra, require_extra
from cosinspect.fleet.export import write_csv, write_parquet
from cosinspect.fleet.names import Registries, Unusable, listed_names, manifest_names
from cosinspect.fleet.record import ERROR, ScanRecord, read_records
from cosinspect.fleet.scan import Finished, Scan
from cosinspect.fleet.workers import DaskWorkers, ProcessWorkers, Workers
from cosinspect.image.recognition import local_name
from cosinspect.report.display import printable, size

__all__ = ["configure", "run"]

_WORDS = {"pass": "pass", "fail": "FAIL", "open": "undecided", ERROR: "error"}
CONNECT_SECONDS = 10
"""What a cluster's scheduler may take to answer."""
_STANDARD_INPUT = ("-", "docker-archive:-", "oci-archive:-")
_FAILING = 10
"""The number of checks in the summary."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    which = parser.add_argument_group("images")
    which.add_argument("images", nargs="*", metavar="IMAGE", help="image names, as for check")
    which.add_argument(
        "--from",
        dest="lists",
        action="append",
        default=[],
        metavar="FILE",
        help="list of names, one per line; - is standard input",
    )
    which.add_argument(
        "--repository", action="append", default=[], metavar="HOST/PATH", help="all tags of a repository"
    )
    which.add_argument("--catalogue", metavar="HOST", help="all repositories of a registry")
    which.add_argument(
        "--match",
        action="append",
        default=[],
        metavar="GLOB",
        help="only matching repositories of the catalogue",
    )
    which.add_argument("--tag", action="append", default=[], metavar="GLOB", help="only matching tags")
    which.add_argument(
        "--newest", type=_count, metavar="N", help="only the N newest images of each repository"
    )
    which.add_argument(
        "--kubernetes-manifest",
        action="append",
        default=[],
        metavar="FILE",
        help="the images that objects in a YAML file name",
    )
    what = parser.add_argument_group("output")
    what.add_argument(
        "-o", "--output", metavar="FILE", help="one line of JSON per image; - is standard output"
    )
    what.add_argument(
        "--resume",
        action="store_true",
        help="continue the output of an earlier scan; images with the same digest are not inspected again",
    )
    what.add_argument("--csv", metavar="FILE", help="write a CSV table at the end")
    what.add_argument("--parquet", metavar="FILE", help="write a Parquet table at the end (extra fleet)")
    what.add_argument(
        "--html", metavar="DIR", help="write write a static site: the fleet, and a page for each image"
    )
    what.add_argument(
        "--fail-on",
        choices=("any", "fail", "never"),
        default="any",
        help="images that make the exit status: all that do not pass, only those that fail, or none; default: any",
    )
    where = parser.add_argument_group("execution")
    where.add_argument(
        "--workers",
        type=_count,
        metavar="N",
        help="number of inspecting processes; default: one per processor",
    )
    where.add_argument(
        "--dask",
        metavar="ADDRESS",
        help="scheduler of a Dask cluster; requires a --cache that all workers share (extra dask)",
    )
    add_reach(parser)
    parser.set_defaults(on_one_image=False)
    add_profile(parser)
    add_signatures(parser)


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Run the command and return the exit status."""
    _require_outputs(arguments)
    if arguments.resume and arguments.output in (None, "-"):
        raise WrongUse("--resume: expected the file to continue, as -o FILE")
    if arguments.match and not arguments.catalogue:
        raise WrongUse("--match: expected --catalogue too; --tag selects tags of a repository")
    rulebook = rulebook_of(arguments)
    pages = _Pages(Path(arguments.html)) if arguments.html else None
    with contextlib.ExitStack() as opened:
        cache, local_cache = _cache(arguments, opened)
        names = _names(arguments)
        known, sink = _sink(arguments, opened)
        workers = _workers(arguments)
        opened.callback(workers.close)
        scan = Scan(
            rulebook,
            partial(access_of, arguments),
            workers,
            cache,
            local_cache,
            seconds=limits_of(arguments).seconds,
            jobs=arguments.jobs,
            packages=pages is not None,
            known=known,
        )
        records: list[ScanRecord] = []
        try:
            _inspect_all(scan, names, records, sink, pages, terminal, quiet=arguments.quiet)
        except KeyboardInterrupt:
            # What is done is kept: the lines of the output, and the pages.
            if pages is not None and records:
                pages.finish(records)
            raise KeyboardInterrupt(_interrupted(arguments, len(records))) from None
    if not records:
        raise InvalidScan(
            "expected images to scan, found none", remedy="name some, or correct --from, --tag and --match"
        )
    if pages is not None:
        pages.finish(records)
    if arguments.csv:
        with replaced(Path(arguments.csv)) as path:
            write_csv(records, path)
    if arguments.parquet:
        with replaced(Path(arguments.parquet)) as path:
            write_parquet(records, path)
    if not arguments.quiet:
        stream = terminal.err if arguments.output == "-" else terminal.out
        stream.writelines(line + "\n" for line in _summary(records, pages))
    return _status(records, arguments.fail_on)


def _require_outputs(arguments: argparse.Namespace) -> None:
    """Require that each output can be written, before the work begins.

    Raises:
        WrongUse: one cannot, or two have the same place.
        MissingPackage: the package for one is not installed.
    """
    places: dict[Path, str] = {}
    for option in ("output", "csv", "parquet"):
        text = getattr(arguments, option)
        if text is None or (option == "output" and text == "-"):
            continue
        path = Path(text)
        require_file(f"--{option}", path)
        other = places.setdefault(path.resolve(), option)
        if other != option:
            raise WrongUse(f"--{option}: expected another file than that of --{other}, found {path} twice")
    if arguments.html is not None:
        require_directory("--html", Path(arguments.html))
        require_extra("jinja2", "html")
    if arguments.parquet:
        require_extra("pyarrow", "fleet")


def _interrupted(arguments: argparse.Namespace, count: int) -> str:
    done = f"{count} image{'' if count == 1 else 's'} done"
    if arguments.output in (None, "-"):
        return done
    return f"{done}, kept in {arguments.output}; --resume continues"


def _inspect_all(
    scan: Scan,
    names: Iterable[str | Unusable],
    records: list[ScanRecord],
    sink: _Lines | None,
    pages: _Pages | None,
    terminal: Terminal,
    *,
    quiet: bool,
) -> None:
    """Inspect all images; add each record when it is there, and write its line."""
    with image_bar(terminal) as bar:
        total = len(names) if isinstance(names, list) else None
        # The bar and the lines may be on one terminal.
        above = bar.is_shown and terminal.out.isatty()
        for finished in scan.run(names):
            record = finished.record
            records.append(record)
            if sink is not None and finished.outcome is not None:
                sink.write(record.line(), terminal)
            if pages is not None:
                pages.add(finished)
            if quiet or (sink is not None and sink.file is None):
                pass
            elif above:
                bar.write_above(_line(record).rstrip("\n"))
            else:
                terminal.out.write(_line(record))
                terminal.out.flush()
            bar.tell(len(records), total)


def _line(record: ScanRecord) -> str:
    told = "" if record.verdict == "pass" else f": {record.message}"
    return f"{_WORDS[record.verdict]:<11}{printable(record.image)}{printable(told)}\n"


def _summary(records: list[ScanRecord], pages: _Pages | None) -> Iterator[str]:
    counts = Counter(record.verdict for record in records)
    told = ", ".join(f"{counts[word]} {shown.lower()}" for word, shown in _WORDS.items() if counts[word])
    unique = dict(layer for record in records for layer in record.layers)
    yield ""
    yield f"{len(records)} images: {told}; {len(unique)} layers, {size(sum(unique.values()))} compressed"
    failing = Counter(check for record in records for check in record.failed)
    for check, count in failing.most_common(_FAILING):
        yield f"  {count:>6}  {check}"
    if pages is not None:
        yield f"pages: {pages.home}"


def _status(records: list[ScanRecord], policy: str) -> int:
    verdicts = {record.verdict for record in records}
    if policy == "never":
        return 0
    if "fail" in verdicts:
        return 1
    return 3 if policy == "any" and verdicts & {"open", ERROR} else 0


# -- what is scanned -------------------------------------------------------------------------------------------------


def _names(arguments: argparse.Namespace) -> Iterable[str | Unusable]:
    """Return all names; report errors before any image is inspected, except in lists, which may be endless."""
    found: list[str | Unusable] = [_named(text) for text in arguments.images]
    registries = Registries(
        partial(access_of, arguments), limits_of(arguments), tuple(arguments.tag) or ("*",), arguments.newest
    )
    repositories = list(arguments.repository)
    if arguments.catalogue:
        repositories += registries.catalogue(arguments.catalogue, arguments.match or ("*",))
    elif (arguments.tag or arguments.newest) and not repositories:
        raise WrongUse("--tag, --newest: expected --repository or --catalogue with them")
    for repository in repositories:
        found += registries.repository(repository)
    if arguments.kubernetes_manifest:
        # Imported on demand: its library takes longer than most commands.
        fields = import_module("cosinspect.kubernetes_images").ImageFields()
        for path in arguments.kubernetes_manifest:
            found += manifest_names(Path(path), fields)
    if not arguments.lists:
        if not found:
            if arguments.kubernetes_manifest:
                raise InvalidScan(
                    "expected objects that name OS images, found none",
                    where=", ".join(arguments.kubernetes_manifest)[:300],
                    remedy="docs/server.md lists the kinds that are known",
                )
            if repositories or arguments.catalogue:
                raise _no_match(arguments, repositories)
            raise WrongUse(
                "expected images to scan: names, --from, --repository, --catalogue, --kubernetes-manifest"
            )
        return list(dict.fromkeys(found))
    return itertools.chain(found, itertools.chain.from_iterable(_listed(each) for each in arguments.lists))


def _no_match(arguments: argparse.Namespace, repositories: list[str]) -> InvalidScan:
    if not repositories:
        return InvalidScan(
            f"expected repositories that match {' or '.join(arguments.match or ['*'])}, found none",
            where=arguments.catalogue,
            remedy="correct --match, or name a --repository: registries may list only a part",
        )
    return InvalidScan(
        f"expected tags that match {' or '.join(arguments.tag or ['*'])}, found none",
        where=", ".join(repositories)[:300],
        remedy="correct --tag or the repository",
    )


def _named(text: str) -> str | Unusable:
    """Return the name of an image; that of a path has a transport.

    Raises:
        WrongUse: it is standard input.
    """
    if text in _STANDARD_INPUT:
        raise WrongUse(
            f"{text}: expected a file, because other processes read the images; for standard input: cosinspect check {text}"
        )
    try:
        return local_name(text)
    except CosinspectError as fault:
        return Unusable(text, str(fault.but(where="")))


def _listed(name: str) -> Iterator[str | Unusable]:
    if name == "-":
        yield from map(_named, listed_names(sys.stdin))
        return
    try:
        with Path(name).open(encoding="utf-8", errors="surrogateescape") as file:
            yield from map(_named, listed_names(file))
    except OSError as fault:
        raise InvalidScan(
            f"--from: the list cannot be read: {fault.strerror or fault}",
            where=name,
            remedy="name a file with one image in each line, or - for standard input",
        ) from fault


# -- where it runs, and where things go ----------------------------------------------------------------------------------


def _workers(arguments: argparse.Namespace) -> Workers:
    if arguments.dask is None:
        return ProcessWorkers(arguments.workers or os.cpu_count() or 1)
    if arguments.cache is None:
        raise WrongUse("--dask: expected --cache with it: a directory or URL that all workers reach")
    distributed = load_extra("distributed", "dask")
    try:
        client = distributed.Client(arguments.dask, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as fault:
        raise InvalidScan(
            f"the cluster does not answer: {fault}",
            where=arguments.dask[:200],
            remedy="expected the address of a Dask scheduler, such as tcp://HOST:8786",
        ) from fault
    try:
        return DaskWorkers(client, arguments.dask)
    except BaseException:
        client.close()
        raise


def _cache(arguments: argparse.Namespace, opened: contextlib.ExitStack) -> tuple[str, str]:
    """Return the cache; with --no-cache, a temporary directory for the scan."""
    local_cache = str(Path(arguments.cache_home, "cosinspect"))
    if not arguments.no_cache and arguments.cache is not None:
        return arguments.cache.removeprefix("file://"), local_cache
    if not arguments.no_cache and store_of(arguments) is not None:
        return local_cache, local_cache
    passing = opened.enter_context(tempfile.TemporaryDirectory(prefix="cosinspect-"))
    return passing, passing


@define
class _Lines:
    """Where the records go, a line each.

    Attributes:
        file: None for standard output.
    """

    file: FileIO | None

    def write(self, line: str, terminal: Terminal) -> None:
        """Write a line, or nothing of it.

        Raises:
            OSError: it cannot be written.
        """
        if self.file is None:
            terminal.out.write(line)
            terminal.out.flush()
            return
        data, end = line.encode("ascii"), self.file.tell() if self.file.seekable() else None
        try:
            while data:
                data = data[self.file.write(data) :]
        except OSError as fault:
            if end is not None:
                # A full disk may have taken half of the line.
                self.file.truncate(end)
            raise OSError(fault.errno, fault.strerror, self.file.name) from fault


def _sink(
    arguments: argparse.Namespace, opened: contextlib.ExitStack
) -> tuple[dict[str, ScanRecord], _Lines | None]:
    if arguments.output is None:
        return {}, None
    if arguments.output == "-":
        return {}, _Lines(None)
    path = Path(arguments.output)
    if not arguments.resume:
        return {}, _Lines(opened.enter_context(path.open("wb", buffering=0)))
    records, end = read_records(path)
    file = opened.enter_context(path.open("ab", buffering=0))
    file.truncate(end)
    return {record.image: record for record in records}, _Lines(file)


@define
class _Pages:
    """A static site that grows with each finished image."""

    directory: Path
    _written: dict[str, str] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        (self.directory / "images").mkdir(parents=True, exist_ok=True)

    @property
    def home(self) -> Path:
        """The first page."""
        return self.directory / "index.html"

    def add(self, finished: Finished) -> None:
        """Write the page of an image; an image of an earlier scan keeps its page."""
        digest = finished.record.digest
        if digest is None:
            return
        address = f"images/{digest.replace(':', '-')}.html"
        outcome = finished.outcome
        if outcome is not None and outcome.report:
            html = load_extra("cosinspect.render.html", "html")
            packages = json.loads(outcome.packages) if outcome.packages else ()
            text = html.report_page(json.loads(outcome.report), home="../index.html", packages=packages)
            write_whole(self.directory / address, text)
        if (self.directory / address).is_file():
            self._written[digest] = address

    def finish(self, records: list[ScanRecord]) -> None:
        """Write the first page."""
        fleet = load_extra("cosinspect.render.fleet", "html")
        layers = [layer for record in records for layer in record.layers]
        text = fleet.fleet_page([record.row() for record in records], layers, self._written)
        write_whole(self.home, text)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text[:6]) >= 1 and len(text) <= 6):
        raise argparse.ArgumentTypeError(f"expected a number, at least 1, found {text[:20]!r}")
    return int(text)
