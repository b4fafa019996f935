"""Where the views are."""

from django.urls import path

from . import views

urlpatterns = [
    path("names", views.names),
    path("names_async", views.names_async),
    path("stream", views.stream),
    path("stream_async", views.stream_async),
    path("in_transaction", views.in_transaction),
]
