"""Two regions that know nothing of each other but where NATS is: nodes in ``syd``, and this process in ``lax``."""

import fly_orm
from tests.support.nodes import NodeProcess, node_process, url
from tests.support.two_regions import Regions, Way, settings

ADDRESS = "nats:shop.syd"


class ThroughNats(Way):
    """Nodes are found by the name of the application, wherever they are."""

    def settings(self):
        return {"transport": "nats", "discovery": "nats", "app": "shop"}

    def variables(self):
        return {"FLY_ORM_TRANSPORT": "nats", "FLY_ORM_DISCOVERY": "nats", "FLY_APP_NAME": "shop"}


class FoundRegions(Regions):
    """The databases in both regions, and as many nodes in syd as the test starts."""

    def node(self) -> NodeProcess:
        """A process that serves in syd; configured by the environment alone."""
        address = url(self.cluster.primary, self.name)
        node = self.undo.enter_context(node_process("tests.support.shop:db", SHOP_URL=address))
        assert node.address() == ADDRESS
        return node

    def serving(self) -> fly_orm.Serving:
        """A node of syd in this process."""
        serving = fly_orm.serve(self.syd(), listen=ADDRESS, settings=settings("syd"))
        return self.undo.enter_context(serving)

    def lax(self, **changes):
        """A wrapped database on the replica."""
        return super().lax(options={"settings": self.lax_settings(**changes)})
