"""Check on the steps to a login at a console: the unit, the programs, the PAM service, the account and its shell."""

from __future__ import annotations

from collections.abc import Iterator

from cosinspect.checks import remedies
from cosinspect.checks.base import CheckContext, Undecided, check
from cosinspect.checks.boot_path import BOOTS
from cosinspect.checks.targets import UNIT_READS, at_unit, require_root, require_systemd
from cosinspect.facts.unit_tree import Placement
from cosinspect.formats.text.accounts import PasswdEntry, read_passwd, read_sysusers
from cosinspect.formats.text.pam import Handler, Kind, Stack, passes, read_stack
from cosinspect.formats.text.systemd import exec_commands
from cosinspect.report.display import counted
from cosinspect.report.report import Finding, Level

__all__ = ["login_impossible"]

_PAM_DIRECTORIES = ("/etc/pam.d", "/usr/lib/pam.d", "/usr/etc/pam.d", "/usr/share/pam.d")
_MODULE_DIRECTORIES = (
    *("/usr/lib/security", "/usr/lib64/security", "/lib/security", "/lib64/security"),
    *("/usr/lib/*/security", "/lib/*/security"),
)
_LIBRARIES = ("/usr/lib/libpam.so.0", "/usr/lib64/libpam.so.0", "/usr/lib/*/libpam.so.0", "/lib*/libpam.so.0")
_GENERATOR = (
    "/usr/lib/systemd/system-generators/systemd-getty-generator",
    "/lib/systemd/system-generators/systemd-getty-generator",
)
_LOGIND = "systemd-logind.service"
_SYSUSERS = "systemd-sysusers.service"
_LOGIN = "/bin/login"  # util-linux, _PATH_LOGIN
_REMOTE = ("ssh.service", "sshd.service", "ssh.socket", "sshd.socket", "dropbear.service", "dropbear.socket")
_STEPS: dict[Kind, str] = {
    "auth": "every password is refused",
    "account": "every account is refused",
    "session": "every login is logged out at once",
}
_ALTERNATIVE_FILES = ("/usr/lib/passwd", "/usr/etc/passwd")
"""The file in which nss-altfiles finds accounts."""


@check(
    id="COS183",
    name="login-impossible",
    level=Level.ERROR,
    capabilities=BOOTS,
    summary="No user can log in at a console.",
    why="""The machine boots but cannot be used: without agetty or its units no prompt appears, without login, /etc/passwd or a module of
        PAM every login is refused, without root's shell root is logged out at once.""",
    remedy="""Reinstall what is missing (util-linux, login, the modules of PAM, the shell that /etc/passwd names), and let no later step delete it.""",
    reads=(
        *UNIT_READS,
        "{etc,usr/lib,usr/etc}/passwd",
        "etc/nsswitch.conf",
        "{etc,usr/lib,usr/etc,usr/share}/pam.d/*",
        "{etc,usr/lib}/sysusers.d/*.conf",
        "etc/.updated",
        "usr/bin/systemd-sysusers",
    ),
    universal=True,
    cure=remedies.reinstalls(lead="install the package of {name}"),
)
def login_impossible(context: CheckContext) -> Iterator[Finding | str]:
    """Follow the steps from the booted target to the shell."""
    require_root(context)
    yield from _account(context)
    require_systemd(context)
    units, asks = _prompts(context)
    if asks:
        yield f"{' and '.join(sorted(asks))} ask for a login"
        yield from _programs(context)
        yield from _service(context)
    else:
        yield from units


# -- the account -------------------------------------------------------------------------------------------------------


def _account(context: CheckContext) -> Iterator[Finding | str]:
    """Look for root and its shell."""
    places = ["/etc/passwd"]
    sorted_out = context.facts.text("/etc/nsswitch.conf").text or ""
    table = context.table
    own = table.account_files if table is not None else ()
    places += own or (_ALTERNATIVE_FILES if "altfiles" in sorted_out else ())
    accounts: dict[str, tuple[str, PasswdEntry]] = {}
    for place in places:
        for account in read_passwd(context.facts.text(place).text or ""):
            accounts.setdefault(account.name, (place, account))
    if "root" not in accounts and (
        (table is not None and table.accounts_by_sysusers) or _sysusers_starts(context)
    ):
        for pattern in ("/etc/sysusers.d/*.conf", "/usr/lib/sysusers.d/*.conf"):
            for entry in context.rootfs.glob(pattern):
                for account in read_sysusers(context.facts.text(entry.path).text or ""):
                    accounts.setdefault(account.name, (entry.path, account))
    found = accounts.get("root")
    if found is None:
        trace = context.rootfs.trace(places[0])
        why = (
            "the file is missing"
            if trace.entry is None
            else f"it has {counted(len(accounts), 'account')} without it"
        )
        yield context.broken(
            trace, f"expected the account root in {places[0]}, {why}: every login is refused"
        )
        return
    place, root = found
    trace = context.rootfs.trace(root.shell)
    if trace.entry is None or trace.entry.type != "file":
        what = "it is not there" if trace.entry is None else f"it is a {trace.entry.type}"
        yield context.broken(
            trace, f"expected {root.shell}, the shell of root by {place}, {what}: root is logged out at once"
        )
    else:
        yield f"root is in {place}, its shell is {root.shell}"


def _sysusers_starts(context: CheckContext) -> bool:
    """Return whether systemd-sysusers adds the accounts that are missing, which it does before sysinit.target."""
    needs = {need.name: need.placement for need in context.facts.units.started_by("default.target")}
    place = needs.get(_SYSUSERS)
    if place is None or not place.is_there or not context.rootfs.exists("/usr/bin/systemd-sysusers"):
        return False
    # ConditionNeedsUpdate=/etc (systemd, condition_test_needs_update): /usr is newer than the last update of /etc.
    updated = context.rootfs.trace("/etc/.updated").entry
    usr = context.rootfs.trace("/usr").entry
    return updated is None or (usr is not None and usr.mtime > updated.mtime)


# -- the prompt --------------------------------------------------------------------------------------------------------


def _prompts(context: CheckContext) -> tuple[list[Finding], set[str]]:
    """Return the units that ask for a login, or why none does."""
    units = context.facts.units
    needs = {need.name: need.placement for need in units.started_by("default.target")}
    asked = {
        name: place for name, place in needs.items() if "getty@" in name or name.endswith("getty.service")
    }
    if any(context.rootfs.exists(path) for path in _GENERATOR):
        asked["serial-getty@.service"] = units.find(
            "serial-getty@.service"
        )  # for each console= of the command line
    if units.find(_LOGIND).is_there:
        asked["autovt@.service"] = units.find("autovt@.service")  # for the active terminal
    good, reasons = set[str](), dict[str, Placement]()
    programs: dict[str, tuple[str, Placement]] = {}
    for name, place in asked.items():
        if not place.is_there:
            reasons[name] = place
            continue
        missing = [
            command.path
            for command in exec_commands(units.unit(name))
            if command.path.startswith("/") and not context.rootfs.exists(command.path)
        ]
        if missing:
            programs[missing[0]] = (name, place)
        else:
            good.add(name)
    if (
        not good
        and any(needs[name].is_there for name in _REMOTE if name in needs)
        and not programs
        and not any(
            context.rootfs.exists(path) for path in ("/sbin/agetty", "/usr/sbin/agetty", "/usr/bin/agetty")
        )
    ):
        raise Undecided("no unit offers a login at a console; the machine may be intended for SSH only")
    if "display-manager.service" in needs and needs["display-manager.service"].is_there:
        good.add("display-manager.service")
    findings = [
        context.missing(
            path,
            f"expected {path}, which {place.path} runs to ask for a login, it is missing: no prompt appears",
        )
        for path, (_, place) in programs.items()
    ]
    if not findings:
        place = next(iter(reasons.values()), units.find("getty@.service"))
        findings = [
            at_unit(
                context,
                place,
                f"expected a unit that asks for a login, {place.name}: {place.reason or 'nothing starts it'}",
                *(f"{name}: {each.reason}" for name, each in list(reasons.items())[1:]),
            )
        ]
    return findings, good


def _programs(context: CheckContext) -> Iterator[Finding | str]:
    """Look for the program that agetty starts after a name is typed."""
    trace = context.rootfs.trace(_LOGIN)
    if trace.entry is None or trace.entry.type != "file":
        yield context.broken(
            trace,
            f"expected {_LOGIN}, which agetty starts, it is missing: a prompt appears, but no login",
        )


# -- PAM ---------------------------------------------------------------------------------------------------------------


def _service(context: CheckContext) -> Iterator[Finding | str]:
    """Follow the stacks of the service login."""
    entry = context.rootfs.trace(_LOGIN).entry
    if entry is None or entry.name.startswith("busybox"):
        return
    if not any(context.rootfs.glob(path) for path in _LIBRARIES):
        return  # a login without PAM
    if not any(context.rootfs.glob(f"{top}/*") for top in _PAM_DIRECTORIES):
        if context.rootfs.exists("/etc/pam.conf"):
            return  # the older way to configure it
        yield context.missing(
            "/etc/pam.d",
            "expected the PAM service login, there is no configuration of PAM: every login is refused",
        )
        return
    told: set[str] = set()
    for kind, effect in _STEPS.items():
        stack = read_stack("login", kind, lambda name: _configuration(context, name))
        if stack.cut:
            raise Undecided("the PAM service login has more lines than the limit")
        if passes(stack, lambda handler: _is_there(context, handler), password=kind == "auth"):
            continue
        for finding in _obstacles(context, kind, stack, effect):
            if finding.message not in told:
                told.add(finding.message)
                yield finding
    if not told:
        yield "the PAM service login can admit a user"


def _obstacles(context: CheckContext, kind: Kind, stack: Stack, effect: str) -> Iterator[Finding]:
    for name in stack.missing:
        path = name if name.startswith("/") else f"{_PAM_DIRECTORIES[0]}/{name}"
        yield context.missing(
            path, f"expected the configuration {path} for the PAM service login, it is missing: {effect}"
        )
    if not passes(stack, lambda _: True, password=kind == "auth"):
        if (
            stack.handlers
            and all(each.source == "other" for each in stack.handlers)
            and _is_left_out(context)
        ):
            yield _without_service(context, effect)
        return  # it refuses everyone even with all modules, so that is intended
    for handler in dict.fromkeys(
        each
        for each in (
            h.module
            for h in stack.handlers
            if h.module and not h.opens and not h.silent and not _is_there(context, h)
        )
    ):
        place = handler if handler.startswith("/") else f"/usr/lib/security/{handler}"
        removed = next(
            (
                found
                for top in _MODULE_DIRECTORIES
                for entry in context.rootfs.glob(top)
                if (found := context.removal(f"{entry.path}/{handler}"))[1]
            ),
            context.removal(place),
        )
        yield Finding(
            f"expected the module {handler}, which the PAM service login asks for ({kind}), it is not there: {effect}",
            place,
            *removed,
        )


def _is_left_out(context: CheckContext) -> bool:
    return _configuration(context, "login") is None


def _without_service(context: CheckContext, effect: str) -> Finding:
    """Return the finding for a service without configuration, if the configuration `other` refuses everyone."""
    path = next(
        (
            f"{top}/login"
            for top in _PAM_DIRECTORIES
            if context.rootfs.trace(f"{top}/login", follow=False).entry is not None
        ),
        f"{_PAM_DIRECTORIES[0]}/login",
    )
    entry = context.rootfs.trace(path).entry
    why = f"it is a {entry.type}" if entry is not None else "it is not there"
    return context.missing(
        path,
        f"expected the configuration {path} of the PAM service login, {why}, and `other` refuses: {effect}",
    )


def _configuration(context: CheckContext, name: str) -> str | None:
    paths = [name] if name.startswith("/") else [f"{top}/{name}" for top in _PAM_DIRECTORIES]
    return next((text for path in paths if (text := context.facts.text(path).text) is not None), None)


def _is_there(context: CheckContext, handler: Handler) -> bool:
    if handler.module.startswith("/"):
        paths = [handler.module.replace("$ISA", "")]
    else:
        tops = [entry.path for top in _MODULE_DIRECTORIES for entry in context.rootfs.glob(top)]
        paths = [f"{top}/{handler.module.replace('$ISA/', '')}" for top in tops]
    for path in paths:
        entry = context.rootfs.trace(path).entry
        if entry is not None and entry.type == "file" and entry.size:
            return True
    return False
