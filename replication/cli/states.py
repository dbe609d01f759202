"""States and deltas of objects, taken apart for people: every value with its stamp.

A delta has the form of a state, so both are told by one function. `state_tree` makes JSON;
`tree_lines` makes indented lines of the same.

| key | holds |
| --- | --- |
| alive, length, incarnation | existence: see `crdt.object`; a delta that only edits has length 0 |
| fields | a list of `{name, kind, ...}`; a name written as two kinds is there twice |
| stamp | `[time, file ident]`, and `when`: the same time in UTC |
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

from replication.cli.output import cell, moment, noted
from replication.clock import unix_from_time
from replication.crdt import object as obj
from replication.crdt.document import text_view
from replication.crdt.list import Elements, Id, all_elements
from replication.crdt.parts import Parts, Path
from replication.crdt.sequence import Sequence
from replication.model.encoding import unpack_trusted
from replication.model.notation import from_json
from replication.model.values import ERASED, Based

Tree: TypeAlias = dict[str, Any]

_KIND_NAMES = {
    obj.REGISTER: "value",
    obj.COUNTER: "counter",
    obj.SET: "set",
    obj.DICTIONARY: "dictionary",
    obj.LIST: "list",
    obj.EMBEDDED: "embedded",
    obj.TEXT: "text",
    obj.CONTAINER: "container",
}


def state_tree(state: obj.ObjectState, parts: Parts | None = None, path: Path = ()) -> Tree:
    """A state or delta as JSON."""
    length, _, incarnation, fields = state
    tree: Tree = {"alive": obj.is_alive(state), "length": length}
    if incarnation:
        tree["incarnation"] = incarnation
    tree["fields"] = list(_fields(fields, parts, path))
    return tree


def stamp_tree(time: int, origin: int) -> Tree:
    """A stamp as JSON."""
    return {"stamp": [time, origin], "when": moment(unix_from_time(time))}


def _fields(fields: obj.Fields, parts: Parts | None, path: Path) -> Iterator[Tree]:
    for kind, held in fields.items():
        name_of_kind = _KIND_NAMES.get(kind, f"kind {kind}")
        if kind == obj.REGISTER:
            for name, written in _registers(held):
                yield {"name": name, "kind": name_of_kind, **written}
            continue
        for name, content in held.items():
            here = (*path, kind, name)
            told = {"name": name, "kind": name_of_kind}
            if kind == obj.COUNTER:
                told |= {"total": content}
            elif kind == obj.EMBEDDED:
                told |= state_tree(content, parts, here)
            elif kind == obj.TEXT:
                told |= {"value": text_view(content, parts, here)}
            elif kind == obj.CONTAINER:
                home, inner = content
                told = {"id": unpack_trusted(name), "kind": name_of_kind, "home": _home(home)}
                told |= {"incarnation": inner[0]} if inner[0] else {}
                told |= _collection(obj.container_kind(name), inner, parts, here)
            else:
                told |= {"incarnation": content[0]} if content[0] else {}
                told |= _collection(kind, content, parts, here)
            yield told


def _home(home: list[Any]) -> list[Any]:
    return [unpack_trusted(step) if type(step) is bytes else step for step in home]


def _registers(groups: list[Any]) -> Iterator[tuple[Any, Tree]]:
    for group in groups:
        for name, stored in group[2].items():
            yield name, _stored(stored) | _written(group)


def _written(group: list[Any]) -> Tree:
    if len(group) == 3:
        return stamp_tree(group[0], group[1])
    return {"default": True, "seen": group[:2], **stamp_tree(group[3], group[4])}


def _stored(stored: Any) -> Tree:
    if stored is ERASED:
        return {"removed": True}
    if type(stored) is Based:
        return {"value": noted(stored.value), "total_seen": stored.seen}
    return {"value": noted(stored)}


def _collection(kind: int, content: list[Any], parts: Parts | None, path: Path) -> Tree:
    if kind == obj.SET:
        members = [
            {"value": noted(unpack_trusted(member)), "present": present, **_written(group)}
            for group in content[1]
            for member, present in group[2].items()
        ]
        return {"members": members}
    if kind == obj.DICTIONARY:
        items = [{"key": key, **written} for key, written in _registers(content[1])]
        objects = {key: state_tree(state, parts, (*path, key)) for key, state in content[2].items()}
        return {"items": items} | ({"objects": objects} if objects else {})
    if kind == obj.LIST:
        return _elements(all_elements(content, parts, path), parts, path)
    return {"content": str(content)}


def _elements(elements: Elements, parts: Parts | None, path: Path) -> Tree:
    visible = Sequence(elements).visible
    shown = set(visible)
    # What a delta says of elements that it does not place: values and content set later.
    others = sorted(here for here in {*elements.values, *elements.contents} if here not in shown)
    tree: Tree = {"elements": [_element(elements, i, parts, path) for i in [*visible, *others]]}
    moved = {_name(here): [*move[:2], *move[2]] for here, move in sorted(elements.moves.items())}
    if moved:
        tree["moved"] = moved
    if elements.erased:
        tree["erased"] = [_name(here) for here in sorted(elements.erased)]
    return tree


def _element(elements: Elements, here: Id, parts: Parts | None, path: Path) -> Tree:
    told: Tree = {"id": _name(here)}
    if here in elements.values:
        time, origin, value = elements.values[here]
        told |= {"value": noted(value), **stamp_tree(time, origin)}
    if here in elements.contents:
        told["fields"] = list(_fields(elements.contents[here], parts, (*path, here)))
    return told


def _name(here: Id) -> str:
    return f"{here[0]}.{here[1]}"


# -- for people ----------------------------------------------------------------------------------
def tree_lines(tree: Tree, indent: str = "") -> Iterator[str]:
    """The lines that tell what `state_tree` returned."""
    if tree["length"]:
        yield f"{indent}{'alive' if tree['alive'] else 'deleted'} (causal length {tree['length']})"
    yield from _field_lines(tree["fields"], indent)


def _field_lines(fields: list[Tree], indent: str) -> Iterator[str]:
    deeper = indent + "  "
    for field in fields:
        name = f"{indent}{cell(field['name'])}"
        kind = field["kind"]
        if kind == "value":
            yield f"{name} = {_value(field)}{_when(field)}"
        elif kind == "counter":
            yield f"{name} {field['total']:+d}"
        elif kind == "text":
            yield f"{name} = {cell(field['value'])}"
        elif kind == "embedded":
            yield f"{name} {{"
            yield from tree_lines(field, deeper)
            yield f"{indent}}}"
        else:
            fresh = " (all of it, anew)" if "incarnation" in field else ""
            yield f"{name}: {kind}{fresh}"
            yield from _collection_lines(field, deeper)


def _collection_lines(field: Tree, indent: str) -> Iterator[str]:
    for member in field.get("members", ()):
        yield f"{indent}{'+' if member['present'] else '-'} {_value(member)}{_when(member)}"
    for item in field.get("items", ()):
        yield f"{indent}{cell(item['key'])} = {_value(item)}{_when(item)}"
    for key, state in field.get("objects", {}).items():
        yield f"{indent}{cell(key)} {{"
        yield from tree_lines(state, indent + "  ")
        yield f"{indent}}}"
    for element in field.get("elements", ()):
        value = _value(element) if "value" in element else "(edited)"
        yield f"{indent}[{element['id']}] {value}{_when(element)}"
        yield from _field_lines(element.get("fields", []), indent + "  ")
    for element_id, move in field.get("moved", {}).items():
        yield f"{indent}[{element_id}] moved to place {move[2]}.{move[3]}"
    if field.get("erased"):
        yield f"{indent}erased: {', '.join(field['erased'])}"


def _value(written: Tree) -> str:
    if written.get("removed"):
        return "(removed)"
    return cell(from_json(written["value"]))


def _when(written: Tree) -> str:
    if "stamp" not in written:
        return ""
    default = " as a default" if written.get("default") else ""
    return f"   ⟵ file {written['stamp'][1]}, {written['when']}{default}"
