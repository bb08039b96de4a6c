"""The explorer on a terminal, with textual: what keys do, and where the texts go.

Everything that may take long (a view, a page, the checks) runs in a thread, and its result is dropped if something else was asked
for meanwhile. Text of the image is never taken for markup.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable
from functools import partial
from typing import ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widget import Widget
from textual.widgets import Footer, Input, OptionList, Static, TabbedContent, TabPane, Tree
from textual.widgets.tree import TreeNode
from textual.worker import get_current_worker

from cosinspect.deadline import Deadline
from cosinspect.errors import CosinspectError
from cosinspect.explorer.pages import (
    LISTED,
    ImageFindings,
    content_page,
    entry_line,
    path_page,
    view_page,
    view_title,
)
from cosinspect.explorer.views import Mark, Row, TreeView, ViewName, Views
from cosinspect.report.display import printable

__all__ = ["Explorer"]

EXPANDED = 500
"""Names up to which everything that a filter finds, or that a view marks, is expanded."""

DELAY = 0.12
"""Seconds that the cursor rests on a name before its page is made."""

_STYLES = {
    Mark.SAME: "",
    Mark.ADDED: "green",
    Mark.CHANGED: "yellow",
    Mark.REMOVED: "red",
    Mark.INSIDE: "bold",
}
_SIGNS = {Mark.ADDED: "+ ", Mark.CHANGED: "~ ", Mark.REMOVED: "- "}


class Explorer(App[None]):
    """The application.

    Args:
        views: of the image.
        check: runs the checks; called once, in a thread.
    """

    TITLE = "cosinspect explore"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #title { height: 1; background: $primary; color: $text; padding: 0 1; }
    #left { width: 45%; }
    #views, #pages, #tree { border: round $foreground-muted; border-title-color: $foreground; background: $background; }
    #views, #tree, VerticalScroll, OptionList { scrollbar-size: 1 1; }
    #views { height: 40%; text-wrap: nowrap; text-overflow: ellipsis; }
    #pages { height: 1fr; }
    #views:focus, #tree:focus, #pages:focus-within { border: round $accent; }
    #filter { height: 3; display: none; }
    #filter.shown { display: block; }
    TabPane { padding: 0; }
    #findings { height: 1fr; border: none; background: $background; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "pane", "next pane", priority=True),
        Binding("ctrl+f,slash", "filter", "filter"),
        Binding("escape", "clear", "clear filter", show=False),
        Binding("ctrl+a", "hide('added')", "added"),
        Binding("ctrl+r", "hide('removed')", "removed"),
        Binding("ctrl+o", "hide('changed')", "changed"),
        Binding("ctrl+u", "hide('unchanged')", "unchanged"),
        Binding("f", "only_findings", "findings only"),
        Binding("ctrl+b", "attributes", "attributes"),
        Binding("c", "collapse_all", "collapse all"),
        Binding("1", "page('details')", show=False),
        Binding("2", "page('content')", show=False),
        Binding("3", "page('found')", show=False),
        Binding("4", "page('boot')", show=False),
        Binding("q", "quit", "quit"),
        Binding("ctrl+c", "quit", show=False, priority=True),
    ]

    def __init__(self, views: Views, check: Callable[[], ImageFindings]) -> None:
        super().__init__()
        self.views = views
        self.shown: TreeView = views.view(ViewName())
        self.results: ImageFindings | None = None
        self.hidden: frozenset[Mark] = frozenset()
        self.found: set[str] | None = None
        self._check = check
        self._findings: Counter[str] = Counter()
        self._text = ""
        self._only_findings = False
        self._attributes = False
        self._at = "/"

    # -- what is on the screen -------------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        """Lay the screen out."""
        yield Static(Text(f"{printable(self.views.image.name)}  the checks run"), id="title")
        with Horizontal():
            with Vertical(id="left"):
                titles = (Text(view_title(self.views, number)) for number in range(len(self.views.names)))
                yield OptionList(*titles, id="views")
                with TabbedContent(id="pages"):
                    with TabPane("1 Details", id="details"), VerticalScroll():
                        yield Static(id="details-text")
                    with TabPane("2 Content", id="content"), VerticalScroll():
                        yield Static(Text("Enter on a file shows its content"), id="content-text")
                    with TabPane("3 Findings", id="found"):
                        yield OptionList(id="findings")
                    with TabPane("4 Boot", id="boot"), VerticalScroll():
                        yield Static(id="boot-text")
            with Vertical():
                tree: Tree[Row] = Tree("/", id="tree")
                yield tree
                yield Input(placeholder="part of a path; Enter keeps it, Esc clears it", id="filter")
        yield Footer()

    def on_mount(self) -> None:
        """Show the tree, and start the checks."""
        self.query_one("#views", OptionList).border_title = "layers and readers"
        self._rebuild()
        self._write("details-text", view_page(self.views, self.shown))
        self._tree.focus()
        # The first picture comes before the checks, which take the processor.
        self.set_timer(DELAY, partial(self.run_worker, self._run_checks, thread=True, group="checks"))

    @property
    def _tree(self) -> Tree[Row]:
        return self.query_one("#tree", Tree)

    def _write(self, where: str, lines: Iterable[str]) -> None:
        self.query_one(f"#{where}", Static).update(Text("\n".join(lines)))

    # -- threads ---------------------------------------------------------------------------------------------------

    def _in_thread(self, group: str, work: Callable[[], object], done: Callable[[object], None]) -> None:
        """Do work in a thread, and hand on its result unless the group has other work by then."""

        def run() -> None:
            worker = get_current_worker()
            try:
                with Deadline(self.views.image.limits.seconds).running(self.views.image.name):
                    result = work()
            except CosinspectError as fault:
                self.call_from_thread(self._fail, fault)
                return
            if not worker.is_cancelled:
                self.call_from_thread(done, result)

        self.run_worker(run, thread=True, exclusive=True, group=group)

    def _fail(self, fault: CosinspectError) -> None:
        self.notify(printable(str(fault)), severity="error", markup=False, timeout=10)

    def _run_checks(self) -> None:
        try:
            results = self._check()
        except CosinspectError as fault:
            self.call_from_thread(self._fail, fault)
            return
        self.call_from_thread(self._show_results, results)

    def _show_results(self, results: ImageFindings) -> None:
        self.results = results
        self._findings = Counter(finding.path for finding in results.findings if finding.path is not None)
        self.query_one("#title", Static).update(Text(results.headline))
        findings = self.query_one("#findings", OptionList)
        findings.add_options(
            Text(": ".join((finding.title.partition(" ")[0], finding.message)))
            for finding in results.findings[:LISTED]
        )
        findings.highlighted = 0 if results.findings else None
        self._write("boot-text", results.boot())
        self._rebuild()

    # -- the tree --------------------------------------------------------------------------------------------------

    def _rebuild(self) -> None:
        """Build the tree again, and go to where the cursor was."""
        tree = self._tree
        tree.clear()
        root = self.shown.lookup("/")
        tree.root.data = root
        tree.border_title = f"{view_title(self.views, self.views.names.index(self.shown.name)).strip()[:60]}"
        self._fill(tree.root)
        tree.root.expand()
        if self.found is not None and len(self.found) <= EXPANDED:
            self._expand(tree.root)
        elif self.found is None and len(self.shown.marks) <= EXPANDED:
            self._expand(tree.root, {Mark.INSIDE})
        self.reveal(self._at)

    def _fill(self, node: TreeNode[Row]) -> None:
        """Add the names in a directory, unless they are there."""
        if node.children or node.data is None:
            return
        for row in self.shown.children(node.data.entry.path):
            if self.found is not None and row.entry.path not in self.found:
                continue
            label = self._label(row, self._findings[row.entry.path])
            if row.entry.type == "dir":
                node.add(label, data=row)
            else:
                node.add_leaf(label, data=row)

    def _expand(self, node: TreeNode[Row], marks: Container[Mark] = frozenset(Mark)) -> None:
        """Open a directory, and those below it that have one of the marks."""
        waiting = [node]
        while waiting:
            each = waiting.pop()
            self._fill(each)
            each.expand()
            waiting.extend(
                child
                for child in each.children
                if child.allow_expand and child.data is not None and child.data.mark in marks
            )

    def _label(self, row: Row, findings: int) -> Text:
        entry = row.entry
        label = Text()
        if self._attributes:
            label.append(f"{entry_line(entry)}  ", "dim")
        label.append(f"{_SIGNS.get(row.mark, '')}{printable(entry.name)}", _STYLES[row.mark])
        if entry.type == "symlink":
            label.append(f" -> {printable(entry.link)}", "dim")
        if findings:
            label.append(f"  ! {findings} finding{'' if findings == 1 else 's'}", "bold red")
        label.append(f"  [{entry.layer}]", "dim")
        return label

    def reveal(self, path: str) -> None:
        """Expand the directories above a path, and move the cursor to it, or to the last of them that is there."""
        node = self._tree.root
        at = ""
        for name in [part for part in path.split("/") if part]:
            at = f"{at}/{name}"
            self._fill(node)
            child = next(
                (each for each in node.children if each.data is not None and each.data.entry.path == at), None
            )
            if child is None:
                break
            node.expand()
            node = child
        self.call_after_refresh(self._tree.move_cursor, node)

    def on_tree_node_expanded(self, event: Tree.NodeExpanded[Row]) -> None:
        """Fill a directory when it is opened."""
        self._fill(event.node)

    def on_tree_node_highlighted(self, event: Tree.NodeHighlighted[Row]) -> None:
        """Show what is known of the name under the cursor, once it rests there."""
        row = event.node.data
        if row is None:
            return
        self._at = row.entry.path
        # While views are chosen, the page is the view's.
        if row.entry.path != "/" and not self.query_one("#views").has_focus:
            self.set_timer(DELAY, partial(self._show_path, row))

    def _show_path(self, row: Row) -> None:
        if row.entry.path == self._at:
            page = partial(path_page, self.views, self.shown, row, self.results)
            self._in_thread("path", lambda: list(page()), partial(self._write_lines, "details-text"))

    def on_tree_node_selected(self, event: Tree.NodeSelected[Row]) -> None:
        """Show the content of a file."""
        row = event.node.data
        if row is None or row.entry.type == "dir":
            return
        self.action_page("content")
        self._write("content-text", ["it is read"])
        page = partial(content_page, self.shown, row)
        self._in_thread("content", lambda: list(page()), partial(self._write_lines, "content-text"))

    def _write_lines(self, where: str, lines: object) -> None:
        if isinstance(lines, list):
            self._write(where, lines)

    # -- lists -----------------------------------------------------------------------------------------------------

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Show the view under the cursor."""
        if event.option_list.id != "views":
            return
        name = self.views.names[event.option_index]
        if name != self.shown.name:
            self._in_thread("view", partial(self.views.view, name), self._show_view)

    def _show_view(self, view: object) -> None:
        if isinstance(view, TreeView):
            self.shown = view
            if self.query_one("#views").has_focus:
                self.action_page("details")
            self._write("details-text", view_page(self.views, view))
            self._search()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Go to a finding's path, or from a layer to its tree."""
        if event.option_list.id == "views" or self.results is None:
            self._tree.focus()
            return
        finding = self.results.findings[event.option_index]
        if finding.path is None:
            self.notify(finding.message, markup=False)
            return
        self._at = finding.path
        self._tree.focus()
        gone = self.shown.lookup(finding.path) is None
        if gone and finding.layer is not None and finding.layer < len(self.views.image.layers):
            # The layer's own view has what it removed.
            self.query_one("#views", OptionList).highlighted = self.views.names.index(
                ViewName(layer=finding.layer)
            )
            return
        self.reveal(finding.path)

    # -- keys ------------------------------------------------------------------------------------------------------

    def action_pane(self) -> None:
        """Go to the next pane: the views, the tree, the pages."""
        panes = ("views", "tree", "pages")
        here = next(
            (number for number, pane in enumerate(panes) if self.query_one(f"#{pane}").has_focus_within), 0
        )
        following = panes[(here + 1) % len(panes)]
        if following == "pages":
            self._focus_page()
        else:
            self.query_one(f"#{following}").focus()

    def _focus_page(self) -> None:
        pane = self.query_one("#pages", TabbedContent).active_pane
        inside = pane.query(Widget).results() if pane is not None else ()
        self.set_focus(next((each for each in inside if each.focusable), None))

    def action_page(self, name: str) -> None:
        """Show a page."""
        self.query_one("#pages", TabbedContent).active = name

    def action_filter(self) -> None:
        """Ask for a part of a path."""
        field = self.query_one("#filter", Input)
        field.add_class("shown")
        field.focus()

    def action_clear(self) -> None:
        """Show everything again."""
        field = self.query_one("#filter", Input)
        field.remove_class("shown")
        field.value = self._text = ""
        self.hidden, self._only_findings = frozenset(), False
        self._tree.focus()
        self._search()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Search while the text is typed."""
        if event.value != self._text:
            self._text = event.value
            self._search()

    def on_input_submitted(self, _: Input.Submitted) -> None:
        """Keep the filter, and go to the tree."""
        self._tree.focus()

    def action_hide(self, mark: str) -> None:
        """Hide the names with a mark, or show them again."""
        self.hidden = self.hidden ^ {Mark(mark)}
        if Mark.SAME in self.hidden:
            self.hidden |= {Mark.INSIDE}
        else:
            self.hidden -= {Mark.INSIDE}
        self._search()

    def action_only_findings(self) -> None:
        """Show only names with findings, or all again."""
        self._only_findings = not self._only_findings
        self._search()

    def action_attributes(self) -> None:
        """Show mode, owner and size of each name, or hide them."""
        self._attributes = not self._attributes
        self._rebuild()

    def action_collapse_all(self) -> None:
        """Collapse every directory but the root."""
        self._at = "/"
        for child in self._tree.root.children:
            child.collapse_all()
        self._tree.move_cursor(self._tree.root)

    def _search(self) -> None:
        """Find what is to be shown, and build the tree again."""
        findings = self._findings if self._only_findings else None
        if not self._text and not self.hidden and findings is None:
            self.found = None
            self._rebuild()
            return
        view, hidden = self.shown, self.hidden
        self._in_thread("search", partial(view.find, self._text, hidden, findings), self._show_found)

    def _show_found(self, found: object) -> None:
        if isinstance(found, set):
            self.found = found
            self._rebuild()
