"""The spans of a caller and of a node, which are two processes, with the real SDK."""

from __future__ import annotations

import json
from contextlib import ExitStack

import peewee
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode, format_span_id, format_trace_id

import fly_orm
from fly_orm.observing.listeners import listeners
from fly_orm.otel import FlyOrmInstrumentor
from tests.support import shop
from tests.support.shop_in_lax import Shop
from tests.support.waiting import until


class Traces:
    """The spans of this process, and those that the node has written."""

    def __init__(self, exporter, tracer, file):
        self.exporter, self.tracer, self.file = exporter, tracer, file

    def here(self, name=None):
        """The spans of this process that have ended, by their names if none is given."""
        spans = self.exporter.get_finished_spans()
        return [span for span in spans if span.name == name] if name else {span.name: span for span in spans}

    def there(self, count):
        """The spans of the node, once there are so many."""
        until(lambda: len(self._lines()) >= count)
        return [json.loads(line) for line in self._lines()]

    def _lines(self):
        return self.file.read_text().splitlines()


def instrumented(undo, provider):
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentor = FlyOrmInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    undo.callback(instrumentor.uninstrument)
    return exporter


@pytest.fixture
def lax(cluster, database, tmp_path):
    """The application in lax, and a node in syd that makes spans."""
    file = tmp_path / "spans"
    file.touch()
    with ExitStack() as undo:
        made = Shop(cluster=cluster, name=database, undo=undo)
        made.query("CREATE TABLE item (id serial PRIMARY KEY, name text UNIQUE, price numeric NOT NULL DEFAULT 0)")
        cluster.wait_for_replica()
        node = made.start("--import", "tests.support.traced", SPANS=str(file))
        made.address, made.file = node.address(), file
        made.live_in_lax(made.address)
        yield made


@pytest.fixture
def traces(lax):
    provider = TracerProvider()
    with ExitStack() as undo:
        exporter = instrumented(undo, provider)
        yield Traces(exporter, provider.get_tracer("application"), lax.file)


def parent_of(span):
    """The id of a span's parent."""
    return format_span_id(span.parent.span_id)


def own(span):
    return format_span_id(span.context.span_id)


def test_a_write_is_one_trace_from_the_application_to_the_node(traces, lax):
    with traces.tracer.start_as_current_span("request") as request:
        lax.db.execute_sql("INSERT INTO item (name) VALUES ('gustav')")
        assert trace.get_current_span() is request
    [served] = traces.there(1)
    spans = traces.here()
    statement, sent, wait = spans["INSERT item"], spans["fly_orm.Node/run"], spans["wait for the replica"]
    assert {format_trace_id(span.context.trace_id) for span in (statement, sent, wait)} == {
        format_trace_id(request.get_span_context().trace_id)
    }
    assert served["context"]["trace_id"] == f"0x{format_trace_id(sent.context.trace_id)}"
    assert parent_of(statement) == format_span_id(request.get_span_context().span_id)
    assert parent_of(sent) == parent_of(wait) == own(statement)
    assert served["parent_id"] == f"0x{own(sent)}"
    assert (statement.kind, sent.kind, wait.kind) == (SpanKind.CLIENT, SpanKind.CLIENT, SpanKind.INTERNAL)
    assert (served["kind"], served["name"]) == ("SpanKind.SERVER", "fly_orm.Node/run")
    assert statement.start_time <= sent.start_time <= sent.end_time <= wait.end_time <= statement.end_time


def test_the_attributes_are_those_of_the_conventions(traces, lax):
    lax.db.execute_sql("INSERT INTO item (name) VALUES ('gustav')")
    lax.db.execute_sql("SELECT name FROM item WHERE name = %s", ("gustav",)).fetchall()
    [served] = traces.there(1)
    spans = traces.here()
    write, sent, read = (dict(spans[name].attributes) for name in ("INSERT item", "fly_orm.Node/run", "SELECT item"))
    host, port = lax.address.rsplit(":", 1)
    assert write.pop("fly_orm.why")
    assert write == {
        "db.system.name": "postgresql",
        "db.namespace": lax.name,
        "db.query.text": "INSERT INTO item (name) VALUES (?)",
        "db.query.summary": "INSERT item",
        "fly_orm.route": "primary",
        "fly_orm.node": f"syd={lax.address}",
    }
    assert sent == {
        "rpc.system.name": "fly_orm",
        "rpc.method": "fly_orm.Node/run",
        "db.namespace": lax.name,
        "server.address": host,
        "server.port": int(port),
        "fly_orm.region": "syd",
    }
    assert read["db.query.text"] == "SELECT name FROM item WHERE name = %s"
    assert read["fly_orm.route"] == "local"
    assert read["server.port"] == lax.cluster.replica.port
    assert served["attributes"] == {
        "rpc.system.name": "fly_orm",
        "rpc.method": "fly_orm.Node/run",
        "db.namespace": lax.name,
        "client.address": "127.0.0.1",
    }
    assert "gustav" not in lax.file.read_text()
    assert all("gustav" not in span.to_json() for span in spans.values())


def test_what_fails_has_the_sqlstate_on_both_ends(traces, lax):
    lax.db.execute_sql("INSERT INTO item (name) VALUES ('one')")
    with pytest.raises(peewee.IntegrityError):
        lax.db.execute_sql("INSERT INTO item (name) VALUES ('one')")
    _, failed = traces.there(2)
    fine, wrong = traces.here("INSERT item")
    assert fine.status.status_code is StatusCode.UNSET
    assert wrong.status.status_code is StatusCode.ERROR
    assert wrong.attributes["db.response.status_code"] == wrong.attributes["error.type"] == "23505"
    assert failed["attributes"]["error.type"] == "23505"
    assert failed["status"]["status_code"] == "ERROR"


def test_the_statements_of_a_function_are_below_the_span_of_the_node(traces, lax):
    assert shop.stock(["one", "two"]).name == "two"
    spans = traces.there(3)
    [served] = [span for span in spans if span["name"] == "fly_orm.Node/call"]
    inserts = [span for span in spans if span["name"] == 'INSERT "item"']
    [call], [sent] = traces.here(f"call {shop.stock.__module__}:stock"), traces.here("fly_orm.Node/call")
    assert [span["parent_id"] for span in inserts] == [served["context"]["span_id"]] * 2
    assert served["parent_id"] == f"0x{own(sent)}"
    assert parent_of(sent) == own(call)
    assert sent.attributes["code.function.name"] == served["attributes"]["code.function.name"]
    assert {span["context"]["trace_id"] for span in spans} == {f"0x{format_trace_id(call.context.trace_id)}"}


def test_a_trace_that_is_not_sampled_stays_so_on_the_node(lax):
    with ExitStack() as undo:
        exporter = instrumented(undo, TracerProvider(sampler=ALWAYS_OFF))
        lax.db.execute_sql("INSERT INTO item (name) VALUES ('unsampled')")
        assert exporter.get_finished_spans() == ()
    lax.db.execute_sql("INSERT INTO item (name) VALUES ('untraced')")  # begins a trace on the node
    [served] = Traces(exporter, None, lax.file).there(1)
    assert served["parent_id"] is None
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_without_an_sdk_nothing_is_recorded_and_nothing_travels(lax):
    instrumentor = FlyOrmInstrumentor()
    instrumentor.instrument(tracer_provider=trace.NoOpTracerProvider())
    try:
        assert instrumentor.is_instrumented_by_opentelemetry
        lax.db.execute_sql("INSERT INTO item (name) VALUES ('one')")
        assert trace.get_current_span() is trace.INVALID_SPAN
    finally:
        instrumentor.uninstrument()
    [served] = Traces(None, None, lax.file).there(1)
    assert served["parent_id"] is None


def test_the_spans_are_ended_once_they_are_turned_off(traces, lax):
    instrumentor = FlyOrmInstrumentor()
    instrumentor.instrument()  # again: no second span
    lax.db.execute_sql("SELECT 1")
    assert len(traces.here("SELECT")) == 1
    instrumentor.uninstrument()
    instrumentor.uninstrument()
    lax.db.execute_sql("SELECT 1")
    assert len(traces.here("SELECT")) == 1
    assert fly_orm.why() is not None


def test_a_span_that_is_open_when_they_end_is_not_left_the_current_one(traces, lax):
    class Ending(fly_orm.Observer):
        def request_ended(self, event):
            FlyOrmInstrumentor().uninstrument()

    with fly_orm.observe(Ending()):
        lax.db.execute_sql("INSERT INTO item (name) VALUES ('one')")
    assert not trace.get_current_span().get_span_context().is_valid
    assert len(traces.here("INSERT item")) == 1
    lax.db.execute_sql("INSERT INTO item (name) VALUES ('two')")
    assert len(traces.here("INSERT item")) == 1
    assert not listeners.statements
