"""The class that a class method is called for is one that exists below the method's own, whatever the bytes say."""

from __future__ import annotations

import sys

import pytest

from fly_orm.codec import CodecError, decode, decode_class, encode_class
from fly_orm.codec.nodes import DECODERS
from fly_orm.codec.packing import node_to_bytes
from fly_orm.codec.tags import CLASS
from fly_orm.errors import NotPortable


class Base:
    pass


class Left(Base):
    pass


class Right(Base):
    pass


class Both(Left, Right):
    pass


def named(name):
    return type(name, (Base,), {"__module__": __name__, "__qualname__": name})


@pytest.mark.parametrize("cls", [Base, Both, type("Größe", (Left,), {})])
def test_a_class_arrives_as_itself(cls):
    assert decode_class(encode_class(cls, Base, "cls"), Base) is cls


def test_a_class_of_a_module_that_is_not_imported_is_not_imported():
    module = "wsgiref.simple_server"
    sys.modules.pop(module, None)
    for name in (f"{module}:WSGIServer", "builtins:int", f"{__name__}:Left", f"{__name__}:Base.__class__"):
        with pytest.raises(CodecError, match=f"this process has no class '{name}' that is .*Right or a subclass"):
            decode_class(node_to_bytes([CLASS, name]), Right)
    assert module not in sys.modules


@pytest.mark.parametrize("node", [3, "x", [], [CLASS], [CLASS, 3], [CLASS, "a", "b"], [0, "a"], [CLASS, [CLASS, "a"]]])
def test_other_values_are_refused(node):
    with pytest.raises(CodecError):
        decode_class(node_to_bytes(node), Base)
    with pytest.raises(CodecError):
        decode_class(b"\xc1", Base)


def test_a_class_is_no_other_argument_and_older_nodes_do_not_know_it(monkeypatch):
    data = encode_class(Left, Base, "cls")
    with pytest.raises(CodecError, match="only a class method can be called for"):
        decode(data)
    monkeypatch.delitem(DECODERS, CLASS)
    with pytest.raises(CodecError, match=r"unknown tag 29; the node that sent it may run a newer release"):
        decode(data)


def test_a_class_that_is_not_below_it_does_not_travel():
    with pytest.raises(NotPortable, match=r"argument 'cls': .*Left is not a subclass of .*Right"):
        encode_class(Left, Right, "argument 'cls'")


def test_two_classes_of_one_name_are_told_apart_only_by_what_their_module_has_now(monkeypatch):
    old, new = named("Again"), named("Again")
    for cls in (old, new):
        with pytest.raises(NotPortable, match=r"another subclass of .*Base is named .*Again, too"):
            encode_class(cls, Base, "cls")
    data = node_to_bytes([CLASS, f"{__name__}:Again"])
    with pytest.raises(CodecError, match="or has several"):
        decode_class(data, Base)
    monkeypatch.setattr(sys.modules[__name__], "Again", new, raising=False)
    assert decode_class(encode_class(new, Base, "cls"), Base) is new
    with pytest.raises(NotPortable, match="another subclass"):
        encode_class(old, Base, "cls")
