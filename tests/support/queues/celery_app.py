"""The application in Celery, whose broker is a folder."""

from __future__ import annotations

import os
from pathlib import Path

from celery import Celery

import fly_orm
from tests.support.queues import jobs

folder = os.environ["TEST_QUEUE"]
for each in (folder, f"{folder}-control"):
    Path(each).mkdir(exist_ok=True)
app = Celery("shop", broker="filesystem://")
app.conf.broker_transport_options = {
    "data_folder_in": folder,
    "data_folder_out": folder,
    "control_folder": f"{folder}-control",
    "polling_interval": 0.05,
}


@app.task
@fly_orm.carried
def publish(title: str) -> None:
    jobs.publish(title)


ask = publish.delay
