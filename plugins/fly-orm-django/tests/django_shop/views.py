"""The views of the project, in both kinds."""

from django.db import connection
from django.http import HttpResponse, StreamingHttpResponse

from .models import Author


def names(request):
    """All names; POST adds one."""
    if request.method == "POST":
        Author.objects.create(name=request.POST["name"])
    return HttpResponse(" ".join(Author.objects.order_by("name").values_list("name", flat=True)))


async def names_async(request):
    """The same."""
    if request.method == "POST":
        await Author.objects.acreate(name=request.POST["name"])
    return HttpResponse(" ".join([author.name async for author in Author.objects.order_by("name")]))


def stream(request):
    """All names, each of which is read while the response is sent."""

    def parts():
        for number in range(Author.objects.count()):
            yield Author.objects.order_by("name")[number].name

    return StreamingHttpResponse(parts())


async def stream_async(request):
    """The same."""

    async def parts():
        for number in range(await Author.objects.acount()):
            yield (await Author.objects.order_by("name")[number : number + 1].aget()).name

    return StreamingHttpResponse(parts())


def in_transaction(request):
    """Whether the request is one transaction."""
    return HttpResponse(str(connection.in_atomic_block))
