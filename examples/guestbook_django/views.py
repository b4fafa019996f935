"""The page, and its address."""

from __future__ import annotations

from django import forms
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

import fly_orm

from .fly_orm_functions import sign
from .models import Entry


class Visit(forms.Form):  # type: ignore[misc]  # Django has no types
    """What a guest sends."""

    name = forms.CharField(max_length=40)
    text = forms.CharField(max_length=2000)


@csrf_exempt  # type: ignore[untyped-decorator]  # so that curl can write
def entries(request: HttpRequest) -> HttpResponse:
    """All entries, and where they were read. POST writes each line of a text."""
    if request.method == "POST":
        visit = Visit(request.POST)
        if not visit.is_valid():
            return HttpResponse(f"{visit.errors.as_text()}\n", status=400, content_type="text/plain; charset=utf-8")
        sign(visit.cleaned_data["name"], visit.cleaned_data["text"].splitlines())
        return redirect("/")
    lines = [f"{entry.guest.name}: {entry.text}" for entry in Entry.objects.select_related("guest").order_by("id")]
    lines.append(f"-- in {fly_orm.my_region()}: {fly_orm.why()}\n")
    return HttpResponse("\n".join(lines), content_type="text/plain; charset=utf-8")


def healthz(_request: HttpRequest) -> HttpResponse:
    """Whether a load balancer should send requests here."""
    health = fly_orm.check()
    return JsonResponse({"status": health.status}, status=200 if health.ready else 503)


urlpatterns = [path("", entries), path("healthz", healthz)]
