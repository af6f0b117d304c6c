"""The kernel of the simulated world: virtual time, nodes, the network between them, and the source
of a run's random choices. It knows nothing of Redis, SQL and HTTP, which are built on it.
"""

from typing import TYPE_CHECKING

from labkit._lazy import lazily

if TYPE_CHECKING:
    from labkit.sim.kernel.choices import Choices as Choices
    from labkit.sim.kernel.choices import Latency as Latency
    from labkit.sim.kernel.kernel import Kernel as Kernel
    from labkit.sim.kernel.kernel import current_kernel as current_kernel
    from labkit.sim.kernel.loop import SimLoop as SimLoop
    from labkit.sim.kernel.network import Network as Network
    from labkit.sim.kernel.network import Wire as Wire
    from labkit.sim.kernel.nodes import SimNode as SimNode
    from labkit.sim.kernel.nodes import keep_for_ever as keep_for_ever
    from labkit.sim.kernel.tasks import DAEMON as DAEMON
    from labkit.sim.kernel.tasks import HERE as HERE
    from labkit.sim.kernel.tasks import Place as Place
    from labkit.sim.kernel.tasks import SimTask as SimTask
else:
    __all__, __getattr__, __dir__ = lazily(
        __name__,
        choices="Choices Latency",
        kernel="Kernel current_kernel",
        loop="SimLoop",
        network="Network Wire",
        nodes="SimNode keep_for_ever",
        tasks="DAEMON HERE Place SimTask",
    )
